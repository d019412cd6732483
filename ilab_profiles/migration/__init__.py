"""The older ``ilab``'s configuration, as a profile and a ``config.yaml`` of today."""

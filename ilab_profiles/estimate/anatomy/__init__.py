"""What a language model is made of: from the settings in its ``config.json`` to matrices, layers and their numbers."""

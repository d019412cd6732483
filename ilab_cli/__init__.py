"""The program ``ilab``: a thin layer of commands over :mod:`ilab_profiles` and the engines that do the work."""

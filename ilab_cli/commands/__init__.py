"""One module for each group of commands; what they do lies in the library and in the backends."""

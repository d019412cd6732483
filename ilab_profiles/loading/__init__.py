"""From sources to checked settings: inheritance, layers, merging, and who gave each value."""

"""The settings: one model for each section, and the vocabulary that they are declared in."""

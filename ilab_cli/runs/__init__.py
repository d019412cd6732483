"""Runs: the folder that each has, and what every workflow command does with it."""

"""Trainings as jobs of a scheduler."""

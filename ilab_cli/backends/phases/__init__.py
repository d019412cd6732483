"""Trainings in phases that are evaluated in between: each phase hands its best checkpoint over to the next."""

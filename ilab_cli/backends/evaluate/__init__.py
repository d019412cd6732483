"""Evaluation: a model, or the checkpoints of a training, put to one or more benchmarks."""

"""Evaluation: MMLU-like questions from the user's own task files, answered through lm-eval."""

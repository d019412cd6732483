"""MMLU: multiple-choice questions, of which the model takes the choice that it finds likeliest."""

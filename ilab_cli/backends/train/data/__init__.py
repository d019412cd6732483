"""Training data: from files of conversations, by way of a chat template, to samples of tokens on disk."""

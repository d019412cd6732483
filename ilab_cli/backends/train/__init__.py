"""Training: from a validated ``Train`` to a trained model.

``launch`` is the face that commands use. It, ``preflight`` and what they import at their tops need no torch.
"""

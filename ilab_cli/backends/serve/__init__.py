"""Serving: a model on this machine behind an OpenAI-compatible endpoint, by the best server that is installed.

``launch`` is the face that commands and generation use. Nothing here imports a server or torch: servers are programs.
"""

"""Models by their name on a hub, found without a network: in the cache of Hugging Face, or among the few known here."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

__all__ = ["KNOWN", "cached"]

KNOWN: dict[str, dict[str, Any]] = {
    "instructlab/granite-7b-lab": {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "max_position_embeddings": 4096,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 32,
        "tie_word_embeddings": False,
        "vocab_size": 32008,
    },
}
"""What the ``config.json`` of the profiles' default model says of its shapes."""

_NAME = r"[\w.-]{1,96}(/[\w.-]{1,96})?"


def cached(name: str) -> Path | None:
    """The folder of a hub's model in the cache, the newest that is whole; ``None`` if there is none.

    Args:
        name: ``ORGANISATION/NAME``, or the name alone of the few that have no organisation.
    """
    if not re.fullmatch(_NAME, name):
        return None
    folder = _cache() / f"models--{name.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        commit = ""
    found = [config.parent for config in folder.glob("snapshots/*/config.json")]
    main = [place for place in found if place.name == commit]
    return max(main or found, key=lambda place: place.stat().st_mtime, default=None)


def _cache() -> Path:
    """Where Hugging Face keeps what it loads, as its own variables say."""
    given = os.environ.get
    home = given("HF_HOME") or str(Path(given("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    return Path(given("HF_HUB_CACHE") or given("HUGGINGFACE_HUB_CACHE") or Path(home) / "hub").expanduser()

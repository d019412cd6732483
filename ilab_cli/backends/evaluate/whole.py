"""Whether a model's files hold all of its weights: transformers makes up at random what is not there."""

from __future__ import annotations

from pathlib import Path

from ilab_cli.backends.evaluate.model import Model

__all__ = ["lost_weights"]

_TOLD = 3


def lost_weights(model: Model, trust_remote_code: bool) -> str:
    """What a model in a folder lacks, in a sentence; empty if it is whole, or no engine is here to look at it."""
    try:
        import transformers
    except ImportError:
        return ""
    if not model.local or not Path(model.base, "config.json").is_file():
        return ""
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    try:
        _, about = transformers.AutoModelForCausalLM.from_pretrained(
            model.base, device_map="meta", output_loading_info=True, trust_remote_code=trust_remote_code
        )
    except Exception:  # whatever keeps it from being loaded is told when it is loaded
        return ""
    finally:
        transformers.logging.set_verbosity(level)
    lost = sorted(about["missing_keys"])
    more = f" and {len(lost) - _TOLD} more" if len(lost) > _TOLD else ""
    return f"{model.base} lacks the weights {', '.join(lost[:_TOLD])}{more}" if lost else ""

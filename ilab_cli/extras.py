"""What is installed: which optional part of the distribution a command needs, and the versions that there are."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from ilab_profiles import Finding

__all__ = ["missing_extra", "versions"]

_MODULES = {
    "train": ("torch", "transformers", "accelerate", "peft"),
    "quantize": ("bitsandbytes",),
    "fp8": ("torchao",),
    "deepspeed": ("deepspeed",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "generate": ("aiohttp", "jinja2", "numpy", "tqdm"),
    "chat": ("aiohttp", "prompt_toolkit", "rich"),
    "report": ("jinja2", "numpy"),
    "evaluate": ("lm_eval", "torch", "transformers", "peft", "datasets", "jinja2", "aiohttp", "numpy", "tqdm"),
}

_DISTRIBUTIONS = (
    *("ilab-profiles", "torch", "transformers", "accelerate", "peft", "bitsandbytes", "deepspeed", "lm_eval"),
    *("aiohttp", "jinja2"),
)


def versions() -> dict[str, str | None]:
    """Versions of the program and of what its optional parts rest on; ``None`` for what is not installed."""
    return {name: _version(name) for name in _DISTRIBUTIONS}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def missing_extra(extra: str, needed_by: str) -> list[Finding]:
    """A finding that names the extra to install, or nothing if all of its modules are there. Imports none of them.

    Args:
        extra: name of the extra in the distribution's metadata.
        needed_by: what needs it, for example ``"ilab model train"``.
    """
    absent = [module for module in _MODULES[extra] if find_spec(module) is None]
    if not absent:
        return []
    return [
        Finding(
            rule="extra-not-installed",
            message=f"{needed_by} needs {', '.join(absent)}: not installed",
            hint=f'python3 -m pip install "ilab-profiles[{extra}]"',
        )
    ]

"""The model before training, with which a trained one is compared."""

from __future__ import annotations

from dataclasses import replace

from ilab_cli.backends.evaluate.model import Model, find_model
from ilab_profiles import Evaluate, InputError

__all__ = ["base_model"]


def base_model(evaluate: Evaluate) -> Model:
    """What ``evaluate.base_model`` names: a folder, or a model on the hub.

    Raises:
        InputError: with everything that is wrong with it.
    """
    mmlu, mt = (part.model_copy(update={"model": None}) for part in (evaluate.mmlu, evaluate.mt))
    given = {"model": evaluate.base_model, "input_dir": None, "benchmarks": ("mmlu",), "mmlu": mmlu, "mt": mt}
    try:
        return find_model(evaluate.model_copy(update=given))
    except InputError as error:
        moved = (
            replace(each, path="evaluate.base_model" if each.path == "evaluate.model" else each.path)
            for each in error.findings
        )
        raise InputError(moved) from None

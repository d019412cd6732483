"""What is evaluated: one model, or the checkpoints of a training. Loads no model."""

from __future__ import annotations

from pathlib import Path

from ilab_cli.backends.evaluate.checkpoints import Checkpoint, chosen, find
from ilab_cli.backends.evaluate.model import Model, find_model
from ilab_cli.backends.model_folder import is_adapter, is_model
from ilab_profiles import Evaluate, Finding, InputError

__all__ = ["in_words", "subject", "wanted"]

_SETTING = "evaluate.input_dir"


def subject(evaluate: Evaluate) -> Model | list[Checkpoint]:
    """The model, or all checkpoints in ``input_dir``.

    They are meant where ``checkpoints`` or ``prune`` is set, and where ``input_dir`` holds no model, but checkpoints.

    Raises:
        InputError: if there is neither, with everything that is wrong with the model.
    """
    named = evaluate.mmlu.model or evaluate.model or _served_model(evaluate)
    folder = Path(evaluate.input_dir or "")
    asked = evaluate.checkpoints is not None or evaluate.prune
    if named or not evaluate.input_dir:
        if asked:
            hint = "name the folder of a training with --input-dir, and no model"
            raise InputError(Finding("no-checkpoints", "no folder of checkpoints is given", _SETTING, hint=hint))
        return find_model(evaluate)
    one = is_model(folder) or is_adapter(folder)
    if one and not asked:
        return find_model(evaluate)
    if (asked or not is_model(folder / "model")) and (found := [] if one else find(folder)):
        return found
    if asked:
        hint = "name the run folder of a training, or its checkpoints"
        raise InputError(Finding("no-checkpoints", f"there are no checkpoints in {folder}", _SETTING, hint=hint))
    return find_model(evaluate)


def _served_model(evaluate: Evaluate) -> str | None:
    """The model that ``mt.model`` names, where MT-Bench is run and has no endpoint: it is no checkpoint either."""
    served = not {"mt_bench", "mt_bench_branch"}.isdisjoint(evaluate.benchmarks) and not evaluate.mt.endpoint
    return evaluate.mt.model if served else None


def wanted(evaluate: Evaluate, found: list[Checkpoint]) -> list[Checkpoint]:
    """Those of all checkpoints that the settings choose."""
    return chosen(found, evaluate.checkpoints or "all")


def in_words(evaluate: Evaluate) -> str:
    """Which form the evaluation has, in words; empty if nothing is found that can be evaluated."""
    try:
        found = subject(evaluate)
    except InputError:
        return ""
    if isinstance(found, Model):
        return f"full evaluation of {found.name}"
    count = len(wanted(evaluate, found))
    return f"evaluation of {count} of {len(found)} checkpoints in {evaluate.input_dir}"

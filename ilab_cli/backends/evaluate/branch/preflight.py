"""What can be known to be wrong before a branch benchmark begins, besides what its parent knows. Never writes."""

from __future__ import annotations

from ilab_cli.backends.evaluate.branch import questions
from ilab_cli.backends.evaluate.branch.base import base_model
from ilab_cli.backends.evaluate.mt_bench import endpoints
from ilab_profiles import Evaluate, Finding, InputError

__all__ = ["of_base", "of_questions"]


def of_base(evaluate: Evaluate) -> list[Finding]:
    """What is wrong with the model before training; nothing where it is asked at an endpoint."""
    judged = "mt_bench_branch" in evaluate.benchmarks
    served = judged and not evaluate.mt.endpoint
    if judged and not served and not evaluate.mt.model:
        message = "at an endpoint both models are asked by name, and the trained one has none"
        hint = (
            "set evaluate.mt.model and evaluate.base_model to what the endpoint calls them, or leave the endpoint out"
        )
        return [Finding("no-model", message, "evaluate.mt.model", hint=hint)]
    if not served and "mmlu_branch" not in evaluate.benchmarks:
        return []
    try:
        base = base_model(evaluate)
        if served:
            endpoints.to_serve(evaluate, base, "evaluate.base_model")
    except InputError as error:
        return list(error.findings)
    return []


def of_questions(evaluate: Evaluate) -> list[Finding]:
    """What is wrong with the taxonomy and the judge prompts."""
    if "mt_bench_branch" not in evaluate.benchmarks:
        return []
    try:
        questions.read(evaluate)
    except InputError as error:
        return list(error.findings)
    return []

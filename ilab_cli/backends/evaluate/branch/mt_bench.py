"""``mt_bench_branch``: the questions of the taxonomy to the model before training and after, rated by the judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ilab_cli.backends.evaluate.branch import leaves, questions
from ilab_cli.backends.evaluate.branch.base import base_model
from ilab_cli.backends.evaluate.keys import with_keys
from ilab_cli.backends.evaluate.model import Model
from ilab_cli.backends.evaluate.mt_bench import ask
from ilab_cli.backends.evaluate.mt_bench.judging import Judgement
from ilab_profiles import Evaluate

__all__ = ["NAME", "score", "table"]

NAME = "mt_bench_branch"


def score(evaluate: Evaluate, model: Model, folder: Path) -> dict[str, Any]:
    """Ask both models and the judge, and compare them leaf by leaf; everything lies in ``mt_bench_branch``.

    Args:
        evaluate: the settings. With ``mt.endpoint`` both models are asked there, by their names.
        model: the trained model.
        folder: where journals and judgements lie; no finished call is repeated.

    Returns:
        what MT-Bench gives for the trained model; ``base`` with that of the other one, called ``base_model``;
        ``leaves`` with a comparison of each, and ``all`` of them together; ``trusted`` if both scores are.

    Raises:
        InputError: if taxonomy, prompts or base model are refused, or an address, a key or a journal cannot be used.
        ServerFailed: if a model cannot be served.
        Stopped: if an endpoint is away, or a journal cannot be written.
    """
    evaluate = with_keys(evaluate)
    bench = questions.read(evaluate)
    before = evaluate.base_model if evaluate.mt.endpoint else None
    as_base = evaluate.model_copy(update={"mt": evaluate.mt.model_copy(update={"model": before})})
    base = model if before else base_model(evaluate)
    judged, found = {}, {}
    for which, settings, each in (("base", as_base, base), ("model", evaluate, model)):
        judged[which], found[which] = ask.judged(settings, each, bench, folder / NAME / which, f"{NAME}, {which}")
    scores = {which: _scores(judgements) for which, judgements in judged.items()}
    names = dict.fromkeys(question.category for question in bench.questions)
    return {
        **found["model"],
        "trusted": found["base"]["trusted"] and found["model"]["trusted"],
        "base_model": evaluate.base_model,
        "base": {name: found["base"][name] for name in ("score", "stderr", "interval", "errors", "judgements")},
        "all": leaves.by_scores(_joined(scores["base"]), _joined(scores["model"])),
        "leaves": {
            leaf: leaves.by_scores(scores["base"].get(leaf, {}), scores["model"].get(leaf, {})) for leaf in names
        },
    }


def table(found: dict[str, Any]) -> str:
    """The comparison as text, in points from 1 to 10."""
    return "\n".join([leaves.table(NAME, found, ".2f"), f"judged by {found['judge_model']}"])


def _scores(judgements: Sequence[Judgement]) -> dict[str, dict[int | str, float]]:
    """Scores by leaf and question."""
    found: dict[str, dict[int | str, float]] = {}
    for each in judgements:
        if each.score is not None:
            found.setdefault(each.category, {})[each.question_id] = each.score
    return found


def _joined(scores: dict[str, dict[int | str, float]]) -> dict[int | str, float]:
    return {name: score for part in scores.values() for name, score in part.items()}

"""MT-Bench's heavy side: asks the model and the judge, and writes each answer with its judgement.

Every answer of either is in a journal before it is used, in the folder of the run: whoever starts again there repeats
no finished call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

from ilab_cli.backends.client import stream
from ilab_cli.backends.client.client import Client
from ilab_cli.backends.client.settings import EndpointSettings
from ilab_cli.backends.evaluate.keys import with_keys
from ilab_cli.backends.evaluate.model import Model
from ilab_cli.backends.evaluate.mt_bench import endpoints, figures, questions
from ilab_cli.backends.evaluate.mt_bench.conversation import Conversation
from ilab_cli.backends.evaluate.mt_bench.figures import table
from ilab_cli.backends.evaluate.mt_bench.judging import Judgement
from ilab_cli.backends.evaluate.mt_bench.progress import shown
from ilab_cli.backends.evaluate.mt_bench.questions import Bench
from ilab_cli.backends.jsonl import as_lines
from ilab_cli.output import warn
from ilab_profiles import Evaluate
from ilab_profiles.yaml.files import write_atomically

__all__ = ["ANSWERS", "JUDGED", "JUDGEMENTS", "judged", "score", "table"]

ANSWERS, JUDGED = "mt_bench_answers.journal.jsonl", "mt_bench_judge.journal.jsonl"
"""Journals in the folder of a run: everything that the model and the judge said."""
JUDGEMENTS = "judgements.jsonl"
"""File in the folder of a run with each answer and its score."""
_ROWS_A_CALL = 2
"""Questions in work for each call that may be under way: enough to keep the endpoints busy to the end."""


def score(evaluate: Evaluate, model: Model, folder: Path) -> dict[str, Any]:
    """Ask every question, have each answer judged, and write ``judgements.jsonl`` to a folder.

    Args:
        evaluate: the settings.
        model: what is served and asked, where no endpoint is given.
        folder: where journals and judgements lie.

    Returns:
        what ``scores.json`` tells of it: the ``score`` from 1 to 10 and its ``stderr`` first.

    Raises:
        InputError: if the questions are refused, or an address, a key or the journal cannot be used.
        ServerFailed: if the model cannot be served.
        Stopped: if an endpoint is away, or the journal cannot be written.
    """
    evaluate = with_keys(evaluate)
    bench = questions.read(Path(evaluate.mt.data_dir or ""), evaluate.mt.judge_model)
    return judged(evaluate, model, bench, folder, "mt_bench")[1]


def judged(
    evaluate: Evaluate, model: Model, bench: Bench, folder: Path, name: str
) -> tuple[list[Judgement], dict[str, Any]]:
    """Have one model judged, and say on stderr if its score is not to be trusted.

    Args:
        evaluate: the settings, with the keys.
        model: what is served and asked, where no endpoint is given.
        bench: what is asked.
        folder: where journals and judgements lie.
        name: what the run is called.

    Returns:
        the judgements in the order of the questions, and what ``scores.json`` tells of them.

    Raises:
        InputError, ServerFailed, Stopped: as :func:`score`.
        RuntimeError: if there is no score at all.
    """
    begun = monotonic()
    with endpoints.served(evaluate, model) as asked:
        whole = (asked, endpoints.judge(evaluate, asked.address))
        judgements, about = asyncio.run(_hold(evaluate, bench, whole, folder, name, endpoints.fingerprint(model)))
    found = figures.figures(judgements) | about
    found["seconds"] = round(monotonic() - begun, 3)
    found["temperatures"] = {question.category: question.temperature for question in bench.questions}
    found["data"] = dict(bench.hashes)
    if found["score"] is None:
        raise RuntimeError(f"{name}: no answer got a score; {judgements[0].error}; see {folder / JUDGEMENTS}")
    if mistrust := figures.mistrust(found):
        warn([f"warning: {name}: {mistrust}"])
    return judgements, found


async def _hold(
    evaluate: Evaluate,
    bench: Bench,
    asked: tuple[EndpointSettings, EndpointSettings],
    folder: Path,
    name: str,
    fingerprint: str,
) -> tuple[list[Judgement], dict[str, Any]]:
    """Hold every conversation, and write ``judgements.jsonl``; gives the judgements, and how they came about."""
    mt = evaluate.mt
    done: dict[Any, list[Judgement]] = {}
    model_settings, judge_settings = asked
    async with (
        Client(model_settings, folder / ANSWERS) as model,
        Client(judge_settings, folder / JUDGED) as judge,
        shown(sum(len(question.turns) for question in bench.questions), (model, judge), name) as more,
    ):
        talk = Conversation(model, judge, bench.prompts, mt.max_tokens, mt.judge_max_tokens, fingerprint)
        rows = stream.run(partial(next, iter(bench.questions), None), talk.hold, _ROWS_A_CALL * mt.max_concurrency)
        async with aclosing(rows):
            async for question, found in rows:
                done[question.id] = found
                more(len(found))
        about = _about(evaluate, model, judge)
    judgements = [each for question in bench.questions for each in done[question.id]]
    write_atomically(folder / JUDGEMENTS, as_lines(each.row() for each in judgements))
    return judgements, about


def _about(evaluate: Evaluate, model: Client, judge: Client) -> dict[str, Any]:
    clients = (model, judge)
    return {
        "model": model.model,
        "judge_model": judge.model,
        "calls": sum(client.calls for client in clients),
        "from_journal": sum(client.replayed for client in clients),
        "tried_again": sum(client.retries for client in clients),
        "cut_short": model.cut,
        "endpoints": _learned(clients),
        "max_tokens": evaluate.mt.max_tokens,
        "versions": {name: version(name) for name in ("ilab-profiles", "aiohttp", "numpy")},
    }


def _learned(clients: Sequence[Client]) -> list[str]:
    return list(dict.fromkeys(note for client in clients for note in client.learned))

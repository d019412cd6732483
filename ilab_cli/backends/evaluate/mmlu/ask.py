"""MMLU's heavy side: loads tasks and model, has lm-eval ask the questions, and writes each question with its answer."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ilab_cli.backends.evaluate.mmlu import figures, hub
from ilab_cli.backends.evaluate.mmlu.figures import table
from ilab_cli.backends.evaluate.mmlu.progress import quieten
from ilab_cli.backends.evaluate.mmlu.selection import prepare
from ilab_cli.backends.evaluate.model import Model
from ilab_cli.backends.hardware import device_findings, on_cpu
from ilab_cli.backends.jsonl import as_lines
from ilab_profiles import Evaluate, InputError
from ilab_profiles.models.evaluate import Mmlu
from ilab_profiles.yaml.files import write_atomically

__all__ = ["score", "table"]

_VERSIONS = ("lm_eval", "transformers", "torch")
_SEED = 1234  # of the choice of solved examples: the one that lm-eval publishes its scores with
_CPU_BATCH = 8  # questions: main memory does not refuse what is too much, as a GPU does, so no size is tried out there


@dataclass(frozen=True, slots=True)
class _Tasks:
    """Tasks that lm-eval runs: what its ``TaskManager`` loads, and the members of each group, and how they count."""

    loaded: Any
    groups: Mapping[str, tuple[list[str], bool]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who answers, whether by way of its chat template, and why so, in words."""

    model: Any
    chat: bool
    why: str


def score(evaluate: Evaluate, model: Model, folder: Path) -> dict[str, Any]:
    """Ask every question, and write ``answers_TASK.jsonl`` to a folder.

    Args:
        evaluate: the settings.
        model: what is asked.
        folder: where the answers go; it is made when they are there.

    Returns:
        ``score`` and ``stderr``, the share of right answers and its standard error (``None`` for a single question);
        ``tasks``, ``groups`` and ``overall``, with more figures; and with what settings and versions it was asked.

    Raises:
        InputError: if the task files or the questions are refused.
    """
    with contextlib.redirect_stdout(sys.stderr):
        tasks = _tasks(evaluate.mmlu)
        asked = _asked(evaluate, model, folder)
        results = _results(tasks, asked)
    names = list(tasks.loaded["tasks"])
    answers = {name: figures.answers(results["samples"][name]) for name in names}
    scores = {name: figures.score_task(name, results) | {"data": figures.digest(answers[name])} for name in names}
    overall = figures.score_overall(scores)
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in answers.items():
        write_atomically(folder / f"answers_{_file_name(name)}.jsonl", as_lines(rows))
    return {
        "score": overall["acc"],
        "stderr": overall["acc_stderr"],
        "overall": overall,
        "groups": figures.score_groups(scores, tasks.groups),
        "tasks": scores,
        "few_shots": evaluate.mmlu.few_shots,
        "apply_chat_template": asked.chat,
        "chat_template": asked.why,
        "versions": {name: version(name) for name in _VERSIONS},
    }


def _tasks(mmlu: Mmlu) -> _Tasks:
    quieten()
    if not mmlu.data_dir:
        loaded = hub.load(mmlu)
        return _Tasks(loaded, hub.groups(loaded))
    from lm_eval.tasks import TaskManager

    selection = prepare(mmlu)
    loaded = TaskManager(include_defaults=False).load([task.config() for task in selection.tasks])
    return _Tasks(loaded, selection.groups)


def _results(tasks: _Tasks, asked: _Asked) -> dict[str, Any]:
    """lm-eval's results and logged samples."""
    import lm_eval

    for task in tasks.loaded["tasks"].values():
        task.set_fewshot_seed(seed=_SEED)
    results: dict[str, Any] = lm_eval.evaluate(
        lm=asked.model,
        task_dict=tasks.loaded,
        apply_chat_template=asked.chat,
        fewshot_as_multiturn=asked.chat,
    )
    return results


def _asked(evaluate: Evaluate, model: Model, folder: Path) -> _Asked:
    if evaluate.mmlu.endpoint:
        from ilab_cli.backends.evaluate.mmlu.endpoint import JOURNAL, EndpointLM

        return _Asked(EndpointLM(evaluate, folder / JOURNAL), False, "an endpoint is asked without one")
    loaded = _load(evaluate, model)
    chat = evaluate.mmlu.apply_chat_template
    if chat is not None:
        return _Asked(loaded, chat, "evaluate.mmlu.apply_chat_template says so")
    if not evaluate.mmlu.data_dir:
        return _Asked(loaded, False, "lm-eval's tasks are asked as scores are published; --apply-chat-template asks so")
    has_one = bool(loaded.tokenizer.chat_template)
    return _Asked(loaded, has_one, f"the model has {'one' if has_one else 'none'}")


def _load(evaluate: Evaluate, model: Model) -> Any:
    from ilab_cli.backends.evaluate.mmlu.lm import SharingLM
    from ilab_cli.backends.evaluate.mmlu.sharing import fits_one_gpu

    several = len(evaluate.gpus or ())
    seen = evaluate.gpus and tuple(range(several))  # this process sees those alone, counted from 0
    if refused := list(device_findings("evaluate", evaluate.device, seen)):
        raise InputError(refused)
    cuda = not on_cpu(evaluate.device, evaluate.gpus)
    several = several if cuda else 0
    copies = several > 1 and fits_one_gpu(model.base, trust_remote_code=evaluate.trust_remote_code)
    batch = evaluate.mmlu.batch_size
    return SharingLM(
        batch=None if batch == "auto" else batch,
        devices=[f"cuda:{number}" for number in range(several)] if copies else [],
        pretrained=model.base,
        peft=model.adapter,
        tokenizer=model.tokenizer,
        device="cuda" if cuda else "cpu",
        parallelize=several > 1 and not copies,
        batch_size=batch if cuda or batch != "auto" else _CPU_BATCH,
        trust_remote_code=evaluate.trust_remote_code,
    )


def _file_name(task: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in task)

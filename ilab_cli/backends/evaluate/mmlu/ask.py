"""MMLU's heavy side: loads the model, has lm-eval ask the questions, and writes each question with its answer."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ilab_cli.backends.evaluate.mmlu import figures
from ilab_cli.backends.evaluate.mmlu.figures import table
from ilab_cli.backends.evaluate.mmlu.selection import MmluTask, prepare
from ilab_cli.backends.evaluate.model import Model
from ilab_cli.backends.hardware import device_findings, on_cpu
from ilab_cli.backends.jsonl import as_lines
from ilab_cli.output import lively
from ilab_profiles import Evaluate, InputError
from ilab_profiles.yaml.files import write_atomically

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

__all__ = ["score", "table"]

_VERSIONS = ("lm_eval", "transformers", "torch")
_SEED = 1234  # of the choice of solved examples: the one that lm-eval publishes its scores with
_CPU_BATCH = 8  # questions: main memory does not refuse what is too much, as a GPU does, so no size is tried out there


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
    selection = prepare(evaluate.mmlu)
    with contextlib.redirect_stdout(sys.stderr):
        results = _ask(evaluate, model, selection.tasks)
    tasks = {task.name: _score(task, results["results"][task.name]) for task in selection.tasks}
    overall = figures.score_overall(tasks)
    folder.mkdir(parents=True, exist_ok=True)
    for task in selection.tasks:
        rows = figures.answers(results["samples"][task.name])
        write_atomically(folder / f"answers_{_file_name(task.name)}.jsonl", as_lines(rows))
    return {
        "score": overall["acc"],
        "stderr": overall["acc_stderr"],
        "overall": overall,
        "groups": figures.score_groups(tasks, selection.groups),
        "tasks": tasks,
        "few_shots": evaluate.mmlu.few_shots,
        "apply_chat_template": evaluate.mmlu.apply_chat_template,
        "versions": {name: version(name) for name in _VERSIONS},
    }


def _ask(evaluate: Evaluate, model: Model, tasks: list[MmluTask]) -> dict[str, Any]:
    """lm-eval's results and logged samples."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    _quieten()
    loaded = TaskManager(include_defaults=False).load([task.config() for task in tasks])
    for task in loaded["tasks"].values():
        task.set_fewshot_seed(seed=_SEED)
    results: dict[str, Any] = lm_eval.evaluate(
        lm=_load(evaluate, model),
        task_dict=loaded,
        apply_chat_template=evaluate.mmlu.apply_chat_template,
        fewshot_as_multiturn=evaluate.mmlu.apply_chat_template,
    )
    return results


def _load(evaluate: Evaluate, model: Model) -> HFLM:
    from lm_eval.models import huggingface
    from lm_eval.models.huggingface import HFLM

    cuda = not on_cpu(evaluate.device, evaluate.gpus)
    if refused := list(device_findings("evaluate", evaluate.device, evaluate.gpus)):
        raise InputError(refused)
    batch = evaluate.mmlu.batch_size
    loaded = HFLM(
        pretrained=model.base,
        peft=model.adapter,
        tokenizer=model.tokenizer,
        device="cuda" if cuda else "cpu",
        parallelize=cuda and len(evaluate.gpus or ()) > 1,
        batch_size=batch if cuda or batch != "auto" else _CPU_BATCH,
        trust_remote_code=evaluate.trust_remote_code,
    )
    answer, shown = loaded._loglikelihood_tokens, lively(sys.stderr)
    loaded.loglikelihood = partial(loaded.loglikelihood, disable_tqdm=True)
    loaded._loglikelihood_tokens = lambda *arguments, **options: answer(
        *arguments, **{**options, "disable_tqdm": not shown}
    )
    huggingface.tqdm = _bar
    return loaded


def _bar(*arguments: Any, **options: Any) -> Any:
    """The one bar of an evaluation, in place of lm-eval's own: how many answers have been looked at."""
    from tqdm import tqdm

    return tqdm(*arguments, **{**options, "desc": "mmlu", "unit": " answers", "leave": False, "dynamic_ncols": True})


def _score(task: MmluTask, result: dict[str, Any]) -> figures.Scores:
    error = result["acc_stderr,none"]  # "N/A" for a single question
    score: figures.Scores = {
        "acc": result["acc,none"],
        "acc_stderr": error if isinstance(error, float) else None,
        "questions": len(task.questions),
        "few_shots": task.few_shots,
    }
    if "acc_norm" in task.metrics:
        score["acc_norm"] = result["acc_norm,none"]
    return score


def _quieten() -> None:
    """Keep what engines say about themselves off stderr; of each kind of warning of lm-eval the first stays."""
    seen: set[tuple[str, int]] = set()

    def is_new(record: logging.LogRecord) -> bool:
        place = (record.pathname, record.lineno)
        known = place in seen or "Custom kwargs can be passed" in record.getMessage()  # said of all data in memory
        seen.add(place)
        return not known

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    handler.addFilter(is_new)
    logger = logging.getLogger("lm_eval")
    logger.setLevel(logging.WARNING)
    logger.addHandler(handler)
    logger.propagate = False
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of kernels that evaluation does not use
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)


def _file_name(task: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in task)

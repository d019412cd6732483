"""lm-eval's own tasks, such as ``mmlu`` and ``mmlu_pro``: their questions come from a hub, or from its cache here.

Of lm-eval's many thousand task files, only the folders that begin like a wanted name are read, which takes half a
second instead of ten; all are, where nothing like a name is found there. Where the hub does not answer, everything is
told to look into its cache alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from ilab_cli.backends.evaluate.mmlu.figures import METRICS
from ilab_profiles import Evaluate, Finding, InputError
from ilab_profiles.models.evaluate import Mmlu

__all__ = ["check", "groups", "is_offline", "load", "needed"]

_SETTING = "evaluate.mmlu.tasks"
_OURS = "mmlu_pr"
"""The group that a generation writes, and the default: it is never one of lm-eval's."""
_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
_SECONDS = 3.0


def needed(evaluate: Evaluate) -> bool:
    """Whether the tasks are lm-eval's own."""
    return not {"mmlu", "mmlu_branch"}.isdisjoint(evaluate.benchmarks) and not evaluate.mmlu.data_dir


@cache
def is_offline() -> bool:
    """Whether no hub is to be asked: the variables say so, or it does not answer."""
    if any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in _OFFLINE):
        return True
    import urllib.request
    from urllib.error import HTTPError

    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_SECONDS).close()
    except HTTPError as error:
        error.close()  # whatever it says, it is there
    except (OSError, ValueError):
        return True
    return False


def check(mmlu: Mmlu) -> None:
    """Refuse tasks that lm-eval does not have, and data that can be had neither from a hub nor from its cache.

    Raises:
        InputError: with all of them.
    """
    if _OURS in mmlu.tasks:
        raise InputError(_no_folder(mmlu, "a hub does not have them: a generation writes them"))
    manager = _manager(mmlu.tasks)
    findings = [_unknown(name, manager) for name in mmlu.tasks if not manager.match_tasks([name])]
    data = sorted(set(_data(manager, manager.match_tasks(list(mmlu.tasks)))))
    if data and not findings and is_offline() and (lacking := [name for name in data if not _is_cached(name)]):
        why = "the tasks that lm-eval brings take their questions from a hub, which is not reached from here"
        findings.append(_no_folder(mmlu, f"{why}; {', '.join(lacking)} is not in its cache"))
    if findings:
        raise InputError(findings)


def load(mmlu: Mmlu) -> Any:
    """The tasks as lm-eval loads them, with all of their questions.

    Raises:
        InputError: if it cannot, with its reason.
    """
    check(mmlu)
    manager = _manager(mmlu.tasks)
    try:
        loaded = manager.load(manager.match_tasks(list(mmlu.tasks)))
    except Exception as error:  # whatever a hub, a cache or a task's own code raises
        reason = next(iter(str(error).splitlines()), "")
        raise InputError(_no_folder(mmlu, f"lm-eval cannot load them: {type(error).__name__}: {reason}")) from None
    if findings := [finding for name, task in loaded["tasks"].items() for finding in _not_scored(name, task)]:
        raise InputError(findings)
    for task in loaded["tasks"].values():
        if task.get_config("num_fewshot") != 0:
            task.set_config("num_fewshot", mmlu.few_shots)
    return loaded


def _not_scored(name: str, task: Any) -> Iterator[Finding]:
    """A finding if a task is not scored by the share of its right answers."""
    metrics = [str(metric.get("metric")) for metric in task.get_config("metric_list") or ()]
    if metrics and not set(metrics) & set(METRICS):
        message = f"the task {name} is not scored by its right answers, but by {', '.join(metrics)}"
        yield Finding("not-multiple-choice", message, _SETTING, hint="choose tasks of multiple choice")


def groups(loaded: Any) -> dict[str, tuple[list[str], bool]]:
    """The tasks of each group, and whether its score is the mean over questions."""
    found = {}
    for name, group in loaded["groups"].items():
        metrics = group.aggregate_metric_list or []
        by_size = bool(getattr(metrics[0], "weight_by_size", True)) if metrics else True
        found[name] = ([task.task_name for task in group.get_all_tasks()], by_size)
    return found


def _no_folder(mmlu: Mmlu, why: str) -> Finding:
    message = f"{', '.join(mmlu.tasks)}: no folder of task files is given"
    hint = "name the folder with --data-dir"
    return Finding("no-task-folder", message, "evaluate.mmlu.data_dir", why=why, hint=hint)


def _unknown(name: str, manager: Any) -> Finding:
    near = get_close_matches(name, manager.all_tasks)
    hint = f"did you mean {' or '.join(near)}?" if near else "name a folder of task files of your own with --data-dir"
    return Finding("unknown-task", f"lm-eval has no task, group or tag called {name!r}", _SETTING, hint=hint)


@cache
def _manager(tasks: tuple[str, ...]) -> Any:
    """lm-eval's index of task files, as far as it is needed for some names."""
    import lm_eval.tasks
    from lm_eval.tasks import TaskManager

    root = Path(lm_eval.tasks.__file__).parent
    first = {re.split(r"[_\W]", name)[0] for name in tasks}
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and folder.name.startswith(tuple(first))]
    some = TaskManager(include_path=folders, include_defaults=False)
    found = (some.match_tasks([name]) or get_close_matches(name, some.all_tasks) for name in tasks)
    return some if all(found) else TaskManager()


def _data(manager: Any, names: Iterable[str]) -> Iterator[str]:
    """The data sets of tasks, groups and tags, by their names on the hub."""
    for name in names:
        entry = manager.task_index.get(name)
        settings = (entry.cfg if entry else None) or {}
        below = sorted(entry.tags) if entry and not settings else settings.get("task")
        if isinstance(below, list):
            yield from _data(manager, [each for each in below if isinstance(each, str)])
        elif isinstance(path := settings.get("dataset_path"), str):
            yield path


def _is_cached(name: str) -> bool:
    """Whether a data set of a hub lies in one of its caches, or is none of a hub's."""
    from datasets import config
    from huggingface_hub import constants

    place = name.replace("/", "--")
    return (
        "/" not in name
        or (Path(config.HF_DATASETS_CACHE) / name.replace("/", "___")).is_dir()
        or (Path(constants.HF_HUB_CACHE) / f"datasets--{place}").is_dir()
    )

"""Task files: YAML in the form of lm-eval, old or new, read from a folder and found by name.

What a file says is kept as it stands, with the place of every key; includes are merged, and groups and tags become
lists of names. What the keys mean for the questions is said in ``selection.py``; data are read in ``questions.py``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ilab_profiles.diagnostics import Finding, InputError, Position, nearest
from ilab_profiles.yaml.read import read

__all__ = ["Group", "TaskFile", "TaskFolder", "as_list", "read_folder"]


@dataclass(frozen=True, slots=True)
class TaskFile:
    """What the file of one task, or one that it includes, says.

    Attributes:
        settings: the keys of the file over those of the files it includes.
        places: for each key, where its value stands.
    """

    settings: dict[str, Any]
    places: dict[str, Position]

    def finding(self, rule: str, message: str, key: str = "task", hint: str = "") -> Finding:
        """A finding about one key of the task."""
        return Finding(rule, message, position=self.places.get(key, self.places.get("task")), hint=hint)

    def over(self, other: TaskFile) -> TaskFile:
        """This file's keys over those of another."""
        return TaskFile(other.settings | self.settings, other.places | self.places)


@dataclass(slots=True)
class Group:
    """Tasks under one name: the ``group`` of a group file, or the ``tag`` (once also ``group``) that tasks carry.

    Attributes:
        members: names of tasks and groups.
        by_size: true if its score is the mean over questions, false if it is the mean over tasks.
    """

    members: list[str] = field(default_factory=list)
    by_size: bool = True


@dataclass(slots=True)
class TaskFolder:
    """Everything in a folder of task files that has a name."""

    path: Path
    tasks: dict[str, TaskFile] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)

    def find(self, wanted: Iterable[str], setting: str) -> dict[str, list[str]]:
        """The tasks that each wanted name stands for: a task, a group or a tag, ``*`` allowed, ``-`` as good as ``_``.

        Raises:
            InputError: with every name that stands for nothing, at the dotted path ``setting``.
        """
        found: dict[str, list[str]] = {}
        findings = []
        known = [*self.tasks, *(name for name in self.groups if name not in self.tasks)]
        for pattern in wanted:
            names = [pattern] if pattern in known else [n for n in known if fnmatchcase(_plain(n), _plain(pattern))]
            for name in names:
                found[name] = self._leaves(name, ())
                if not found[name]:
                    findings.append(Finding("empty-group", f"the group {name} holds no task of {self.path}", setting))
                elif lacking := sorted(self._strangers(name, ())):
                    message = f"the group {name} names {', '.join(lacking)}, which {self.path} does not hold"
                    hint = "without them its score would be another one: add them, or take them out of the group"
                    findings.append(Finding("incomplete-group", message, setting, hint=hint))
            if not names:
                near = nearest(_plain(pattern), known)
                hint = f"did you mean {near}?" if near else f"known here: {', '.join(known[:10])}"
                message = f"no task, group or tag of {self.path} is called {pattern!r}"
                findings.append(Finding("unknown-task", message, setting, hint=hint))
        if findings:
            raise InputError(findings)
        return found

    def _leaves(self, name: str, above: tuple[str, ...]) -> list[str]:
        leaves = [name] if name in self.tasks else []
        if name in self.groups and name not in above:
            for member in self.groups[name].members:
                leaves += [leaf for leaf in self._leaves(member, (*above, name)) if leaf not in leaves]
        return leaves

    def _strangers(self, name: str, above: tuple[str, ...]) -> set[str]:
        """Names below a group that stand for nothing."""
        if name not in self.groups:
            return set() if name in self.tasks else {name}
        members = [] if name in above else self.groups[name].members
        return {lost for member in members for lost in self._strangers(member, (*above, name))}


def read_folder(path: Path) -> TaskFolder:
    """Read every ``*.yaml`` and ``*.yml`` below a folder; files that name no task and no group are passed over.

    Raises:
        InputError: with everything that is wrong with the files.
    """
    folder = TaskFolder(path)
    files: dict[Path, TaskFile] = {}
    included: set[Path] = set()
    findings: list[Finding] = []
    for file in sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml") and p.is_file()):
        if any(part.startswith((".", "__pycache__")) for part in file.relative_to(path).parts):
            continue
        try:
            files[file] = _read_file(file, (), included)
        except InputError as error:
            findings += [_explain(finding) for finding in error.findings]
    for file, task in files.items():
        if not (file.resolve() in included and "dataset_kwargs" not in task.settings):  # a template is no task
            findings += _enter(folder, task)
    if findings:
        raise InputError(dict.fromkeys(findings))
    return folder


def as_list(value: object) -> list[Any]:
    """Nothing, one thing or a list of things, as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _plain(name: str) -> str:
    return re.sub("[-.]", "_", name)


def _read_file(path: Path, above: tuple[Path, ...], included: set[Path]) -> TaskFile:
    document = read(path)
    places = {key: document.position((key,)) for key in document.data}
    own = TaskFile({key: value for key, value in document.data.items() if key != "include"}, places)
    merged, findings = TaskFile({}, {}), []
    for name in as_list(document.data.get("include")):
        other = path.parent / str(name)
        if not os.path.isfile(other):
            findings.append(Finding("no-such-file", f"file not found: {other} to include", position=places["include"]))
        elif other.resolve() in (*above, path.resolve()):
            findings.append(Finding("include-cycle", f"{name} includes itself", position=places["include"]))
        else:
            included.add(other.resolve())
            merged = _read_file(other, (*above, path.resolve()), included).over(merged)
    if findings:
        raise InputError(findings)
    return own.over(merged)


def _explain(finding: Finding) -> Finding:
    if finding.rule != "unknown-tag" or "!function" not in finding.message:
        return finding
    message = "a task file may not run Python code (!function) here"
    return replace(finding, rule="task-runs-code", message=message, hint="write the template as text, with {{field}}")


def _enter(folder: TaskFolder, task: TaskFile) -> list[Finding]:
    """Enter a file's task, or its group with the tasks written inside it."""
    name, group = task.settings.get("task"), task.settings.get("group")
    if isinstance(name, list) and isinstance(group, str):
        return _enter_group(folder, task, group)
    if isinstance(name, list):
        return [task.finding("group-without-name", "a list of tasks needs a name, as in `group: my_tasks`")]
    if name is None:
        return []
    if not isinstance(name, str):
        return [task.finding("bad-task-name", "`task` must be a name, or a list of names in a group")]
    if name in folder.tasks:
        hint = "rename one, or name a folder that holds one of them"
        return [
            task.finding("task-twice", f"the task {name!r} is also in {folder.tasks[name].places['task']}", hint=hint)
        ]
    folder.tasks[name] = task
    for tag in as_list(group) + as_list(task.settings.get("tag")):
        members = folder.groups.setdefault(str(tag), Group()).members
        if name not in members:
            members.append(name)
    return []


def _enter_group(folder: TaskFolder, file: TaskFile, name: str) -> list[Finding]:
    group = folder.groups.setdefault(name, Group())
    metrics = [m for m in as_list(file.settings.get("aggregate_metric_list")) if isinstance(m, dict)]
    sizes = [entry["weight_by_size"] for entry in (*metrics, file.settings) if "weight_by_size" in entry]
    group.by_size = bool(sizes[0]) if sizes else True
    findings: list[Finding] = []
    for item in file.settings["task"]:
        if isinstance(item, str):
            group.members.append(item)
        elif isinstance(item, dict) and isinstance(item.get("task"), list) and isinstance(item.get("group"), str):
            findings += _enter_group(folder, TaskFile(item, file.places), item["group"])
            group.members.append(item["group"])
        elif isinstance(item, dict) and len(item) == 1 and isinstance(item.get("group"), str):
            group.members.append(item["group"])
        else:
            message = f"a member of the group {name!r} must be a name, or a group with its own list of tasks"
            findings.append(file.finding("bad-group-member", message))
    return findings

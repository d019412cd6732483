"""From the settings of MMLU to tasks that lm-eval runs: the wanted task files, their questions and solved examples.

The keys of a task file get their meaning here. lm-eval receives questions whose templates are filled in already, so
neither its data loader nor its template engine, which would run what a template says, sees the user's files.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ilab_cli.backends.evaluate.mmlu.questions import Question, Record, Templates, locate, read_records
from ilab_cli.backends.evaluate.mmlu.tasks import TaskFile, TaskFolder, as_list, read_folder
from ilab_profiles import Finding, InputError
from ilab_profiles.models.evaluate import Mmlu

__all__ = ["MmluTask", "Selection", "prepare"]

_CODE = {"class", "custom_dataset", "process_docs", "process_results", "use_prompt", "filter_list"}
_NEEDED = ("doc_to_text", "doc_to_choice", "doc_to_target")
_DELIMITERS = ("target_delimiter", "fewshot_delimiter")
_METRICS = ("acc", "acc_norm")
_UNNAMED = "test"


@dataclass(frozen=True, slots=True)
class MmluTask:
    """One task, ready to be asked.

    Attributes:
        name: its name in the task file.
        questions: what is asked.
        examples: solved examples to draw from; ``None`` draws from the other questions.
        few_shots: solved examples before each question: the task file's ``num_fewshot: 0``, else the setting.
        sampler: ``default`` draws examples by chance, ``first_n`` takes the first ones.
        metrics: ``acc``, and ``acc_norm`` where the task file names it.
        delimiters: ``target_delimiter`` and ``fewshot_delimiter`` where the task file sets them.
    """

    name: str
    questions: list[Question]
    examples: list[Question] | None
    few_shots: int
    sampler: str
    metrics: tuple[str, ...]
    delimiters: dict[str, str]

    def config(self) -> dict[str, Any]:
        """The task as a configuration of lm-eval, all of its data in memory."""
        from datasets import Dataset

        splits = {"test": self.questions} | ({"examples": self.examples} if self.examples else {})
        data = {name: Dataset.from_list([asdict(question) for question in split]) for name, split in splits.items()}
        extra = {key: key for key in ("description", "gen_prefix") if getattr(self.questions[0], key)}
        return {
            "task": self.name,
            "custom_dataset": lambda **_: data,
            "test_split": "test",
            "fewshot_split": "examples" if self.examples else "test",
            "fewshot_config": {"sampler": self.sampler},
            "num_fewshot": self.few_shots,
            "output_type": "multiple_choice",
            "doc_to_text": "text",
            "doc_to_choice": "choices",
            "doc_to_target": "answer",
            "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in self.metrics],
            **extra,
            **self.delimiters,
        }


@dataclass(frozen=True, slots=True)
class Selection:
    """The tasks of one evaluation.

    Attributes:
        tasks: each task once, in the order in which they are asked.
        groups: for each wanted group or tag, the names of its tasks, and whether its score is the mean over questions
            (true) or over tasks (false).
    """

    tasks: list[MmluTask]
    groups: dict[str, tuple[list[str], bool]]


def prepare(mmlu: Mmlu) -> Selection:
    """Read the wanted tasks of ``mmlu.data_dir`` and every question in them. Needs Jinja2; writes nothing.

    Raises:
        InputError: with everything that is wrong with the task files and the questions.
    """
    path = Path(mmlu.data_dir or "")
    if not os.path.isdir(path):
        raise InputError(Finding("no-such-folder", f"folder not found: {path}", "evaluate.mmlu.data_dir"))
    folder = read_folder(path)
    if not folder.tasks:
        message = f"{path} holds no task file: YAML with `task: NAME`"
        raise InputError(Finding("no-task-file", message, "evaluate.mmlu.data_dir"))
    found = folder.find(mmlu.tasks, "evaluate.mmlu.tasks")
    tasks: list[MmluTask] = []
    findings: list[Finding] = []
    for name in dict.fromkeys(leaf for leaves in found.values() for leaf in leaves):
        try:
            tasks.append(_prepare_task(name, folder, mmlu.few_shots))
        except InputError as error:
            findings += error.findings
    if findings:
        raise InputError(dict.fromkeys(findings))
    groups = {name: (leaves, folder.groups[name].by_size) for name, leaves in found.items() if leaves != [name]}
    return Selection(tasks, groups)


def _prepare_task(name: str, folder: TaskFolder, few_shots: int) -> MmluTask:
    task = folder.tasks[name]
    findings = _check_keys(task)
    if findings:
        raise InputError(findings)
    settings = task.settings
    fewshot = settings.get("fewshot_config") or {}
    templates = Templates(settings)
    if findings := [task.finding("bad-template", f"`{key}`: {what}", key) for key, what in templates.mistakes()]:
        raise InputError(findings)
    asked, drawn = _split_names(task, fewshot)
    records = _splits(task, folder.path, {asked, drawn})
    if samples := as_list(fewshot.get("samples")):
        records[drawn := "samples"] = [Record(sample, task.places["fewshot_config"]) for sample in samples]
    ready = MmluTask(
        name=name,
        questions=templates.questions(records[asked], name),
        examples=templates.questions(records[drawn], name) if drawn != asked else None,
        few_shots=0 if settings.get("num_fewshot") == 0 else few_shots,
        sampler=str(fewshot.get("sampler", "default")),
        metrics=("acc", *(name for name in _metrics(task) if name != "acc")),
        delimiters={key: settings[key] for key in _DELIMITERS if settings.get(key) is not None},
    )
    _check_few_shots(ready, task)
    return ready


def _check_keys(task: TaskFile) -> list[Finding]:
    settings = task.settings
    findings = [
        task.finding("task-runs-code", f"`{key}` would run code, or change the questions in a way not known here", key)
        for key in sorted(_CODE & settings.keys())
        if settings[key]
    ]
    if (kind := settings.get("output_type")) != "multiple_choice":
        message = f"`output_type` must be multiple_choice, not {kind}"
        findings.append(task.finding("not-multiple-choice", message, "output_type"))
    missing = [key for key in _NEEDED if settings.get(key) is None]
    findings += [task.finding("task-key-missing", f"the task says no `{key}`") for key in missing]
    findings += [
        task.finding("bad-task-key", f"`{key}` must be a text", key)
        for key in ("doc_to_text", "description", "gen_prefix", *_DELIMITERS)
        if settings.get(key) is not None and not isinstance(settings[key], str)
    ]
    if unknown := [name for name in _metrics(task) if name not in _METRICS]:
        message = f"not known here: {', '.join(map(str, unknown))}"
        hint = f"the metrics known here are {', '.join(_METRICS)}"
        findings.append(task.finding("unknown-metric", message, "metric_list", hint))
    if not _sound_fewshot_config(settings.get("fewshot_config") or {}):
        message = "`fewshot_config` may hold `split`, `samples` (objects), and `sampler` (default or first_n)"
        findings.append(task.finding("bad-task-key", message, "fewshot_config"))
    return findings


def _sound_fewshot_config(config: object) -> bool:
    return (
        isinstance(config, dict)
        and config.keys() <= {"sampler", "split", "samples"}
        and config.get("sampler", "default") in ("default", "first_n")
        and all(isinstance(sample, dict) for sample in as_list(config.get("samples")))
    )


def _metrics(task: TaskFile) -> list[Any]:
    """The metrics that the task file names."""
    metrics = as_list(task.settings.get("metric_list"))
    return [metric.get("metric") if isinstance(metric, dict) else metric for metric in metrics]


def _split_names(task: TaskFile, fewshot: dict[str, Any]) -> tuple[str, str]:
    """The split that is asked, and the one that examples are drawn from, chosen as lm-eval does."""
    test, validation, training = (task.settings.get(f"{kind}_split") for kind in ("test", "validation", "training"))
    asked = test or validation or _UNNAMED
    drawn = fewshot.get("split") or task.settings.get("fewshot_split") or training or validation or asked
    return str(asked), str(drawn)


def _splits(task: TaskFile, root: Path, wanted: set[str]) -> dict[str, list[Record]]:
    """The records of each wanted split. Files without the name of a split serve every split."""
    source, options = task.settings.get("dataset_path"), task.settings.get("dataset_kwargs")
    files = options.get("data_files") if source == "json" and isinstance(options, dict) else None
    if not files:
        message = f"the data are not JSON files beside the task (`dataset_path: {source}`)"
        hint = "write `dataset_path: json` and the files under `dataset_kwargs.data_files`"
        raise InputError(task.finding("task-needs-hub", message, "dataset_path", hint))
    named = files if isinstance(files, dict) else dict.fromkeys(wanted, files)
    beside = Path(task.places["dataset_kwargs"].source).parent
    records: dict[str, list[Record]] = {}
    findings = []
    for split in sorted(wanted):
        if split not in named:
            findings.append(task.finding("unknown-split", f"`data_files` has no split {split!r}", "dataset_kwargs"))
            continue
        records[split] = []
        for name in as_list(named[split]):
            paths = locate(str(name), beside, root)
            if not paths:
                message = f"file not found: {name}, neither beside {beside} nor below it"
                findings.append(task.finding("no-such-file", message, "dataset_kwargs"))
            for path in paths:
                try:
                    records[split] += read_records(path)
                except InputError as error:
                    findings += error.findings
        if not records[split] and not findings:
            findings.append(task.finding("no-questions", f"the split {split!r} holds no question", "dataset_kwargs"))
    if findings:
        raise InputError(findings)
    return records


def _check_few_shots(ready: MmluTask, task: TaskFile) -> None:
    """Refuse a task that has fewer examples than are wanted; a question is never an example for itself."""
    pool = ready.examples if ready.examples is not None else ready.questions
    most = len(pool)
    if ready.examples is None:
        most -= max(Counter((question.text, *question.choices) for question in pool).values())
    if ready.few_shots > most:
        message = f"{ready.few_shots} solved examples are wanted before each question; the task {ready.name} has {most}"
        hint = f"set evaluate.mmlu.few_shots to {most} or less"
        setting = "evaluate.mmlu.few_shots"
        raise InputError(Finding("too-few-examples", message, setting, task.places["task"], hint=hint))

"""What MT-Bench asks: questions, reference answers and judge prompts, read from the three files of its folder.

The form is the published one, so that the published files work as they are. Nothing of it is filled in or passed over:
whatever has a hole is told with its line. FastChat has readers of its own, which tell no lines, and with which torch
and the clients of two vendors would have to be loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from ilab_cli.backends.evaluate.mmlu.questions import Record, read_records
from ilab_cli.backends.jsonl import first
from ilab_profiles import Finding, InputError, Position

__all__ = [
    "PROMPTS",
    "REFERENCED",
    "TEMPERATURES",
    "Bench",
    "JudgePrompt",
    "Question",
    "prompt_name",
    "read",
    "read_prompts",
]

REFERENCED = frozenset({"math", "reasoning", "coding"})
"""Categories whose answers are judged against a reference answer."""
TEMPERATURES: Mapping[str, float] = {
    **dict.fromkeys(("writing", "roleplay"), 0.7),
    **dict.fromkeys(("stem", "humanities"), 0.1),
    **dict.fromkeys(("extraction", "math", "coding", "reasoning"), 0.0),
}
"""How freely the model answers, by category, as published."""
_OTHERWISE = 0.7
PROMPTS: Mapping[str, tuple[str, ...]] = {
    "single-v1": ("question", "answer"),
    "single-math-v1": ("question", "ref_answer_1", "answer"),
    "single-v1-multi-turn": ("question_1", "answer_1", "question_2", "answer_2"),
    "single-math-v1-multi-turn": (
        *("question_1", "ref_answer_1", "question_2", "ref_answer_2"),
        *("answer_1", "answer_2"),
    ),
}
"""The judge prompts that are made use of, by name, with their placeholders."""
_TURNS = 2
_SETTING = "evaluate.mt.data_dir"
_HINT = "name a folder with question.jsonl, judge_prompts.jsonl and reference_answer"


@dataclass(frozen=True, slots=True)
class Question:
    """One conversation.

    Attributes:
        id: its number or name, of which there is no other.
        category: what the scores are grouped by.
        temperature: how freely the model answers.
        turns: what is asked, one after the other.
        references: an answer to each turn that is right; none where the judge has to know by itself.
    """

    id: int | str
    category: str
    temperature: float
    turns: tuple[str, ...]
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """A text of the system and one of the user, the latter with placeholders such as ``{question}``."""

    system: str
    template: str


@dataclass(frozen=True, slots=True)
class Bench:
    """All of it, and the SHA-256 of each file."""

    questions: tuple[Question, ...]
    prompts: Mapping[str, JudgePrompt]
    hashes: Mapping[str, str]


def prompt_name(turn: int, referenced: bool) -> str:
    """Name of the judge prompt for an answer to a turn, from 1 on."""
    return f"single{'-math' if referenced else ''}-v1{'-multi-turn' if turn > 1 else ''}"


def read(folder: Path, judge: str = "") -> Bench:
    """Read a folder.

    Args:
        folder: ``mt.data_dir``.
        judge: name of the judge: where several files hold reference answers, the one that is called so is taken.

    Raises:
        InputError: with all that is wrong with any of the files.
    """
    findings: list[Finding] = []
    files = {name: folder / name for name in ("question.jsonl", "judge_prompts.jsonl")}
    answers = _reference_file(folder / "reference_answer", judge)
    records = {name: _records(file, findings) for name, file in files.items()}
    readable = not findings
    references = _references(_records(answers, findings), findings) if answers else {}
    questions = list(_questions(records["question.jsonl"], references, findings))
    prompts = _prompts(records["judge_prompts.jsonl"], findings)
    if readable and not records["question.jsonl"]:
        findings.append(Finding("no-questions", "holds no question", position=Position(str(files["question.jsonl"]))))
    needed = {prompt_name(turn, bool(each.references)) for each in questions for turn in range(1, _TURNS + 1)}
    for name in sorted(needed - prompts.keys()) if readable else ():
        message = f"the prompt {name} is missing"
        findings.append(Finding("no-judge-prompt", message, position=Position(str(files["judge_prompts.jsonl"]))))
    if findings:
        raise InputError(first(findings, folder))
    read_files = [*files.values(), *([answers] if answers else [])]
    hashes = {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in read_files}
    return Bench(tuple(questions), prompts, hashes)


def read_prompts(folder: Path) -> Mapping[str, JudgePrompt]:
    """The judge prompts of a folder alone.

    Raises:
        InputError: with all that is wrong with them.
    """
    findings: list[Finding] = []
    prompts = _prompts(_records(folder / "judge_prompts.jsonl", findings), findings)
    if findings:
        raise InputError(first(findings, folder))
    return prompts


def _records(file: Path, findings: list[Finding]) -> list[Record]:
    try:
        return read_records(file)
    except InputError as error:
        lost = error.findings[0].rule == "unreadable-file"
        findings += [_lost(file, error.findings[0])] if lost else error.findings
        return []


def _lost(file: Path, finding: Finding) -> Finding:
    return Finding(finding.rule, finding.message, _SETTING, finding.position, hint=_HINT)


def _reference_file(folder: Path, judge: str) -> Path | None:
    """The file of reference answers: that of the judge, else the first one."""
    files = sorted(folder.glob("*.jsonl"))
    own = folder / f"{judge.rpartition('/')[2]}.jsonl"
    return own if own in files else next(iter(files), None)


def _references(records: Sequence[Record], findings: list[Finding]) -> dict[int | str, tuple[str, ...]]:
    found: dict[int | str, tuple[str, ...]] = {}
    for record in records:
        match record.data:
            case {"question_id": int() | str() as name, "choices": [{"turns": list() as turns}, *_]} if _texts(turns):
                if name in found:
                    findings.append(_bad(record, f"question {name} has a reference answer already"))
                found[name] = tuple(turns)
            case _:
                findings.append(_bad(record, "a reference answer needs question_id and choices: [{turns: [TEXT, …]}]"))
    return found


def _questions(
    records: Sequence[Record], references: Mapping[int | str, tuple[str, ...]], findings: list[Finding]
) -> Iterator[Question]:
    known: dict[int | str, int] = {}
    for record in records:
        match record.data:
            case {"question_id": int() | str() as name, "category": str(category), "turns": list() as turns} if (
                category
            ):
                pass
            case _:
                findings.append(_bad(record, "a question needs question_id, category and turns: [TEXT, TEXT]"))
                continue
        if name in known:
            findings.append(_bad(record, f"question {name} stands in line {known[name]} already"))
        known.setdefault(name, record.position.line)
        if not _texts(turns) or len(turns) != _TURNS:
            findings.append(_bad(record, f"question {name} needs two turns, each a text"))
            continue
        answers = references.get(name, ()) if category in REFERENCED else ()
        if category in REFERENCED and len(answers) < _TURNS:
            what = "no reference answer" if not answers else "a reference answer to one of its two turns only"
            message = f"question {name} of the category {category} has {what}"
            findings.append(Finding("no-reference", message, position=record.position, hint="see reference_answer"))
        yield Question(name, category, TEMPERATURES.get(category, _OTHERWISE), tuple(turns), answers[:_TURNS])


def _prompts(records: Sequence[Record], findings: list[Finding]) -> dict[str, JudgePrompt]:
    prompts: dict[str, JudgePrompt] = {}
    for record in records:
        match record.data:
            case {"name": str(name), "system_prompt": str(system), "prompt_template": str(template)}:
                if name not in PROMPTS:  # of pairs of answers, which are not asked about
                    continue
            case _:
                findings.append(_bad(record, "a judge prompt needs name, system_prompt and prompt_template"))
                continue
        if name in prompts:
            findings.append(_bad(record, f"there are two prompts {name}"))
        findings += _template_problems(record, name, template)
        prompts[name] = JudgePrompt(system, template)
    return prompts


def _template_problems(record: Record, name: str, template: str) -> Iterator[Finding]:
    wanted = PROMPTS[name]
    try:
        found = {field for _, field, *_ in Formatter().parse(template) if field is not None}
    except ValueError as error:
        hint = "a brace that belongs to the text is written twice: {{ or }}"
        yield Finding("bad-judge-prompt", f"{name}: {error}", position=record.position, hint=hint)
        return
    for field in wanted:
        if field not in found:
            message = f"the prompt {name} lacks the placeholder {{{field}}}"
            why = "the judge would not see what it has to judge"
            yield Finding("bad-judge-prompt", message, position=record.position, why=why)
    if found == set(wanted):
        try:
            template.format(**dict.fromkeys(wanted, ""))
        except (ValueError, LookupError) as error:
            hint = "write a placeholder without anything behind its name"
            yield Finding("bad-judge-prompt", f"{name}: {error}", position=record.position, hint=hint)
    for field in sorted(found.difference(wanted)):
        hint = f"known there: {', '.join(f'{{{known}}}' for known in wanted)}"
        message = f"the prompt {name} has an unknown placeholder {{{field}}}"
        yield Finding("bad-judge-prompt", message, position=record.position, hint=hint)


def _texts(turns: list[object]) -> bool:
    return bool(turns) and all(isinstance(turn, str) and turn.strip() for turn in turns)


def _bad(record: Record, message: str) -> Finding:
    return Finding("bad-question", message, position=record.position)

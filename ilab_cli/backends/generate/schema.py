"""What may stand in a ``qna.yaml``: its keys and their types, and a finding at file:line:col for all that is wrong.

The three versions of the format differ little: version 1, which a file without ``version`` has, is content with one
example; version 2 and 3 ask for five; and only in version 3 has knowledge contexts with several questions each. What
is made of the data is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from ilab_profiles.diagnostics import Finding, Severity, kind_of, meant, must_be
from ilab_profiles.yaml.document import Document, KeyPath

__all__ = ["Knowledge", "Skill", "problems"]

NEWEST = 3
_LEAST_EXAMPLES = {1: 1, 2: 5, NEWEST: 5}
_LEAST_QUESTIONS = 3

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Pair(_Part):
    """A question and its answer."""

    question: Words
    answer: Words


class SkillExample(Pair):
    """A question and its answer; with a context the skill is grounded."""

    context: Words = ""


class KnowledgeExample(_Part):
    """A piece of the document and what can be asked about it."""

    context: Words
    questions_and_answers: list[Pair]


class Source(_Part):
    """Where the documents are: files of a git repository at a commit."""

    repo: Words
    commit: Words
    patterns: list[Words]


class Skill(_Part):
    """The ``qna.yaml`` of a skill."""

    version: int = 1
    created_by: Words
    task_description: Words
    seed_examples: list[SkillExample]


class Knowledge(_Part):
    """The ``qna.yaml`` of knowledge; ``task_description`` belongs to the older versions."""

    version: int = 1
    created_by: Words
    domain: Words
    task_description: Words = ""
    document_outline: Words
    document: Source
    seed_examples: list[KnowledgeExample]


def problems(document: Document, model: type[Knowledge] | type[Skill]) -> list[Finding]:
    """All that is wrong with the data of a ``qna.yaml``, in reading order."""
    examples = document.data.get("seed_examples")
    listed = examples if isinstance(examples, list) else []
    found = [*_wrong_version(document), *_repeated_examples(document, listed)]
    if isinstance(examples, list):
        found += _few_examples(document, len(examples))
    try:
        model.model_validate(document.data)
    except ValidationError as error:
        found += [_of_pydantic(document, model, item) for item in error.errors(include_url=False)]
    if model is Knowledge:
        found += [*_few_questions(document, listed), *_wrong_source(document)]
        found = _by_version(document, listed, found)
    else:
        found += _mixed_contexts(document, listed)
    return sorted(
        found, key=lambda finding: (finding.position.line, finding.position.column) if finding.position else (0, 0)
    )


def _finding(
    document: Document,
    rule: str,
    path: KeyPath,
    message: str,
    hint: str = "",
    *,
    key: bool = False,
    severity: Severity = "error",
) -> Finding:
    """A finding at a value, at its key, or where it is missing at the group that should have it."""
    missing = rule == "missing-key"
    position = document.position(path[:-1] if missing else path, key=key)
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    line = document.line(position.line)
    return Finding(rule, message, name, position, hint=hint, line_text=line, severity=severity)


_QUOTES = {"string_type": "put it in quotes", "int_type": "write it without quotes or a point"}


def _of_pydantic(document: Document, model: type[BaseModel], item: Any) -> Finding:
    """One of pydantic's errors at its place in the file."""
    path: KeyPath = item["loc"]
    kind, given = item["type"], item["input"]
    if kind == "missing":
        return _finding(document, "missing-key", path, f"the key `{path[-1]}` is missing")
    if kind == "extra_forbidden":
        known = {key: key for key in _keys_at(model, path[:-1])}
        hint = meant(str(path[-1]), known)
        return _finding(document, "unknown-key", path, f"unknown key `{path[-1]}`", hint, key=True)
    if kind == "string_too_short" or given is None:
        return _finding(document, "bad-value", path, "must not be empty")
    hint = "" if isinstance(given, (list, dict)) else _QUOTES.get(kind, "")
    return _finding(document, "bad-value", path, f"{must_be(item)}, not {kind_of(given)}", hint)


def _keys_at(model: Any, path: KeyPath) -> list[str]:
    """The keys that a part of the data may have."""
    for part in path:
        if isinstance(part, str):
            inner = model.model_fields[part].annotation
            model = get_args(inner)[0] if get_origin(inner) is list else inner
    return [*model.model_fields]


def _version(document: Document) -> int:
    """The version that a file is read as."""
    given = document.data.get("version", 1)
    return given if isinstance(given, int) and given in _LEAST_EXAMPLES else NEWEST


def _wrong_version(document: Document) -> Iterator[Finding]:
    given = document.data.get("version", 1)
    if isinstance(given, int) and not isinstance(given, bool) and given not in _LEAST_EXAMPLES:
        message = f"unknown version {given}"
        yield _finding(document, "unknown-version", ("version",), message, f"write `version: {NEWEST}`")


def _few_examples(document: Document, given: int) -> Iterator[Finding]:
    path: KeyPath = ("seed_examples",)
    version = _version(document)
    least, newest = _LEAST_EXAMPLES[version], _LEAST_EXAMPLES[NEWEST]
    if given < least:
        message = f"at least {least} seed examples are needed, not {given}"
        yield _finding(document, "few-examples", path, message, key=True)
    elif given < newest:
        message = f"{given} of the {newest} seed examples that version {NEWEST} asks for"
        hint = f"version {version}, as which the file is read, asks for {least}"
        yield _finding(document, "few-examples", path, message, hint, key=True, severity="warning")


def _few_questions(document: Document, examples: list[Any]) -> Iterator[Finding]:
    for number, example in enumerate(examples):
        pairs = example.get("questions_and_answers") if isinstance(example, dict) else None
        if isinstance(pairs, list) and len(pairs) < _LEAST_QUESTIONS:
            message = f"at least {_LEAST_QUESTIONS} questions are needed for each context, not {len(pairs)}"
            path: KeyPath = ("seed_examples", number, "questions_and_answers")
            yield _finding(document, "few-questions", path, message, key=True)


def _repeated_examples(document: Document, examples: list[Any]) -> Iterator[Finding]:
    for number, example in enumerate(examples):
        if isinstance(example, dict) and example in examples[:number]:
            first = document.position(("seed_examples", examples.index(example))).line
            message = f"this seed example is already in line {first}"
            yield _finding(document, "repeated-example", ("seed_examples", number), message, "write another one")


def _mixed_contexts(document: Document, examples: list[Any]) -> Iterator[Finding]:
    grounded = [isinstance(item, dict) and "context" in item for item in examples]
    if any(grounded) and not all(grounded):
        path: KeyPath = ("seed_examples", grounded.index(False))
        message = "this example has no context, others have one"
        hint = "it is used as an example of a free-form skill; give each example a context, or none"
        yield _finding(document, "mixed-contexts", path, message, hint, severity="warning")


def _by_version(document: Document, examples: list[Any], found: list[Finding]) -> list[Finding]:
    """The findings of a knowledge file, once more with what differs between its versions in mind."""
    version = _version(document)
    if version == NEWEST:
        if "task_description" in document.data:
            message = f"version {NEWEST} of knowledge has no `task_description`"
            hint = "say it in `document_outline`, and leave this key out"
            found = [*found, _finding(document, "unknown-key", ("task_description",), message, hint, key=True)]
        return found
    if any(isinstance(item, dict) and "question" in item for item in examples):
        message = f"knowledge of version {version} cannot be used: its examples have no context"
        hint = f"write `version: {NEWEST}`, a `document_outline`, and `questions_and_answers` for each `context`"
        found = [f for f in found if not f.path.startswith("seed_examples[") and "`document_outline`" not in f.message]
        return [_finding(document, "old-version", ("version",), message, hint), *found]
    return found


_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://.+")
_SCHEMES = ("file", "git", "http", "https", "ssh")


def _wrong_source(document: Document) -> Iterator[Finding]:
    source = document.data.get("document")
    if not isinstance(source, dict):
        return
    repo, commit, patterns = (source.get(key) for key in ("repo", "commit", "patterns"))
    if isinstance(repo, str) and (message := _wrong_repo(repo.strip())):
        hint = f"known are {', '.join(f'{scheme}://' for scheme in _SCHEMES)}, user@host:path and folders"
        yield _finding(document, "bad-repository", ("document", "repo"), message, hint)
    if isinstance(commit, str) and commit.strip() and not _COMMIT.fullmatch(commit.strip()):
        message = "is not the hash of a commit, 7 to 64 hexadecimal digits"
        hint = "a branch or tag may move: `git rev-parse NAME` tells the hash that it has now"
        yield _finding(document, "bad-commit", ("document", "commit"), message, hint)
    listed = patterns if isinstance(patterns, list) else []
    if patterns == []:
        yield _finding(document, "bad-value", ("document", "patterns"), "must not be empty", 'for example `- "*.md"`')
    for number, pattern in enumerate(listed):
        path: KeyPath = ("document", "patterns", number)
        if isinstance(pattern, str) and _leads_out(pattern.strip()):
            hint = "write it from the repository's own folder, without `..`"
            yield _finding(document, "outside-repository", path, "leads out of the repository", hint)
        elif isinstance(pattern, str) and pattern in listed[:number]:
            yield _finding(document, "repeated-pattern", path, "is given twice", "leave it out")


def _wrong_repo(repo: str) -> str:
    """What is wrong with the place of a repository; empty if nothing is, as far as its form goes."""
    url = _URL.fullmatch(repo)
    if url and url["scheme"] not in _SCHEMES:
        return f"{url['scheme']}:// is not supported for repositories"
    if repo.startswith("-") or "::" in repo.split("/")[0] or not repo.isprintable():
        return "is not the address of a repository"
    return ""


def _leads_out(pattern: str) -> bool:
    return pattern.startswith(("/", "\\")) or ".." in PurePosixPath(pattern.replace("\\", "/")).parts

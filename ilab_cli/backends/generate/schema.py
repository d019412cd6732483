"""What may stand in a ``qna.yaml``: its keys and their types, and a finding at file:line:col for all that is wrong.

The three versions of the format differ little: version 1, which a file without ``version`` has, is content with one
example; version 2 and 3 ask for five; and only in version 3 has knowledge contexts with several questions each. What
is made of the data is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from ilab_profiles.diagnostics import Finding, by_place
from ilab_profiles.problems import problems as refused
from ilab_profiles.yaml.document import Document, KeyPath

__all__ = ["Knowledge", "Skill", "problems"]

NEWEST = 3
_LEAST_EXAMPLES = {1: 1, 2: 5, NEWEST: 5}
_LEAST_QUESTIONS = 3

PerhapsEmpty = Annotated[
    str, BeforeValidator(lambda value: "" if value is None else value), StringConstraints(strip_whitespace=True)
]
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
    task_description: PerhapsEmpty
    seed_examples: list[SkillExample]


class Knowledge(_Part):
    """The ``qna.yaml`` of knowledge; ``task_description`` belongs to the older versions, which are refused."""

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
        found += [problem.finding(document) for problem in refused(error, model, document.data)]
    if model is Knowledge:
        found += [*_few_questions(document, listed), *_wrong_source(document)]
        found = _by_version(document, found)
    else:
        found += [*_mixed_contexts(document, listed), *_no_description(document)]
    return sorted(found, key=by_place)


def _version(document: Document) -> int:
    """The version that a file is read as."""
    given = document.data.get("version", 1)
    return given if isinstance(given, int) and given in _LEAST_EXAMPLES else NEWEST


def _wrong_version(document: Document) -> Iterator[Finding]:
    given = document.data.get("version", 1)
    if isinstance(given, int) and not isinstance(given, bool) and given not in _LEAST_EXAMPLES:
        message = f"unknown version {given}"
        yield document.finding("unknown-version", message, ("version",), f"write `version: {NEWEST}`")


def _few_examples(document: Document, given: int) -> Iterator[Finding]:
    path: KeyPath = ("seed_examples",)
    version = _version(document)
    least, newest = _LEAST_EXAMPLES[version], _LEAST_EXAMPLES[NEWEST]
    if given < least:
        message = f"at least {least} seed examples are needed, not {given}"
        yield document.finding("few-examples", message, path, key=True)
    elif given < newest:
        message = f"{given} of the {newest} seed examples that version {NEWEST} asks for"
        hint = f"version {version}, as which the file is read, asks for {least}"
        yield document.finding("few-examples", message, path, hint, key=True, severity="warning")


def _few_questions(document: Document, examples: list[Any]) -> Iterator[Finding]:
    for number, example in enumerate(examples):
        pairs = example.get("questions_and_answers") if isinstance(example, dict) else None
        if isinstance(pairs, list) and len(pairs) < _LEAST_QUESTIONS:
            message = f"at least {_LEAST_QUESTIONS} questions are needed for each context, not {len(pairs)}"
            path: KeyPath = ("seed_examples", number, "questions_and_answers")
            yield document.finding("few-questions", message, path, key=True)


def _repeated_examples(document: Document, examples: list[Any]) -> Iterator[Finding]:
    for number, example in enumerate(examples):
        if isinstance(example, dict) and example in examples[:number]:
            first = document.position(("seed_examples", examples.index(example))).line
            message = f"this seed example is already in line {first}"
            hint = "it is left out: write another one"
            yield document.finding("repeated-example", message, ("seed_examples", number), hint, severity="warning")


def _no_description(document: Document) -> Iterator[Finding]:
    path: KeyPath = ("task_description",)
    if not str(document.data.get("task_description", "something") or "").strip():
        hint = "say what the skill is; until then the teacher is told the names of its folders"
        yield document.finding("no-description", "is empty", path, hint, key=True, severity="warning")


def _mixed_contexts(document: Document, examples: list[Any]) -> Iterator[Finding]:
    grounded = [isinstance(item, dict) and "context" in item for item in examples]
    if any(grounded) and not all(grounded):
        path: KeyPath = ("seed_examples", grounded.index(False))
        message = "this example has no context, others have one"
        hint = "it is used as an example of a free-form skill; give each example a context, or none"
        yield document.finding("mixed-contexts", message, path, hint, severity="warning")


def _by_version(document: Document, found: list[Finding]) -> list[Finding]:
    """The findings of a knowledge file, once more with what differs between its versions in mind."""
    version = _version(document)
    if version == NEWEST:
        if "task_description" in document.data:
            message = f"version {NEWEST} of knowledge has no `task_description`"
            hint = "say it in `document_outline`, and leave this key out"
            found = [*found, document.finding("unknown-key", message, ("task_description",), hint, key=True)]
        return found
    message = f"knowledge of version {version} is no longer supported"
    hint = f"write `version: {NEWEST}`, a `document_outline`, and `questions_and_answers` for each `context`"
    found = [f for f in found if not f.path.startswith("seed_examples[") and f.path != "document_outline"]
    return [document.finding("old-version", message, ("version",), hint), *found]


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
        yield document.finding("bad-repository", message, ("document", "repo"), hint)
    if isinstance(commit, str) and commit.strip() and not _COMMIT.fullmatch(commit.strip()):
        message = "is not the hash of a commit, 7 to 64 hexadecimal digits"
        hint = "a branch or tag may move: `git rev-parse NAME` tells the hash that it has now"
        yield document.finding("bad-commit", message, ("document", "commit"), hint)
    listed = patterns if isinstance(patterns, list) else []
    if patterns == []:
        yield document.finding("bad-value", "must not be empty", ("document", "patterns"), 'for example `- "*.md"`')
    for number, pattern in enumerate(listed):
        path: KeyPath = ("document", "patterns", number)
        if isinstance(pattern, str) and _leads_out(pattern.strip()):
            hint = "write it from the repository's own folder, without `..`"
            yield document.finding("outside-repository", "leads out of the repository", path, hint)
        elif isinstance(pattern, str) and pattern in listed[:number]:
            yield document.finding("repeated-pattern", "is given twice", path, "leave it out")


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

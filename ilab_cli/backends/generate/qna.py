"""Leaves of a taxonomy: their ``qna.yaml`` files read, checked, and given as plain data.

A :class:`Leaf` holds what its author wrote and nothing that is made of it. Which files are leaves, and what may stand
in them, is told elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from ilab_cli.backends.generate import taxonomy
from ilab_cli.backends.generate.schema import Knowledge, Skill, problems
from ilab_profiles.diagnostics import Finding, InputError, Position, Severity
from ilab_profiles.yaml.document import Document
from ilab_profiles.yaml.files import read_bytes
from ilab_profiles.yaml.read import parse

__all__ = ["DocumentSource", "Example", "Leaf", "check", "read_taxonomy"]

Kind = Literal["knowledge", "grounded", "freeform"]


@dataclass(frozen=True, slots=True)
class Example:
    """A seed example: a context, empty for a free-form skill, and pairs of question and answer; a skill has one."""

    context: str
    questions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class DocumentSource:
    """The documents of a knowledge leaf: files of a git repository at a commit.

    Attributes:
        repo: URL, or path of a folder.
        commit: hash of the commit, perhaps shortened.
        patterns: globs inside the repository.
        places: where the leaf's file says so, by ``"repo"``, ``"commit"`` and the index of a pattern.
    """

    repo: str
    commit: str
    patterns: tuple[str, ...]
    places: Mapping[str | int, Position] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf of the taxonomy.

    Attributes:
        path: its folder inside the taxonomy, such as ``knowledge/science/birds``.
        file: its ``qna.yaml``.
        kind: a skill is grounded if any of its examples has a context.
        task_description: empty for knowledge of version 3.
        domain: empty for skills, as ``document_outline``.
        document: ``None`` for skills.
    """

    path: str
    file: Path
    kind: Kind
    created_by: str
    task_description: str
    domain: str
    document_outline: str
    document: DocumentSource | None
    examples: tuple[Example, ...]


def read_taxonomy(root: Path, base: str) -> list[Leaf]:
    """Read the leaves that are new.

    Args:
        root: folder of the taxonomy.
        base: a git revision, or ``empty`` for every leaf; see :func:`ilab_cli.backends.generate.taxonomy.new_files`.

    Returns:
        The leaves, sorted by path; none if nothing is new.

    Raises:
        InputError: with all that is wrong with any of the new files.
    """
    findings: list[Finding] = []
    leaves = list(_read_all(taxonomy.new_files(root, base), root, findings))
    if base == taxonomy.EVERYTHING and not leaves and not findings:
        findings.append(_no_leaf(root))
    if any(finding.severity == "error" for finding in findings):
        raise InputError(findings)
    return sorted(leaves, key=lambda leaf: leaf.path)


def check(paths: Iterable[Path]) -> list[Finding]:
    """All that is wrong with taxonomies, parts of them or single ``qna.yaml`` files; writes and fetches nothing.

    Args:
        paths: folders, of which every leaf is looked at, and files.

    Returns:
        Errors and warnings; none if all is well.
    """
    findings: list[Finding] = []
    for path in paths:
        try:
            files = [path] if os.path.isfile(path) else taxonomy.new_files(path, taxonomy.EVERYTHING)
        except InputError as error:
            findings += [replace(finding, path="") for finding in error.findings]  # no setting names this path
            continue
        before = len(findings)
        leaves = list(_read_all(files, path.parent if os.path.isfile(path) else path, findings))
        if not leaves and len(findings) == before:
            findings.append(_no_leaf(path))
    return list(dict.fromkeys(findings))


def _no_leaf(root: Path) -> Finding:
    hint = f"a leaf is a folder with a {taxonomy.NAME}, such as knowledge/science/birds/{taxonomy.NAME}"
    return Finding("no-leaf", "holds no leaf of a taxonomy", position=Position(taxonomy.printable(root)), hint=hint)


def _read_all(files: Iterable[Path], root: Path, findings: list[Finding]) -> Iterator[Leaf]:
    """Read files that may be leaves; what is wrong with them is added to the findings."""
    paths: dict[str, Path] = {}
    texts: dict[str, Path] = {}
    for file in files:
        wrong = taxonomy.misplaced(file, root)
        findings += [wrong] if wrong else []
        readable = not wrong or (wrong.rule == "misnamed-leaf" and taxonomy.looks_like_leaf(file.name))
        if os.path.isdir(file) or not readable:
            continue
        path = taxonomy.leaf_path(file, root)
        if again := (first := paths.setdefault(path.casefold(), file)) is not file:
            findings.append(_duplicate(file, f"is the same leaf as {taxonomy.printable(first)}", "error"))
        try:
            document = parse(read_bytes(file), taxonomy.printable(file))
            if (first := texts.setdefault(document.text, file)) is not file and not again:
                findings.append(_duplicate(file, f"holds the same text as {taxonomy.printable(first)}", "warning"))
            leaf = _leaf(document, file, path, findings)
        except InputError as error:
            findings += error.findings
            continue
        if leaf and not wrong:
            yield leaf


def _duplicate(file: Path, message: str, severity: Severity) -> Finding:
    hint = "take one of them away"
    return Finding("duplicate-leaf", message, position=Position(str(file), 1, 1), hint=hint, severity=severity)


def _leaf(document: Document, file: Path, path: str, findings: list[Finding]) -> Leaf | None:
    """The leaf that a file describes; what is wrong with it is added to the findings."""
    if not document.data:
        findings.append(Finding("empty-file", "holds nothing", position=Position(document.source, 1, 1)))
        return None
    folder = PurePosixPath(path).parts[0]
    knowledge = folder == "knowledge" if folder in taxonomy.FOLDERS else "document" in document.data
    if misplaced := _wrong_folder(document, knowledge):
        findings.append(misplaced)
        knowledge = not knowledge
    wrong = problems(document, Knowledge if knowledge else Skill)
    findings += wrong
    if any(finding.severity == "error" for finding in wrong):
        return None
    return _knowledge(document, file, path) if knowledge else _skill(document, file, path)


def _wrong_folder(document: Document, knowledge: bool) -> Finding | None:
    """A finding if what is in the folder of knowledge is a skill, or the other way round."""
    keys = document.data.keys()
    if knowledge and "task_description" in keys and keys.isdisjoint(("domain", "document", "document_outline")):
        message, hint = "is a skill, but lies in the folder of knowledge", "move it below compositional_skills"
    elif not knowledge and "document" in keys:
        message, hint = "is knowledge, but lies in a folder of skills", "move it below knowledge"
    else:
        return None
    return Finding("wrong-folder", message, position=Position(document.source, 1, 1), hint=hint)


def _knowledge(document: Document, file: Path, path: str) -> Leaf:
    given = Knowledge.model_validate(document.data)
    source = given.document
    places: dict[str | int, Position] = {key: document.position(("document", key)) for key in ("repo", "commit")}
    places |= {number: document.position(("document", "patterns", number)) for number in range(len(source.patterns))}
    examples = (
        Example(example.context, tuple((pair.question, pair.answer) for pair in example.questions_and_answers))
        for example in given.seed_examples
    )
    return Leaf(
        path=path,
        file=file,
        kind="knowledge",
        created_by=given.created_by,
        task_description=given.task_description,
        domain=given.domain,
        document_outline=given.document_outline,
        document=DocumentSource(source.repo, source.commit.lower(), tuple(source.patterns), places),
        examples=tuple(dict.fromkeys(examples)),  # one that is written twice counts once
    )


def _skill(document: Document, file: Path, path: str) -> Leaf:
    given = Skill.model_validate(document.data)
    examples = [Example(item.context, ((item.question, item.answer),)) for item in given.seed_examples]
    return Leaf(
        path=path,
        file=file,
        kind="grounded" if any(example.context for example in examples) else "freeform",
        created_by=given.created_by,
        task_description=given.task_description,
        domain="",
        document_outline="",
        document=None,
        examples=tuple(dict.fromkeys(examples)),  # one that is written twice counts once
    )

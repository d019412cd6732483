"""The documents of a knowledge leaf: fetched from a git repository at a commit, once, and read as text.

Each commit has a bare repository of its own in a cache folder, which appears there whole or not at all; from then on
nothing is asked of the network. Files are read out of git's objects: nothing is checked out, so no symbolic link,
filter or hook of the repository has any effect. Cutting texts is not done here.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from ilab_cli.backends.generate.git import GitError, git
from ilab_cli.backends.generate.qna import DocumentSource, Leaf
from ilab_cli.backends.generate.taxonomy import top
from ilab_profiles.diagnostics import Finding, InputError, nearest

__all__ = ["Text", "fetch"]

_TEXT = (".markdown", ".md", ".text", ".txt")
_SHA256_DIGITS = 64
_LFS = "version https://git-lfs.github.com/spec/"
_OUT_OF_REACH = re.compile(
    "unable to access|not appear to be|Could not read|could not read|not found|not installed|longer than"
)


@dataclass(frozen=True, slots=True)
class Text:
    """A text and the name of the file that it is from, with its folders."""

    name: str
    text: str


def fetch(leaf: Leaf, cache: Path) -> list[Text]:
    """Read the documents of a leaf, from the cache if they were fetched before.

    Args:
        leaf: any leaf; those without documents have none.
        cache: a folder that belongs to this function alone; made if it is not there.

    Returns:
        The documents sorted by name, each once, with ``\\n`` at the end of lines.

    Raises:
        InputError: with all that is wrong: no such repository or commit, a pattern that fits nothing or leads out of
            the repository, a file that is no text.
    """
    source = leaf.document
    if source is None:
        return []
    store = _store(leaf, source, cache)
    try:
        names, findings = _matching(source, _files(store, source.commit))
        contents = _contents(store, [oid for oid, _ in names.values()])
    except GitError as error:
        message, hint = f"the documents cannot be read: {error}", f"delete {store}, and they are fetched again"
        raise InputError(_finding(source, "repo", message, hint, "fetch-failed")) from None
    texts = []
    for (name, (_, pattern)), content in zip(names.items(), contents, strict=True):
        text, problem = _decode(content)
        if problem:
            hint = "remove it from the patterns, or name a commit that has it as UTF-8 text"
            findings.append(_finding(source, pattern, f"{name} {problem}", hint))
        texts.append(Text(name, text))
    if findings:
        raise InputError(findings)
    return texts


def _finding(
    source: DocumentSource, place: str | int, message: str, hint: str = "", rule: str = "bad-document"
) -> Finding:
    path = f"document.patterns[{place}]" if isinstance(place, int) else f"document.{place}"
    return Finding(rule, message, path, source.places.get(place), hint=hint)


def _store(leaf: Leaf, source: DocumentSource, cache: Path) -> Path:
    """A bare repository that holds the commit."""
    address = _address(leaf, source)
    store = cache / hashlib.sha256(f"{address}\n{source.commit}".encode()).hexdigest()[:32]
    if store.is_dir():
        if _has(store, source.commit):
            return store
        shutil.rmtree(store, ignore_errors=True)  # somebody damaged it
    try:
        cache.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=".fetch-", dir=cache))
    except OSError as error:
        message = f"documents cannot be kept in {cache}: {error.strerror}"
        raise InputError(_finding(source, "repo", message, rule="unwritable-file")) from None
    try:
        _fetch(address, source, making)
        with suppress(OSError):  # another process was faster
            os.rename(making, store)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return store


def _git(store: Path, *arguments: str, given: bytes = b"") -> bytes:
    """Run git in a bare repository, and in no other one should it be damaged."""
    return git("--git-dir=.", *arguments, folder=store, given=given)


def _has(store: Path, commit: str) -> bool:
    """Whether a repository holds a commit with all of its files."""
    try:
        _git(store, "rev-list", "--quiet", "--objects", "--max-count=1", f"{commit}^{{commit}}", "--")
    except GitError:
        return False
    return True


def _address(leaf: Leaf, source: DocumentSource) -> str:
    """A URL as it is; a folder as an absolute path, taken from the leaf's own folder."""
    repo = source.repo
    folder = leaf.file.parent / os.path.expanduser(repo)
    if "://" in repo or (":" in repo.split("/")[0] and not folder.exists()):
        return repo
    if not os.path.isabs(os.path.expanduser(repo)):
        root = os.path.realpath(top(leaf.file.parent))
        if not Path(os.path.realpath(folder)).is_relative_to(root):
            message, hint = "a relative path may not lead out of the taxonomy", "write an absolute path or a URL"
            raise InputError(_finding(source, "repo", message, hint, "outside-taxonomy"))
    return os.path.abspath(folder)


def _fetch(address: str, source: DocumentSource, folder: Path) -> None:
    """Fetch one commit where the other side gives it alone, else everything.

    What is fetched gets names that no shortened hash is taken for, as a branch ``deadbeef`` would be.
    """
    commit = source.commit
    full = len(commit) in (40, _SHA256_DIGITS)
    try:
        kind = "sha256" if len(commit) == _SHA256_DIGITS else "sha1"
        _git(folder, "init", "--quiet", "--bare", "--template=", f"--object-format={kind}")
        if not (full and _fetch_alone(address, commit, folder)):
            everything = ("+refs/heads/*:refs/fetched/heads/*", "+refs/tags/*:refs/fetched/tags/*")
            options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow")
            _git(folder, "fetch", *options, "--", address, *everything)
    except GitError as error:
        message = f"the documents cannot be fetched: {error}"
        hint = "look at the address, your access to it and the network; what was fetched once is read without it"
        raise InputError(_finding(source, "repo", message, hint, "fetch-failed")) from None
    if not _has(folder, commit):
        message = f"the repository has no commit {commit}" + ("" if full else ", or more than one that begins so")
        raise InputError(_finding(source, "commit", message, "was it pushed?", "no-such-commit"))


def _fetch_alone(address: str, commit: str, folder: Path) -> bool:
    """Fetch one commit without its history; false if the other side has no such commit, or does not hand it out alone.

    Raises:
        GitError: if the repository cannot be reached at all.
    """
    options = ("--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head")
    try:
        _git(folder, "fetch", *options, "--", address, f"+{commit}:refs/fetched/commit")
    except GitError as error:
        if _OUT_OF_REACH.search(str(error)):
            raise
        return False
    return True


def _files(store: Path, commit: str) -> dict[str, str]:
    """Object ids of the regular files of a commit by name; symbolic links and submodules are none."""
    files = {}
    for entry in _git(store, "ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        about, _, name = entry.partition(b"\t")
        if about.startswith(b"100"):
            files[name.decode(errors="backslashreplace")] = about.split()[2].decode()
    return dict(sorted(files.items()))


def _matching(source: DocumentSource, files: dict[str, str]) -> tuple[dict[str, tuple[str, int]], list[Finding]]:
    """The files that patterns fit, with object id and index of the pattern, and what is wrong with patterns."""
    found: dict[str, tuple[str, int]] = {}
    findings = []
    for number, pattern in enumerate(source.patterns):
        parts = PurePosixPath(pattern).parts
        names = [name for name in files if _fits(name.split("/"), parts)]
        if not names:
            near = nearest(pattern, files)
            hint = f"did you mean {near!r}?" if near else "for example *.md, docs/*.md or **/*.md"
            findings.append(_finding(source, number, "fits no file of the repository", hint, "no-such-document"))
        for name in names:
            if PurePosixPath(name).suffix.lower() in _TEXT:
                found.setdefault(name, (files[name], number))
        if others := [name for name in names if name not in found]:
            subject = f"{others[0]} is" if len(others) == 1 else f"{others[0]} and {len(others) - 1} more are"
            hint = f"write a pattern that fits only files in {', '.join(_TEXT)}; convert other documents first"
            findings.append(_finding(source, number, f"{subject} neither Markdown nor text", hint))
    return dict(sorted(found.items())), findings


def _fits(name: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a glob fits a name, both cut into folders: ``**`` stands for any number of folders, ``*`` for none.

    As in a shell, a wildcard does not stand for the dot at the beginning of a hidden name.
    """
    if not pattern or not name:
        return not pattern and not name
    first, rest = pattern[0], pattern[1:] or ("*",)
    if first == "**":
        hidden = next((number for number, part in enumerate(name) if part.startswith(".")), len(name) - 1)
        return any(_fits(name[number:], rest) for number in range(hidden + 1))
    if name[0].startswith(".") and first[:1] in ("*", "?", "["):
        return False
    return fnmatchcase(name[0], first) and _fits(name[1:], pattern[1:])


def _contents(store: Path, oids: list[str]) -> list[bytes]:
    """The content of each object."""
    told = io.BytesIO(_git(store, "cat-file", "--batch", given="".join(f"{oid}\n" for oid in oids).encode()))
    contents = []
    for _ in oids:
        size = int(told.readline().split()[2])
        contents.append(told.read(size))
        told.readline()
    return contents


def _decode(content: bytes) -> tuple[str, str]:
    """The text of a file, and what is wrong with it, if anything is."""
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return "", "is not UTF-8 text"
    if "\0" in text:
        return "", "is not text"
    if text.startswith(_LFS):
        return "", "is kept in Git LFS, which is not fetched"
    if not text.strip():
        return "", "is empty"
    return "\n".join(text.replace("\r\n", "\n").split("\r")), ""

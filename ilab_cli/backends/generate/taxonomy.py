"""Which files of a taxonomy are its leaves, and which of them are new against a git revision.

A taxonomy is a tree of folders; a folder with a file ``qna.yaml`` is a leaf. Here are the names only: what a leaf
holds is read elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ilab_cli.backends.generate.git import GitError, git
from ilab_profiles.diagnostics import Finding, InputError, Position, nearest

__all__ = [
    "EVERYTHING",
    "FOLDERS",
    "NAME",
    "leaf_path",
    "looks_like_leaf",
    "misplaced",
    "new_files",
    "printable",
    "top",
]

FOLDERS = ("compositional_skills", "foundational_skills", "knowledge")
NAME = "qna.yaml"
EVERYTHING = "empty"  # the base against which every leaf is new
_YAML = (".yaml", ".yml")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def new_files(root: Path, base: str) -> list[Path]:
    """The new files of a taxonomy that are leaves, or may be meant to be: YAML files, and symbolic links to folders.

    Args:
        root: folder of the taxonomy, or one inside it.
        base: a branch, tag or commit; new is what differs from the last commit that it shares with ``HEAD``, be it
            committed, only in the working tree, or not known to git yet (but not ignored). ``empty``: all is new.

    Returns:
        The files, sorted; none if nothing is new.

    Raises:
        InputError: if there is no such folder, one of its folders cannot be read, or git cannot tell what is new.
    """
    if not os.path.isdir(root):
        raise InputError(_no_taxonomy(root))
    names = _all(root) if base == EVERYTHING else _changed(root, base)
    files = {root / name for name in names if not any(part.startswith(".") for part in PurePosixPath(name).parts)}
    return sorted(file for file in files if _is_candidate(file, root) or (os.path.islink(file) and os.path.isdir(file)))


def top(folder: Path) -> Path:
    """The folder of the whole taxonomy that a folder belongs to; itself if nothing speaks for another one."""
    folder = Path(os.path.abspath(folder))
    if any(os.path.isdir(folder / name) for name in FOLDERS):
        return folder
    return next((part.parent for part in (folder, *folder.parents) if part.name in FOLDERS), folder)


def leaf_path(file: Path, root: Path) -> str:
    """Path of a leaf inside the whole taxonomy, with ``/``, such as ``knowledge/science/birds``."""
    folder = Path(os.path.abspath(file)).parent
    inside = folder.relative_to(top(root))
    return inside.as_posix() if inside.parts else folder.name


def looks_like_leaf(name: str) -> bool:
    """Whether the name of a file was meant to be ``qna.yaml``, as ``qna.yml`` and ``QNA.yaml`` were."""
    return _is_yaml(name) and nearest(PurePosixPath(name).stem, ["qna"], cutoff=0.6) is not None


def misplaced(file: Path, root: Path) -> Finding | None:
    """What is wrong with a file's name or place, if anything is."""
    position = Position(printable(file), 1, 1)
    if position.source != str(file):
        message = "the name is not valid UTF-8, or holds control characters"
        return Finding("bad-name", message, position=position, hint="rename it")
    real = Path(os.path.realpath(file))
    if os.path.exists(file) and not real.is_relative_to(os.path.realpath(top(root))):
        message = f"a symbolic link leads out of the taxonomy, to {printable(real)}"
        return Finding("outside-taxonomy", message, position=position, hint="put a copy in its place")
    if os.path.isdir(file) or file.name == NAME:
        return None
    message = f"a leaf's file must be named {NAME}, not {file.name}"
    return Finding("misnamed-leaf", message, position=position, hint=f"rename it to {NAME}, or take it away")


def printable(path: Path) -> str:
    """A path as text that any output can hold."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _is_yaml(name: str) -> bool:
    return name.casefold().endswith(_YAML)


def _is_candidate(file: Path, root: Path) -> bool:
    in_tree = _is_yaml(file.name) and PurePosixPath(leaf_path(file, root)).parts[0] in FOLDERS
    return in_tree or looks_like_leaf(file.name)


def _no_taxonomy(root: Path) -> Finding:
    try:
        root.stat()
        message = "is not a folder"
    except (FileNotFoundError, ValueError):
        message = "folder not found"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    hint = f"a taxonomy is a folder with {', '.join(FOLDERS[:-1])} or {FOLDERS[-1]} in it"
    return Finding("no-taxonomy", message, "generate.taxonomy_path", Position(printable(root)), hint=hint)


def _all(root: Path) -> Iterator[str]:
    errors: list[OSError] = []
    for folder, subfolders, files in os.walk(root, onerror=errors.append):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in (*subfolders, *files):
            yield os.path.relpath(os.path.join(folder, name), root)
    if errors:
        raise InputError(_unreadable(error) for error in errors)


def _unreadable(error: OSError) -> Finding:
    position = Position(printable(Path(error.filename)))
    return Finding("unreadable-folder", f"cannot be read: {error.strerror}", position=position)


def _changed(root: Path, base: str) -> Iterator[str]:
    """Names, relative to the folder, of files there that differ from a revision or that git does not know yet.

    Of a repository inside that git does not know, it names the folder only: all in it is new.
    """
    start = _fork(root, base)
    options = ("--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules")
    try:
        changed = git("diff", "--name-only", "-z", "--relative", *options, start, "--", ".", folder=root)
        unknown = git("ls-files", "--others", "--exclude-standard", "-z", "--", ".", folder=root)
    except GitError as error:
        raise _no_base(root, f"git cannot tell what is new: {error}") from None
    for name in map(os.fsdecode, filter(None, (changed + unknown).split(b"\0"))):
        if name.endswith("/"):
            yield from (name + inside for inside in _all(root / name))
        elif os.path.lexists(root / name):
            yield name


def _fork(root: Path, base: str) -> str:
    """The last commit that a revision shares with ``HEAD``."""
    try:
        git("rev-parse", "--show-toplevel", folder=root)
    except GitError as error:
        raise _no_base(root, f"git cannot tell what is new: {error}") from None
    try:
        if not base or base.startswith("-") or "\0" in base:
            raise GitError
        commit = git("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}", folder=root).decode().strip()
    except GitError:
        raise _no_base(root, f"revision not found: {base!r}", _similar(root, base)) from None
    try:
        return git("merge-base", "HEAD", commit, folder=root).decode().split()[0]
    except GitError:
        message = f"{base!r} shares no commit with HEAD, as far as this clone reaches"
        raise _no_base(root, message, "`git fetch --unshallow` fetches the rest; ") from None


def _similar(root: Path, base: str) -> str:
    try:
        names = git("for-each-ref", "--format=%(refname:short)", folder=root).decode(errors="replace").split()
    except GitError:
        names = []
    near = nearest(base, names, cutoff=0.5)
    return f"did you mean {near!r}? " if near else ""


def _no_base(root: Path, message: str, hint: str = "") -> InputError:
    hint += f"`{EVERYTHING}` takes every leaf"
    return InputError(Finding("taxonomy-base", message, "generate.taxonomy_base", Position(str(root)), hint=hint))

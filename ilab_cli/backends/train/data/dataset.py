"""The samples of a run: made once, kept in the run folder, and mapped into memory by every process.

They lie in ``tokens-HASH``, named by the fingerprint of all that went into them, so that they are made anew when data,
tokenizer, template or length limit change. How they are made is told in ``tokenise``, how they are written in
``shards``.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Any

from ilab_cli.backends.base import existing_part
from ilab_cli.backends.lock import lock
from ilab_cli.backends.train.data.conversations import check, files_of
from ilab_cli.backends.train.data.shards import Samples, load
from ilab_cli.backends.train.data.tokenise import is_large, tokenise
from ilab_cli.backends.train.data.tokens import load_tokenizer
from ilab_cli.backends.train.files import link_or_copy, temporary_name
from ilab_profiles import Finding, InputError, Position, Train
from ilab_profiles.yaml.files import sync

__all__ = ["Samples", "examine", "load", "prepare"]

_FORMAT = "3"
_NAME, _HASH = "tokens-", 16
_OWN = ".ilab-tokens-"
_made: dict[str, Path] = {}
"""By fingerprint, where this process made samples: the check before a run and the run itself ask for the same."""


def examine(train: Train) -> Samples:
    """The samples of ``train``: those in its run folder if they still fit, else made now. Writes nothing there.

    Raises:
        InputError: with all that is wrong with data, tokenizer and template, if every conversation is too long, or if
            there is no room to make samples.
    """
    try:
        tokenizer = load_tokenizer(train)
    except InputError as error:
        raise InputError([*error.findings, *_data_findings(train)]) from error
    fingerprint = _fingerprint(train, tokenizer)
    for folder in (_place(train, fingerprint), _made.get(fingerprint)):
        if folder and (samples := _whole(folder, fingerprint)):
            return samples
    with _writing(train):
        return load(_make(train, tokenizer, fingerprint))


def prepare(train: Train) -> Path:
    """Keep the samples of ``train`` in its run folder, unless they are there already.

    Returns:
        the folder to :func:`load`.

    Raises:
        InputError: as :func:`examine`, or if nothing can be written there; then nothing is.
    """
    fingerprint = examine(train).fingerprint
    place = _place(train, fingerprint)
    if not _whole(place, fingerprint):
        with _writing(train):
            made = _made[fingerprint]
            _put(made, place, fingerprint)
            _made[fingerprint] = place
            if not made.name.startswith(_NAME):  # else the run folder of an earlier phase keeps them
                shutil.rmtree(made, ignore_errors=True)
    return place


def _data_findings(train: Train) -> Iterable[Finding]:
    try:
        return check(files_of(train.data_path))
    except InputError as error:
        return error.findings


def _place(train: Train, fingerprint: str) -> Path:
    return Path(train.output_dir) / f"{_NAME}{fingerprint[:_HASH]}"


def _whole(folder: Path, fingerprint: str) -> Samples | None:
    """The samples in a folder, if they are there, whole, and those that are meant."""
    try:
        samples = load(folder)
    except (OSError, ValueError):
        return None
    return samples if samples.fingerprint == fingerprint else None


def _make(train: Train, tokenizer: Any, fingerprint: str) -> Path:
    """Tokenise all data into a folder of this process alone: large data where the run will be.

    Elsewhere there might be no room, and to bring them from there would be to copy them.
    """
    beside = existing_part(Path(train.output_dir).absolute().parent)
    folder = _own_folder(beside if is_large(train) and os.access(beside, os.W_OK) else Path(gettempdir()))
    try:
        tokenise(tokenizer, train, folder, fingerprint)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _made[fingerprint] = folder
    return folder


def _own_folder(place: Path) -> Path:
    """A new folder that is removed when this process ends; those of processes that were killed are removed now."""
    for other in place.glob(f"{_OWN}*"):
        with suppress(OSError):
            handle = os.open(other, os.O_RDONLY)
            if lock(handle) and any(other.iterdir()):  # one that is empty may have been made at this moment
                shutil.rmtree(other, ignore_errors=True)
            os.close(handle)
    folder = Path(mkdtemp(dir=place, prefix=_OWN))
    lock(os.open(folder, os.O_RDONLY))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _put(made: Path, place: Path, fingerprint: str) -> None:
    """Let samples appear at a place, whole or not at all, and no others stay beside them."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(place.with_name(f"{secrets.token_hex(4)}-{place.name}"))
    temporary.mkdir()
    try:
        for file in made.iterdir():
            link_or_copy(file, temporary / file.name)
        for path in (*temporary.iterdir(), temporary):
            sync(path)
        for other in place.parent.glob(f"{_NAME}{'[0-9a-f]' * _HASH}"):
            if other != place or not _whole(other, fingerprint):
                shutil.rmtree(other)
        if not place.exists():  # else another launcher, on a machine that shares the folder, was faster
            temporary.rename(place)
        sync(place.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _writing(train: Train) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = Position(str(error.filename or train.output_dir))
        finding = Finding(
            "unwritable-file", f"cannot be read or written: {error.strerror or error}", "train.output_dir", place
        )
        raise InputError(finding) from error


def _fingerprint(train: Train, tokenizer: Any) -> str:
    digest = hashlib.sha256()
    for file in files_of(train.data_path):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    specials = sorted(tokenizer.special_tokens_map.items())
    settings = (_FORMAT, tokenizer.get_chat_template(), specials, train.max_seq_len, train.too_long)
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    digest.update(repr(settings).encode())
    return digest.hexdigest()

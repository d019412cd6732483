"""The tokenised data of a run: made once, kept in the run folder, and mapped into memory by every process.

One safetensors file, ``tokens.safetensors``, with all samples end to end; its metadata hold the fingerprint of all
that went into it, so that it is made anew when data, tokenizer, template or length limit change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilab_cli.backends.jsonl import first
from ilab_cli.backends.train.conversations import files_of, read
from ilab_cli.backends.train.files import replace_file
from ilab_cli.backends.train.tokens import encode, load_tokenizer
from ilab_profiles import Finding, InputError, Position, Train

__all__ = ["Samples", "examine", "load", "prepare"]

_FORMAT = "1"
_FILE = "tokens.safetensors"


@dataclass(frozen=True, eq=False)
class Samples:
    """All samples of a run, end to end.

    Args:
        input_ids: int32 ``[tokens]``.
        learned: bool ``[tokens]``, true where the loss counts the prediction of the token.
        offsets: int64 ``[samples + 1]``; sample ``i`` is ``offsets[i]:offsets[i + 1]``.
        left_out: number of conversations longer than ``max_seq_len``.
        fingerprint: hash of data, tokenizer, template and length limit.
    """

    input_ids: NDArray[np.int32]
    learned: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    left_out: int
    fingerprint: str

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        part = slice(self.offsets[index], self.offsets[index + 1])
        return self.input_ids[part], self.learned[part]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sample, int64 ``[samples]``."""
        return np.diff(self.offsets)


def examine(train: Train) -> Samples:
    """The samples of ``train``: those kept in its run folder if they still fit, else made now. Writes nothing.

    Raises:
        InputError: with all that is wrong with data, tokenizer and template, or if every conversation is too long.
    """
    try:
        tokenizer = load_tokenizer(train)
    except InputError as error:
        raise InputError([*error.findings, *_data_findings(train)]) from error
    fingerprint = _fingerprint(train, tokenizer)
    kept = Path(train.output_dir) / _FILE
    return load(kept) if _fingerprint_of(kept) == fingerprint else _tokenise(train, fingerprint)


def _data_findings(train: Train) -> Iterable[Finding]:
    try:
        return read(files_of(train.data_path))[1]
    except InputError as error:
        return error.findings


@lru_cache(maxsize=1)  # the check before a run and the run itself ask for the same
def _tokenise(train: Train, fingerprint: str) -> Samples:
    conversations, findings = read(files_of(train.data_path))
    refused: list[Finding] = []
    samples: list[tuple[NDArray[np.int32], NDArray[np.bool_]]] = []
    shortest = left_out = 0
    for item in encode(load_tokenizer(train), conversations):
        if isinstance(item, Finding):
            refused.append(item)
        elif len(item[0]) > train.max_seq_len:
            left_out += 1
            shortest = min(shortest or len(item[0]), len(item[0]))
        else:
            samples.append(item)
    findings += first(refused, Path(train.data_path))
    if left_out and not samples and not findings:
        message = (
            f"all {left_out} conversations are longer than {train.max_seq_len} tokens; the shortest has {shortest}"
        )
        findings.append(Finding("all-too-long", message, "train.max_seq_len", hint=f"set it to {shortest} or more"))
    if findings:
        raise InputError(findings)
    return Samples(
        input_ids=np.concatenate([ids for ids, _ in samples]),
        learned=np.concatenate([learned for _, learned in samples]),
        offsets=np.cumsum([0, *(len(ids) for ids, _ in samples)], dtype=np.int64),
        left_out=left_out,
        fingerprint=fingerprint,
    )


def prepare(train: Train) -> Path:
    """Keep the samples of ``train`` in its run folder, unless they are there already.

    Returns:
        the file to :func:`load`.

    Raises:
        InputError: as :func:`examine`, or if the file cannot be written; then nothing is.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    samples = examine(train)
    _tokenise.cache_clear()
    path = Path(train.output_dir) / _FILE
    if _fingerprint_of(path) == samples.fingerprint:
        return path
    tensors = {"input_ids": samples.input_ids, "learned": samples.learned, "offsets": samples.offsets}
    metadata = {"fingerprint": samples.fingerprint, "left_out": str(samples.left_out)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as temporary:
            save_file(tensors, temporary, metadata)
    except (OSError, SafetensorError) as error:
        finding = Finding("unwritable-file", f"cannot be written: {error}", "train.output_dir", Position(str(path)))
        raise InputError(finding) from error
    return path


def load(path: Path) -> Samples:
    """Map the samples that :func:`prepare` kept; their pages are read from disk as they are needed."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(path, "np") as file:
        metadata = file.metadata()
    arrays = {name: tensor.numpy() for name, tensor in load_file(path).items()}
    return Samples(**arrays, left_out=int(metadata["left_out"]), fingerprint=metadata["fingerprint"])


def _fingerprint_of(path: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return str((file.metadata() or {}).get("fingerprint"))
    except (FileNotFoundError, SafetensorError):
        return None


def _fingerprint(train: Train, tokenizer: Any) -> str:
    digest = hashlib.sha256()
    for file in files_of(train.data_path):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    settings = (_FORMAT, tokenizer.get_chat_template(), sorted(tokenizer.special_tokens_map.items()), train.max_seq_len)
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    digest.update(repr(settings).encode())
    return digest.hexdigest()

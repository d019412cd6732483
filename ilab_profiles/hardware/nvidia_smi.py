"""What NVIDIA's program ``nvidia-smi`` tells, in MiB: the fallback where the library of the driver cannot be loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ilab_profiles.hardware.gpu import Gpu, slice_memory, uses
from ilab_profiles.hardware.visible import Device

__all__ = ["parse", "read"]

_CSV = "--format=csv,noheader,nounits"
_GPUS = ("nvidia-smi", "--query-gpu=uuid,memory.total,memory.free,mig.mode.current,name", _CSV)
_USES = ("nvidia-smi", "--query-compute-apps=gpu_uuid,pid,used_memory", _CSV)
_LIST = ("nvidia-smi", "-L")
_SLICE = re.compile(r"\s+MIG\s+(\S+)\s+Device\s+\d+:\s+\(UUID:\s+(\S+)\)")
_SECONDS = 30


class _Refused(Exception):
    """The program did not answer; why, in words."""


def read() -> list[Device] | str:
    """The devices that it tells of; else why it tells nothing, in words, empty where it is not installed."""
    try:
        gpus = _ask(_GPUS)
    except FileNotFoundError:
        return ""
    except _Refused as refused:
        return str(refused)
    slices = _ask_if_it_will(_LIST) if "Enabled" in gpus else ""
    return parse(gpus, _ask_if_it_will(_USES), slices)


def _ask(command: Sequence[str]) -> str:
    """What the program writes.

    Raises:
        FileNotFoundError: if it is not installed.
        _Refused: if it fails.
    """
    import subprocess

    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except FileNotFoundError:
        raise
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _Refused(f"nvidia-smi failed: {error}") from None
    said, complaint = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    if done.returncode:
        raise _Refused(f"nvidia-smi: {' '.join((said + complaint).split()) or f'failed ({done.returncode})'}")
    return said


def _ask_if_it_will(command: Sequence[str]) -> str:
    try:
        return _ask(command)
    except (FileNotFoundError, _Refused):
        return ""


def parse(gpus: str, held: str = "", listed: str = "") -> list[Device]:
    """The devices in its answers.

    Args:
        gpus: of ``--query-gpu=uuid,memory.total,memory.free,mig.mode.current,name``.
        held: of ``--query-compute-apps=gpu_uuid,pid,used_memory``.
        listed: of ``-L``, which alone names the slices of GPUs in MIG mode; their memory follows from that name.
    """
    rows = [[cell.strip() for cell in line.split(",", 4)] for line in gpus.splitlines() if line.count(",") >= 4]
    of = [[cell.strip() for cell in line.split(",")] for line in held.splitlines()]
    found = []
    for index, (uuid, total, free, mig, name) in enumerate(rows):
        pairs = [(int(row[1]), _bytes(row[2])) for row in of if len(row) == 3 and row[0] == uuid and row[1].isdecimal()]
        gpu = Gpu(name, _bytes(total), _bytes(free), "nvidia", index, uses=uses(pairs))
        found.append(Device(gpu, uuid, tuple(_slices(gpu, listed)) if mig == "Enabled" else None))
    return found


def _slices(gpu: Gpu, listed: str) -> Iterator[Device]:
    """The slices that stand in the list below their GPU."""
    below: int | None = None
    for line in listed.splitlines():
        if whole := re.match(r"GPU (\d+):", line):
            below = int(whole[1])
        elif below == gpu.index and (part := _SLICE.match(line)):
            name = f"{gpu.name} MIG {part[1]}"
            yield Device(Gpu(name, slice_memory(name), None, "nvidia", gpu.index, part[1]), part[2])


def _bytes(mib: str) -> int | None:
    """A number of MiB in bytes; ``None`` for ``[N/A]`` and the like."""
    return int(mib) * 2**20 if mib.isdecimal() else None

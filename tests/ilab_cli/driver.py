"""Machines with other GPUs than this one, as a program started with these variables sees them."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["NO_GPU", "gpus", "smi"]

NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}


def smi(folder: Path, script: str) -> dict[str, str]:
    """Variables that put an ``nvidia-smi`` of ours first, with this shell script, and hide the driver's library.

    Args:
        folder: where it may be put.
        script: what it does; of the query's name, ``$1`` begins with ``--query-gpu``, ``--query-compute`` or ``-L``.
    """
    program, hidden = folder / "bin" / "nvidia-smi", folder / "hidden" / "pynvml.py"
    for file in (program, hidden):
        file.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    hidden.write_text("raise ImportError\n")
    paths = [str(hidden.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(paths)}


def gpus(folder: Path, name: str, mib: int, count: int = 1, used_by: int = 0) -> dict[str, str]:
    """Variables that make it a machine with so many GPUs; a process may hold 512 MiB of the first."""
    rows = [f"GPU-{number}a, {mib}, {mib - 600}, [N/A], {name}" for number in range(count)]
    held = f"GPU-0a, {used_by}, 512" if used_by else ""
    lines = "\n".join(rows)
    return smi(
        folder, f"case \"$1\" in --query-gpu*) echo '{lines}';; --query-compute*) echo '{held}';; *) exit 1;; esac"
    )

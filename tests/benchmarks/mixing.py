"""How fast mixing is and what memory it takes, beside the least that anybody could do: ``nox -s bench``.

Floors, on the same file in the same run: a plain copy of the bytes, synced; ``shuf``, which holds all rows in memory;
and parsing every row as JSON in one process, which any mixer that checks its input has to do. Memory is the greatest
sum of the resident sets of all processes of the mix, looked at 20 times a second.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from ilab_cli.backends.mix import launch
from ilab_profiles import Generate, Mix

LIMIT = 2**30


def main() -> int:
    """Print the table; returns 1 if a mix took more memory than allowed, or not the same bytes as another one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows to mix")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="a mix with each of these")
    parser.add_argument("--folder", help="where to work; needs four times the size of the data")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        return measure(Path(name), options.rows, options.processes)


def measure(folder: Path, rows: int, processes: list[int]) -> int:
    """Print a line for each floor and each mix."""
    data = make_rows(folder / "data.jsonl", rows)
    recipe = folder / "recipe.yaml"
    recipe.write_text("datasets: [{path: data.jsonl, sampling_size: 1.0}]\n", encoding="utf-8")
    size = data.stat().st_size
    print(f"{rows:,} rows, {size / 1e6:,.0f} MB, {os.cpu_count()} cores", flush=True)

    def show(name: str, seconds: float, memory: float = 0) -> None:
        speed = f"{rows / seconds:12,.0f} rows/s {size / seconds / 1e6:9,.0f} MB/s"
        print(f"{name:24} {seconds:8.1f} s {speed} {memory / 2**20:8,.0f} MiB", flush=True)

    show("floor: copy and sync", timed(lambda: copy(data, folder / "copy")))
    if shutil.which("shuf"):
        command = ["shuf", "--output", str(folder / "copy"), str(data)]
        show("floor: shuf, in memory", *run(command))
    show("floor: parse as JSON", timed(lambda: parse(data)))
    (folder / "copy").unlink()

    hashes, most = set(), 0.0
    for number in processes:
        mix = Mix(knowledge_recipes=(str(recipe),), output_dir=str(folder / "mixed"), num_util_proc=number)
        seconds, memory = run(launch.command(Generate(mix=mix)))
        show(f"mix, {number} processes", seconds, memory)
        hashes.add(sha256(folder / "mixed" / "knowledge_train.jsonl"))
        most = max(most, memory)
    print(f"same bytes: {len(hashes) == 1}; memory within {LIMIT / 2**20:,.0f} MiB: {most < LIMIT}")
    return int(len(hashes) != 1 or most >= LIMIT)


def make_rows(file: Path, rows: int) -> Path:
    """Write conversations of about 300 bytes a row, all different."""
    draw = random.Random(0)
    words = [f"word{number}" for number in range(1000)]
    texts = [" ".join(draw.choices(words, k=draw.randint(12, 24))) for _ in range(2000)]
    with file.open("w", encoding="utf-8") as stream:
        for number in range(rows):
            question, answer = texts[number * 7 % 2000][:60], texts[number * 13 % 2000]
            messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            stream.write(json.dumps({"messages": messages, "id": number}) + "\n")
    return file


def copy(source: Path, target: Path) -> None:
    """Copy the bytes, and bring them to the disk."""
    shutil.copyfile(source, target)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())


def parse(file: Path) -> None:
    """Read every row as JSON, and forget it."""
    with file.open("rb") as stream:
        for line in stream:
            json.loads(line)


def timed(call: Callable[[], object]) -> float:
    """Wall seconds of a call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def run(command: list[str]) -> tuple[float, float]:
    """Wall seconds of a command, and the greatest memory of its processes together, in bytes."""
    began, most = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, resident(process.pid))
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return time.perf_counter() - began, most


def resident(pid: int) -> int:
    """Bytes of memory of a process and all its descendants."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


def sha256(file: Path) -> str:
    """Hash of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())

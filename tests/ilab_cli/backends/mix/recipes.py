"""Recipes and data sets made on the spot, and a look at what was mixed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ilab_profiles import Generate, Mix


def row(number: int, text: str = "") -> bytes:
    """A row that no other number has."""
    messages = [{"role": "user", "content": f"Number {number}?"}, {"role": "assistant", "content": f"{number} {text}"}]
    return json.dumps({"messages": messages}, ensure_ascii=False).encode()


def write_rows(file: Path, rows: Sequence[bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(line + b"\n" for line in rows))
    return file


def write_recipe(file: Path, data_sets: Sequence[tuple[str, int | float]], **more: Any) -> Path:
    """A recipe; JSON is YAML."""
    entries = [{"path": path, "sampling_size": size} for path, size in data_sets]
    file.write_text(json.dumps({"datasets": entries, **more}), encoding="utf-8")
    return file


def settings(
    output: Path, knowledge: Sequence[Path] = (), skills: Sequence[Path] = (), processes: int = 1, seed: int = 1
) -> Generate:
    recipes = {"knowledge_recipes": tuple(map(str, knowledge)), "skill_recipes": tuple(map(str, skills))}
    return Generate(seed=seed, mix=Mix(output_dir=str(output), num_util_proc=processes, **recipes))


def mixed(output: Path, kind: str = "knowledge") -> list[bytes]:
    """The rows of an output, in order."""
    return (output / f"{kind}_train.jsonl").read_bytes().splitlines()


def counts(output: Path, kind: str = "knowledge") -> Counter[bytes]:
    return Counter(mixed(output, kind))


def everything(folder: Path) -> dict[str, bytes]:
    """Each file below a folder, and what it holds."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}

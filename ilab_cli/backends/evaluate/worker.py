"""The heavy side of evaluation: puts the model to the benchmarks, and writes what came of it.

Runs as ``python -m ilab_cli.backends.evaluate.worker --settings JSON``. Exit code 0 is success, 1 a failed run, 2
refused input. How a benchmark is run, and what its figures look like, is told in a folder of its own.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ilab_cli.backends.base import main
from ilab_cli.backends.evaluate.model import Model, find_model
from ilab_profiles import Evaluate, InputError
from ilab_profiles.yaml.files import write_atomically

__all__ = ["evaluate_model", "work"]

_BENCHMARKS = {"mmlu": "ilab_cli.backends.evaluate.mmlu.ask"}
"""The module of each benchmark: ``score(evaluate, model, folder)`` runs it, ``table(found)`` shows what came of it."""


def work(evaluate: Evaluate) -> int:
    """Evaluate and print the table of scores; returns the exit code."""
    try:
        scores = evaluate_model(evaluate, find_model(evaluate), Path(evaluate.output_dir))
        print("\n\n".join(_module(name).table(found) for name, found in scores["benchmarks"].items()))
    except InputError:
        raise
    except Exception as error:  # whatever an engine raises becomes one line
        first = next(iter(str(error).splitlines()), "")
        print(f"error: evaluation failed: {type(error).__name__}: {first}", file=sys.stderr)
        return 1
    return 0


def evaluate_model(evaluate: Evaluate, model: Model, folder: Path) -> dict[str, Any]:
    """Put one model to every benchmark, and write ``scores.json`` and the answers to a folder.

    Returns:
        what ``scores.json`` holds: the ``model``, and under ``benchmarks`` what each benchmark's ``score`` returned.

    Raises:
        InputError: if what a benchmark asks is refused.
    """
    found = {name: _module(name).score(evaluate, model, folder) for name in evaluate.benchmarks}
    scores = {"model": model.name, "benchmarks": found}
    write_atomically(folder / "scores.json", json.dumps(scores, indent=2, ensure_ascii=False) + "\n")
    return scores


def _module(benchmark: str) -> Any:
    return import_module(_BENCHMARKS[benchmark])


if __name__ == "__main__":
    sys.exit(main("evaluate", work))

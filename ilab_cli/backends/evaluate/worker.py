"""The heavy side of evaluation: puts a model, or each checkpoint of a training, to the benchmarks.

Runs as ``python -m ilab_cli.backends.evaluate.worker --settings JSON``. Exit code 0 is success, 1 a failed run, 2
refused input. How a benchmark is run, and what its figures look like, is told in a folder of its own. Called again with
the same settings and folder it repeats no benchmark that was finished.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ilab_cli.backends.base import end_with_parent, main
from ilab_cli.backends.client.requests import Stopped
from ilab_cli.backends.evaluate import best, comparison_table, results
from ilab_cli.backends.evaluate.checkpoints import Checkpoint
from ilab_cli.backends.evaluate.compare import compare
from ilab_cli.backends.evaluate.model import Model
from ilab_cli.backends.evaluate.prune import prune
from ilab_cli.backends.evaluate.subject import subject, wanted
from ilab_cli.backends.evaluate.whole import lost_weights
from ilab_cli.backends.hardware import free_memory
from ilab_cli.backends.serve.launch import ServerFailed
from ilab_profiles import Evaluate, InputError

__all__ = ["evaluate_checkpoints", "evaluate_model", "work"]

_BENCHMARKS = {
    "mmlu": "ilab_cli.backends.evaluate.mmlu.ask",
    "mt_bench": "ilab_cli.backends.evaluate.mt_bench.ask",
    "mmlu_branch": "ilab_cli.backends.evaluate.branch.mmlu",
    "mt_bench_branch": "ilab_cli.backends.evaluate.branch.mt_bench",
}
"""The module of each benchmark: ``score(evaluate, model, folder)`` runs it, ``table(found)`` shows what came of it."""


def work(evaluate: Evaluate) -> int:
    """Evaluate and print the table of scores; returns the exit code."""
    try:
        found, folder = subject(evaluate), Path(evaluate.output_dir)
        if isinstance(found, Model):
            scores = evaluate_model(evaluate, found, folder)
            print("\n\n".join(_module(name).table(part) for name, part in scores["benchmarks"].items()))
        else:
            print(results.checkpoint_table(evaluate_checkpoints(evaluate, found, folder)))
        if evaluate.against:
            found_beside = compare([evaluate.against, str(folder)])
            results.write(folder, found_beside[0].as_data(), results.COMPARISON)
            print(f"\n{comparison_table.table(found_beside)}")
    except InputError:
        raise
    except (Stopped, ServerFailed) as error:
        print(f"error: evaluation failed: {error}", file=sys.stderr)
        return 1
    except Exception as error:  # whatever an engine raises becomes one line
        print(f"error: evaluation failed: {_in_a_line(error)}", file=sys.stderr)
        return 1
    return 0


def evaluate_model(evaluate: Evaluate, model: Model, folder: Path) -> dict[str, Any]:
    """Put one model to every benchmark, and write ``scores.json`` and the answers to a folder.

    Returns:
        what ``scores.json`` holds: the ``model``, and under ``benchmarks`` what each benchmark's ``score`` returned.

    Raises:
        InputError: if what a benchmark asks is refused.
        RuntimeError: if the model lacks weights.
    """
    scores = results.begun(folder, model)
    left = [name for name in evaluate.benchmarks if name not in scores["benchmarks"]]
    if left and (lost := lost_weights(model, evaluate.trust_remote_code)):
        raise RuntimeError(lost)
    for name in left:
        scores["benchmarks"][name] = _module(name).score(evaluate, model, folder)
        results.write(folder, scores)
    return scores


def evaluate_checkpoints(evaluate: Evaluate, found: list[Checkpoint], folder: Path) -> dict[str, Any]:
    """Put the wanted ones of all checkpoints to every benchmark, put the best one into the folder, and prune the rest.

    One that is broken is left out; then nothing is pruned.

    Returns:
        what ``scores.json`` holds, see :func:`ilab_cli.backends.evaluate.results.of_checkpoints`.

    Raises:
        InputError: if what a benchmark asks is refused.
        RuntimeError: if every checkpoint is broken.
    """
    scores = results.of_all(folder, evaluate.metric, wanted(evaluate, found)) or _scored(evaluate, found, folder)
    first = next(each for each in found if each.name == scores["best"])
    if evaluate.prune:
        known = {row["name"]: row for row in scores["checkpoints"] if not row["broken"]}
        pruned = prune(found, first, {name: results.brief(row) for name, row in known.items()})
        results.tell_pruned(pruned, [each.name for each in found if each.name not in known])
    return scores


def _scored(evaluate: Evaluate, found: list[Checkpoint], folder: Path) -> dict[str, Any]:
    """The scores of the wanted checkpoints, once they are written and the best one is put into the folder."""
    rows = []
    for number, each in enumerate(chosen := wanted(evaluate, found), start=1):
        print(f"{each.name} ({number} of {len(chosen)})", file=sys.stderr)
        rows.append(results.Row(each, *_scores_of(evaluate, each, folder / results.CHECKPOINTS / each.name)))
    if not any(row.scores for row in rows):
        raise RuntimeError(f"no checkpoint could be evaluated; {rows[0].checkpoint.name}: {rows[0].problem}")
    scores = results.of_checkpoints(evaluate, rows)
    first = next(row.checkpoint for row in rows if row.checkpoint.name == scores["best"])
    best.put(first.folder, folder / results.BEST)
    results.write(folder, scores)
    return scores


def _scores_of(evaluate: Evaluate, each: Checkpoint, folder: Path) -> tuple[dict[str, Any], str]:
    """What ``scores.json`` of a checkpoint holds, or why it has none."""
    try:
        return evaluate_model(evaluate, each.model(), folder), ""
    except InputError:
        if not each.problem:
            raise  # it is not the checkpoint that is refused
        return {}, each.problem
    except Stopped:
        raise  # the judge is away, or the disk is full, for every checkpoint
    except Exception as error:
        print(f"warning: {each.name} is left out: {_in_a_line(error)}", file=sys.stderr)
        return {}, _in_a_line(error)
    finally:
        free_memory()


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def _module(benchmark: str) -> Any:
    return import_module(_BENCHMARKS[benchmark])


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main("evaluate", work))

"""How fast the program starts, in CPU time of whole processes, as ratios measured in one run: ``nox -s bench``.

Each row stands beside a floor: a Typer program written by hand with as many flags and commands, plain help, and nothing
but what it needs; for ``show``, ``validate`` and help with settings of one's own it composes the YAML and validates it
with the same pydantic models. The floor is given every advantage of ours: options only where Typer does not load
pydantic for them. What people write is a plain Typer program; it stands in the table too, and so do programs that other
libraries make of the same model.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ilab_profiles.catalog import built_in_files
from ilab_profiles.edit import render_config
from tests.benchmarks import peers

ROOT = Path(__file__).parents[2]
RUNS = 20
AIM_OF_FLOOR = 1.2
AIM_OF_HELP = 8.5
AIM_OF_COMPLETION = 8
AIM_OF_ALL = 20


class Row(NamedTuple):
    """One thing to measure.

    Attributes:
        name: what it is.
        command: arguments of Python; ``{profile}`` stands for the file of a profile.
        variables: the environment beside the usual one.
        config: text of config.yaml; none if empty.
        aim: how many times the time of ``pass`` it may take.
        floor: name of the row of its floor.
        needs: the module without which it is missing.
    """

    name: str
    command: Sequence[str]
    variables: Mapping[str, str] = MappingProxyType({})
    config: str = ""
    aim: float = AIM_OF_ALL
    floor: str = ""
    needs: str = "sys"


def _complete(line: str) -> dict[str, str]:
    """What the script of bash sets when a line is to be completed."""
    return {"_ILAB_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}


def _program(module: str) -> tuple[str, ...]:
    return "-c", f"import {module}; {module}.main()"


CONFIG = render_config("single_gpu")
OWN = "profile:\n  extends: single_gpu\n  train: {num_epochs: 3}\n"
VARIABLE = {"ILAB_TRAIN__NUM_EPOCHS": "3"}
OURS = ("-c", "from ilab_cli.app import main; main()")
FLOOR, PLAIN, RICH = map(_program, ("floor", "plain_typer", "rich_typer"))
TRAIN_HELP = ("model", "train", "--help")
ROWS = (
    Row("python -c pass", ("-c", "pass")),
    Row("floor: --help", (*FLOOR, "--help")),
    Row("floor: model train --help", (*FLOOR, *TRAIN_HELP)),
    Row("floor:   that reads a config.yaml", (*FLOOR, *TRAIN_HELP), config=CONFIG),
    Row("floor:   that validates settings", (*FLOOR, *TRAIN_HELP), {"FLOOR_PROFILE": "{profile}"}, config=OWN),
    Row(
        "floor:   that reads variables too",
        (*FLOOR, *TRAIN_HELP),
        {"FLOOR_PROFILE": "{profile}"} | VARIABLE,
        config=OWN,
    ),
    Row("floor: completion of a command", FLOOR, _complete("ilab mod")),
    Row("floor: completion of a flag", FLOOR, _complete("ilab model train --num")),
    Row("floor:   of one that reads settings", FLOOR, _complete("ilab model train --num"), config=OWN),
    Row("floor: compose, validate, print", (*FLOOR, "profile", "show", "{profile}")),
    Row("floor: compose, validate", (*FLOOR, "profile", "validate", "{profile}")),
    Row("ilab --help", (*OURS, "--help"), aim=6, floor="floor: --help"),
    Row("ilab model train --help", (*OURS, *TRAIN_HELP), aim=AIM_OF_HELP, floor="floor: model train --help"),
    Row(
        "  with a config.yaml",
        (*OURS, *TRAIN_HELP),
        config=CONFIG,
        aim=AIM_OF_HELP,
        floor="floor:   that reads a config.yaml",
    ),
    Row(
        "  with settings of one's own",
        (*OURS, *TRAIN_HELP),
        config=OWN,
        floor="floor:   that validates settings",
    ),
    Row("  with a variable", (*OURS, *TRAIN_HELP), VARIABLE, floor="floor:   that reads variables too"),
    Row("  with a flag", (*OURS, *TRAIN_HELP, "--epochs=3"), floor="floor:   that validates settings"),
    Row(
        "completion of a command",
        OURS,
        _complete("ilab mod"),
        aim=AIM_OF_COMPLETION,
        floor="floor: completion of a command",
    ),
    Row(
        "completion of a flag",
        OURS,
        _complete("ilab model train --num"),
        aim=AIM_OF_COMPLETION,
        floor="floor: completion of a flag",
    ),
    Row(
        "  of one, with settings of one's own",
        OURS,
        _complete("ilab model train --num"),
        config=OWN,
        aim=AIM_OF_COMPLETION,
        floor="floor:   of one that reads settings",
    ),
    Row(
        "  of one, with a variable",
        OURS,
        _complete("ilab model train --num") | VARIABLE,
        aim=AIM_OF_COMPLETION,
        floor="floor: completion of a flag",
    ),
    Row("ilab profile show cpu_only", (*OURS, "profile", "show", "cpu_only"), floor="floor: compose, validate, print"),
    Row("ilab profile validate FILE", (*OURS, "profile", "validate", "{profile}"), floor="floor: compose, validate"),
    Row("plain Typer: --help", (*PLAIN, "--help")),
    Row("plain Typer: model train --help", (*PLAIN, *TRAIN_HELP)),
    Row("plain Typer: completion of a command", PLAIN, _complete("ilab mod")),
    Row("plain Typer: completion of a flag", PLAIN, _complete("ilab model train --num")),
    Row("Typer as it comes: --help", (*RICH, "--help")),
    Row("Typer as it comes: model train --help", (*RICH, *TRAIN_HELP)),
    *(Row(f"{name}: --help", (*_program(f"with_{name}"), "--help"), needs=name) for name in peers.OTHERS),
)


def cpu(row: Row, programs: Path) -> float:
    """CPU seconds of one run, in an empty folder.

    Raises:
        subprocess.CalledProcessError: if the run fails, so that no failure passes for speed.
    """
    with tempfile.TemporaryDirectory() as folder:
        if row.config:
            Path(folder, "config.yaml").write_text(row.config, encoding="utf-8")
        usual = {name: value for name, value in os.environ.items() if not name.startswith("ILAB_")}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, *(word.format(profile=built_in_files()["cpu_only"]) for word in row.command)],
            cwd=folder,
            env=usual
            | {"PYTHONPATH": os.pathsep.join([str(programs), str(ROOT), usual.get("PYTHONPATH", "")])}
            | {name: value.format(profile=built_in_files()["cpu_only"]) for name, value in row.variables.items()},
            check=True,
            capture_output=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(rows: Sequence[Row]) -> dict[str, float]:
    """Median CPU seconds of each row; the rows take turns, so that a busy machine is unfair to none."""
    taken: dict[str, list[float]] = {row.name: [] for row in rows}
    with tempfile.TemporaryDirectory() as programs:
        peers.write(Path(programs))
        for turn in range(RUNS + 1):
            for row in rows:
                took = cpu(row, Path(programs))
                if turn:  # the first leaves byte code behind
                    taken[row.name].append(took)
    return {name: statistics.median(times) for name, times in taken.items()}


def _verdict(row: Row, to_pass: float, to_floor: float) -> str:
    missed = [f"<= {row.aim}x"] if to_pass > row.aim else []
    missed += [f"<= {AIM_OF_FLOOR}x of its floor"] if to_floor > AIM_OF_FLOOR else []
    return f"missed: {', '.join(missed)}" if missed else f"met: <= {row.aim}x, <= {AIM_OF_FLOOR}x of its floor"


def main() -> None:
    """Print the table, and what of the aims is met."""
    took = measure([row for row in ROWS if find_spec(row.needs)])
    empty = took["python -c pass"]
    print(f"{'':38} {'CPU time':>10} {'to pass':>8} {'to floor':>9}")
    for row in ROWS:
        if row.name not in took:
            print(f"{row.name:38} {'missing':>10}")
            continue
        to_floor = took[row.name] / took[row.floor] if row.floor else 0.0
        line = f"{row.name:38} {took[row.name] * 1e3:7.1f} ms {took[row.name] / empty:7.1f}x"
        if row.floor:
            line += f" {to_floor:8.2f}x  {_verdict(row, took[row.name] / empty, to_floor)}"
        print(line, flush=True)


if __name__ == "__main__":
    main()

"""Launching a mix: what can be known to be wrong before, the command, and how it ends. Imports nothing heavy."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ilab_cli.backends.base import as_arguments, existing_part, interrupted, main, output_folder, stoppable
from ilab_cli.backends.outcome import Outcome
from ilab_cli.extras import missing_extra
from ilab_profiles import Finding, Generate, InputError, Position
from ilab_profiles.diagnostics import Severity, counted

if TYPE_CHECKING:
    from ilab_cli.backends.mix.plan import MixPlan

__all__ = [
    "command",
    "continues",
    "environment",
    "folder",
    "machine",
    "outcome",
    "preflight",
    "results",
    "run",
    "where",
]

_OUTPUT = "generate.mix.output_dir"
_SPACE = 2  # the output, and the same rows laid into buckets


def folder(generate: Generate) -> str:
    """The run folder."""
    return generate.mixed_dir


def machine(generate: Generate) -> str:
    """None: one machine does it all."""
    return ""


def results(generate: Generate) -> list[Path]:
    """The mixed data that are there."""
    return sorted(Path(generate.mixed_dir).glob("*.jsonl"))


def continues(changes: Collection[str], generate: Generate) -> tuple[Severity | None, str]:
    """What belongs to another generation stays; all else can be made again from the recipes."""
    return ("error" if "generate.output_dir" in changes else "warning"), ""


def where(generate: Generate) -> str:
    """How many processes."""
    return f"on the CPU, {counted(generate.mix.num_util_proc, 'processes')}"


def outcome(generate: Generate) -> Outcome:
    """The mixed files, and training as what comes next."""
    from ilab_cli.backends.mix.mix import MANIFEST
    from ilab_profiles.yaml.read import read

    rows: Counter[str] = Counter()
    for data_set in read(Path(generate.mixed_dir) / MANIFEST).data["data_sets"]:
        rows[data_set["output"]] += data_set["taken"]
    command = ("ilab", "model", "train", "--data-path", generate.mixed_dir)
    return Outcome({"mixed data": generate.mixed_dir}, {"rows": dict(rows)}, (), command)


def preflight(generate: Generate, to_be_made: Collection[str] = ()) -> list[Finding]:
    """All that is wrong with recipes, data sets and output folder, warnings included. Reads every row; never writes.

    Args:
        generate: the settings.
        to_be_made: recipes and data sets, by their real paths, of which nothing can be known yet.
    """
    if missing := missing_extra("generate", "ilab data mix"):
        return missing
    from ilab_cli.backends.mix.plan import MixPlan, make_plan

    try:
        plan = make_plan(generate, to_be_made)
    except InputError as error:
        plan = MixPlan((), tuple(error.findings))  # the folder is looked at all the same
    return [*plan.findings, *_output_findings(generate, plan, to_be_made)]


def command(generate: Generate) -> list[str]:
    """The command that does this mix, complete in itself: typed by hand it does the same."""
    return [
        sys.executable,
        *as_arguments("ilab_cli.backends.mix.launch", generate, include={"seed", "output_dir", "mix"}),
    ]


def environment(generate: Generate) -> dict[str, str]:
    """Variables that the command needs: none."""
    return {}


def run(generate: Generate) -> int:
    """Mix; prints a line for each file written.

    Returns:
        0 if it is done, 1 if it failed (one line on stderr says why), 130 or 143 if it was interrupted; the outputs are
        then what they were before.

    Raises:
        InputError: if recipes, data sets or output folder cannot be used; then nothing was written.
    """
    from concurrent.futures.process import BrokenProcessPool

    from ilab_cli.backends.mix.mix import mix
    from ilab_cli.backends.mix.plan import make_plan
    from ilab_cli.backends.mix.shuffle import DataChangedError

    folder = Path(generate.mixed_dir)
    try:
        with stoppable():
            plan = make_plan(generate)
            if errors := [finding for finding in _output_findings(generate, plan) if finding.severity == "error"]:
                raise InputError(errors)
            for mixed in mix(generate, plan):
                rows = f"{mixed.rows:,} row{'s' * (mixed.rows != 1)}"
                print(f"{mixed.file}: {rows} from {mixed.data_sets} data set{'s' * (mixed.data_sets > 1)}")
    except KeyboardInterrupt:
        print("interrupted; nothing was written; run the same command again", file=sys.stderr)
        return interrupted()
    except DataChangedError as error:
        reason = f"{error} changed while it was read"
    except BrokenProcessPool:
        reason = "a process ended without an error message, maybe killed for lack of memory"
    except OSError as error:
        reason = f"{error.filename or folder}: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = f"no space is left in {folder}; while mixing it needs twice the size of its output"
    else:
        return 0
    print(f"mixing failed: {reason}", file=sys.stderr)
    return 1


def _output_findings(generate: Generate, plan: MixPlan, to_be_made: Collection[str] = ()) -> Iterator[Finding]:
    from ilab_cli.backends.mix.mix import output_name
    from ilab_cli.backends.mix.recipes import KINDS

    folder = Path(generate.mixed_dir)
    place = Position(str(folder))
    outputs = {os.path.realpath(folder / output_name(kind)) for kind in KINDS}
    for share in plan.shares:
        if os.path.realpath(share.data_set.file) in outputs:
            message = f"{share.data_set.path} is what this mix writes"
            yield Finding("output-is-input", message, _OUTPUT, share.data_set.position)
    for file in sorted(folder.glob("*.jsonl")) if os.path.isdir(folder) else ():
        if os.path.realpath(file) not in outputs:
            message = f"{file.name} is already there and would be trained on with the mixed data"
            hint = "choose another folder, or move it away"
            yield Finding("output-folder-in-use", message, _OUTPUT, place, hint=hint)
    yield from _unused(plan, alone=not to_be_made)
    yield from output_folder(generate.mixed_dir, _OUTPUT)
    needed = min(_SPACE * sum(share.size_taken for share in plan.shares), sys.maxsize)
    if needed > (free := shutil.disk_usage(existing_part(folder)).free):
        message = f"mixing needs about {needed / 1e9:,.3f} GB there while it runs, {free / 1e9:,.3f} GB are free"
        hint = "make room, choose another folder, or lower a sampling_size"
        yield Finding("disk-too-small", message, _OUTPUT, place, hint=hint)


def _unused(plan: MixPlan, *, alone: bool) -> Iterator[Finding]:
    """Data sets of which no row is taken; an error if they are all that there is, and none is still to come."""
    severity: Severity = "error" if alone and not any(share.taken for share in plan.shares) else "warning"
    for share in plan.shares:
        if not share.taken:
            data_set = share.data_set
            message = f"sampling_size {data_set.sampling_size} takes no row of {data_set.path}, which has {share.rows}"
            hint = "raise sampling_size, or leave the data set out"
            yield Finding("mix-empty", message, position=data_set.position, hint=hint, severity=severity)


if __name__ == "__main__":
    sys.exit(main("generate", run))

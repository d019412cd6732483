"""``ilab report``: one page about runs, to look at in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ilab_cli.flags.command import add
from ilab_cli.flags.options import JsonOption

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    add(app, "report", report)


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders of generations, trainings and evaluations", metavar="RUN")
    ],
    *,
    output_file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="The page; else report.html, in the run folder of a single run, in the working folder for several",
            metavar="FILE",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML page about runs: settings, curves, scores, answers and generated pairs, two or more side by side.

    The page is a single file that needs no network. A run that is still going on is shown as far as it is.
    """
    from ilab_cli import output
    from ilab_cli.backends.report.launch import write
    from ilab_cli.runs.lock import holder
    from ilab_profiles.diagnostics import counted

    made = write([path.expanduser() for path in runs], output_file, holder)
    output.warn(made.findings)
    for sentence in made.left_out:
        output.say(sentence)
    if as_json:
        output.print_json(
            {
                "report": str(made.file),
                "bytes": made.size,
                "runs": made.runs,
                "left_out": made.left_out,
                "findings": [finding.to_dict() for finding in made.findings],
            }
        )
        return
    output.say(f"a page about {counted(len(made.runs), 'runs')}, {made.size / 1e6:.1f} MB:")
    print(made.file)

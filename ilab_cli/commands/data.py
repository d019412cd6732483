"""``ilab data``: check taxonomies and data, generate data, mix them, and show what is learned of them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ilab_cli.commands.data_show import show
from ilab_cli.commands.validate import FormatOption
from ilab_cli.flags.command import add, settings_command
from ilab_cli.flags.options import DryRun, JsonOption, Overwrite, ProfileOption
from ilab_cli.session import Typed, in_force

__all__ = ["add_to", "generate"]


def add_to(group: typer.Typer) -> None:
    """Add the commands to their group."""
    add(group, "validate", validate)
    add(group, "show", show)
    settings_command(group, "generate", "generate")(generate)
    settings_command(group, "mix", "generate.mix")(mix)


def generate(
    typed: Typed,
    *,
    profile: ProfileOption = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: JsonOption = False,
) -> None:
    """Generate training data from a taxonomy with a teacher model, and mix them with other data."""
    import ilab_cli.backends.generate.launch as launch
    import ilab_cli.backends.mix.launch as mixing
    from ilab_cli.runs.perform import How, perform

    effective = in_force(typed, profile)
    settings = effective.profile.generate.at_home()
    how = How(profile, overwrite, dry_run, as_json)
    perform(launch, effective, "generate", settings, how, beside={"generate.mix": mixing})


def mix(
    typed: Typed,
    *,
    profile: ProfileOption = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: JsonOption = False,
) -> None:
    """Mix data sets by recipes, including those that generation wrote."""
    import ilab_cli.backends.mix.launch as launch
    from ilab_cli.backends.generate.mixing import with_own_recipes
    from ilab_cli.runs.perform import How, perform

    effective = in_force(typed, profile)
    settings = with_own_recipes(effective.profile.generate.at_home())
    perform(launch, effective, "generate.mix", settings, How(profile, overwrite, dry_run, as_json))


def validate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Taxonomies, folders in them, qna.yaml files, or *.jsonl files of conversations", metavar="PATH"
        ),
    ],
    form: FormatOption = "text",
) -> None:
    """Check taxonomies and training data without doing anything with them; exit code 2 if there are errors."""
    from ilab_cli import output
    from ilab_cli.backends.generate import qna
    from ilab_cli.backends.train.data import conversations
    from ilab_profiles.views.reports import report

    data = [path for path in paths if path.suffix == ".jsonl" and os.path.isfile(path)]
    wrong = [replace(finding, path="") for path in data for finding in conversations.check([path])]
    findings = [*qna.check([path for path in paths if path not in data]), *wrong]
    if form != "text":
        print(report(findings, form))
        raise typer.Exit(output.BAD_INPUT if any(item.severity == "error" for item in findings) else output.OK)
    output.judge(findings)
    output.say(f"{', '.join(map(str, paths))}: valid")

"""Mixing at the end of a generation: the recipes that it leaves go together with those that the user names.

How data are mixed is told in :mod:`ilab_cli.backends.mix`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ilab_cli.backends.generate.output import recipe_file, train_file
from ilab_cli.backends.mix import launch
from ilab_cli.backends.mix.recipes import KINDS, DataSet, read_recipes
from ilab_profiles import Finding, Generate, InputError

__all__ = ["mix", "preflight", "with_own_recipes"]


def with_own_recipes(generate: Generate) -> Generate:
    """The settings with the recipes in the run folder beside those of the user that do not name the same data."""
    folder = Path(generate.output_dir)
    named = {data_set.file.resolve() for data_set in _data_sets(generate)}
    recipes = {setting: tuple(getattr(generate.mix, setting)) for setting in KINDS.values()}
    for kind, setting in KINDS.items():
        own = recipe_file(folder, kind)
        if own.exists() and train_file(folder, kind).resolve() not in named and str(own) not in recipes[setting]:
            recipes[setting] += (str(own),)
    return generate.model_copy(update={"mix": generate.mix.model_copy(update=recipes)})


def preflight(generate: Generate) -> list[Finding]:
    """What can be known to be wrong with the user's recipes before there are generated data. Never writes."""
    if not any(getattr(generate.mix, setting) for setting in KINDS.values()):
        return []
    folder = Path(generate.output_dir)
    to_be_made = {train_file(folder, kind).resolve() for kind in KINDS}
    if any(data_set.file.resolve() in to_be_made for data_set in _data_sets(generate)):
        return []
    return launch.preflight(generate)


def mix(generate: Generate) -> int:
    """Mix what generation left with what the user's recipes name; returns the exit code.

    Raises:
        InputError: if recipes, data sets or output folder cannot be used.
    """
    generate = with_own_recipes(generate)
    if errors := [finding for finding in launch.preflight(generate) if finding.severity == "error"]:
        raise InputError(errors)
    return launch.run(generate)


def _data_sets(generate: Generate) -> Iterator[DataSet]:
    """The data sets of the user's recipes; none if anything is wrong with them, which is told when they are mixed."""
    try:
        yield from read_recipes(generate.mix)[0]
    except InputError:
        return

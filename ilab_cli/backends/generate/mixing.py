"""Mixing at the end of a generation: the recipes that it leaves go together with those that the user names.

How data are mixed is told in :mod:`ilab_cli.backends.mix`.
"""

from __future__ import annotations

import os
from pathlib import Path

from ilab_cli.backends.generate.output import recipe_file, train_file
from ilab_cli.backends.mix import launch
from ilab_cli.backends.mix.recipes import KINDS, read_recipes
from ilab_profiles import Finding, Generate

__all__ = ["mix", "preflight", "with_own_recipes"]


def with_own_recipes(generate: Generate) -> Generate:
    """The settings with the recipes in the run folder beside those of the user that do not name the same data."""
    folder = Path(generate.output_dir)
    named = {data_set.file.resolve() for data_set in read_recipes(generate.mix)[0]}
    recipes = {setting: tuple(getattr(generate.mix, setting)) for setting in KINDS.values()}
    for kind, setting in KINDS.items():
        own = recipe_file(folder, kind)
        if own.exists() and train_file(folder, kind).resolve() not in named and str(own) not in recipes[setting]:
            recipes[setting] += (str(own),)
    return generate.model_copy(update={"mix": generate.mix.model_copy(update=recipes)})


def preflight(generate: Generate) -> list[Finding]:
    """What can be known to be wrong with mixing before there are generated data. Never writes."""
    folder = Path(generate.output_dir)
    if os.path.realpath(folder) == os.path.realpath(generate.mixed_dir):
        message = f"mixed data would lie among the generated ones, in {folder}, and be trained on with them"
        hint = "choose another folder for generate.mix.output_dir"
        return [Finding("output-folder-in-use", message, "generate.mix.output_dir", hint=hint)]
    made = {os.path.realpath(file(folder, kind)) for kind in KINDS for file in (recipe_file, train_file)}
    return launch.preflight(generate, made)


def mix(generate: Generate) -> int:
    """Mix what generation left with what the user's recipes name; returns the exit code.

    Raises:
        InputError: if recipes, data sets or output folder cannot be used.
    """
    return launch.run(with_own_recipes(generate))

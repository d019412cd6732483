"""``ilab profile fit``: what a profile's training takes of memory, whether it fits, and what would make it fit."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ilab_cli import output
from ilab_cli.commands.fit_shown import shown
from ilab_cli.commands.profile_set import file_of_profile, own_profile
from ilab_cli.flags import completion
from ilab_cli.flags.command import add
from ilab_cli.session import chosen, in_force

if TYPE_CHECKING:
    from ilab_profiles import Fit

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add the command to its group."""
    add(group, "fit", fit)


def fit(
    name: Annotated[
        str,
        typer.Argument(
            help="Name or path of a profile; without it, the settings in force are looked at",
            metavar="NAME",
            autocompletion=completion.profiles,
        ),
    ] = "",
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="Model instead of the profile's: its folder or config.json, or the name of one that was downloaded",
            metavar="FOLDER|CONFIG.json|ORG/NAME",
        ),
    ] = "",
    gpu: Annotated[
        str,
        typer.Option(
            "--gpu",
            help="Model of the GPUs, such as H100 or a100-40, instead of those that the profile is for",
            metavar="NAME",
            autocompletion=completion.gpus,
        ),
    ] = "",
    memory: Annotated[
        float | None, typer.Option("--memory", help="The same, by the memory of each GPU", metavar="GIB", min=1)
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Set what makes it fit, in your own profile or in config.yaml")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Show what training takes of memory, and whether it fits; exit code 1 if it does not.

    Nothing runs: it is worked out from the settings and the model's config.json. With --verbose, how.

    Exit codes: 0 if it fits, or if it is not known how much memory there is; 1 if it does not fit, with --apply only if
    nothing makes it fit; 2 if the profile or the model cannot be read.
    """
    import ilab_profiles

    if gpu and memory is not None:
        raise _both()
    if memory is not None and not math.isfinite(memory):
        raise typer.BadParameter("must be a number of GiB", param_hint="--memory")
    profile = ilab_profiles.load(name) if name else in_force().profile
    model = os.path.expanduser(model) or profile.train.model_path or profile.train.model_repo
    found = ilab_profiles.fit(profile, model, gpu or memory)
    if (gpu or memory) and found.where == "main":
        output.warn([_on_cpu("--gpu" if gpu else "--memory")])
    applied = _apply(found, name) if apply else None
    if as_json:
        output.print_json(found.to_dict() | ({"applied": applied and str(applied)} if apply else {}))
    else:
        print(shown(found, model, "" if apply else _way(found, name)))
    if found.fits is False and not applied:
        raise typer.Exit(output.FAILED)


def _both() -> Exception:
    from ilab_profiles import Finding, InputError

    message = "--gpu and --memory both say how much memory there is"
    return InputError(Finding("two-answers", message, hint="give one of them"))


def _on_cpu(flag: str) -> Any:
    from ilab_profiles import Finding, Position

    message = "has no effect: the profile trains on the CPU, where main memory of this machine counts"
    hint = "name a profile for GPUs, for example single_gpu"
    return Finding("no-effect", message, position=Position(flag), hint=hint, severity="warning")


# --- the change -------------------------------------------------------------------------------------------------------


def _apply(found: Fit, name: str) -> Path | None:
    """Write what makes it fit, and where; ``None`` if nothing is to be written.

    Raises:
        InputError: if the profile is built in, or the file cannot be changed.
    """
    from ilab_profiles import edit

    if not found.change:
        output.say(_why_nothing(found.fits))
        return None
    settings = found.change.settings
    path = _file(name, settings)
    warnings = edit.set_values(path, settings)
    output.say(f"set {', '.join(f'{key}: {output.cell(value)}' for key, value in settings.items())} in {path}")
    output.warn(warnings)
    if not name:
        output.warn(_overruled(settings))
    return path


def _why_nothing(fits: bool | None) -> str:
    if fits:
        return "it fits already: nothing is changed"
    if fits is None:
        return "how much memory there is, is not known: nothing is changed"
    return "nothing is changed: no change of settings was found that makes it fit"


def _file(name: str, settings: Mapping[str, Any]) -> Path:
    """The file that holds the profile: one's own, or the config.yaml that chooses it."""
    if not name:
        held, source = chosen()
        if source not in ("ILAB_PROFILE", "default"):
            return file_of_profile("train")
        name = str(held)
    return own_profile(name, " ".join(_as_flags(settings)))


def _overruled(settings: Mapping[str, Any]) -> list[str]:
    """What is set, and yet not in force."""
    from ilab_profiles.rules.language import value_at

    now = in_force()
    others = [path for path, value in settings.items() if value_at(now.profile, path) != value]
    return [f"{path} is still as {origin.giver()} says" for path in others if (origin := now.origin(path))]


def _way(found: Fit, name: str) -> str:
    """The command that sets what makes it fit."""
    from ilab_cli.command_line import words
    from ilab_profiles.catalog import built_in_name, find

    if not found.change:
        return ""
    held, source = (name, "") if name else chosen()
    if (name or source in ("ILAB_PROFILE", "default")) and built_in_name(find(str(held))):
        flags = _as_flags(found.change.settings)
        return " ".join(["ilab profile init NAME --extends", shlex.quote(str(held)), *flags])
    return shlex.join(["ilab", *words(), "--apply"])


def _as_flags(settings: Mapping[str, Any]) -> list[str]:
    return [f"--set {shlex.quote(f'{path}={output.cell(value)}')}" for path, value in settings.items()]

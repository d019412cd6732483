"""``ilab profile explain`` and ``ilab profile diff``: why a setting has its value, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ilab_cli import output
from ilab_cli.flags import completion
from ilab_cli.flags.command import add
from ilab_cli.output import cell
from ilab_cli.session import in_force
from ilab_profiles.diagnostics import counted

if TYPE_CHECKING:
    from ilab_profiles import Difference, Explanation, Profile

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add the commands to their group."""
    add(group, "explain", explain)
    add(group, "diff", diff)


Name = Annotated[
    str, typer.Argument(help="Name or path of a profile", metavar="NAME", autocompletion=completion.profiles)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]


# --- explain ----------------------------------------------------------------------------------------------------------


def explain(
    key: Annotated[
        str,
        typer.Argument(
            help="A setting, a derived value or a section",
            metavar="KEY",
            autocompletion=completion.keys,
        ),
    ],
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            help="Profile to use instead of the one in force",
            metavar="NAME",
            autocompletion=completion.profiles,
        ),
    ] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", help="Conversations to train on, for train.steps_per_epoch", min=0)
    ] = None,
    as_json: Json = False,
) -> None:
    """Show why a setting has its value: where it comes from, what it overrides, its formula."""
    from dataclasses import asdict

    from ilab_profiles import explain
    from ilab_profiles.models.paths import field_at, paths_in
    from ilab_profiles.views.derived import derived
    from ilab_profiles.views.explain import find_key

    effective = in_force(profile=profile)
    path = find_key(effective, key, samples)
    follows = derived(effective.profile, samples)
    if field_at(path) or path in follows:
        found = explain(effective, path, samples)
        output.print_json(asdict(found)) if as_json else print(found)
        return
    below = (part for part in (*paths_in(effective.profile), *follows) if part.startswith(f"{path}."))
    parts = [explain(effective, part, samples) for part in below]
    if as_json:
        output.print_json([asdict(part) for part in parts])
    else:
        print(output.columns(("SETTING", "VALUE", "FROM"), map(_short, parts)))


def _short(item: Explanation) -> tuple[str, str, str]:
    unit = item.unit if item.unit and item.value is not None else ""
    origin = f"= {item.formula}" if item.formula else str(item.origin.position or item.origin.kind)
    return item.path, counted(cell(item.value), unit), origin


# --- diff -------------------------------------------------------------------------------------------------------------


def diff(left: Name, right: Name, as_json: Json = False) -> None:
    """Compare two profiles: the settings and derived values that differ."""
    from dataclasses import asdict

    from ilab_profiles import diff

    found = diff(*_both(left, right))
    if as_json:
        output.print_json([asdict(item) for item in found])
    elif found:
        print(output.columns(("SETTING", left, right, "UNIT"), _compared(found)))
    else:
        output.say("no differences")


def _both(left: str, right: str) -> tuple[Profile, Profile]:
    """Two profiles, or the findings of both."""
    from ilab_profiles import InputError, check, load

    errors = [finding for name in (left, right) for finding in check(name) if finding.severity == "error"]
    if errors:
        raise InputError(dict.fromkeys(errors))
    return load(left), load(right)


def _compared(found: Iterable[Difference]) -> Iterator[tuple[str, str, str, str]]:
    for item in found:
        name = f"{item.path} (derived)" if item.derived else item.path
        yield name, cell(item.left), cell(item.right), item.unit or ""

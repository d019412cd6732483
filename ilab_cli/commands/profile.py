"""``ilab profile``: its commands, and those that list, show and check profiles."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ilab_cli import output
from ilab_cli.commands import profile_explain, profile_fit, profile_init, profile_set
from ilab_cli.commands import validate as checking
from ilab_cli.flags import completion
from ilab_cli.flags.command import add
from ilab_cli.session import in_force

if TYPE_CHECKING:
    from ilab_profiles import Profile
    from ilab_profiles.hardware.machine import Machine

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add the commands to their group."""
    add(group, "list", list_)
    add(group, "show", show)
    add(group, "validate", validate)
    profile_explain.add_to(group)
    profile_fit.add_to(group)
    profile_init.add_to(group)
    profile_set.add_to(group)
    add(group, "schema", schema)


Json = Annotated[bool, typer.Option("--json", help="Print JSON")]


# --- list -------------------------------------------------------------------------------------------------------------


def list_(as_json: Json = False) -> None:
    """List all profiles, and which of them are made for this machine."""
    from ilab_profiles import names
    from ilab_profiles.hardware.machine import here

    machine = here()
    rows = [_row(name, machine) for name in names()]
    if as_json:
        output.print_json(rows)
        return
    cells = [
        (
            *(row["name"], row["extends"] or "", _machine(row["hardware"]), row["here"] or "?"),
            *(", ".join(row["on"]), _line(row["description"])),
        )
        for row in rows
    ]
    head = ("NAME", "EXTENDS", "HARDWARE", "HERE", "ON", "DESCRIPTION")
    print(output.columns(head, cells, spare=("EXTENDS", "ON", "HERE")))


def _row(name: str, machine: Machine) -> dict[str, Any]:
    """What is listed of a profile; one that is refused is listed too."""
    from ilab_profiles import InputError, load
    from ilab_profiles.catalog import find
    from ilab_profiles.matching import suits_or_fits
    from ilab_profiles.yaml.write import to_data

    path = find(name)
    row: dict[str, Any] = {"name": name, "file": str(path), "extends": None, "hardware": None, "on": []}
    row |= {"here": None, "fits_here": None}
    try:
        row["extends"] = _extended(path)
        profile = load(str(path))
    except InputError:
        how = f"ilab profile validate {shlex.quote(name)}"
        return row | {"description": f"invalid: see `{how}`", "valid": False}
    hardware = to_data(profile.hardware)
    here = suits_or_fits(profile, machine)
    row |= {"hardware": hardware, "here": here, "fits_here": None if here is None else here != "no"}
    return row | {"on": _on(profile), "description": profile.description, "valid": True}


def _extended(path: Path) -> str | None:
    from ilab_profiles.loading.inheritance import open_document

    data: Any = open_document(path).data
    inner = data.get("profile", data)
    base = inner.get("extends") if isinstance(inner, dict) else inner
    return None if base is None else str(base)


def _on(profile: Profile) -> list[str]:
    """What a profile switches on: sections, quantization, phases, benchmarks."""
    from ilab_profiles.models.paths import fields
    from ilab_profiles.rules.language import value_at

    switches = [path for path in fields() if path.endswith(".enabled")]
    sections = [path.split(".")[-2] for path in switches if value_at(profile, path)]
    train = profile.train
    quantized = [train.deepspeed.quantize_dtype] if train.deepspeed.quantize_dtype else []
    phases = [f"{len(train.phases)} phases"] if train.phases else []
    return [*sections, *quantized, *phases, *profile.evaluate.benchmarks]


def _line(text: str) -> str:
    return " ".join(text.split())


def _machine(hardware: dict[str, Any] | None) -> str:
    if not hardware or not hardware["count"]:
        return "any" if hardware else ""
    memory = f", {hardware['memory']} GiB" if hardware["memory"] else ""
    return f"{hardware['count']} x {hardware['gpu'] or 'GPU'}{memory}"


# --- show, validate, schema -------------------------------------------------------------------------------------------


def show(
    name: Annotated[
        str,
        typer.Argument(
            help="Name or path of a profile; without it, the settings in force are shown",
            metavar="NAME",
            autocompletion=completion.profiles,
        ),
    ] = "",
    key: Annotated[
        str,
        typer.Option("--key", "-k", help="Only this setting or section", metavar="KEY", autocompletion=completion.keys),
    ] = "",
    as_json: Json = False,
) -> None:
    """Print the settings of a profile, or those in force; secrets are masked."""
    from ilab_profiles import load
    from ilab_profiles.models.paths import find_field
    from ilab_profiles.yaml.write import dump, scalar, to_data, value_in

    data: Any = to_data(load(name) if name else in_force().profile)
    path = find_field(key) if key else ""
    value = value_in(data, path) if path else data
    if as_json:
        output.print_json(value)
    elif isinstance(value, dict):
        print(dump(value, _about, prefix=f"{path}." if path else ""), end="")
    else:
        print(value if isinstance(value, str) else scalar(value))


def _about(path: str) -> str:
    """What a setting means, with the unit of its number."""
    from ilab_profiles.models.fields import unit_of
    from ilab_profiles.models.paths import field_at

    info = field_at(path)
    about = info.description or "" if info else ""
    unit = unit_of(info) if info else None
    return f"{about} ({unit})" if unit and unit.lower() not in about.lower() else about


def validate(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, names, patterns, folders, or - for standard input; without any, the settings in force",
            metavar="FILE|NAME|PATTERN|-",
            autocompletion=completion.profiles,
        ),
    ] = None,
    form: checking.FormatOption = "text",
    fix: checking.FixOption = False,
    unsafe: checking.UnsafeOption = False,
    strict: checking.StrictOption = False,
) -> None:
    """Check profiles and config files; exit code 2 if there are errors."""
    checking.validate(targets or [], form, fix=fix, unsafe=unsafe, strict=strict)


def schema(
    kind: Annotated[Literal["profile", "config"], typer.Option("--kind", help="Which kind of file")] = "profile",
    to: Annotated[Path | None, typer.Option("--output", help="File to write it to", metavar="FILE")] = None,
) -> None:
    """Print the JSON Schema for editors."""
    import json

    from ilab_profiles import json_schema
    from ilab_profiles.yaml.files import write_atomically

    if to is None:
        output.print_json(json_schema(kind))
    else:
        write_atomically(Path(os.path.expanduser(to)), json.dumps(json_schema(kind), indent=2) + "\n")
        output.say(f"wrote {to}")

"""What the program must know of the models and the built-in profiles before it may load them, as a generated table.

Loading the models takes longer than all of ``--help`` may. So flags, and the values that built-in profiles give them,
are kept in ``table.json``, made from models and profiles by ``nox -s generate``. The table knows a checksum of what it
was made from: one that is out of date is not used, but made anew, in memory, at the price of loading the models.
"""

from __future__ import annotations

import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ilab_cli.flags import SECTIONS, Flag, make_flags
from ilab_profiles.catalog import built_in_files, built_in_folder, built_in_name

__all__ = ["FILE", "BuiltIn", "Table", "table", "text"]

FILE = Path(__file__).with_name("table.json")


class BuiltIn(NamedTuple):
    """A built-in profile: its level of help, and each setting that it gives, with the profile that gives it."""

    description: str
    expertise: str
    values: dict[str, tuple[str, str]]


class Table(NamedTuple):
    """The flags of each section, and the built-in profiles by name."""

    flags: dict[str, list[Flag]]
    profiles: dict[str, BuiltIn]


@cache
def table() -> Table:
    """The table, from its file if that is fresh."""
    try:
        stored = json.loads(FILE.read_bytes())
        fresh = stored["checksum"] == _checksum()
    except (OSError, ValueError, KeyError):
        fresh = False
    if not fresh:
        return _make()
    return Table(
        {section: [Flag(*flag) for flag in flags] for section, flags in stored["flags"].items()},
        {name: BuiltIn(*profile) for name, profile in stored["profiles"].items()},
    )


def text() -> str:
    """What the file should hold."""
    made = _make()
    flags = {name: _lines(flags) for name, flags in made.flags.items()}
    body = ",\n".join(f'"{name}": [\n{lines}\n]' for name, lines in flags.items())
    profiles = ",\n".join(f'"{name}": {json.dumps(profile)}' for name, profile in made.profiles.items())
    return f'{{"checksum": {_checksum()},\n"flags": {{\n{body}\n}},\n"profiles": {{\n{profiles}\n}}}}\n'


def _lines(items: list[Any]) -> str:
    return ",\n".join(map(json.dumps, items))


def _checksum() -> int:
    """Of everything that the table is made from."""
    import ilab_profiles

    folder = Path(ilab_profiles.__file__).parent
    models = [folder / f"{name}.py" for name in ("fields", "profile", "mix", "generate", "train", "evaluate")]
    sources = [*models, Path(__file__).with_name("flags.py"), Path(__file__)]
    total = 0
    for path in [*sources, *sorted(built_in_folder().rglob("*.yaml"))]:
        total = zlib.crc32(path.read_bytes(), total)
    return total


def _make() -> Table:
    flags = {section: list(make_flags(section)) for section in SECTIONS}
    return Table(flags, {name: _built_in(path) for name, path in built_in_files().items()})


def _built_in(path: Path) -> BuiltIn:
    from ilab_profiles.inheritance import chain
    from ilab_profiles.merge import merge
    from ilab_profiles.paths import fields
    from ilab_profiles.render import scalar, to_data, value_in

    effective = merge(chain(str(path)))
    data = to_data(effective.profile)
    values: dict[str, tuple[str, str]] = {}
    for name in fields():
        if origin := effective.origin(name):
            values[name] = (scalar(value_in(data, name)), f"profile {built_in_name(Path(origin.source))}")
    return BuiltIn(effective.profile.description, effective.profile.expertise, values)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")

"""Flags, settings and built-in profiles as a generated table, for what must be known before the models may be loaded.

Loading the models takes longer than all of ``--help`` may. ``table.json`` is made from models and profiles by
``nox -s generate`` and knows a checksum of what it was made from: one that is out of date is not used, but made anew,
in memory, at the price of loading the models.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import ilab_profiles
from ilab_cli.flags.flag import BuiltIn, Flag, Table
from ilab_profiles.catalog import built_in_folder

__all__ = ["FILE", "table", "text"]

FILE = Path(__file__).with_name("table.json")


@cache
def table() -> Table:
    """The table, from its file if that is fresh."""
    try:
        stored = json.loads(FILE.read_bytes())
        fresh = stored["checksum"] == _checksum()
    except (OSError, ValueError, KeyError, TypeError):
        fresh = False
    if not fresh:
        return _made()
    return Table(
        {section: [Flag(*flag) for flag in flags] for section, flags in stored["flags"].items()},
        stored["settings"],
        {name: BuiltIn(*profile) for name, profile in stored["profiles"].items()},
        stored["config"],
    )


def _made() -> Table:
    from ilab_cli.flags.make import make_table  # loads the models

    return make_table()


def text() -> str:
    """What the file should hold."""
    made = _made()
    flags = {name: _lines("[]", map(json.dumps, flags)) for name, flags in made.flags.items()}
    parts = {
        "checksum": str(_checksum()),
        "flags": _mapping(flags),
        "settings": _mapping({path: json.dumps(item) for path, item in made.settings.items()}),
        "profiles": _mapping({name: json.dumps(item) for name, item in made.profiles.items()}),
        "config": json.dumps(made.config),
    }
    return f"{_mapping(parts)}\n"


def _mapping(items: Mapping[str, str]) -> str:
    return _lines("{}", (f'"{name}": {item}' for name, item in items.items()))


def _lines(brackets: str, items: Iterable[str]) -> str:
    lines = ",\n".join(items)
    return f"{brackets[0]}\n{lines}\n{brackets[1]}"


def _checksum() -> int:
    """Of everything that the table is made from: the library, its profiles, and a little of the program."""
    here = Path(__file__)
    library = sorted(Path(ilab_profiles.__file__).parent.rglob("*.py"))
    program = [here, here.with_name("flag.py"), here.with_name("make.py"), here.parents[1] / "session.py"]
    total = 0
    for path in [*library, *program, *sorted(built_in_folder().rglob("*.yaml"))]:
        total = zlib.crc32(path.read_bytes(), total)
    return total


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")

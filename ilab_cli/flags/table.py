"""What the program must know of the models and the built-in profiles before it may load them, as a generated table.

Loading the models takes longer than all of ``--help`` may. So flags, and the values that built-in profiles give them,
are kept in ``table.json``, made from models and profiles by ``nox -s generate``. The table knows a checksum of what it
was made from: one that is out of date is not used, but made anew, in memory, at the price of loading the models.
"""

from __future__ import annotations

import json
import operator
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ilab_cli.flags.model import SECTIONS, Flag, make_flags
from ilab_profiles.catalog import built_in_files, built_in_folder

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["FILE", "BuiltIn", "Setting", "Table", "table", "text"]

FILE = Path(__file__).with_name("table.json")


class BuiltIn(NamedTuple):
    """A built-in profile: its level of help, and each setting that it gives, with the profile that gives it."""

    description: str
    expertise: str
    values: dict[str, tuple[str, str]]


class Setting(NamedTuple):
    """What values a setting takes.

    Attributes:
        choices: its values, if they can be named.
        many: whether it takes a list of them.
        kinds: the names of their Python types.
        limits: bounds of a number: the name of a function of ``operator``, and what to compare with.
        plain: whether that is all there is to it: nothing else, and no other setting, makes such a value refused.
    """

    choices: Sequence[str]
    many: bool
    kinds: Collection[str]
    limits: Sequence[tuple[str, float]]
    plain: bool

    def accepts(self, value: Any) -> bool:
        """Whether a value is surely accepted, whatever else is set."""
        return self.plain and self.fits(value)

    def fits(self, value: Any) -> bool:
        """Whether nothing is wrong with a value by itself."""
        if type(value).__name__ not in self.kinds:
            return False
        if isinstance(value, str):
            return value != "" and value.isprintable() and (not self.choices or value in self.choices)
        if value is None or isinstance(value, bool):
            return True
        return abs(value) < _HUGE and all(getattr(operator, sign)(value, bound) for sign, bound in self.limits)


_HUGE = 1e300


class Table(NamedTuple):
    """What is stored.

    Attributes:
        flags: the flags of each section.
        settings: every setting by its dotted path in config.yaml, such as ``profile.train.seed``.
        accelerators: what each value of ``train.accelerator`` switches on and off.
        profiles: the built-in profiles by name.
    """

    flags: dict[str, list[Flag]]
    settings: dict[str, Setting]
    accelerators: dict[str, dict[str, str]]
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
        {path: Setting(*setting) for path, setting in stored["settings"].items()},
        stored["accelerators"],
        {name: BuiltIn(*profile) for name, profile in stored["profiles"].items()},
    )


def text() -> str:
    """What the file should hold."""
    parts = _make()._asdict()
    flags = {name: _lines("[]", map(json.dumps, flags)) for name, flags in parts.pop("flags").items()}
    others = {name: {key: json.dumps(item) for key, item in part.items()} for name, part in parts.items()}
    mappings = {name: _mapping(part) for name, part in {"flags": flags, **others}.items()}
    return f"{_mapping({'checksum': str(_checksum()), **mappings})}\n"


def _mapping(items: Mapping[str, str]) -> str:
    return _lines("{}", (f'"{name}": {item}' for name, item in items.items()))


def _lines(brackets: str, items: Iterable[str]) -> str:
    lines = ",\n".join(items)
    return f"{brackets[0]}\n{lines}\n{brackets[1]}"


def _checksum() -> int:
    """Of everything that the table is made from: the library, its profiles, and a little of the program."""
    import ilab_profiles

    library = sorted(Path(ilab_profiles.__file__).parent.rglob("*.py"))
    program = [Path(__file__).with_name("model.py"), Path(__file__)]
    total = 0
    for path in [*library, *program, *sorted(built_in_folder().rglob("*.yaml"))]:
        total = zlib.crc32(path.read_bytes(), total)
    return total


def _make() -> Table:
    from ilab_profiles.loading.layers import ACCELERATORS
    from ilab_profiles.yaml.write import scalar

    return Table(
        {section: list(make_flags(section)) for section in SECTIONS},
        _settings(),
        {name: {path: scalar(on) for path, on in switches.items()} for name, switches in ACCELERATORS.items()},
        {name: _built_in(path) for name, path in built_in_files().items()},
    )


def _settings() -> dict[str, Setting]:
    from ilab_profiles.models.config import Config
    from ilab_profiles.models.paths import fields
    from ilab_profiles.rules.checks import CHECKS
    from ilab_profiles.rules.table import RULES

    judged = {"train.accelerator"}  # it stands for others
    for rule in RULES:
        judged |= {item.path for item in (*rule.when, rule.require) if rule.severity == "error"}
    for check in CHECKS:
        judged |= {path for path in check.involved if check.severity == "error"}
    config = {path: _setting(info, plain=True) for path, info in fields(Config).items() if path != "profile"}
    return config | {f"profile.{path}": _setting(info, plain=path not in judged) for path, info in fields().items()}


def _setting(info: FieldInfo, *, plain: bool) -> Setting:
    from ilab_profiles.models.paths import choices_of, list_item, scalar_kinds

    kinds = {*scalar_kinds(info.annotation)}
    choices = [*map(str, choices_of(info.annotation))]
    known = {str, type(None)} if choices else {str, type(None), bool, int, float}
    bounds = {type(item).__name__.lower(): item for item in info.metadata}
    signs = {"ge", "gt", "le", "lt"}
    return Setting(
        choices=["true", "false"] if bool in kinds else choices,
        many=list_item(info.annotation) is not None,
        kinds=sorted(kind.__name__ for kind in kinds | ({int} if float in kinds else set())),
        limits=[(sign, getattr(item, sign)) for sign, item in bounds.items() if sign in signs],
        plain=plain and kinds <= known and bounds.keys() <= signs | {"minlen"},
    )


def _built_in(path: Path) -> BuiltIn:
    from ilab_cli.session import given
    from ilab_profiles.loading.inheritance import chain
    from ilab_profiles.loading.merge import merge

    effective = merge(chain(str(path)))
    return BuiltIn(effective.profile.description, effective.profile.expertise, given(effective))


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")

"""Flags made from the fields of a section, so that a field is told once, in its model.

The name of a flag is the last part of the field's path, with dashes: ``train.lora.lora_rank`` is ``--lora-rank``, and
``enabled`` is the section itself: ``--lora / --no-lora``. Where two fields would share a name, the one nearer to the
top (then the one declared first) has it, and the other takes its section's name in front: ``--mmlu-model``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from ilab_profiles.fields import aliases_of, unit_of
from ilab_profiles.paths import choices_of, fields
from ilab_profiles.render import scalar

__all__ = ["Flag", "flags_of", "takes_flags"]


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag.

    Attributes:
        path: dotted path of its field.
        names: its spellings without the leading dashes, the proper one first.
        info: its field.
    """

    path: str
    names: tuple[str, ...]
    info: FieldInfo

    @property
    def parameter(self) -> str:
        """Name of the Python parameter that carries its value."""
        return self.path.replace(".", "__")

    @property
    def is_switch(self) -> bool:
        """Whether it takes no value but has a ``--no-`` form."""
        return self.info.annotation is bool

    @property
    def declaration(self) -> list[str]:
        """Its spellings as Typer wants them."""
        if self.is_switch:
            return [f"--{name}/--no-{name}" for name in self.names]
        return [f"--{name}" for name in self.names]

    @property
    def metavar(self) -> str:
        """What stands for its value in ``--help``."""
        if choices := list(choices_of(self.info.annotation)):
            return "|".join(map(str, choices))
        kinds = str(self.info.annotation)
        return "NUMBER" if "int" in kinds or "float" in kinds else "TEXT"

    @property
    def help(self) -> str:
        """Description, unit and default."""
        text = self.info.description or ""
        if unit := unit_of(self.info):
            text += f", in {unit}"
        default = self.info.get_default()
        return f"{text} [default: {scalar(default)}]" if default not in (None, ()) else text


@functools.cache
def flags_of(section: str) -> tuple[Flag, ...]:
    """The flags of a section, for example ``"train"``, in the order of its fields."""
    paths = {path: info for path, info in fields().items() if path.startswith(f"{section}.")}
    owners: dict[str, str] = {}
    for path in sorted(paths, key=lambda path: path.count(".")):
        owners.setdefault(_leaf(path), path)
    return tuple(_make(path, info, owners) for path, info in paths.items())


def _leaf(path: str) -> str:
    *above, leaf = path.split(".")
    return (above[-1] if leaf == "enabled" else leaf).replace("_", "-")


def _make(path: str, info: FieldInfo, owners: Mapping[str, str]) -> Flag:
    leaf = _leaf(path)
    if owners[leaf] != path:
        return Flag(path, (f"{path.split('.')[-2]}-{leaf}".replace("_", "-"),), info)
    others = [alias.replace("_", "-") for alias in aliases_of(info)]
    return Flag(path, (leaf, *(alias for alias in others if alias not in owners)), info)


def takes_flags(section: str, panel: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the flags of a section; it gets what the user gave as ``given``, by dotted path.

    Args:
        section: for example ``"train"``.
        panel: heading of these flags in ``--help``.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        flags = flags_of(section)

        @functools.wraps(command)
        def call(**values: Any) -> None:
            given = {flag.path: value for flag in flags if (value := values.pop(flag.parameter)) is not None}
            command(**values, given=given)

        own = [item for item in inspect.signature(command, eval_str=True).parameters.values() if item.name != "given"]
        parameters = [*own, *_parameters(flags, panel)]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {item.name: item.annotation for item in parameters}
        return call

    return decorate


def _parameters(flags: tuple[Flag, ...], panel: str) -> Iterator[inspect.Parameter]:
    for flag in flags:
        kind: Any = bool | None if flag.is_switch else str | None
        option = typer.Option(
            *flag.declaration,
            help=flag.help,
            metavar=None if flag.is_switch else flag.metavar,
            show_default=False,
            rich_help_panel=panel,
        )
        yield inspect.Parameter(
            flag.parameter, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
        )

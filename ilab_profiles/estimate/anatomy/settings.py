"""The settings in a model's ``config.json``: found, looked up under a family's names, and refused where they are wrong.

A setting that the file leaves out has the value that transformers gives it. All that is wrong with a file is collected
and told at once, with the line that it stands in.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ilab_profiles.diagnostics import Finding, InputError, Position, by_place

__all__ = ["ADVICE", "Settings", "load"]

ADVICE = "name a folder with a config.json, or a config.json (--model FOLDER or CONFIG.json)"
_LONG = 200
"""How long a line is shown."""
_WIDE = 60
"""How much of a wrong value is shown."""
_MOST = 10**9
"""No model has a side, or a vocabulary, as long as this."""


class Settings:
    """What a ``config.json`` says, under the names that most families use.

    Args:
        data: the object in the file.
        source: the file, as it was named.
        text: its text.
        within: the key of the part of the file that ``data`` is, empty for all of it.
    """

    def __init__(self, data: Mapping[str, Any], source: str, text: str = "", within: str = "") -> None:
        self.data = dict(data)
        self.source = source
        self.text = text
        self.within = within
        self.names: Mapping[str, str] = {}
        self.defaults: Mapping[str, Any] = {}
        self.findings: list[Finding] = []

    def speak(self, names: Mapping[str, str], defaults: Mapping[str, Any]) -> None:
        """Learn a family's language.

        Args:
            names: what it calls the settings that most families call by the first name; several, apart by spaces,
                where each will do.
            defaults: what it takes where one lacks, under the names of most.
        """
        self.names, self.defaults = names, defaults

    def get(self, name: str, default: Any = None) -> Any:
        """A setting as it stands, else the family's default, else ``default``; ``null`` says that there is none."""
        keys = self.names.get(name, name).split()
        told = [self.data[key] for key in keys if key in self.data]
        value = next((value for value in told if value is not None), None if told else self.defaults.get(name))
        return default if value is None else value

    def number(self, name: str, default: int | None = None, least: int = 1, most: int = _MOST) -> int:
        """A whole number within bounds; a finding, and ``least``, if it is none or lacks."""
        value = self.get(name, default)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        key = self._key(name)
        if value is None:
            self.refuse(f"lacks {key}", "", hint="the file is not whole: download or copy the model again")
        else:
            self.refuse(f"{key} must be a whole number from {least:,} to {most:,}, not {_shown(value)}", key)
        return least

    def optional(self, name: str) -> int | None:
        """A whole number above 0, or ``None`` if there is none."""
        return self.number(name) if self.get(name) is not None else None

    def flag(self, name: str) -> bool:
        """Whether something is so."""
        value = self.get(name, False)
        if not isinstance(value, (bool, int)):
            self.refuse(f"{self._key(name)} must be true or false, not {_shown(value)}", self._key(name))
        return bool(value)

    def name(self, name: str, default: str = "") -> str:
        """A name; a finding if it is none, or lacks without a default."""
        value = self.get(name, default)
        if not isinstance(value, str) or not value.isprintable():
            self.refuse(f"{name} must be a name, not {_shown(value)}", name)
        elif not value:
            self.refuse(f"lacks {name}", hint=ADVICE)
        return str(value)

    def either(self, bias: bool | str) -> bool:
        """What is so for a whole family, or what the setting of that name says."""
        return self.flag(bias) if isinstance(bias, str) else bias

    def kind(self, index: int) -> str:
        """The kind of a layer, where the kinds are listed; else empty."""
        kinds = self.get("layer_types", [])
        if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
            self.refuse("layer_types must be a list of names", "layer_types")
        elif kinds and index >= len(kinds):
            self.refuse(f"layer_types names {len(kinds)} layers, fewer than there are", "layer_types")
        elif kinds:
            return str(kinds[index])
        return ""

    def numbers(self, name: str) -> list[int] | None:
        """A list of whole numbers, such as those of layers; ``None`` if there is none."""
        value = self.get(name)
        if value is None or (isinstance(value, list) and all(type(number) is int for number in value)):
            return value
        self.refuse(f"{self._key(name)} must be a list of whole numbers", self._key(name))
        return None

    def part(self, name: str) -> Settings:
        """An object within the object; an empty one if it is not there."""
        value = self.get(name, {})
        if not isinstance(value, dict):
            self.refuse(f"{name} must be an object, not {_shown(value)}", name)
            value = {}
        return Settings(value, self.source, self.text, name)

    def refuse(self, message: str, key: str = "", hint: str = "") -> None:
        """Remember what is wrong, and the line of the key that it is about."""
        line, column = self._place(key)
        where = Position(self.source, line, column)
        row = self.text.split("\n")[line - 1] if line else ""
        shown = row if len(row) <= _LONG else ""  # files without line breaks have but one
        self.findings.append(Finding("model-config", message, position=where, hint=hint, line_text=shown))

    def stop_if_refused(self) -> None:
        """Raise all that was found.

        Raises:
            InputError: if anything was.
        """
        if self.findings:
            raise InputError(sorted(dict.fromkeys(self.findings), key=by_place))  # once, even if asked for twice

    def _key(self, name: str) -> str:
        """What the file calls a setting."""
        keys = self.names.get(name, name).split()
        return next((key for key in keys if key in self.data), keys[0])

    def _place(self, key: str) -> tuple[int, int]:
        begin = found.end() if (found := re.search(rf'"{re.escape(self.within)}"\s*:', self.text)) else 0
        if not key or not (place := re.compile(rf'"{re.escape(key)}"\s*:').search(self.text, begin)):
            return 0, 0
        return self.text.count("\n", 0, place.start()) + 1, place.start() - self.text.rfind("\n", 0, place.start())


def load(file: str | os.PathLike[str]) -> Settings:
    """The settings in a file.

    Raises:
        InputError: if it cannot be read, or is not a JSON object.
    """
    source = os.fspath(file)
    try:
        text = Path(file).read_text(encoding="utf-8")
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise _refusal(f"not JSON: {error.msg}", Position(source, error.lineno, error.colno)) from error
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it holds no JSON text"
        raise _refusal(f"cannot be read: {reason}", Position(source)) from error
    if not isinstance(data, dict):
        raise _refusal("must be a JSON object", Position(source, 1))
    return Settings(data, source, text)


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _WIDE else f"{text[:_WIDE]}…"


def _refusal(message: str, where: Position) -> InputError:
    return InputError(Finding("model-config", message, position=where, hint=ADVICE))

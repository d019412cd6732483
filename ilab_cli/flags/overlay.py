"""What config.yaml and the environment put over a built-in profile, seen without the models.

The generated table knows which values most settings accept, whatever else is set. Where it cannot tell, the models have
to be asked. Completion shows no values, only flags, and need not be so sure.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ilab_cli.command_line import is_completion
from ilab_cli.flags.table import table
from ilab_profiles.catalog import RESERVED
from ilab_profiles.yaml.document import Document, resolve_scalar

__all__ = ["Given", "Unsure", "fits", "in_document", "in_environment"]

Given = dict[str, tuple[str, str]]
"""Values as text, and who gives them, by dotted path; those of the sections beside the profile too."""


class Unsure(Exception):
    """Only the models can tell what is set, or whether it is refused."""


def in_document(document: Document) -> Given:
    """What a config.yaml sets, the name of a profile left out.

    Raises:
        Unsure: if the table cannot tell.
    """
    found: Given = {}
    for keys, value in _flat(document.data):
        path = ".".join(keys).replace("-", "_")
        if path in ("profile", "profile.extends"):
            continue
        setting = path.removeprefix("profile.")
        if setting in found or path.count(".") >= len(keys):  # two spellings, or a point in a key
            raise Unsure(path)
        found[setting] = _text(path, value), str(document.position(keys))
    return found


def _flat(data: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, (*above, key))
        else:
            yield (*above, key), value


def in_environment() -> Given:
    """What variables such as ``ILAB_TRAIN__NUM_EPOCHS`` set.

    Raises:
        Unsure: if the table cannot tell.
    """
    ours = [name for name in os.environ if name.startswith("ILAB_") and name not in RESERVED]
    return dict(map(_in_variable, ours))


def _in_variable(name: str) -> tuple[str, tuple[str, str]]:
    path = name.removeprefix("ILAB_").lower().replace("__", ".")
    if not name.isupper() or "." in name:
        raise Unsure(name)
    return path, (_text(f"profile.{path}", _read(f"profile.{path}", os.environ[name])), name)


def fits(path: str, text: str) -> bool:
    """Whether nothing is wrong with a value, given as text, by itself."""
    try:
        return table().settings[path].fits(_read(path, text))
    except Unsure:
        return False


def _read(path: str, text: str) -> Any:
    """A value that is given as text.

    Raises:
        Unsure: if there is no such setting, or the text may stand for nothing.
    """
    setting = table().settings.get(path)
    if setting is None or text in ("", "~", "null", "none"):
        raise Unsure(path)
    return text if "str" in setting.kinds else resolve_scalar(text)


def _text(path: str, value: Any) -> str:
    """A value as the help shows it.

    Raises:
        Unsure: if there is no such setting, or it may be refused.
    """
    setting = table().settings.get(path)
    if setting is None or not (setting.accepts(value) or is_completion()):
        raise Unsure(path)
    whole = setting.accepts(value) and isinstance(value, int) and "float" in setting.kinds
    return json.dumps(float(value) if whole else value, ensure_ascii=False)

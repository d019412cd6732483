"""What the generated table says to be accepted, the library accepts, and shows in the same words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.flags import overlay
from ilab_cli.flags.table import table
from ilab_cli.session import given
from ilab_profiles.loading.config_file import config_layers
from ilab_profiles.loading.environment import read_environment, variable
from ilab_profiles.loading.inheritance import chain
from ilab_profiles.loading.merge import merge
from ilab_profiles.yaml.read import parse
from ilab_profiles.yaml.write import dump

VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    3,
    10**12,
    10**310,
    -0.5,
    0.5,
    2.0,
    1e-9,
    "",
    "null",
    "x",
    "3",
    "a b",
    'é "\\',
]
BASES = ["cpu_only", "single_gpu", "multi_gpu"]


def seen(base: str) -> Iterator[tuple[str, str, overlay.Given]]:
    """Every setting and value that are seen to be accepted: its path, the text of a config.yaml, and what is seen."""
    for path, setting in table().settings.items():
        for value in [*VALUES, *setting.choices]:
            data: Any = value
            for part in reversed(path.split(".")):
                data = {part: data}
            data.setdefault("profile", {})["extends"] = base
            try:
                found = overlay.in_document(parse(dump(data), "config.yaml"))
            except overlay.Unsure:
                continue
            yield path.removeprefix("profile."), dump(data), found


@pytest.mark.parametrize("base", BASES)
def test_in_a_config_file(base: str) -> None:
    accepted = 0
    for path, text, found in seen(base):
        resolved = given(merge(config_layers(parse(text, "config.yaml"), Path("config.yaml"))[1]))
        shown, who = found[path]
        if path in resolved:
            assert (shown.strip('"'), who) == (resolved[path][0].strip('"'), resolved[path][1]), text
        accepted += 1
    assert accepted > len(table().settings)


@pytest.mark.parametrize("base", BASES)
def test_in_the_environment(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = 0
    for path in (path for path in table().settings if path.startswith("profile.")):
        path = path.removeprefix("profile.")
        for text in [
            "",
            "~",
            "none",
            "true",
            "-1",
            "3",
            "0.5",
            "1e-9",
            "x",
            "[1]",
            "a b",
            *table().settings[f"profile.{path}"].choices,
        ]:
            monkeypatch.setenv(variable(path), text)
            try:
                found = overlay.in_environment()
            except overlay.Unsure:
                continue
            resolved = given(merge([*chain(base), read_environment({variable(path): text})]))
            assert found[path][0].strip('"') == resolved[path][0].strip('"'), (path, text)
            accepted += 1
        monkeypatch.delenv(variable(path))
    assert accepted > len(table().settings)

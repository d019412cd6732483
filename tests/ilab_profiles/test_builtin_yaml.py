"""Other programs read the built-in profiles as we do, whichever version of YAML they know."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ilab_profiles.catalog import built_in_files
from ilab_profiles.yaml.read import read


@pytest.mark.parametrize("version", [(1, 1), (1, 2)])
@pytest.mark.parametrize("path", built_in_files().values(), ids=str)
def test_built_in_profiles_are_the_same_in_every_yaml(path: Path, version: tuple[int, int]) -> None:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    assert yaml.load(path.read_text(encoding="utf-8")) == read(path).data

"""The workshop of the cases."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.alive.workshop import Workshop


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """What all cases have in common."""

    @cache
    def student() -> Path:
        pytest.importorskip("torch")
        from examples.tiny_student import demo_texts, make

        folder = tmp_path_factory.mktemp("student") / "student"
        make(folder, demo_texts())
        return folder

    return Workshop(tmp_path_factory.getbasetemp(), student)


@pytest.fixture
def workshop(shared: Workshop, tmp_path: Path) -> Workshop:
    """The workshop of one case."""
    return Workshop(tmp_path, shared.make_student)

"""The workshop of the cases."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.alive.workshop import Once, Workshop


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """What all cases have in common."""

    @cache
    def student() -> Path:
        pytest.importorskip("torch")
        from examples.tiny_student import demo_texts, make

        folder = tmp_path_factory.mktemp("student") / "student"
        make(folder, demo_texts())
        return folder

    with ExitStack() as exits:
        yield Workshop(tmp_path_factory.getbasetemp(), student, Once(tmp_path_factory.mktemp("once"), exits))


@pytest.fixture(autouse=True)
def _no_engine_is_left() -> Iterator[None]:
    """A process has one accelerator: that of a training within a test is forgotten."""
    yield
    if state := sys.modules.get("accelerate.state"):
        state.AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def workshop(shared: Workshop, tmp_path: Path) -> Workshop:
    """The workshop of one case."""
    return Workshop(tmp_path, shared.make_student, shared.once)

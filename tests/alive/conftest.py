"""The workshop of the cases."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.alive.workshop import Workshop

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """What all cases have in common."""

    @cache
    def student() -> Path:
        pytest.importorskip("torch")
        folder = tmp_path_factory.mktemp("student") / "student"
        subprocess.run([sys.executable, EXAMPLES / "tiny_student.py", folder], check=True, capture_output=True)
        return folder

    return Workshop(tmp_path_factory.getbasetemp(), student)


@pytest.fixture
def workshop(shared: Workshop, tmp_path: Path) -> Workshop:
    """The workshop of one case."""
    return Workshop(tmp_path, shared.make_student)

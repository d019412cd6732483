from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs import Ilab, ilab_in


@pytest.fixture
def ilab(tmp_path: Path) -> Ilab:
    """Run ``ilab`` as a user does, in an empty folder."""
    return ilab_in(tmp_path, ILAB_PROFILE_DIR=str(tmp_path / "own"))

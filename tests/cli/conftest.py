from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Ilab = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ilab(tmp_path: Path) -> Ilab:
    """Run ``ilab`` as a user does, in an empty folder."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ILAB_")}
        environment["ILAB_PROFILE_DIR"] = str(tmp_path / "own")
        return subprocess.run(
            [sys.executable, "-m", "ilab_cli", *arguments],
            cwd=tmp_path,
            env=environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run

"""What a user runs, as the tests run it: the program in a folder, and the scripts of ``examples``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).parents[1] / "examples"
Ilab = Callable[..., "subprocess.CompletedProcess[str]"]
"""Runs ``ilab`` with arguments, and with variables that are given by keyword."""


def ilab_in(folder: Path, **always: str) -> Ilab:
    """``ilab`` as one types it in a folder, with these variables and none of the program's own beside them."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("ILAB_")}
        return subprocess.run(
            [sys.executable, "-m", "ilab_cli", *arguments],
            cwd=folder,
            env=others | always | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


def example(name: str) -> ModuleType:
    """A script of ``examples``, by its path there, as a module."""
    path = EXAMPLES / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

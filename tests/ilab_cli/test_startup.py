"""What may be loaded for what: the program starts at once because it loads nothing that a command does not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ilab_profiles.edit import render_config

ROOT = Path(__file__).parents[2]

# Modules of the standard library that take long to load.
HEAVY = {"asyncio", "concurrent", "ctypes", "decimal", "email", "http", "logging", "multiprocessing", "sqlite3", "ssl"}

TYPER = {"typer", "annotated_doc", "shellingham"}
MODELS = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection", "decimal", "email"}
YAML = {"ruamel", "cython_runtime"}
ENVIRONMENT = {"pydantic_settings", "dotenv", "asyncio", "concurrent", "logging", "ssl", "multiprocessing", "ctypes"}

# Each command, and every top-level module beside ``ilab_cli``, ``ilab_profiles`` and the light standard library that it
# may load. A module that is missing here has to be loaded inside the function that needs it.
ALLOWED = {
    "ilab --help": TYPER,
    "ilab model --help": TYPER,
    "ilab model train --help": TYPER,
    "ilab report --help": TYPER,
    "ilab model train --profile multi_gpu --lora --help-all": TYPER | MODELS | YAML,
    "ilab model train --help, with a config.yaml": TYPER | YAML,
    "ilab model train --help, with settings of one's own": TYPER | MODELS | YAML,
    "ilab model train --help, with a variable": TYPER | MODELS | YAML | ENVIRONMENT,
    "ilab model train --accelerator fsdp --help": TYPER | MODELS | YAML,
    "complete: ilab --h": TYPER,
    "complete: ilab model train --qui": TYPER,
    "complete: ilab model train --num, with a config.yaml": TYPER,
    "complete: ilab model train --num, with settings of one's own": TYPER,
    "complete: ilab model train --num, with a variable": TYPER,
    "complete: ilab mod": TYPER,
    "complete: ilab model tr": TYPER,
    "complete: ilab model train --num": TYPER,
    "complete: ilab model train --profile mul": TYPER,
    "import ilab_profiles": set(),
    "import ilab_cli": set(),
    "ilab profile show cpu_only": TYPER | MODELS | YAML,
    "ilab profile fit single_gpu --gpu H100": TYPER | MODELS | YAML,
    "ilab profile validate {profile}": TYPER | MODELS | YAML,
}
CONFIGS = {
    "with a config.yaml": render_config("single_gpu"),
    "with settings of one's own": "profile:\n  extends: single_gpu\n  train: {num_epochs: 3, output_dir: runs/a}\n",
}


def loaded(command: str, folder: Path) -> set[str]:
    """The top-level modules that a command loads, those that Python itself starts with left out."""
    command, _, state = command.partition(", ")
    if state in CONFIGS:
        (folder / "config.yaml").write_text(CONFIGS[state])
    kind, _, line = command.partition(" ")
    variables = {"PYTHONPATH": str(ROOT)} | ({"ILAB_TRAIN__NUM_EPOCHS": "3"} if state == "with a variable" else {})
    if kind == "complete:":
        variables |= {"_ILAB_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    run = line if kind == "import" else "ilab_cli.app"
    code = f"""
import sys
at_start = set(sys.modules)
import {run}
sys.argv = {["ilab", *line.split()]!r}
try:
    {"pass" if kind == "import" else "ilab_cli.app.main()"}
finally:
    new = [name for name, module in sys.modules.items() if module and name not in at_start]
    sys.stderr.write(" ".join({{name.partition(".")[0] for name in new}}))
"""
    usual = {name: value for name, value in os.environ.items() if not name.startswith("ILAB_")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=usual | variables, check=True, capture_output=True, text=True
    )
    assert done.stdout or kind == "import" or "validate" in line, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("command", ALLOWED)
def test_a_command_loads_only_what_it_may(command: str, tmp_path: Path) -> None:
    profile = ROOT / "profiles" / "single_gpu.yaml"
    found = loaded(command.format(profile=profile), tmp_path)
    ours = {"ilab_cli", "ilab_profiles"}
    light = set(sys.stdlib_module_names) - HEAVY
    assert {name for name in found - light - ours - ALLOWED[command] if not name.startswith("_")} == set()

"""Every shipped profile works as it stands: each dry run says what it would run, without a warning, and it fits.

The machine is one that the profile is for: torch is made to say that it sees its GPUs, and what reads the hardware is
made to find them and main memory enough. All else is as it is here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from ilab_cli.session import Typed
from ilab_profiles import fit, load
from ilab_profiles.catalog import built_in_files
from ilab_profiles.hardware.gpu import Gpu
from ilab_profiles.hardware.machine import Machine
from tests.alive.workshop import Workshop
from tests.programs import example

NAMES = list(built_in_files())


@pytest.fixture(scope="module")
def project(shared: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a student, a taxonomy, and data as generation and mixing leave them."""
    from ilab_cli.backends.generate import tasks
    from ilab_cli.backends.generate.output import Pair

    folder = tmp_path_factory.mktemp("project")
    (folder / "student").symlink_to(shared.student)
    example("demo/make_taxonomy.py").write(folder / "taxonomy")
    row = {"messages": [{"role": "user", "content": "count"}, {"role": "assistant", "content": "one two"}]}
    mixed = folder / "generated" / "mixed"
    mixed.mkdir(parents=True)
    answers = ("red", "green", "blue", "grey", "black")
    pairs = [Pair(f"What is {name}?", name, "knowledge/colours", "knowledge", "seed") for name in answers]
    tasks.write(folder / "generated", pairs, pairs, 0)
    (folder / "recipe.yaml").write_text("datasets:\n- {path: generated/mixed/skills_train.jsonl, sampling_size: 1.0}\n")
    for name, rows in {"knowledge_train.jsonl": 1000, "skills_train.jsonl": 10_000}.items():  # more than a warm-up
        (mixed / name).write_text((json.dumps(row) + "\n") * rows)
    return folder


@pytest.fixture
def dry_run(
    profile: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., str]]:
    """Runs a command of the program with the profile, on a machine that seems to have its GPUs: what is told of it.

    It gives the command that would be run.
    """
    monkeypatch.chdir(project)
    for name in [name for name in os.environ if name.startswith("ILAB_")]:
        monkeypatch.delenv(name)
    hardware = load(profile).hardware
    count, memory = hardware.count, (hardware.memory or 0) << 30
    gpus = tuple(Gpu(hardware.gpu or "GPU", memory, memory, "nvidia", number) for number in range(count))
    machine = Machine(gpus, "", 64, 1 << 40, 1 << 40, "Linux")
    monkeypatch.setattr("ilab_profiles.hardware.machine.here", lambda: machine)

    def run(command: Callable[..., None], section: str, values: dict[str, Any]) -> str:
        command(Typed(values, {}, section), profile=profile, dry_run=True)
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out.splitlines()[-1]

    with patch("torch.cuda.is_available", return_value=count > 0), patch("torch.cuda.device_count", return_value=count):
        yield run


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("profile", NAMES)
def test_a_training_is_planned_without_a_warning(profile: str, dry_run: Callable[..., str]) -> None:
    from ilab_cli.commands.model import train

    command = dry_run(train, "train", {"train.model_path": "student"})
    assert f"-m ilab_cli.backends.{'phases' if load(profile).train.phases else 'train'}" in command


@pytest.mark.parametrize("profile", NAMES)
def test_a_generation_is_planned_without_a_warning(profile: str, dry_run: Callable[..., str]) -> None:
    from ilab_cli.commands.data import generate

    values = {"generate.taxonomy_base": "empty", "generate.output_dir": "new"}
    assert "-m ilab_cli.backends.generate.launch" in dry_run(generate, "generate", values)


@pytest.mark.parametrize("profile", NAMES)
def test_a_mixture_is_planned_without_a_warning(profile: str, dry_run: Callable[..., str]) -> None:
    from ilab_cli.commands.data import mix

    values = {"generate.mix.skill_recipes": ("recipe.yaml",), "generate.mix.output_dir": "mixed"}
    assert "-m ilab_cli.backends.mix.launch" in dry_run(mix, "generate.mix", values)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("profile", NAMES)
def test_an_evaluation_is_planned_without_a_warning(profile: str, dry_run: Callable[..., str]) -> None:
    from ilab_cli.commands.model import evaluate

    off = {} if load(profile).evaluate.benchmarks else {"benchmarks": "mmlu", "mmlu.data_dir": "generated"}
    values = {"evaluate.model": "student"} | {f"evaluate.{name}": value for name, value in off.items()}
    assert "-m ilab_cli.backends.evaluate" in dry_run(evaluate, "evaluate", values)


@pytest.mark.parametrize("name", [name for name in NAMES if load(name).hardware.count])
def test_by_the_estimate_a_profile_for_gpus_fits_them(name: str) -> None:
    found = fit(name)
    assert found.fits is True
    assert found.room is not None
    assert found.high <= found.room

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.commands.system import match
from tests.programs import Ilab


def gpus(name: str, mib: int, count: int = 1) -> list[dict[str, Any]]:
    return [{"name": name, "memory_mib": mib}] * count


@pytest.mark.parametrize(
    ("found", "profile"),
    [
        (gpus("NVIDIA H100 80GB HBM3", 81559), "single_gpu/h100"),
        (gpus("NVIDIA H100 80GB HBM3", 81559, 2), "multi_gpu/h100_x2"),
        (gpus("NVIDIA A100-SXM4-80GB", 81920, 8), "multi_gpu/a100_x8"),
        (gpus("NVIDIA L40S", 46068, 4), "multi_gpu/l40s_x4"),
        (gpus("NVIDIA L4", 23034), "single_gpu/l4"),
        (gpus("NVIDIA GeForce RTX 4090", 24564), "single_gpu/rtx4090"),
    ],
)
def test_a_profile_made_for_exactly_these_gpus_is_found(found: list[dict[str, Any]], profile: str) -> None:
    assert match(found)["profile"] == profile


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([], "no GPU"),
        (gpus("NVIDIA H100 80GB HBM3", 81559, 4), "multi_gpu/h100_x2 (2 x H100, 80 GiB)"),
        (gpus("NVIDIA A100-SXM4-40GB", 40960, 8), "8 x NVIDIA A100-SXM4-40GB, 40960 MiB each"),
        (gpus("NVIDIA H100 NVL", 95830), "95830 MiB"),
        (gpus("NVIDIA L40", 46068, 4), "4 x NVIDIA L40, "),
        (gpus("NVIDIA T4", 15360), "1 x NVIDIA T4"),
        (gpus("NVIDIA L4", 23034) + gpus("NVIDIA L40S", 46068), "the GPUs differ"),
    ],
)
def test_nothing_is_guessed_and_the_reason_is_told(found: list[dict[str, Any]], why: str) -> None:
    answer = match(found)
    assert answer["profile"] is None
    assert why in answer["why"]


def test_info_tells_what_is_here(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("profile: single-gpu\n")
    found = json.loads(ilab("system", "info", "--json").stdout)
    assert found["python"] == platform.python_version()
    assert "ilab" in found
    assert found["cores"] > 0
    assert (found["profile"], found["profile_from"], found["valid"]) == ("single-gpu", "config.yaml", True)
    assert (found["config_file"], found["profile_folder"]) == (str(tmp_path / "config.yaml"), str(tmp_path / "own"))
    assert {"torch", "deepspeed", "lm_eval"} <= set(found["engines"])
    text = ilab("system", "info").stdout
    assert f"Python         {platform.python_version()}\n" in text
    assert "single-gpu, chosen by config.yaml" in text


def test_info_tells_the_gpus_that_the_driver_tells(ilab: Ilab, tmp_path: Path) -> None:
    path = _driver(tmp_path, "echo 'NVIDIA L40S, 46068'; " * 4)
    found = json.loads(ilab("system", "info", "--json", PATH=path).stdout)
    assert found["gpus"] == gpus("NVIDIA L40S", 46068, 4)
    assert found["made_for_this"]["profile"] == "multi_gpu/l40s_x4"
    assert ilab("system", "info", PATH=path).stdout.count("NVIDIA L40S, 46068 MiB\n") == 4


def test_info_tells_why_the_driver_tells_nothing(ilab: Ilab, tmp_path: Path) -> None:
    path = _driver(tmp_path, "echo 'the driver is not loaded' >&2; exit 9")
    done = ilab("system", "info", PATH=path)
    assert done.returncode == 0
    assert "none: nvidia-smi: the driver is not loaded" in done.stdout


def _driver(folder: Path, script: str) -> str:
    """A search path with an ``nvidia-smi`` of ours, since there may be no GPU here."""
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


def test_info_works_where_the_settings_are_refused(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("profile: singel_gpu\n")
    done = ilab("system", "info", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["valid"] is False
    assert "did you mean single_gpu?" in done.stderr


def test_torch_is_asked_only_where_it_is_installed(ilab: Ilab) -> None:
    from importlib.util import find_spec

    done = ilab("system", "info", "--torch", "--json")
    if find_spec("torch") is None:
        assert (done.returncode, "error[extra-not-installed]" in done.stderr) == (2, True)
    else:
        assert isinstance(json.loads(done.stdout)["torch"]["gpus"], list)

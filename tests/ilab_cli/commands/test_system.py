from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from ilab_cli.commands.system import _memory
from tests.ilab_cli.driver import NO_GPU, gpus, smi
from tests.programs import Ilab


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
    machine = gpus(tmp_path, "NVIDIA L40S", 46068, 4, used_by=os.getpid())
    found = json.loads(ilab("system", "info", "--json", **machine).stdout)
    first, *others = found["gpus"]
    assert first["uses"] == [{"pid": os.getpid(), "name": first["uses"][0]["name"], "memory_mib": 512}]
    assert (first["uses"][0]["name"][:2], [gpu["uses"] for gpu in others]) == ("py", [[], [], []])
    expected = {"name": "NVIDIA L40S", "kind": "nvidia", "mig": None, "memory_mib": 46068, "free_mib": 45468}
    assert [gpu | {"uses": []} for gpu in found["gpus"]] == [{"index": n, "uses": [], **expected} for n in range(4)]
    assert (found["offered"]["profile"], found["offered"]["exact"]) == ("multi_gpu/l40s_x4", True)
    text = ilab("system", "info", **machine).stdout
    assert text.count("NVIDIA L40S, 46068 MiB, 45468 free\n") == 3
    assert f"({os.getpid()}) 512 MiB\n" in text
    assert "multi_gpu/l40s_x4: 4 x NVIDIA L40S, 45.0 GiB; made for exactly this machine" in text


def test_info_tells_only_of_gpus_that_a_run_may_use(ilab: Ilab, tmp_path: Path) -> None:
    machine = gpus(tmp_path, "NVIDIA L4", 23034, 8) | {"CUDA_VISIBLE_DEVICES": "5"}
    found = json.loads(ilab("system", "info", "--json", **machine).stdout)
    assert ([gpu["index"] for gpu in found["gpus"]], found["cuda_visible_devices"]) == ([5], "5")
    assert found["offered"]["profile"] == "single_gpu/l4"
    assert "CUDA_VISIBLE_DEVICES=5\n" in ilab("system", "info", **machine).stdout


def test_info_offers_a_profile_for_a_slice_that_the_program_tells(ilab: Ilab, tmp_path: Path) -> None:
    gpu, part = "NVIDIA A100-SXM4-80GB", "  MIG 3g.40gb     Device  0: (UUID: MIG-c1)"
    answers = f"--query-gpu*) echo 'GPU-1, 81920, [N/A], Enabled, {gpu}';; -L) echo 'GPU 0: {gpu}\n{part}';;"
    machine = smi(tmp_path, f'case "$1" in {answers} *) exit 1;; esac')
    found = json.loads(ilab("system", "info", "--json", **machine).stdout)
    assert (found["gpus"][0]["mig"], found["gpus"][0]["memory_mib"]) == ("3g.40gb", 39731)
    assert (found["offered"]["profile"].partition("/")[0], found["offered"]["fits"]) == ("single_gpu", True)


def test_info_tells_memory_below_a_limit() -> None:
    sizes = {"memory_gib": 1.3, "installed_memory_gib": 23.5, "free_memory_gib": 1.2}
    assert _memory(sizes) == "1.3 GiB of 23.5, by a limit; 1.2 free"
    assert _memory(sizes | {"memory_gib": 23.5}) == "23.5 GiB; 1.2 free"


def test_info_shows_memory_and_cores(ilab: Ilab) -> None:
    found = json.loads(ilab("system", "info", "--json").stdout)
    assert 0 < found["free_memory_gib"] < found["memory_gib"] <= found["installed_memory_gib"]
    assert 0 < found["cores"] <= found["installed_cores"]
    assert re.search(r"^Memory +[\d.]+ GiB( of [\d.]+, by a limit)?; [\d.]+ free$", ilab("system", "info").stdout, re.M)
    if hasattr(os, "sched_setaffinity") and found["cores"] > 1:
        core = min(os.sched_getaffinity(0))
        code = f"import os, sys; os.sched_setaffinity(0, {{{core}}}); os.execv(sys.executable, sys.argv[1:])"
        command = [sys.executable, "-c", code, sys.executable, "-m", "ilab_cli", "system", "info"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert f"Cores          1 of {found['installed_cores']}, by a limit\n" in text


def test_info_tells_why_the_driver_tells_nothing(ilab: Ilab, tmp_path: Path) -> None:
    done = ilab("system", "info", **smi(tmp_path, "echo 'the driver is not loaded' >&2; exit 9"))
    assert done.returncode == 0
    assert "none: nvidia-smi: the driver is not loaded" in done.stdout
    assert "Begin with     cpu_only: nvidia-smi" in done.stdout
    hidden = json.loads(ilab("system", "info", "--json", **gpus(tmp_path, "NVIDIA L4", 23034), **NO_GPU).stdout)
    assert "chooses none of 1" in hidden["no_gpus_because"]


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

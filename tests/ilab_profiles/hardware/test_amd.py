"""AMD's GPUs, as the kernel and AMD's library tell."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ilab_profiles.hardware import amd
from ilab_profiles.hardware.gpu import Found

MI300X = 206141652992  # bytes, as rocm-smi shows it


def files(root: Path, **texts: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (root / name).write_text(f"{text}\n")


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Two MI300X, the second in use, between the screen of a server and a connector of it."""
    drm, kfd = tmp_path / "class/drm", tmp_path / "class/kfd/kfd"
    files(drm / "card0/device", vendor="0x1a03", device="0x2000")
    (drm / "card0-VGA-1").mkdir()
    for card, used in (("card1", "0"), ("card10", str(2**30))):
        memory = {"mem_info_vram_total": str(MI300X), "mem_info_vram_used": used}
        files(drm / card / "device", vendor="0x1002", device="0x74a1", unique_id=f"0xa{card}", **memory)
        minor = "128" if card == "card1" else "129"
        (drm / card / f"device/drm/renderD{minor}").mkdir(parents=True)
        files(
            kfd / f"topology/nodes/{minor}", gpu_id=f"7{minor}", properties=f"simd_count 1216\ndrm_render_minor {minor}"
        )
    files(kfd / f"proc/{os.getpid()}", vram_7128="0", vram_7129=str(2**30))
    return tmp_path


def test_the_kernel_tells_memory_and_who_holds_it(system: Path) -> None:
    first, second = amd.read({}, system).gpus
    assert (first.name, first.kind, first.memory, first.free) == ("AMD Instinct MI300X", "amd", MI300X, MI300X)
    assert (second.index, second.free) == (1, MI300X - 2**30)
    assert [(use.pid, use.memory) for use in second.uses] == [(os.getpid(), 2**30)]


def test_a_name_on_the_card_goes_before_that_of_its_chip(system: Path) -> None:
    files(system / "class/drm/card1/device", product_name="AMD Instinct MI300X OAM")
    files(system / "class/drm/card10/device", device="0x1234")
    assert [gpu.name for gpu in amd.read({}, system).gpus] == ["AMD Instinct MI300X OAM", "AMD GPU 0x1234"]


def test_nothing_is_told_where_amds_driver_is_not_loaded(tmp_path: Path) -> None:
    assert amd.read({}, tmp_path) == Found()


@pytest.mark.parametrize(
    ("variables", "indexes"),
    [
        ({"HIP_VISIBLE_DEVICES": "1"}, [1]),
        ({"CUDA_VISIBLE_DEVICES": "1"}, [1]),
        ({"HIP_VISIBLE_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "1"}, [0]),
        ({"ROCR_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "0"}, [1]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-acard10"}, [1]),
        ({"HIP_VISIBLE_DEVICES": ""}, []),
    ],
)
def test_the_variables_of_rocm_choose(system: Path, variables: dict[str, str], indexes: list[int]) -> None:
    found = amd.read(variables, system)
    assert [gpu.index for gpu in found.gpus] == indexes
    assert ("chooses none of 2 AMD GPUs" in found.because) is (not indexes)


def test_amds_library_is_asked_where_it_is_installed(monkeypatch: pytest.MonkeyPatch, system: Path) -> None:
    process = {"pid": os.getpid(), "name": "python --key secret", "memory_usage": {"vram_mem": 5 * 2**20}}
    library: Any = SimpleNamespace(
        amdsmi_init=lambda: None,
        amdsmi_shut_down=lambda: None,
        amdsmi_get_processor_handles=lambda: [0, 1],
        amdsmi_get_gpu_asic_info=lambda handle: {"market_name": f"AMD Instinct MI300X {handle}"},
        amdsmi_get_gpu_vram_usage=lambda handle: {"vram_total": 196592, "vram_used": 300},
        amdsmi_get_gpu_process_list=lambda handle: [process],
    )
    monkeypatch.setitem(sys.modules, "amdsmi", library)
    gpus = amd.read({"ROCR_VISIBLE_DEVICES": "GPU-acard10"}, system).gpus
    assert [(gpu.name, gpu.memory, gpu.free) for gpu in gpus] == [("AMD Instinct MI300X 1", MI300X, 196292 * 2**20)]
    assert [(use.memory, "secret" in use.name) for use in gpus[0].uses] == [(5 * 2**20, False)]
    library.amdsmi_get_gpu_vram_usage = lambda handle: {}
    assert [gpu.name for gpu in amd.read({}, system).gpus] == ["AMD Instinct MI300X"] * 2

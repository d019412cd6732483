"""The machine from all sources, and Apple's part of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ilab_profiles.hardware import amd, apple, machine, nvidia
from ilab_profiles.hardware.gpu import Found, Gpu

L4 = Gpu("NVIDIA L4", 23034 * 2**20, None, "nvidia", 0)
RADEON = Gpu("AMD Radeon RX 7900 XTX", 24560 * 2**20, None, "amd", 0)


def told(monkeypatch: pytest.MonkeyPatch, by_nvidia: Found, by_amd: Found) -> machine.Machine:
    monkeypatch.setattr(nvidia, "read", lambda: by_nvidia)
    monkeypatch.setattr(amd, "read", lambda: by_amd)
    monkeypatch.setattr(apple, "read", lambda: Found())
    return machine.here()


def test_gpus_are_of_one_maker(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, Found((L4, L4)), Found((RADEON,))).gpus == (L4, L4)
    found = told(monkeypatch, Found(because="nvidia-smi: broken"), Found((RADEON,), notes=("a note",)))
    assert (found.gpus, found.no_gpus_because, found.notes) == ((RADEON,), "", ("a note",))


def test_there_is_always_a_reason_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, Found(), Found()).no_gpus_because == "no driver of an NVIDIA, AMD or Apple GPU is here"
    assert told(monkeypatch, Found(because="a"), Found(because="b")).no_gpus_because == "a; b"


def test_gpus_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = Gpu("NVIDIA GB10", None, None, "nvidia", 2)
    assert (
        told(monkeypatch, Found((L4, L4, unknown)), Found()).gpus_in_words
        == "2 x NVIDIA L4, 22.5 GiB + 1 x NVIDIA GB10"
    )


def test_the_real_machine_is_read_without_anything_heavy() -> None:
    code = "import sys; from ilab_profiles.hardware.machine import here; print(here().memory, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    memory, *loaded = done.stdout.split()
    assert int(memory) > 0
    assert not {"torch", "numpy", "transformers", "typer", "pydantic"} & set(loaded)


@pytest.mark.parametrize(
    ("memory", "limit", "share"), [(16, "", 16 * 2 / 3), (36, "0", 27), (128, "122880", 120), (8, "0", 8 * 2 / 3)]
)
def test_of_apples_memory_metal_may_use_a_share(memory: int, limit: str, share: float) -> None:
    said = {
        "machdep.cpu.brand_string": "Apple M3 Max",
        "hw.memsize": str(memory * 2**30),
        "iogpu.wired_limit_mb": limit,
    }
    found = apple.read(lambda name: said[name], lambda: 7 * 2**30)
    (gpu,) = found.gpus
    assert (gpu.name, gpu.kind, gpu.memory) == ("Apple M3 Max", "apple", int(share * 2**30))
    assert gpu.free == min(int(share * 2**30), 7 * 2**30)
    assert f"about {share:.1f} of {memory}.0 GiB" in found.notes[0]


def test_other_machines_have_no_gpu_of_apple(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert apple.read(lambda name: {"machdep.cpu.brand_string": "Intel(R) Core(TM) i9"}.get(name, "")) == Found()
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}")
    assert apple.read() == Found()

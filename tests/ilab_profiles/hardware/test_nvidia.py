"""NVIDIA's GPUs by the driver's library and by its program, whatever of their answers is missing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ilab_profiles.hardware import nvidia, nvidia_smi
from ilab_profiles.hardware.gpu import Gpu
from tests.ilab_profiles.hardware.nvml import A100, Nvml, card

MIB = 2**20
EIGHT = [card("NVIDIA H100 80GB HBM3", 81559, 80989, uuid=f"GPU-{number}abc") for number in range(8)]
SLICED = card(
    A100,
    40960,
    40330,
    uuid="GPU-ee11",
    slices={
        0: card(f"{A100} MIG 3g.20gb", 19968, 19000, uuid="MIG-aa00", compute=[(os.getpid(), 900)]),
        2: card(A100.encode(), 4864, 4800, uuid=b"MIG-bb11", attributes=None),
    },
)


def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nvml: Any, **environment: str) -> Any:
    """What is found with this library in place of the driver's; ``None`` for none."""
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setenv("PATH", str(tmp_path))
    return nvidia.read(environment, tmp_path / "sys")


def test_the_library_tells_bytes_and_who_holds_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held = {"compute": [(os.getpid(), 500), (2**22 + 1, None)], "graphics": [(os.getpid(), 700)]}
    found = read(monkeypatch, tmp_path, Nvml(card(b"NVIDIA L40S", 46068, 45000, uuid="GPU-1", **held)))
    (gpu,) = found.gpus
    assert (gpu.name, gpu.memory, gpu.free, gpu.kind, gpu.mig) == (
        "NVIDIA L40S",
        46068 * MIB,
        45000 * MIB,
        "nvidia",
        None,
    )
    ours, unknown = gpu.uses
    assert (ours.pid, ours.memory) == (os.getpid(), 700 * MIB)
    assert ours.name.startswith("py")
    assert " " not in ours.name
    assert (unknown.name, unknown.memory) == ("", None)


def test_what_the_library_does_not_tell_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As of a GPU that shares main memory, one that fell off the bus, and in containers without a view of processes."""
    found = read(monkeypatch, tmp_path, Nvml(card("NVIDIA GB10", None), card("NVIDIA L4", 23034, lost=True)))
    assert found.gpus == (Gpu("NVIDIA GB10", None, None, "nvidia", 0),)
    assert found.because == ""


def test_gpus_of_other_jobs_are_not_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where a scheduler gives a job one of four GPUs: the driver counts them all, CUDA only this one."""
    cards = [card("NVIDIA L4", 23034, uuid=f"GPU-{number}", lost=number != 2) for number in range(4)]
    assert read(monkeypatch, tmp_path, Nvml(*cards), CUDA_VISIBLE_DEVICES="0").gpus[0].index == 0
    assert len(read(monkeypatch, tmp_path, Nvml(*cards)).gpus) == 1


def test_a_gpu_in_mig_mode_counts_by_its_slices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = read(monkeypatch, tmp_path, Nvml(SLICED, card("NVIDIA L4", 23034, 22000, uuid="GPU-l4")))
    assert [(gpu.index, gpu.mig, gpu.memory and gpu.memory // MIB) for gpu in found.gpus] == [
        (0, "3g.20gb", 19968),
        (0, "", 4864),
        (1, None, 23034),
    ]
    assert [use.pid for use in found.gpus[0].uses] == [os.getpid()]


@pytest.mark.parametrize(
    ("chosen", "indexes"),
    [
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("3", [3]),
        (" 3 , 1", [3, 1]),
        ("0,9,1", [0]),
        ("1,1", []),
        ("GPU-5abc,GPU-0", [5, 0]),
        ("GPU-", []),
        ("MIG-5abc", []),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str, indexes: list[int]
) -> None:
    found = read(monkeypatch, tmp_path, Nvml(*EIGHT), CUDA_VISIBLE_DEVICES=chosen)
    assert [gpu.index for gpu in found.gpus] == indexes
    assert bool(found.because) is (not indexes)
    if not indexes:
        assert f"CUDA_VISIBLE_DEVICES={chosen} chooses none of 8" in found.because


@pytest.mark.parametrize(
    ("chosen", "slices"),
    [
        ("MIG-bb", ["MIG-bb11"]),
        ("0", ["MIG-aa00"]),
        ("GPU-ee11", ["MIG-aa00"]),
        ("MIG-bb11,MIG-aa00", ["MIG-bb11", "MIG-aa00"]),
    ],
)
def test_the_variable_chooses_slices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str, slices: list[str]
) -> None:
    found = read(monkeypatch, tmp_path, Nvml(SLICED), CUDA_VISIBLE_DEVICES=chosen)
    sizes = {"MIG-aa00": 19968, "MIG-bb11": 4864}
    assert [gpu.memory // MIB for gpu in found.gpus] == [sizes[name] for name in slices]


def test_numbers_of_different_gpus_may_be_cudas_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mixed = Nvml(card("NVIDIA L4", 23034), card("NVIDIA L40S", 46068))
    assert "PCI_BUS_ID" in read(monkeypatch, tmp_path, mixed, CUDA_VISIBLE_DEVICES="1").notes[0]
    by_bus = {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert read(monkeypatch, tmp_path, mixed, **by_bus).notes == ()


def test_mig_mode_without_slices_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = read(monkeypatch, tmp_path, Nvml(card(A100, 40960, slices={}) | {"slices": {5: None}}))
    assert (found.gpus, found.because) == ((), "GPU 0: in MIG mode, without a slice that could be used")


# --- where the library does not answer --------------------------------------------------------------------------------


class Broken(Nvml):
    def nvmlInit(self) -> None:
        raise RuntimeError("Driver/library version mismatch")


GPUS = """GPU-11, 46068, 45589, [N/A], NVIDIA L40S
GPU-22, 81920, [N/A], Enabled, NVIDIA A100-SXM4-80GB
GPU-33, [Not Supported], [Not Supported], [N/A], NVIDIA GB10
"""
HELD = f"GPU-11, {os.getpid()}, 412\nGPU-11, 4194305, [Insufficient Permissions]\n"
LIST = """GPU 0: NVIDIA L40S (UUID: GPU-11)
GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-22)
  MIG 3g.40gb     Device  0: (UUID: MIG-c1)
  MIG 1g.10gb     Device  1: (UUID: MIG-c2)
GPU 2: NVIDIA GB10 (UUID: GPU-33)
"""


def test_the_answers_of_the_program_are_read() -> None:
    first, second, third = nvidia_smi.parse(GPUS, HELD, LIST)
    assert (first.gpu.memory, first.gpu.free) == (46068 * MIB, 45589 * MIB)
    assert [(use.pid, use.memory) for use in first.gpu.uses] == [(os.getpid(), 412 * MIB), (4194305, None)]
    assert [(part.gpu.mig, part.uuid, part.gpu.memory) for part in second.slices or ()] == [
        ("3g.40gb", "MIG-c1", round(38.8 * 2**30)),
        ("1g.10gb", "MIG-c2", round(9.7 * 2**30)),
    ]
    assert (third.gpu.name, third.gpu.memory, third.slices) == ("NVIDIA GB10", None, None)


def program(folder: Path, script: str) -> None:
    file = folder / "nvidia-smi"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.mark.parametrize("nvml", [None, Broken()], ids=["absent", "broken"])
def test_without_the_library_the_program_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nvml: Any) -> None:
    program(tmp_path, 'case "$1" in --query-gpu*) echo "GPU-1, 23034, 22000, [N/A], NVIDIA L4";; *) exit 1;; esac')
    found = read(monkeypatch, tmp_path, nvml)
    assert found.gpus == (Gpu("NVIDIA L4", 23034 * MIB, 22000 * MIB, "nvidia", 0),)


@pytest.mark.parametrize(
    ("nvml", "script", "because"),
    [
        (None, "echo 'the driver is not loaded' >&2; exit 9", "nvidia-smi: the driver is not loaded"),
        (None, "exit 3", "nvidia-smi: failed (3)"),
        (Broken(), "", "Driver/library version mismatch"),
        (Nvml(), "", "the NVIDIA driver finds no GPU that answers"),
        (None, "", ""),
    ],
)
def test_why_there_are_none_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nvml: Any, script: str, because: str
) -> None:
    if script:
        program(tmp_path, script)
    found = read(monkeypatch, tmp_path, nvml)
    assert found.gpus == ()
    assert because in found.because
    assert bool(found.because) is bool(because)


def test_a_gpu_without_a_driver_is_seen_on_the_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x040300\n")  # its sound
    assert read(monkeypatch, tmp_path, None).because == ""
    (device / "class").write_text("0x030200\n")
    assert "no driver" in read(monkeypatch, tmp_path, None).because

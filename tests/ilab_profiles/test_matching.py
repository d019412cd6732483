"""Which profile suits a machine; nothing is guessed, and what differs is said."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from ilab_profiles import InputError, Profile, load
from ilab_profiles.catalog import built_in_files
from ilab_profiles.diagnostics import Finding
from ilab_profiles.hardware.machine import Gpu, Machine
from ilab_profiles.matching import exact, nearest, offer, suits, suits_or_fits
from ilab_profiles.models.profile import Hardware

GIB = 2**30
H100, L4, L40S = ("NVIDIA H100 80GB HBM3", 81559), ("NVIDIA L4", 23034), ("NVIDIA L40S", 46068)
SLICE = ("NVIDIA A100-SXM4-80GB MIG 3g.40gb", 40192)
APPLE = Gpu("Apple M3 Max", 48 * GIB, None, "apple", 0)


def machine(*models: tuple[str, int | None]) -> Machine:
    gpus = [
        Gpu(name, mib and mib * 2**20, None, "nvidia", index, name.partition(" MIG ")[2] or None)
        for index, (name, mib) in enumerate(models)
    ]
    return Machine(tuple(gpus), "" if gpus else "no driver", 8, 64 * GIB, 60 * GIB, "Linux")


PROFILES = {
    name: Profile(hardware=Hardware.model_validate(hardware))
    for name, hardware in {
        "any": {},
        "one": {"count": 1, "memory": 16},
        "eight": {"count": 8, "memory": 80},
        "l4": {"gpu": "L4", "count": 1, "memory": 24},
        "h100": {"gpu": "H100", "count": 1, "memory": 80},
        "h100_x2": {"gpu": "H100", "count": 2, "memory": 80},
        "a100_x2": {"gpu": "A100", "count": 2, "memory": 80},
        "a100_x8": {"gpu": "A100", "count": 8, "memory": 80},
        "l40s_x4": {"gpu": "L40S", "count": 4, "memory": 48},
        "rtx4090": {"gpu": "RTX 4090", "count": 1, "memory": 24},
    }.items()
}


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (machine(H100), {"any": "any", "h100": "exact", "one": "enough"}),
        (machine(H100, H100), {"any": "any", "h100_x2": "exact"}),
        (machine(*[H100] * 8), {"any": "any", "eight": "enough"}),
        (machine(*[("NVIDIA A100-SXM4-80GB", 81920)] * 8), {"any": "any", "eight": "enough", "a100_x8": "exact"}),
        (machine(*[("NVIDIA A100-SXM4-40GB", 40960)] * 8), {"any": "any"}),
        (machine(*[L4] * 4), {"any": "any"}),
        (machine(("NVIDIA H100 NVL", 95830)), {"any": "any", "one": "enough"}),
        (machine(("Tesla T4", 15360)), {"any": "any", "one": "enough"}),
        (machine(("NVIDIA GeForce RTX 3080", 10240)), {"any": "any"}),
        (machine(("NVIDIA GB10", None)), {"any": "any", "one": None}),
        (machine(L4, L40S), {"any": "any"}),
        (machine(SLICE), {"any": "any", "one": "enough"}),
        (machine(), {"any": "any"}),
    ],
)
def test_a_profile_suits_what_it_names(here: Machine, expected: dict[str, str | None]) -> None:
    found = {name: suits(profile.hardware, here) for name, profile in PROFILES.items()}
    assert found == dict.fromkeys(PROFILES, "no") | expected
    assert exact(here, PROFILES) == next((name for name, how in expected.items() if how == "exact"), None)


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (machine(*[L4] * 4), ["l4", "rtx4090", "one"]),
        (machine(H100, H100, H100), ["h100_x2", "a100_x2", "h100", "l4", "rtx4090", "one"]),
        (machine(("NVIDIA A100 80GB PCIe", 81920)), ["h100", "l4", "rtx4090", "one"]),
        (machine(("NVIDIA GeForce RTX 4090 D", 24564)), ["rtx4090", "l4", "one"]),
        (machine(L4, L40S), ["l4", "rtx4090", "one"]),
        (machine(SLICE, SLICE), ["l4", "rtx4090", "one"]),
        (machine(L40S, L4), ["l4", "rtx4090", "one"]),
        (machine(H100, L4), ["h100", "l4", "rtx4090", "one"]),
        (machine(("NVIDIA GeForce RTX 3080", 10240)), ["one"]),
        (machine(("NVIDIA GB10", None)), ["one"]),
        (machine(), []),
    ],
)
def test_the_nearest_asks_for_no_more_than_there_is(here: Machine, expected: list[str]) -> None:
    assert nearest(here, PROFILES) == expected


def test_an_apple_gpu_is_none_to_train_on() -> None:
    here = Machine((APPLE,), "", 8, 64 * GIB, 60 * GIB, "Darwin")
    assert (suits(PROFILES["one"].hardware, here), nearest(here, PROFILES)) == ("no", [])
    assert suits(PROFILES["any"].hardware, here) == "any"


# --- what is offered --------------------------------------------------------------------------------------------------


def fitting(monkeypatch: pytest.MonkeyPatch, **peaks: int) -> None:
    """Let the estimate say what profiles take, in GiB, by the model of GPU that they name; the others fit."""

    def fit(profile: Profile, model: object = None, hardware: Machine | None = None) -> object:
        assert hardware
        room = min((gpu.memory or 0 for gpu in hardware.gpus), default=hardware.memory)
        peak = peaks.get((profile.hardware.gpu or "").replace(" ", ""), 1) * GIB
        where = "gpu" if hardware.gpus else "main"
        return SimpleNamespace(peak=peak, high=peak, room=room, fits=peak <= room, lacks=(), where=where)

    monkeypatch.setattr("ilab_profiles.estimate.fit.fit", fit)


def test_the_exact_one_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting(monkeypatch)
    found = offer(machine(L4))
    assert (found.profile, found.exact, found.differs, found.fits) == ("single_gpu/l4", True, (), True)
    assert found.why.startswith(
        "1 x NVIDIA L4, 22.5 GiB; made for exactly this machine; by the estimate it fits: training "
    )
    assert found.why.endswith(" takes 1.0 GiB of 22.5 GiB here")


def test_the_nearest_is_offered_with_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting(monkeypatch)
    found = offer(machine(("NVIDIA GeForce RTX 3090 Ti", 24564), L4, L4))
    assert (found.exact, found.fits) == (False, True)
    assert "it uses 2 of 3 GPUs, GPU 0 and GPU 1" in found.differs
    assert "the GPUs that it uses differ, and the smallest, GPU 1, counts" in found.differs
    larger = offer(machine(("NVIDIA A10G", 23028)))
    assert f"it is made for {load(larger.profile).hardware.gpu}" in larger.differs
    assert "of MIG slices a run uses one" in offer(machine(SLICE, SLICE)).differs


def test_one_that_does_not_fit_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting(monkeypatch, L4=30, RTX3090=30, RTX4090=30)
    found = offer(machine(*[L4] * 4))
    assert found.profile not in ("single_gpu/l4", "single_gpu/rtx4090", "cpu_only")
    assert found.fits
    assert "do not fit: multi_gpu/rtx3090_x2, " in found.passed_over
    assert "(multi_gpu/rtx3090_x2: training instructlab/granite-7b-lab takes 30.0 GiB of 22.5 " in found.why


def test_where_none_fits_it_is_said_and_the_cpu_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    near = nearest(machine(L4, L4), {name: load(str(path)) for name, path in built_in_files().items()})
    monkeypatch.setattr(
        "ilab_profiles.matching._estimate", lambda profile, here: (profile.hardware.count == 0, "", "too large")
    )
    found = offer(machine(L4, L4))
    assert (found.profile, found.exact, found.fits) == ("cpu_only", False, True)
    assert found.differs[0] == f"by the estimate these do not fit: {', '.join(near)} ({near[0]}: too large)"
    assert found.differs[1] == "cpu_only uses no GPU"
    silent = offer(machine(("NVIDIA GB10", None)))
    assert (silent.profile, silent.differs[0]) == ("cpu_only", "the GPUs do not tell their memory")


def test_without_a_gpu_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting(monkeypatch)
    found = offer(machine())
    assert (found.profile, found.here, found.differs) == ("cpu_only", "no driver", ())


def test_what_cannot_be_estimated_is_offered_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*arguments: object, **options: object) -> None:
        raise InputError(Finding("no-model", "there is no such model"))

    monkeypatch.setattr("ilab_profiles.estimate.fit.fit", fit)
    found = offer(machine(*[L4] * 2))
    assert (found.profile, found.fits) == ("multi_gpu/rtx3090_x2", None)
    assert found.why.endswith("whether it fits is not known: there is no such model")


# --- with the real estimate -------------------------------------------------------------------------------------------


def test_one_for_any_gpu_is_offered_where_it_fits_whatever_memory_it_names() -> None:
    small, smaller = machine(("NVIDIA GeForce RTX 3060", 12288)), machine(("NVIDIA GeForce RTX 3070", 8192))
    found = offer(small)
    assert (found.profile, found.fits, found.differs) == ("single_gpu", True, ("it is made for 16 GiB, here are 12",))
    assert suits_or_fits(load("single_gpu"), small) == "enough"
    assert offer(smaller).profile == "cpu_only"
    assert suits_or_fits(load("single_gpu"), smaller) == "no"
    assert offer(machine(("NVIDIA GB10", None))).profile == "cpu_only"


def test_what_is_missing_is_said_instead_of_memory_that_is_there() -> None:
    here = replace(machine(H100, H100), memory=23 * GIB)
    found = offer(here)
    assert (found.profile, found.exact, found.fits) == ("multi_gpu/h100_x2", True, False)
    assert found.estimate.startswith("by the estimate it does not fit: what is kept in main memory takes ")
    assert found.estimate.endswith(" GiB of 23.0")
    third = offer(replace(here, gpus=machine(H100, H100, H100).gpus))
    assert third.profile == "single_gpu/h100"
    assert "multi_gpu/h100_x2: what is kept in main memory takes " in third.passed_over
    assert offer(replace(here, gpus=())).estimate.endswith(" GiB of 23.0 GiB here")


@pytest.mark.parametrize(
    ("gpu", "profile", "said"),
    [
        (("Tesla V100-SXM2-32GB", 32768), "single_gpu/t4", "it is made for T4"),
        (("Tesla P100-PCIE-16GB", 16280), "single_gpu/t4", "it is made for T4"),
        (("NVIDIA GeForce RTX 2080 Ti", 11264), "single_gpu", "set train.precision: fp16"),
    ],
)
def test_a_gpu_without_bf16_gets_what_it_can_compute(gpu: tuple[str, int], profile: str, said: str) -> None:
    found = offer(machine(gpu))
    assert (found.profile, found.fits, said in found.why) == (profile, True, True), found.why
    assert suits_or_fits(load("single_gpu"), machine(gpu)) == "no"


def test_of_gpus_that_differ_the_first_are_used() -> None:
    here = replace(machine(H100, L4), memory=2000 * GIB)
    profiles = {name: load(name) for name in ("single_gpu/h100", "single_gpu/l4")}
    assert nearest(here, profiles) == ["single_gpu/h100", "single_gpu/l4"]
    assert nearest(replace(here, gpus=here.gpus[::-1]), profiles) == ["single_gpu/l4"]

"""Which profile suits a machine; nothing is guessed, and what differs is said."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ilab_profiles import InputError, Profile, load
from ilab_profiles.catalog import built_in_files
from ilab_profiles.diagnostics import Finding
from ilab_profiles.hardware.machine import Gpu, Machine
from ilab_profiles.matching import exact, nearest, offer, suits
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
        (machine(("NVIDIA GeForce RTX 3080", 10240)), []),
        (machine(("NVIDIA GB10", None)), []),
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
        return SimpleNamespace(peak=peak, room=room, fits=peak <= room)

    monkeypatch.setattr("ilab_profiles.estimate.fit.fit", fit)


def test_the_exact_one_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting(monkeypatch)
    found = offer(machine(L4))
    assert (found.profile, found.exact, found.differs, found.fits) == ("single_gpu/l4", True, (), True)
    assert found.why.startswith(
        "1 x NVIDIA L4, 22.5 GiB; made for exactly this machine; by the estimate it fits: training "
    )
    assert found.why.endswith(" takes 1.0 GiB of 22.5 free")


def test_the_nearest_is_offered_with_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting(monkeypatch)
    found = offer(machine(("NVIDIA GeForce RTX 3090 Ti", 24564), L4, L4))
    assert (found.exact, found.fits) == (False, True)
    assert "the GPUs differ, and the smallest one counts" in found.differs
    assert "of 3 GPUs" in found.why
    larger = offer(machine(("NVIDIA A10G", 23028)))
    assert f"it is made for {load(larger.profile).hardware.gpu}" in larger.differs
    assert "of MIG slices a run uses one" in offer(machine(SLICE, SLICE)).differs


def test_one_that_does_not_fit_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting(monkeypatch, L4=30, RTX4090=30)
    found = offer(machine(*[L4] * 4))
    assert found.profile not in ("single_gpu/l4", "single_gpu/rtx4090", "cpu_only")
    assert found.fits


def test_where_none_fits_it_is_said_and_the_cpu_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    near = nearest(machine(L4, L4), {name: load(str(path)) for name, path in built_in_files().items()})
    monkeypatch.setattr("ilab_profiles.matching._estimate", lambda profile, here: (profile.hardware.count == 0, ""))
    found = offer(machine(L4, L4))
    assert (found.profile, found.exact, found.fits) == ("cpu_only", False, True)
    assert found.differs == (f"by the estimate these do not fit: {', '.join(near)}", "cpu_only uses no GPU")
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

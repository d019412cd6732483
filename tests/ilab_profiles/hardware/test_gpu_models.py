"""Models of GPUs: in what drivers tell, and in what people write."""

from __future__ import annotations

import pytest

from ilab_profiles import InputError
from ilab_profiles.hardware.gpu import Gpu
from ilab_profiles.hardware.gpu_models import AMD_DEVICES, MODELS, is_a, model_of, named, nominal, without_bf16


def gpu(name: str, mib: int | None, mig: str | None = None) -> Gpu:
    return Gpu(name, None if mib is None else mib * 2**20, None, "nvidia", 0, mig)


@pytest.mark.parametrize(
    ("name", "mib", "model"),
    [
        ("NVIDIA H100 80GB HBM3", 81559, "H100 80 GiB"),
        ("NVIDIA H100 NVL", 95830, "H100 NVL 94 GiB"),
        ("NVIDIA A100-SXM4-40GB", 40536, "A100 40 GiB"),
        ("NVIDIA A100 80GB PCIe", 81920, "A100 80 GiB"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 16376, "RTX 4090 Laptop 16 GiB"),
        ("NVIDIA GeForce RTX 4080 SUPER", 16376, "RTX 4080 SUPER 16 GiB"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 97887, "RTX PRO 6000 96 GiB"),
        ("NVIDIA RTX 6000 Ada Generation", 49140, "RTX 6000 Ada 48 GiB"),
        ("NVIDIA B300 SXM6 AC", 275040, "B300 288 GiB"),
        ("AMD Instinct MI300X OAM", 196592, "MI300X 192 GiB"),
        ("NVIDIA H100 64GB", 65247, None),
        ("NVIDIA Graphics Device", 95830, None),
    ],
)
def test_the_model_is_found_in_the_name_that_a_driver_tells(name: str, mib: int, model: str | None) -> None:
    found = model_of(gpu(name, mib))
    assert (found and str(found)) == model


def test_a_slice_is_no_model_and_has_the_memory_that_it_tells() -> None:
    slice_ = gpu("NVIDIA A100-SXM4-80GB MIG 3g.40gb", 40192, "3g.40gb")
    assert (model_of(slice_), nominal(slice_)) == (None, 39.2)
    assert not is_a(slice_, "A100", 40)


@pytest.mark.parametrize(
    ("model", "gib", "expected"),
    [
        ("RTX 3090 Ti", 24, True),
        ("RTX 3090", 24, False),
        ("rtx3090ti", None, True),
        ("GeForce", 24, True),
        ("GeForce", 32, False),
    ],
)
def test_a_gpu_is_of_one_model(model: str, gib: int | None, expected: bool) -> None:
    assert is_a(gpu("NVIDIA GeForce RTX 3090 Ti", 24564), model, gib) is expected


def test_every_model_is_found_by_its_name_and_size_and_reports_no_more_than_it_has() -> None:
    for model in MODELS:
        assert named(f"{model.name}-{model.gib}") is model
        assert named(model.name.lower().replace(" ", ""), model.gib) is model
        assert model_of(gpu(f"NVIDIA {model.name}", model.mib)) is model
        assert 0.9 * model.gib <= model.mib / 1024 <= model.gib


@pytest.mark.parametrize(
    ("written", "model"),
    [
        ("H100", "H100 80 GiB"),
        ("rtx4090", "RTX 4090 24 GiB"),
        ("4090", "RTX 4090 24 GiB"),
        ("A100 80GB", "A100 80 GiB"),
        ("a100_40", "A100 40 GiB"),
        ("h100-nvl", "H100 NVL 94 GiB"),
        ("A6000", "RTX A6000 48 GiB"),
        ("NVIDIA GeForce RTX 3090", "RTX 3090 24 GiB"),
        ("AMD Instinct MI250X", "MI250X 64 GiB"),
    ],
)
def test_people_write_names_as_they_like(written: str, model: str) -> None:
    assert str(named(written)) == model


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("A100", "write A100-80 or A100-40"),
        ("V100-24", "V100 comes with 32 or 16 GiB, not 24"),
        ("H101", "did you mean H100?"),
        ("RTX 4091", "did you mean RTX 4090?"),
        ("RTX 3060 Ti", "did you mean RTX 4060 Ti, RTX 3090 Ti or RTX 3080 Ti?"),
        ("NVIDIA GeForce RTX 4070 Laptop GPU", "did you mean RTX 4090 Laptop?"),
        ("NVIDIA H100 64GB", "H100 comes with 80 GiB, not 64"),
        ("abacus", "hint: write it as in H100, A100-80"),
        ("", "hint: write it as in H100"),
    ],
)
def test_a_model_that_is_not_meant_for_sure_is_refused(written: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        named(written)
    (finding,) = refused.value.findings
    assert (finding.rule, said in str(finding)) == ("unknown-gpu", True), str(finding)
    assert len(finding.hint) < 80


DRIVERS = {
    "NVIDIA H100 80GB HBM3": "H100 80 GiB",
    "NVIDIA H100 PCIe": "H100 80 GiB",
    "NVIDIA H100 NVL": "H100 NVL 94 GiB",
    "NVIDIA GH200 480GB": "GH200 96 GiB",
    "NVIDIA A100-SXM4-40GB": "A100 40 GiB",
    "NVIDIA A100-SXM4-80GB": "A100 80 GiB",
    "NVIDIA A100 80GB PCIe": "A100 80 GiB",
    "NVIDIA B300 SXM6 AC": "B300 288 GiB",
    "NVIDIA L40S": "L40S 48 GiB",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": "RTX PRO 6000 96 GiB",
    "NVIDIA RTX 6000 Ada Generation": "RTX 6000 Ada 48 GiB",
    "NVIDIA GeForce RTX 4090 Laptop GPU": "RTX 4090 Laptop 16 GiB",
    "NVIDIA GeForce RTX 4080 SUPER": "RTX 4080 SUPER 16 GiB",
    "NVIDIA GeForce RTX 4090 D": "RTX 4090 24 GiB",
    "NVIDIA GeForce RTX 3090 Ti": "RTX 3090 Ti 24 GiB",
    "Tesla V100-SXM2-32GB": "V100 32 GiB",
    "Tesla T4": "T4 16 GiB",
    "AMD Instinct MI300X OAM": "MI300X 192 GiB",
    "AMD Instinct MI300X VF": "MI300X 192 GiB",
}


@pytest.mark.parametrize("name", DRIVERS)
def test_what_a_driver_calls_a_gpu_is_understood(name: str) -> None:
    assert str(named(name)) == DRIVERS[name]


def test_what_devices_and_slices_are_called_is_understood() -> None:
    assert all(named(name).name in name for name in AMD_DEVICES.values())
    part = named("NVIDIA A100-SXM4-80GB MIG 3g.40gb")
    assert (part.gib, round(part.mib / 1024, 1)) == (39, 38.8)


@pytest.mark.parametrize(
    "name", ["Tesla T4", "v100-32", "NVIDIA TITAN RTX", "NVIDIA GeForce RTX 2070 SUPER", "Tesla P40"]
)
def test_some_gpus_have_no_bf16(name: str) -> None:
    assert without_bf16(name)
    assert without_bf16(gpu(name, 8192))


@pytest.mark.parametrize(
    "name", ["NVIDIA A100-SXM4-40GB", "rtx4090", "NVIDIA RTX 2000 Ada Generation", "NVIDIA GB10", "MI100"]
)
def test_the_others_have_it_or_it_is_not_known(name: str) -> None:
    assert not without_bf16(name)
    assert not without_bf16(gpu(name, None))

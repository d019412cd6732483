"""Models of GPUs: in what drivers tell, and in what people write."""

from __future__ import annotations

import pytest

from ilab_profiles import InputError
from ilab_profiles.hardware.gpu import Gpu
from ilab_profiles.hardware.gpu_models import MODELS, is_a, model_of, named, nominal


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
        ("abacus", "known: B300, B200"),
        ("", "known: "),
    ],
)
def test_a_model_that_is_not_meant_for_sure_is_refused(written: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        named(written)
    (finding,) = refused.value.findings
    assert (finding.rule, said in str(finding)) == ("unknown-gpu", True), str(finding)

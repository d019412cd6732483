"""What is offered where a training does not fit: settings that the rules accept, that make it fit, and cost least."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilab_profiles import InputError, Profile, fit, load, names
from ilab_profiles.estimate import change
from ilab_profiles.estimate.anatomy.known import KNOWN
from ilab_profiles.estimate.need import Need
from ilab_profiles.hardware.machine import Gpu, Machine
from ilab_profiles.models.profile import Hardware
from ilab_profiles.rules.language import value_at
from tests.conftest import examples

LLAMA = next(iter(KNOWN.values()))
MODELS: dict[str, dict[str, Any]] = {
    "7B": LLAMA,
    "1B": {**LLAMA, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "vocab_size": 128256},
    "small": {**LLAMA, "hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "num_attention_heads": 8},
}
ENGINES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "plain": {"train.deepspeed.enabled": False, "train.deepspeed.quantize_dtype": None, "train.lora.enabled": False},
    "fsdp": {"train.deepspeed.enabled": False, "train.deepspeed.quantize_dtype": None, "train.fsdp.enabled": True},
    "fp32": {"train.precision": "fp32", "train.gradient_checkpointing": False},
    "one sample": {"train.effective_batch_size": 8, "train.max_batch_len": 4096},
}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A config.json of each model."""
    folder = tmp_path_factory.mktemp("models")
    for name, config in MODELS.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    return {name: folder / f"{name}.json" for name in MODELS}


def with_room(size: float, main_memory: int = 2**40) -> Machine:
    """A machine with eight GPUs of so many bytes."""
    gpus = tuple(Gpu("GPU", round(size), round(size), "nvidia", number) for number in range(8))
    return Machine(gpus, "", 8, main_memory, main_memory, "Linux")


def on_gpus(name: str, engine: str) -> Profile:
    """A shipped profile on GPUs, on another engine."""
    profile = load(name)
    on = {"train.device": "cuda", "train.gpus": "0-7" if profile.train.world_size == 8 else "0"}
    try:
        return profile.replace({**on, **ENGINES[engine]})
    except InputError:  # the rules know better
        return profile.replace(on)


@settings(max_examples=examples(40))
@given(
    st.sampled_from(names()),
    st.sampled_from([*ENGINES]),
    st.sampled_from([*MODELS]),
    st.floats(min_value=0.03, max_value=0.999),
    st.sampled_from([2**36, 2**40]),
)
def test_what_is_offered_loads_and_fits(
    models: dict[str, Path], name: str, engine: str, model: str, share: float, main_memory: int
) -> None:
    profile = on_gpus(name, engine)
    machine = with_room(fit(profile, models[model], Hardware(count=8)).high * share, main_memory)
    found = fit(profile, models[model], machine)
    assert found.fits is False
    if found.change is None:
        return
    assert all(value_at(profile, path) != value for path, value in found.change.settings.items())
    changed = fit(profile.replace(found.change.settings), models[model], machine)
    assert changed.fits
    assert (changed.peak, changed.low, changed.high) == (found.change.peak, found.change.low, found.change.high)
    assert changed.change is None
    assert len(found.change.price) == len({*found.change.price}) > 0


@pytest.mark.parametrize(("engine", "share"), [("as it is", 0.9), ("as it is", 0.75), ("plain", 0.8), ("fp32", 0.6)])
@pytest.mark.parametrize("name", ["single_gpu", "multi_gpu"])
def test_nothing_that_costs_less_would_do(models: dict[str, Path], name: str, engine: str, share: float) -> None:
    profile = on_gpus(name, engine)
    machine = with_room(fit(profile, models["1B"], Hardware(count=8)).high * share)

    def fits(changes: dict[str, Any]) -> bool:
        try:
            return bool(fit(profile.replace(changes), models["1B"], machine).fits)
        except InputError:
            return False

    offered = fit(profile, models["1B"], machine).change
    assert offered
    for candidate in change._candidates(profile.train):
        if candidate.price == offered.price:
            break
        sizes = [candidate.sizes[0], candidate.sizes[-1]] if candidate.sizes else [profile.train.max_batch_len]
        assert not any(fits({**candidate.settings, "train.max_batch_len": size}) for size in sizes)
    larger = offered.settings.get("train.max_batch_len", profile.train.max_batch_len) + 1024
    assert larger > profile.train.max_batch_len or not fits({**offered.settings, "train.max_batch_len": larger})


def test_a_little_too_much_costs_a_little(models: dict[str, Path]) -> None:
    profile = load("multi_gpu")
    machine = with_room(fit(profile, models["7B"], Hardware(count=8)).high - 1)
    found = fit(profile, models["7B"], machine).change
    assert found
    assert [*found.settings] == ["train.max_batch_len"]
    assert profile.train.max_seq_len <= found.settings["train.max_batch_len"] < profile.train.max_batch_len


def test_the_dearer_the_less_memory_there_is(models: dict[str, Path]) -> None:
    profile = load("cpu_only").replace({"train.gpus": "0", "train.max_batch_len": 8192})
    whole = fit(profile, models["1B"], Hardware(count=1)).high
    prices = [
        found.price
        for share in (0.95, 0.6, 0.3, 0.15)
        if (found := fit(profile, models["1B"], with_room(whole * share)).change)
    ]
    dearness = {candidate.price: candidate.cost for candidate in change._candidates(profile.train)}
    costs = [dearness[price] for price in prices]
    assert len(costs) > 2
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]


def test_nothing_is_offered_where_it_fits_or_where_nothing_helps(models: dict[str, Path]) -> None:
    assert fit("single_gpu", models["7B"], 80).change is None
    hopeless = fit("multi_gpu", models["7B"], 1)
    assert (hopeless.fits, hopeless.change) == (False, None)


def test_little_is_tried_where_nothing_helps() -> None:
    tried = 0

    def needed(profile: Profile) -> Need:
        nonlocal tried
        tried += 1
        return Need((), cuda=True, phase="", processes=8, trained=1)

    assert change.smallest(load("multi_gpu").replace(ENGINES["plain"]), needed, lambda need: False) is None
    assert 1 < tried < 500  # of some thousand combinations


@pytest.mark.parametrize(("too_long", "said"), [("drop", "are left out"), ("truncate", "lose their end")])
def test_what_becomes_of_long_conversations_is_said(models: dict[str, Path], too_long: str, said: str) -> None:
    profile = load("single_gpu").replace({"train.too_long": too_long, "train.max_batch_len": 4096})
    found = fit(profile, models["7B"], with_room(fit(profile, models["7B"]).peak * 0.75)).change
    assert found
    assert found.settings["train.max_seq_len"] < 4096
    assert said in " ".join(found.price)


def test_missing_gpus_and_main_memory_are_told(models: dict[str, Path]) -> None:
    few = fit("multi_gpu", models["small"], Hardware(count=2, memory=80))
    assert (few.fits, few.change) == (False, None)
    assert few.lacks == ("8 processes need as many GPUs; there are 2",)
    offloading = load("multi_gpu").replace({"train.deepspeed.ds_offload_strat": "cpu"})
    full = fit(offloading, models["7B"], with_room(2**37, main_memory=2**30))
    assert full.fits is False
    assert full.lacks[0].startswith("what is kept in main memory takes ")
    assert full.lacks[0].endswith(" GiB of 1.0")


@pytest.mark.parametrize(("gpu", "memory"), [("New 1", 40), ("New 1", None), ("A100", None)])
def test_of_a_gpu_that_is_not_known_its_memory_counts(models: dict[str, Path], gpu: str, memory: int | None) -> None:
    found = fit("single_gpu", models["7B"], Hardware(count=1, gpu=gpu, memory=memory))
    assert found.device.startswith(gpu)
    assert (found.room is None) == (found.fits is None) == (memory is None)
    assert found.room is None or 0.9 * 40 * 2**30 < found.room <= 40 * 2**30


def test_a_training_that_cannot_use_the_gpu_takes_main_memory(models: dict[str, Path]) -> None:
    apple = Machine((Gpu("Apple M4", 2**36, None, "apple", 0),), "", 8, 2**36, 2**35, "Darwin")
    assert fit(load("cpu_only").replace({"train.gpus": None}), models["small"], apple).where == "main"

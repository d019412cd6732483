"""The rules are validators of the models: whoever makes a profile or a section of one is told what it breaks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from ilab_profiles import InputError, Profile, Train, load
from ilab_profiles.models.engines import DeepSpeed, Lora, Torchrun
from ilab_profiles.models.fields import Section
from ilab_profiles.models.paths import section_of
from ilab_profiles.models.phase import Phase
from ilab_profiles.rules.checks import CHECKS
from ilab_profiles.rules.table import RULES
from tests.ilab_profiles.rules.test_rules import CASES, nested

SEVERITIES = {rule.id: rule.severity for rule in RULES} | {check.id: check.severity for check in CHECKS}
FIXES = {rule.id: rule.fix for rule in RULES}
REASONS = {rule.id: rule.why for rule in RULES} | {check.id: check.why for check in CHECKS}
ERRORS = [rule for rule, severity in SEVERITIES.items() if severity == "error"]


def places(model: type[Section] = Profile, at: str = "") -> Iterator[tuple[type[Section], str]]:
    """Every section of a profile, with its dotted path."""
    yield model, at
    for name, info in model.model_fields.items():
        if below := section_of(info.annotation):
            yield from places(below, f"{at}.{name}".removeprefix("."))


@pytest.mark.parametrize("rule", ERRORS)
def test_a_profile_that_breaks_a_rule_cannot_be_made(rule: str) -> None:
    fires, quiet = CASES[rule]
    with pytest.raises(ValidationError) as caught:
        Profile.model_validate(nested(fires))
    assert f"[{rule}]" in str(caught.value)
    assert REASONS[rule] in str(caught.value)
    assert all(path in str(caught.value) for path in FIXES.get(rule, {}))
    Profile.model_validate(nested(quiet))


@pytest.mark.parametrize("rule", ERRORS)
def test_a_section_that_holds_all_fields_of_a_rule_runs_it(rule: str) -> None:
    name = next(iter(CASES[rule][0])).split(".")[0]
    model = section_of(Profile.model_fields[name].annotation)
    assert model
    with pytest.raises(ValidationError, match=rf"\[{rule}\]"):
        model.model_validate(nested(CASES[rule][0])[name])
    model.model_validate(nested(CASES[rule][1])[name])


@pytest.mark.parametrize("rule", [rule for rule, severity in SEVERITIES.items() if severity == "warning"])
def test_a_warning_refuses_nothing(rule: str) -> None:
    Profile.model_validate(nested(CASES[rule][0]))


def test_sections_made_by_hand_obey() -> None:
    with pytest.raises(ValidationError, match="quantize-needs-lora"):
        Profile(train=Train(deepspeed=DeepSpeed(quantize_dtype="nf4")))
    with pytest.raises(ValidationError, match="offload-needs-deepspeed"):
        DeepSpeed(ds_offload_strat="cpu")
    with pytest.raises(ValidationError, match="port-needs-address"):
        Torchrun(master_port=80)
    assert Train(lora=Lora(enabled=True), deepspeed=DeepSpeed(quantize_dtype="nf4")).lora.enabled


def test_a_part_that_nobody_checked_is_checked_with_the_whole() -> None:
    unchecked = Train().model_copy(update={"precision": "fp16", "device": "cpu"})
    with pytest.raises(ValidationError, match="fp16-needs-a-gpu"):
        Profile(train=unchecked)


def test_every_broken_rule_of_a_section_is_told() -> None:
    with pytest.raises(ValidationError) as caught:
        DeepSpeed(ds_offload_strat="nvme", cpu_offload_params=True)
    told = ["offload-needs-deepspeed", "parameter-offload-needs-deepspeed", "nvme-needs-zero-3", "nvme-needs-a-path"]
    assert all(f"[{rule}]" in str(caught.value) for rule in told)


def test_phases_are_judged_where_values_of_their_own_have_to_do_with_it() -> None:
    with pytest.raises(ValidationError, match=r"phase-names-differ"):
        Train(phases=(Phase(name="a"), Phase(name="a")))


def test_each_section_knows_its_place() -> None:
    found = [(model, model.place) for model, _ in places() if model.place is not None]
    assert found == [(model, at) for model, at in places() if model.place is not None]
    judged = {condition.path.rpartition(".")[0] for rule in RULES for condition in (*rule.when, rule.require)}
    assert judged <= {at for _, at in found}


def test_replace_takes_a_mapping() -> None:
    profile = load("single_gpu").replace({"train.num_epochs": 3}, **{"train.lora.lora-rank": 4})
    assert (profile.train.num_epochs, profile.train.lora.lora_rank) == (3, 4)
    with pytest.raises(InputError, match="quantize-needs-lora"):
        profile.replace({"train.lora.enabled": False})

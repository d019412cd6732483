"""Whatever model refuses whatever data, what is wrong is told once for each place, in one language."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from ilab_profiles import check
from ilab_profiles.diagnostics import Finding
from ilab_profiles.problems import checked
from ilab_profiles.yaml.read import parse


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Item(Strict):
    path: str
    size: int | Annotated[float, Field(allow_inf_nan=False)] = Field(1, description="1.0 is all of it")


class Holder(Strict):
    items: list[Item] = Field(min_length=1, json_schema_extra={"x-mistaken": ["things"]})
    steps: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    lr: float = Field(1.0, gt=0)


def found(text: str) -> dict[str, Finding]:
    document = parse(text, "it.yaml")
    _, findings = checked(Holder, document.data, document)
    places = {f"{finding.rule} {finding.position}": finding for finding in findings}
    assert len(places) == len(findings)
    return places


def test_a_key_with_a_typo_is_one_finding_at_the_key() -> None:
    (place, finding), *others = found("items: [{pth: a}]\n").items()
    assert (place, finding.path, others) == ("unknown-key it.yaml:1:10", "items[0].pth", [])
    assert "did you mean path?" in finding.hint


def test_a_key_that_people_mistake_for_another_gets_its_name() -> None:
    (finding,) = found("things: [{path: a}]\n").values()
    assert "did you mean items?" in finding.hint


def test_a_missing_key_is_told_where_it_should_stand() -> None:
    assert list(found("items:\n- size: 2\n")) == ["missing-key it.yaml:2:3"]
    assert list(found("lr: 1.0\n")) == ["missing-key it.yaml:1:1"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("steps: 0", "must be at least 1 or auto"),
        ("steps: []", "must be a whole number or auto"),
        ("items: [{path: a, size: many}]", "must be a number, not text"),
        ("items: [{path: a, size: .inf}]", "must be a finite number"),
        ("items: []", "must have at least 1"),
        ("items: [3]", "must be a section of `key: value` lines, not a number"),
        ("items: a", "must be a list, not text"),
    ],
)
def test_all_branches_of_a_union_are_one_finding(value: str, message: str) -> None:
    more = "" if value.startswith("items") else "items: [{path: a}]\n"
    (finding,) = found(f"{more}{value}\n").values()
    assert finding.message == message


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("items: [{path: a}]\nlr: '3'", "without quotes"),
        ("items: [{path: 3}]", "quotes"),
        ("items: a", "write a list"),
        ("items: [{path: a, size: []}]", "1.0 is all of it"),
    ],
)
def test_hints_say_what_to_write(text: str, hint: str) -> None:
    (finding,) = found(f"{text}\n").values()
    assert hint in finding.hint


def test_what_is_right_beside_is_still_there() -> None:
    document = parse("items: [{path: a}]\nlr: -1\nmore: 3\n", "it.yaml")
    holder, findings = checked(Holder, document.data, document)
    assert holder
    assert (holder.items[0].path, holder.lr) == ("a", 1.0)
    assert {finding.rule for finding in findings} == {"bad-value", "unknown-key"}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("train: {lora_r: 3}", "did you mean lora.lora_rank?"),
        ("train: {zero_stage: 3}", "did you mean deepspeed.zero_stage?"),
        ("learning_rate: 3.0", "did you mean train.learning_rate?"),
        ("train: {lr: 3.0}", "did you mean learning_rate?"),
        ("train: {num_epochs: '3'}", "write it without quotes"),
        ("train: {num_epochs: many}", "write a whole number at least 1"),
        ("train: {fsdp: {enabled: 'true'}}", "write it without quotes"),
    ],
)
def test_profiles_say_what_may_be_meant(tmp_path: Path, text: str, hint: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"{text}\n")
    (finding,) = check(str(file))
    assert finding.hint == hint


def test_the_fix_of_one_mistake_is_offered_beside_another_mistake(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("train:\n  device: cpu\n  gpus: 0\n  precision: fp16\n")
    fixes = {finding.rule: (finding.fix, finding.unsafe) for finding in check(str(file))}
    assert fixes["train-on-cpu-has-no-gpus"] == ((("train.gpus", "-1"),), True)
    assert fixes["fp16-needs-a-gpu"] == ((("train.precision", "bf16"),), True)

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ilab_profiles import Finding, InputError, Profile, check
from ilab_profiles.views.reports import FORMATS, report

BAD = """extends: single_gpu
train:
  epoch: 3
  lora: {enabled: false}
  num_epochs: many
"""


@pytest.fixture
def findings(tmp_path: Path) -> tuple[Finding, ...]:
    path = tmp_path / "bad file.yaml"
    path.write_text(BAD, encoding="utf-8")
    return check(str(path))


def test_text_shows_the_line_and_a_caret_under_the_place(findings: tuple[Finding, ...]) -> None:
    lines = report(findings).splitlines()
    for number, line in enumerate(lines):
        if line.strip() == "^":
            shown = lines[number - 1]
            assert shown[line.index("^") :].split(":")[0].strip("},") in {"epoch", "false", "many"}
    assert sum(line.strip() == "^" for line in lines) == 3


def test_json_has_every_part_of_every_finding(findings: tuple[Finding, ...]) -> None:
    data = json.loads(report(findings, "json"))
    assert [entry["rule"] for entry in data] == [finding.rule for finding in findings]
    broken = next(entry for entry in data if entry["rule"] == "quantize-needs-lora")
    assert broken["position"]["line"] == 4
    assert broken["fix"] == [["train.lora.enabled", "true"]]


def test_sarif_is_sarif_2_1_0(findings: tuple[Finding, ...]) -> None:
    from sarif_pydantic import Sarif

    log = Sarif.model_validate_json(report(findings, "sarif"))
    (run,) = log.runs
    assert run.results is not None
    assert [result.rule_id for result in run.results] == [finding.rule for finding in findings]
    for result, finding in zip(run.results, findings, strict=True):
        assert finding.position is not None
        assert result.locations is not None
        place = result.locations[0].physical_location
        assert place is not None
        assert place.region is not None
        assert (place.region.start_line, place.region.start_column) == (finding.position.line, finding.position.column)
        assert place.artifact_location is not None
        assert place.artifact_location.uri is not None
        assert " " not in place.artifact_location.uri


def test_github_annotations_are_one_escaped_line_each(findings: tuple[Finding, ...]) -> None:
    lines = report(findings, "github").splitlines()
    assert len(lines) == len(findings)
    assert all(line.startswith("::error file=") for line in lines)
    assert any(",line=4,col=19,title=quantize-needs-lora::" in line and "%0A" in line for line in lines)


def test_a_finding_about_a_variable_has_no_file(tmp_path: Path) -> None:
    from ilab_profiles import InputError, resolve

    with pytest.raises(InputError) as caught:
        resolve("cpu_only", environ={"ILAB_TRAIN__NUM_EPOCHS": "x"})
    found = caught.value.findings
    assert report(found, "github").startswith("::error title=bad-value::")
    result = json.loads(report(found, "sarif"))["runs"][0]["results"][0]
    assert result["locations"] == [{"logicalLocations": [{"name": "ILAB_TRAIN__NUM_EPOCHS"}]}]


def test_nothing_wrong_is_said_in_every_form() -> None:
    assert {form: report([], form) for form in FORMATS if form in ("text", "json", "github")} == {
        "text": "",
        "json": "[]",
        "github": "",
    }
    assert json.loads(report([], "sarif"))["runs"][0]["results"] == []


def test_what_a_file_holds_does_not_command_the_terminal() -> None:
    with pytest.raises(InputError) as caught:
        Profile.from_dict({"train": {"num\x1b[31mepochs\x07\n": 3}})
    assert not set(str(caught.value)) & set("\x1b\x07")
    assert len(str(caught.value).splitlines()) == 2
    assert "\\x1b[31m" in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        *("http://user:geheim@host:1/v1", "http://:geheim@host", "https://geheim@host/", "http://u:ge@geheim@host"),
        *("user:geheim@host:80", "a:1,u:geheim@h:1,b:2", "https://host/v1?api_key=x,geheim", "h/#access_token=geheim"),
    ],
)
def test_no_password_in_an_address_is_shown_in_any_form(address: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f'generate: {{model_endpoint_url: "{address}", num_samples: 0}}\n', encoding="utf-8")
    found = check(str(path))
    assert {finding.path for finding in found} >= {"generate.num_samples"}
    assert "geheim" not in "".join(report(found, form) for form in FORMATS)
    assert "geheim" not in Finding("x", f"see {address}").message


@pytest.mark.parametrize("text", ["write to someone@host.example", "s3/12:30@x", "a:b@c", "/data/user:me@host/x"])
def test_what_is_no_password_is_shown(text: str) -> None:
    assert Finding("x", text).message == text

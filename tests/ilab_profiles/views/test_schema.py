from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

from ilab_profiles import InputError, check
from ilab_profiles.catalog import SCHEMA_FILES, built_in_files
from ilab_profiles.edit import init, render_config
from ilab_profiles.models.paths import fields
from ilab_profiles.rules.checks import CHECKS
from ilab_profiles.rules.table import RULES
from ilab_profiles.views.schema import json_schema, shipped
from ilab_profiles.yaml.read import parse, read
from ilab_profiles.yaml.write import dump
from tests.ilab_profiles.documents import document

# What no JSON Schema can say, each marked as such where it is declared.
IN_PYTHON = {item.id for item in CHECKS} | {"gpu-selection"}
DOCUMENTS = int(os.environ.get("ILAB_TEST_DOCUMENTS", "1500"))

validator = jsonschema.Draft202012Validator(json_schema())


def findings(path: Path) -> set[str]:
    return {finding.rule for finding in check(str(path)) if finding.severity == "error"}


def test_the_schema_is_a_schema_and_plain_json() -> None:
    for schema in (json_schema("profile"), json_schema("config")):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert json.loads(json.dumps(schema)) == schema


def test_the_schemas_that_ship_are_fresh() -> None:
    for kind, path in SCHEMA_FILES.items():
        assert json.loads(path.read_text(encoding="utf-8")) == shipped(kind), "run: nox -s generate"


@pytest.mark.parametrize(("text", "valid"), [("profile: cpu_only", True), ("profile: {train: {epoch: 1}}", False)])
def test_the_schema_of_config_files_that_ships_finds_the_one_beside_it(text: str, valid: bool) -> None:
    beside = referencing.Resource.from_contents(json.loads(SCHEMA_FILES["profile"].read_text(encoding="utf-8")))
    registry = referencing.Registry().with_resource(SCHEMA_FILES["profile"].name, beside)
    schema = json.loads(SCHEMA_FILES["config"].read_text(encoding="utf-8"))
    found = jsonschema.Draft202012Validator(schema, registry=registry).iter_errors(parse(text).data)
    assert (list(found) == []) is valid


def test_files_that_we_write_name_their_schema_beside_them(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(render_config())
    init(tmp_path / "mine.yaml", "single_gpu")
    for name, ours in (("config.yaml", SCHEMA_FILES["config"]), ("mine.yaml", SCHEMA_FILES["profile"])):
        first = (tmp_path / name).read_text().splitlines()[0]
        assert first == f"# yaml-language-server: $schema=.ilab/{ours.name}"
        assert (tmp_path / first.partition("$schema=")[2]).read_text() == ours.read_text()
    assert str(tmp_path) not in (tmp_path / "config.yaml").read_text() + (tmp_path / "mine.yaml").read_text()


@pytest.mark.parametrize("path", built_in_files().values(), ids=list(built_in_files()))
def test_every_built_in_profile_fits(path: Path) -> None:
    assert list(validator.iter_errors(read(path).data)) == []


def test_a_config_file_as_we_write_it_fits() -> None:
    data = parse(render_config("single_gpu")).data
    assert list(jsonschema.Draft202012Validator(json_schema("config")).iter_errors(data)) == []
    assert list(validator.iter_errors(data)) == []


def test_every_field_has_its_description_and_default() -> None:
    definitions = json_schema()["$defs"]
    names = {"train": "Train", "lora": "Lora", "deepspeed": "DeepSpeed", "mmlu": "Mmlu", "mix": "Mix"}
    for path, info in fields().items():
        *_, section, name = path.split(".") if "." in path else ("", "profile", path)
        if section in names:
            entry = definitions[names[section]]["properties"][name]
            assert entry["description"] == info.description
            assert "default" in entry


def test_our_validation_and_a_stock_validator_agree(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    refused = fired = 0
    for seed in range(DOCUMENTS):
        data = document(seed)
        text = dump(data)
        path.write_text(text, encoding="utf-8")
        ours = findings(path)
        theirs = [error.message for error in validator.iter_errors(parse(text).data)]
        said = f"seed {seed}:\n{text}\nours: {ours}\nschema: {theirs}"
        if theirs:
            assert ours, said
        else:
            assert ours <= {*IN_PYTHON}, said
        refused += bool(theirs)
        fired += bool(ours & {rule.id for rule in RULES})
    assert DOCUMENTS * 0.2 < refused < DOCUMENTS * 0.8
    assert fired > DOCUMENTS * 0.05


def test_every_rule_that_refuses_is_in_the_schema_by_name() -> None:
    named = {entry.get("$comment") for entry in json_schema()["$defs"]["Profile"]["allOf"]}
    assert named == {rule.id for rule in RULES if rule.severity == "error"}


@pytest.mark.parametrize(
    ("data", "fits"),
    [
        ({"extends": "single_gpu", "train": {"lora": {"enabled": False}}}, False),
        ({"extends": "single_gpu", "train": {"deepspeed": {"quantize_dtype": None}, "lora": {"enabled": False}}}, True),
        ({"extends": "multi-gpu", "train": {"fsdp": {"enabled": True}}}, False),
        ({"extends": "multi-gpu", "train": {"accelerator": "fsdp"}}, True),
        ({"extends": "of-my-own", "train": {"fsdp": {"enabled": True}}}, True),
        ({"extends": "of-my-own", "train": {"deepspeed": {"enabled": True}, "fsdp": {"enabled": True}}}, False),
    ],
)
def test_rules_look_at_what_a_built_in_base_gives(data: dict[str, Any], fits: bool) -> None:
    assert validator.is_valid(data) is fits


def test_a_refused_config_names_every_finding_of_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("generel: {}\nserve: {max_ctx_size: big}\nprofile: {train: {num_epochs: 0}}\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        raise InputError(check(str(path)))
    assert {finding.path for finding in caught.value.findings} == {
        "generel",
        "serve.max_ctx_size",
        "train.num_epochs",
    }

from __future__ import annotations

import pytest

from ilab_cli.flags.flag import read_words
from ilab_cli.flags.make import make_flags
from ilab_profiles.models.paths import fields

PROPOSED = {
    "train": """model-path model-dir model-repo data-path data-dir output-dir device gpus num-gpus num-epochs epochs
        accelerator deepspeed-config ds-offload-strat cpu-offload-optimizer cpu-offload-params quantize-dtype
        max-seq-len max-batch-len effective-batch-size save-samples learning-rate warmup-steps
        lora lora-rank lora-alpha lora-dropout target-modules deepspeed fsdp""",
    "generate": """num-instructions num-cpus gpus num-grounded-questions num-samples config taxonomy-path
        chunk-word-count model-endpoint-url model-family num-util-proc knowledge-recipes skill-recipes""",
    "evaluate": """benchmarks gpus data-dir tasks input-dir output-dir model few-shots api-key endpoint prune""",
}


@pytest.mark.parametrize("section", PROPOSED)
def test_every_flag_of_the_proposal_is_there(section: str) -> None:
    names = {name for flag in make_flags(section) for name in flag.names}
    assert set(PROPOSED[section].split()) <= names


@pytest.mark.parametrize("section", PROPOSED)
def test_every_field_has_a_flag_and_no_two_share_a_name(section: str) -> None:
    flags = make_flags(section)
    assert [flag.path for flag in flags] == [path for path in fields() if path.startswith(f"{section}.")]
    names = [name for flag in flags for name in flag.names]
    assert len(names) == len(set(names))


def test_a_name_that_two_fields_share_goes_to_the_one_nearer_to_the_top() -> None:
    names = {flag.path: flag.names[0] for flag in make_flags("evaluate")}
    assert names["evaluate.model"] == "model"
    assert names["evaluate.mmlu.model"] == "mmlu-model"
    assert names["evaluate.mt.model"] == "mt-model"


@pytest.mark.parametrize(
    ("words", "values", "unknown"),
    [
        (["--num-epochs", "3"], {"train.num_epochs": "3"}, []),
        (["--epochs=3", "--lora"], {"train.num_epochs": "3", "train.lora.enabled": "true"}, []),
        (["--no-lora"], {"train.lora.enabled": "false"}, []),
        (["--gpus", "0", "--gpus=2,3"], {"train.gpus": "0,2,3"}, []),
        (["--seed", "1", "--seed=2"], {"train.seed": "2"}, []),
        (["--profile", "--devide", "--devide"], {}, ["--devide"]),
        (["--seed", "--bogus", "--bogus=1", "--", "--other"], {"train.seed": "--bogus"}, ["--bogus"]),
        (["--epoch", "3"], {}, ["--epoch"]),
    ],
)
def test_words_are_read_without_running_them(words: list[str], values: dict[str, str], unknown: list[str]) -> None:
    found = read_words(words, make_flags("train"), {"--profile": True})
    assert (found.settings, found.unknown) == (values, unknown)


def test_a_switch_whose_name_begins_with_no_is_no_negation() -> None:
    flags = make_flags("train")
    negations = [name for flag in flags if flag.kind == "switch" for name in flag.names if name.startswith("no-")]
    assert negations == []

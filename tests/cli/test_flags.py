from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import pytest

from ilab_cli.flags import flags_of, takes_flags
from ilab_profiles.paths import fields

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
    names = {name for flag in flags_of(section) for name in flag.names}
    assert set(PROPOSED[section].split()) <= names


@pytest.mark.parametrize("section", PROPOSED)
def test_every_field_has_a_flag_and_no_two_share_a_name(section: str) -> None:
    flags = flags_of(section)
    assert [flag.path for flag in flags] == [path for path in fields() if path.startswith(f"{section}.")]
    names = [name for flag in flags for name in flag.names]
    assert len(names) == len(set(names))


def test_a_name_that_two_fields_share_goes_to_the_one_nearer_to_the_top() -> None:
    names = {flag.path: flag.names[0] for flag in flags_of("evaluate")}
    assert names["evaluate.model"] == "model"
    assert names["evaluate.mmlu.model"] == "mmlu-model"
    assert names["evaluate.mt.model"] == "mt-model"


def test_a_command_gets_only_what_the_user_gave() -> None:
    found: dict[str, Any] = {}

    @takes_flags("train", "Settings")
    def command(*, given: Mapping[str, Any], extra: bool = False) -> None:
        found.update(given, extra=extra)

    arguments = dict.fromkeys(inspect.signature(command).parameters)
    command(**{**arguments, "extra": True, "train__lora__enabled": False, "train__num_epochs": "3"})
    assert found == {"train.lora.enabled": False, "train.num_epochs": "3", "extra": True}

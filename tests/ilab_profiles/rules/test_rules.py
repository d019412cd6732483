from __future__ import annotations

from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilab_profiles import Profile
from ilab_profiles.models.paths import fields
from ilab_profiles.rules.checks import CHECKS
from ilab_profiles.rules.language import F, value_at
from ilab_profiles.rules.table import RULES
from ilab_profiles.rules.violations import violations

Case = dict[str, Any]

DS_FILE: Case = {"train.deepspeed.enabled": True, "train.deepspeed.deepspeed_config": "ds.json"}

# For each rule: settings that break it, and settings close by that do not.
MT_BRANCH: Case = {
    "evaluate.benchmarks": "mt_bench_branch",
    "evaluate.mt.data_dir": "mt",
    "evaluate.base_model": "m",
}
JUDGED: Case = {
    "evaluate.between_phases": True,
    "evaluate.mt.data_dir": "mt",
    "evaluate.mt.judge_endpoint": "127.0.0.1:8",
}
CASES: dict[str, tuple[Case, Case]] = {
    "endpoint-has-no-template": (
        {"evaluate.mmlu.endpoint": "localhost:1", "evaluate.mmlu.apply_chat_template": True},
        {"evaluate.mmlu.endpoint": "localhost:1", "evaluate.mmlu.apply_chat_template": False},
    ),
    "endpoint-is-one-model": (
        {
            "evaluate.mmlu.endpoint": "localhost:1",
            "evaluate.benchmarks": ["mmlu_branch"],
            "evaluate.base_model": "base",
        },
        {"evaluate.mmlu.endpoint": "localhost:1", "evaluate.benchmarks": ["mmlu"], "evaluate.base_model": "base"},
    ),
    "remote-mmlu-model-needs-a-key": (
        {"evaluate.mmlu.endpoint": "https://models.example/v1"},
        {"evaluate.mmlu.endpoint": "https://models.example/v1", "evaluate.mt.api_key": "secret"},
    ),
    "quantize-needs-lora": (
        {"train.deepspeed.quantize_dtype": "nf4"},
        {"train.deepspeed.quantize_dtype": "nf4", "train.lora.enabled": True},
    ),
    "quantize-needs-whole-model": (
        {
            "train.lora.enabled": True,
            "train.deepspeed.quantize_dtype": "nf4",
            "train.deepspeed.enabled": True,
            "train.deepspeed.zero_stage": 3,
        },
        {
            "train.lora.enabled": True,
            "train.deepspeed.quantize_dtype": "nf4",
            "train.deepspeed.enabled": True,
            "train.deepspeed.zero_stage": 2,
        },
    ),
    "offload-needs-deepspeed": (
        {"train.deepspeed.ds_offload_strat": "cpu"},
        {
            "train.deepspeed.ds_offload_strat": "cpu",
            "train.deepspeed.cpu_offload_optimizer": True,
            "train.deepspeed.enabled": True,
        },
    ),
    "optimizer-offload-needs-deepspeed": (
        {"train.deepspeed.cpu_offload_optimizer": True},
        {"train.deepspeed.cpu_offload_optimizer": True, "train.deepspeed.enabled": True},
    ),
    "parameter-offload-needs-deepspeed": (
        {"train.deepspeed.cpu_offload_params": True, "train.deepspeed.zero_stage": 3},
        {"train.deepspeed.cpu_offload_params": True, "train.deepspeed.zero_stage": 3, "train.deepspeed.enabled": True},
    ),
    "deepspeed-config-needs-deepspeed": (
        {"train.deepspeed.deepspeed_config": "ds.json"},
        {"train.deepspeed.deepspeed_config": "ds.json", "train.deepspeed.enabled": True},
    ),
    "parameter-offload-needs-zero-3": (
        {"train.deepspeed.enabled": True, "train.deepspeed.cpu_offload_params": True},
        {"train.deepspeed.enabled": True, "train.deepspeed.cpu_offload_params": True, "train.deepspeed.zero_stage": 3},
    ),
    "nvme-needs-zero-3": (
        {
            "train.deepspeed.enabled": True,
            "train.deepspeed.ds_offload_strat": "nvme",
            "train.deepspeed.nvme_path": "/fast",
        },
        {
            "train.deepspeed.enabled": True,
            "train.deepspeed.ds_offload_strat": "nvme",
            "train.deepspeed.nvme_path": "/fast",
            "train.deepspeed.cpu_offload_optimizer": True,
            "train.deepspeed.zero_stage": 3,
        },
    ),
    "nvme-needs-a-path": (
        {
            "train.deepspeed.enabled": True,
            "train.deepspeed.ds_offload_strat": "nvme",
            "train.deepspeed.zero_stage": 3,
        },
        {
            "train.deepspeed.enabled": True,
            "train.deepspeed.ds_offload_strat": "cpu",
            "train.deepspeed.cpu_offload_optimizer": True,
        },
    ),
    "deepspeed-or-fsdp": (
        {"train.deepspeed.enabled": True, "train.fsdp.enabled": True},
        {"train.fsdp.enabled": True},
    ),
    "fsdp-offload-needs-fsdp": (
        {"train.fsdp.fsdp_cpu_offload": True},
        {"train.fsdp.fsdp_cpu_offload": True, "train.fsdp.enabled": True},
    ),
    "fp8-without-deepspeed": (
        {
            "train.lora.enabled": True,
            "train.deepspeed.quantize_dtype": "fp8",
            "train.deepspeed.enabled": True,
            "train.deepspeed.zero_stage": 2,
        },
        {"train.lora.enabled": True, "train.deepspeed.quantize_dtype": "fp8"},
    ),
    "fp8-without-fsdp": (
        {"train.lora.enabled": True, "train.deepspeed.quantize_dtype": "fp8", "train.fsdp.enabled": True},
        {"train.lora.enabled": True, "train.deepspeed.quantize_dtype": "nf4", "train.fsdp.enabled": True},
    ),
    "fsdp-precision": (
        {"train.fsdp.enabled": True, "train.precision": "fp16"},
        {"train.fsdp.enabled": True, "train.precision": "bf16"},
    ),
    "fsdp-optimizer": (
        {"train.fsdp.enabled": True, "train.optimizer": "adafactor"},
        {"train.fsdp.enabled": True, "train.optimizer": "adamw_fused"},
    ),
    "deepspeed-optimizer": (
        {"train.deepspeed.enabled": True, "train.optimizer": "muon"},
        {"train.deepspeed.enabled": True, "train.optimizer": "adamw_fused"},
    ),
    "deepspeed-master-weights": (
        {"train.deepspeed.enabled": True, "train.master_weights": "bf16", "train.precision": "bf16"},
        {"train.master_weights": "bf16", "train.precision": "bf16"},
    ),
    "bf16-weights-need-adamw": (
        {"train.master_weights": "bf16", "train.precision": "bf16", "train.optimizer": "adamw_8bit"},
        {"train.precision": "bf16", "train.optimizer": "adamw_8bit"},
    ),
    "bf16-weights-need-bf16": (
        {"train.master_weights": "bf16"},
        {"train.master_weights": "bf16", "train.precision": "bf16"},
    ),
    "offload-or-recompute-activations": (
        {"train.offload_activations": True, "train.gradient_checkpointing": True},
        {"train.offload_activations": True},
    ),
    "offload-of-activations-needs-a-gpu": (
        {"train.offload_activations": True, "train.device": "cpu"},
        {"train.offload_activations": True, "train.device": "cuda"},
    ),
    "optimizer-offload-needs-zero": (
        {
            "train.deepspeed.enabled": True,
            "train.deepspeed.cpu_offload_optimizer": True,
            "train.deepspeed.zero_stage": 0,
        },
        {
            "train.deepspeed.enabled": True,
            "train.deepspeed.cpu_offload_optimizer": True,
            "train.deepspeed.zero_stage": 2,
        },
    ),
    "offload-of-nothing": (
        {"train.deepspeed.enabled": True, "train.deepspeed.ds_offload_strat": "cpu"},
        {
            "train.deepspeed.enabled": True,
            "train.deepspeed.ds_offload_strat": "cpu",
            "train.deepspeed.cpu_offload_optimizer": True,
        },
    ),
    "ds-offload-strat-beside-deepspeed-config": (
        {**DS_FILE, "train.deepspeed.ds_offload_strat": "cpu"},
        DS_FILE,
    ),
    "cpu-offload-optimizer-beside-deepspeed-config": (
        {**DS_FILE, "train.deepspeed.cpu_offload_optimizer": True},
        DS_FILE,
    ),
    "cpu-offload-params-beside-deepspeed-config": (
        {**DS_FILE, "train.deepspeed.cpu_offload_params": True},
        DS_FILE,
    ),
    "lora-rank-needs-lora": (
        {"train.lora.lora_rank": 3},
        {"train.lora.lora_rank": 3, "train.lora.enabled": True},
    ),
    "lora-alpha-needs-lora": (
        {"train.lora.lora_alpha": 3.0},
        {"train.lora.lora_alpha": 3.0, "train.lora.enabled": True},
    ),
    "lora-dropout-needs-lora": (
        {"train.lora.lora_dropout": 0.3},
        {"train.lora.lora_dropout": 0.3, "train.lora.enabled": True},
    ),
    "target-modules-needs-lora": (
        {"train.lora.target_modules": ["q_proj"]},
        {"train.lora.target_modules": ["q_proj"], "train.lora.enabled": True},
    ),
    "nvme-path-needs-nvme": (
        {"train.deepspeed.nvme_path": "/fast"},
        {
            "train.deepspeed.enabled": True,
            "train.deepspeed.ds_offload_strat": "nvme",
            "train.deepspeed.nvme_path": "/fast",
            "train.deepspeed.cpu_offload_optimizer": True,
            "train.deepspeed.zero_stage": 3,
        },
    ),
    "resharding-needs-fsdp": (
        {"train.fsdp.reshard_after_forward": False},
        {"train.fsdp.reshard_after_forward": False, "train.fsdp.enabled": True},
    ),
    "learning-rate-is-high": ({"train.learning_rate": 1.0}, {"train.learning_rate": 1e-2}),
    "learning-rate-is-low": ({"train.learning_rate": 1e-9}, {"train.learning_rate": 1e-8}),
    "train-on-cpu-has-no-gpus": (
        {"train.device": "cpu", "train.gpus": "0-1"},
        {"train.device": "cpu", "train.gpus": -1},
    ),
    "train-on-cuda-needs-a-gpu": ({"train.device": "cuda", "train.gpus": -1}, {"train.device": "cuda"}),
    "evaluate-on-cpu-has-no-gpus": (
        {"evaluate.device": "cpu", "evaluate.gpus": "0-1"},
        {"evaluate.device": "cpu", "evaluate.gpus": -1},
    ),
    "evaluate-on-cuda-needs-a-gpu": ({"evaluate.device": "cuda", "evaluate.gpus": -1}, {"evaluate.device": "cuda"}),
    "fp16-needs-a-gpu": (
        {"train.device": "cpu", "train.precision": "fp16"},
        {"train.device": "cpu", "train.precision": "bf16"},
    ),
    "fp16-needs-gpus-left": (
        {"train.gpus": -1, "train.precision": "fp16"},
        {"train.gpus": 0, "train.precision": "fp16"},
    ),
    "prune-needs-input": (
        {"evaluate.prune": True},
        {"evaluate.prune": True, "evaluate.input_dir": "runs/train"},
    ),
    "metric-needs-mmlu": (
        {"evaluate.metric": "mmlu"},
        {"evaluate.metric": "mmlu", "evaluate.benchmarks": ["mmlu"]},
    ),
    "metric-needs-mt-bench": (
        {"evaluate.metric": "mt_bench", "evaluate.benchmarks": ["mmlu"]},
        {"evaluate.metric": "mean", "evaluate.benchmarks": ["mmlu"]},
    ),
    "between-phases-needs-a-benchmark": (
        {"evaluate.between_phases": True},
        {"evaluate.between_phases": True, "evaluate.benchmarks": ["mmlu"]},
    ),
    "between-phases-mmlu-has-no-endpoint": (
        {"evaluate.between_phases": True, "evaluate.benchmarks": ["mmlu"], "evaluate.mmlu.endpoint": "127.0.0.1:9"},
        {"evaluate.between_phases": True, "evaluate.benchmarks": ["mmlu"]},
    ),
    "between-phases-mt-bench-has-no-endpoint": (
        {**JUDGED, "evaluate.benchmarks": ["mt_bench"], "evaluate.mt.endpoint": "127.0.0.1:9"},
        {**JUDGED, "evaluate.benchmarks": ["mt_bench"]},
    ),
    "between-phases-mt-bench-branch-has-no-endpoint": (
        {
            **JUDGED,
            "evaluate.benchmarks": ["mt_bench_branch"],
            "evaluate.base_model": "m",
            "evaluate.mt.endpoint": "127.0.0.1:9",
        },
        {**JUDGED, "evaluate.benchmarks": ["mt_bench_branch"], "evaluate.base_model": "m"},
    ),
    "mmlu-needs-tasks": (
        {"evaluate.benchmarks": ["mmlu"], "evaluate.mmlu.tasks": []},
        {"evaluate.benchmarks": ["mmlu"], "evaluate.mmlu.tasks": "mmlu_pr"},
    ),
    "mmlu-branch-needs-tasks": (
        {"evaluate.benchmarks": "mmlu_branch", "evaluate.mmlu.tasks": [], "evaluate.base_model": "m"},
        {"evaluate.benchmarks": "mmlu_branch", "evaluate.base_model": "m"},
    ),
    "mmlu-branch-needs-a-base-model": (
        {"evaluate.benchmarks": "mmlu-branch"},
        {"evaluate.benchmarks": "mmlu-branch", "evaluate.base_model": "m"},
    ),
    "mt-bench-branch-needs-prompts": (
        {"evaluate.benchmarks": "mt_bench_branch", "evaluate.mt.endpoint": "localhost:1", "evaluate.base_model": "m"},
        MT_BRANCH | {"evaluate.mt.endpoint": "localhost:1"},
    ),
    "mt-bench-branch-needs-a-judge": (MT_BRANCH, MT_BRANCH | {"evaluate.mt.judge_endpoint": "localhost:1"}),
    "mt-bench-branch-needs-a-base-model": (
        MT_BRANCH | {"evaluate.mt.endpoint": "localhost:1", "evaluate.base_model": None},
        MT_BRANCH | {"evaluate.mt.endpoint": "localhost:1"},
    ),
    "mt-bench-needs-prompts": (
        {"evaluate.benchmarks": "mt", "evaluate.mt.endpoint": "localhost:8000"},
        {"evaluate.benchmarks": "mt", "evaluate.mt.endpoint": "localhost:8000", "evaluate.mt.data_dir": "mt"},
    ),
    "mt-bench-needs-a-judge": (
        {"evaluate.benchmarks": ["mt_bench"], "evaluate.mt.data_dir": "mt"},
        {"evaluate.benchmarks": "mt", "evaluate.mt.data_dir": "mt", "evaluate.mt.judge_endpoint": "localhost:8000"},
    ),
    "remote-teacher-needs-a-key": (
        {"generate.model_endpoint_url": "https://teacher.example/v1"},
        {"generate.model_endpoint_url": "https://teacher.example/v1", "generate.api_key": "k"},
    ),
    "remote-model-needs-a-key": (
        {"evaluate.mt.endpoint": "10.0.0.7:8000"},
        {"evaluate.mt.endpoint": "http://127.0.0.1:8000/v1"},
    ),
    "remote-judge-needs-a-key": (
        {"evaluate.mt.judge_endpoint": "localhost.example:1"},
        {"evaluate.mt.judge_endpoint": "localhost:1"},
    ),
    "two-ways-to-meet": (
        {"train.torchrun.rdzv_endpoint": "a:1", "train.torchrun.master_addr": "a"},
        {"train.torchrun.rdzv_endpoint": "a:1"},
    ),
    "port-needs-address": (
        {"train.torchrun.master_port": 29500},
        {"train.torchrun.master_port": 29500, "train.torchrun.master_addr": "a"},
    ),
    "batch-holds-a-sample": (
        {"train.max_batch_len": 1000, "train.max_seq_len": 1001},
        {"train.max_batch_len": 1000, "train.max_seq_len": 1000},
    ),
    "num-gpus-agrees": (
        {"train.gpus": "0-3", "train.num_gpus": 2},
        {"train.gpus": -1, "train.num_gpus": 2},
    ),
    "batch-covers-processes": (
        {"train.gpus": "0-2"},
        {"train.gpus": "0-3"},
    ),
    "node-rank-in-range": (
        {"train.torchrun.node_rank": 1},
        {"train.torchrun.node_rank": 1, "train.torchrun.nnodes": 2},
    ),
    "checkpoint-after-every-step": (
        {"train.save_samples": 64, "train.effective_batch_size": 64},
        {"train.save_samples": 65, "train.effective_batch_size": 64},
    ),
    "phase-names-differ": (
        {"train.phases": [{"name": "a"}, {"name": "a"}]},
        {"train.phases": [{"name": "a"}, {"name": "b"}, {}, {}]},
    ),
}


def nested(case: Case) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for path, value in case.items():
        *sections, name = path.split(".")
        reduce(lambda here, part: here.setdefault(part, {}), sections, data)[name] = value
    return data


def profile_of(case: Case) -> Profile:
    return Profile.with_rules_later(nested(case))


def broken(case: Case) -> set[str]:
    return {violation.rule for violation in violations(profile_of(case))}


def test_every_rule_has_a_case() -> None:
    assert set(CASES) == {rule.id for rule in RULES} | {check.id for check in CHECKS}


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_fires_where_it_should_and_nowhere_else(rule: str) -> None:
    fires, quiet = CASES[rule]
    assert rule in broken(fires)
    assert broken(quiet) == set()


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.fix], ids=lambda rule: rule.id)
def test_a_fix_mends_what_the_rule_found(rule: Any) -> None:
    assert rule.id not in broken({**CASES[rule.id][0], **rule.fix})


def test_rules_speak_of_fields_that_exist() -> None:
    for rule in RULES:
        for path in [*(condition.path for condition in rule.when), rule.require.path, *rule.fix]:
            assert path in fields(), rule.id
    for check in CHECKS:
        assert set(check.involved) <= set(fields()), check.id


def test_ids_are_unique_and_reasons_given() -> None:
    reasons = [(rule.id, rule.why) for rule in RULES] + [(check.id, check.why) for check in CHECKS]
    assert len(reasons) == len(dict(reasons))
    assert all(why for _, why in reasons)


CONDITIONS = [
    F.train.lora.enabled.is_(True),
    F.train.deepspeed.quantize_dtype.is_set(),
    F.train.num_epochs.at_least(3),
    F.train.num_epochs.at_most(3),
    F.train.deepspeed.zero_stage.is_(2, 3),
]


@given(st.sampled_from(CONDITIONS), st.integers(1, 6), st.booleans(), st.sampled_from([None, "nf4"]))
def test_a_negated_condition_holds_exactly_where_the_plain_one_does_not(
    condition: Any, epochs: int, lora: bool, quantize: str | None
) -> None:
    profile = profile_of(
        {"train.num_epochs": epochs, "train.lora.enabled": lora, "train.deepspeed.quantize_dtype": quantize}
    )
    assert condition.holds(profile) is not (~condition).holds(profile)
    assert value_at(profile, "train.num_epochs") == epochs


def test_true_is_not_one() -> None:
    assert not F.train.num_epochs.is_(True).holds(profile_of({"train.num_epochs": 1}))

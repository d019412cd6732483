"""Which settings go together: the table of rules.

Each rule names what would go wrong. What their language cannot say stands in :mod:`ilab_profiles.rules.checks`.
"""

from __future__ import annotations

from ilab_profiles.rules.language import F, Rule

__all__ = ["RULES"]

_LOCAL = r"^( *(https?://)?(localhost|127\.[0-9.]+|0\.0\.0\.0|\[::1\])(:[0-9]+)?(/[^,]*)?(,|$))+$"
_LORA, _DEEPSPEED, _FSDP = F.train.lora, F.train.deepspeed, F.train.fsdp

RULES: tuple[Rule, ...] = (
    Rule(
        "quantize-needs-lora",
        when=(_DEEPSPEED.quantize_dtype.is_set(),),
        require=_LORA.enabled.is_(True),
        why="a quantized base model is frozen: only adapters can be trained",
        fix={"train.lora.enabled": True},
    ),
    Rule(
        "quantize-needs-whole-model",
        when=(
            _DEEPSPEED.quantize_dtype.is_("nf4"),
            _DEEPSPEED.enabled.is_(True),
            ~_DEEPSPEED.deepspeed_config.is_set(),
        ),
        require=_DEEPSPEED.zero_stage.at_most(2),
        why="a quantized model cannot be split over processes, which ZeRO 3 does",
        fix={"train.deepspeed.zero_stage": 2},
    ),
    *(
        Rule(
            f"fp8-without-{name}",
            when=(_DEEPSPEED.quantize_dtype.is_("fp8"),),
            require=section.enabled.is_(False),
            why=f"fp8 weights can be neither flattened nor split, as {title} does; nf4 can be flattened",
            fix={f"train.{name}.enabled": False},
        )
        for name, title, section in (("deepspeed", "DeepSpeed", _DEEPSPEED), ("fsdp", "FSDP", _FSDP))
    ),
    Rule(
        "offload-needs-deepspeed",
        when=(_DEEPSPEED.ds_offload_strat.is_set(),),
        require=_DEEPSPEED.enabled.is_(True),
        why="only DeepSpeed reads this setting: nothing would be offloaded",
        fix={"train.deepspeed.enabled": True},
    ),
    Rule(
        "optimizer-offload-needs-deepspeed",
        when=(_DEEPSPEED.cpu_offload_optimizer.is_(True),),
        require=_DEEPSPEED.enabled.is_(True),
        why="only DeepSpeed reads this setting: nothing would be offloaded",
        fix={"train.deepspeed.enabled": True},
    ),
    Rule(
        "parameter-offload-needs-deepspeed",
        when=(_DEEPSPEED.cpu_offload_params.is_(True),),
        require=_DEEPSPEED.enabled.is_(True),
        why="only DeepSpeed reads this setting: nothing would be offloaded",
        fix={"train.deepspeed.enabled": True},
    ),
    Rule(
        "deepspeed-config-needs-deepspeed",
        when=(_DEEPSPEED.deepspeed_config.is_set(),),
        require=_DEEPSPEED.enabled.is_(True),
        why="only DeepSpeed reads this file",
        fix={"train.deepspeed.enabled": True},
    ),
    Rule(
        "parameter-offload-needs-zero-3",
        when=(_DEEPSPEED.cpu_offload_params.is_(True), ~_DEEPSPEED.deepspeed_config.is_set()),
        require=_DEEPSPEED.zero_stage.is_(3),
        why="below stage 3 DeepSpeed cannot offload parameters: every process keeps all of them",
        fix={"train.deepspeed.zero_stage": 3},
    ),
    Rule(
        "nvme-needs-zero-3",
        when=(_DEEPSPEED.ds_offload_strat.is_("nvme"), ~_DEEPSPEED.deepspeed_config.is_set()),
        require=_DEEPSPEED.zero_stage.is_(3),
        why="DeepSpeed offloads to a disk at stage 3 only",
        fix={"train.deepspeed.zero_stage": 3},
    ),
    Rule(
        "nvme-needs-a-path",
        when=(_DEEPSPEED.ds_offload_strat.is_("nvme"),),
        require=_DEEPSPEED.nvme_path.is_set(),
        why="DeepSpeed must know which disk to write to",
    ),
    Rule(
        "deepspeed-or-fsdp",
        when=(_DEEPSPEED.enabled.is_(True),),
        require=_FSDP.enabled.is_(False),
        why="both shard the model: use one of them",
        fix={"train.fsdp.enabled": False},
    ),
    Rule(
        "fsdp-offload-needs-fsdp",
        when=(_FSDP.fsdp_cpu_offload.is_(True),),
        require=_FSDP.enabled.is_(True),
        why="only FSDP reads this setting: nothing would be offloaded",
        fix={"train.fsdp.enabled": True},
    ),
    Rule(
        "fsdp-precision",
        when=(_FSDP.enabled.is_(True),),
        require=F.train.precision.is_("fp32", "bf16"),
        why="fp16 needs its loss scaled, which is not done under FSDP",
        fix={"train.precision": "bf16"},
    ),
    Rule(
        "fsdp-optimizer",
        when=(_FSDP.enabled.is_(True),),
        require=F.train.optimizer.is_("adamw", "adamw_fused"),
        why="the other optimizers cannot work on weights that are split, or cannot save their state in parts",
        fix={"train.optimizer": "adamw"},
    ),
    Rule(
        "deepspeed-optimizer",
        when=(_DEEPSPEED.enabled.is_(True),),
        require=F.train.optimizer.is_("adamw", "adamw_fused"),
        why="DeepSpeed flattens the weights and shards the state of Adam alone",
        fix={"train.optimizer": "adamw"},
    ),
    Rule(
        "deepspeed-master-weights",
        when=(_DEEPSPEED.enabled.is_(True),),
        require=F.train.master_weights.is_("fp32"),
        why="DeepSpeed keeps master weights of its own, in fp32",
        fix={"train.master_weights": "fp32"},
    ),
    Rule(
        "bf16-weights-need-adamw",
        when=(F.train.master_weights.is_("bf16"),),
        require=F.train.optimizer.is_("adamw"),
        why="only adamw rounds at random; the others would lose every small step",
        fix={"train.optimizer": "adamw"},
    ),
    Rule(
        "bf16-weights-need-bf16",
        when=(F.train.master_weights.is_("bf16"),),
        require=F.train.precision.is_("bf16"),
        why="the arithmetic would be finer than the weights",
        fix={"train.precision": "bf16"},
    ),
    Rule(
        "offload-or-recompute-activations",
        when=(F.train.offload_activations.is_(True),),
        require=F.train.gradient_checkpointing.is_(False),
        why="what is recomputed is not kept: there would be nothing to offload",
        fix={"train.gradient_checkpointing": False},
    ),
    Rule(
        "offload-of-activations-needs-a-gpu",
        when=(F.train.offload_activations.is_(True),),
        require=~F.train.device.is_("cpu"),
        why="on the CPU activations are in main memory anyway",
        fix={"train.offload_activations": False},
        severity="warning",
    ),
    Rule(
        "optimizer-offload-needs-zero",
        when=(_DEEPSPEED.cpu_offload_optimizer.is_(True), ~_DEEPSPEED.deepspeed_config.is_set()),
        require=_DEEPSPEED.zero_stage.at_least(1),
        why="at stage 0 DeepSpeed cannot offload the optimizer",
        fix={"train.deepspeed.zero_stage": 2},
    ),
    Rule(
        "offload-of-nothing",
        when=(_DEEPSPEED.ds_offload_strat.is_set(), _DEEPSPEED.cpu_offload_params.is_(False)),
        require=_DEEPSPEED.cpu_offload_optimizer.is_(True),
        why="neither the optimizer nor the parameters are offloaded",
        fix={"train.deepspeed.cpu_offload_optimizer": True},
        severity="warning",
    ),
    *(
        Rule(
            f"{name.replace('_', '-')}-beside-deepspeed-config",
            when=(condition, _DEEPSPEED.deepspeed_config.is_set()),
            require=~condition,
            why="the DeepSpeed file is used as it is: this setting has no effect",
            severity="warning",
        )
        for name, condition in {
            "ds_offload_strat": _DEEPSPEED.ds_offload_strat.is_set(),
            "cpu_offload_optimizer": _DEEPSPEED.cpu_offload_optimizer.is_(True),
            "cpu_offload_params": _DEEPSPEED.cpu_offload_params.is_(True),
        }.items()
    ),
    *(
        Rule(
            f"{name.replace('_', '-')}-needs-lora",
            when=(~getattr(_LORA, name).is_default(),),
            require=_LORA.enabled.is_(True),
            why="it only applies to LoRA adapters",
            fix={"train.lora.enabled": True},
            severity="warning",
        )
        for name in ("lora_rank", "lora_alpha", "lora_dropout", "target_modules")
    ),
    Rule(
        "nvme-path-needs-nvme",
        when=(_DEEPSPEED.nvme_path.is_set(),),
        require=_DEEPSPEED.ds_offload_strat.is_("nvme"),
        why="nothing is written there",
        fix={"train.deepspeed.ds_offload_strat": "nvme"},
        severity="warning",
    ),
    Rule(
        "resharding-needs-fsdp",
        when=(_FSDP.reshard_after_forward.is_(False),),
        require=_FSDP.enabled.is_(True),
        why="only FSDP gathers parameters, and keeps or frees them",
        fix={"train.fsdp.enabled": True},
        severity="warning",
    ),
    Rule(
        "learning-rate-is-high",
        when=(),
        require=F.train.learning_rate.at_most(1e-2),
        why="AdamW diverges at such a rate on any language model",
        severity="warning",
    ),
    Rule(
        "learning-rate-is-low",
        when=(),
        require=F.train.learning_rate.at_least(1e-8),
        why="the weights would hardly change",
        severity="warning",
    ),
    *(
        rule
        for name, section in {"train": F.train, "evaluate": F.evaluate}.items()
        for rule in (
            Rule(
                f"{name}-on-cpu-has-no-gpus",
                when=(section.device.is_("cpu"), section.gpus.is_set()),
                require=~section.gpus.is_set(),
                why="on the CPU no GPU is used",
                fix={f"{name}.gpus": -1},
            ),
            Rule(
                f"{name}-on-cuda-needs-a-gpu",
                when=(section.device.is_("cuda"),),
                require=~section.gpus.is_(()),
                why="gpus: -1 hides every GPU",
            ),
        )
    ),
    Rule(
        "fp16-needs-a-gpu",
        when=(F.train.precision.is_("fp16"),),
        require=~F.train.device.is_("cpu"),
        why="without a GPU, accelerate silently trains in fp32; bf16 runs on the CPU",
        fix={"train.precision": "bf16"},
    ),
    Rule(
        "fp16-needs-gpus-left",
        when=(F.train.precision.is_("fp16"),),
        require=~F.train.gpus.is_(()),
        why="without a GPU, accelerate silently trains in fp32; bf16 runs on the CPU",
        fix={"train.precision": "bf16"},
    ),
    Rule(
        "prune-needs-input",
        when=(F.evaluate.prune.is_(True), F.evaluate.between_phases.is_(False)),
        require=F.evaluate.input_dir.is_set(),
        why="pruning needs a folder of checkpoints to choose from",
    ),
    *(
        Rule(
            f"metric-needs-{benchmark.replace('_', '-')}",
            when=(F.evaluate.metric.is_(benchmark),),
            require=F.evaluate.benchmarks.has(benchmark),
            why="the best checkpoint is chosen by what is measured",
        )
        for benchmark in ("mmlu", "mt_bench")
    ),
    Rule(
        "between-phases-needs-a-benchmark",
        when=(F.evaluate.between_phases.is_(True),),
        require=F.evaluate.benchmarks.is_set(),
        why="checkpoints are compared by benchmarks",
    ),
    *(
        Rule(
            f"between-phases-{name.replace('_', '-')}-has-no-endpoint",
            when=(F.evaluate.between_phases.is_(True), F.evaluate.benchmarks.has(name)),
            require=~endpoint.is_set(),
            why="it serves one model, which is none of the checkpoints",
        )
        for name, endpoint in (
            ("mmlu", F.evaluate.mmlu.endpoint),
            ("mt_bench", F.evaluate.mt.endpoint),
            ("mt_bench_branch", F.evaluate.mt.endpoint),
        )
    ),
    *(
        Rule(
            f"{name.replace('_', '-')}-needs-tasks",
            when=(F.evaluate.benchmarks.has(name),),
            require=F.evaluate.mmlu.tasks.is_set(),
            why="MMLU has no questions without tasks",
        )
        for name in ("mmlu", "mmlu_branch")
    ),
    Rule(
        "endpoint-has-no-template",
        when=(F.evaluate.mmlu.endpoint.is_set(),),
        require=~F.evaluate.mmlu.apply_chat_template.is_(True),
        why="log probabilities of a prompt are given for plain text, which no chat template was put around",
    ),
    Rule(
        "endpoint-is-one-model",
        when=(F.evaluate.mmlu.endpoint.is_set(),),
        require=~F.evaluate.benchmarks.has("mmlu_branch"),
        why="branches compare two models, of which an endpoint serves one",
    ),
    *(
        rule
        for name in ("mt_bench", "mt_bench_branch")
        for rule in (
            Rule(
                f"{name.replace('_', '-')}-needs-prompts",
                when=(F.evaluate.benchmarks.has(name),),
                require=F.evaluate.mt.data_dir.is_set(),
                why="questions and judge prompts do not come with this program",
            ),
            Rule(
                f"{name.replace('_', '-')}-needs-a-judge",
                when=(F.evaluate.benchmarks.has(name), ~F.evaluate.mt.endpoint.is_set()),
                require=F.evaluate.mt.judge_endpoint.is_set(),
                why="where the model is served for the run, no judge is served beside it",
            ),
        )
    ),
    *(
        Rule(
            f"{name.replace('_', '-')}-needs-a-base-model",
            when=(F.evaluate.benchmarks.has(name),),
            require=F.evaluate.base_model.is_set(),
            why="the trained model is compared with the one before training",
        )
        for name in ("mmlu_branch", "mt_bench_branch")
    ),
    *(
        Rule(
            f"{name}-needs-a-key",
            when=(endpoint.is_set(), ~endpoint.matches(_LOCAL)),
            require=key.is_set(),
            why="most remote endpoints need a key",
            severity="warning",
        )
        for name, endpoint, key in (
            ("remote-teacher", F.generate.model_endpoint_url, F.generate.api_key),
            ("remote-mmlu-model", F.evaluate.mmlu.endpoint, F.evaluate.mt.api_key),
            ("remote-model", F.evaluate.mt.endpoint, F.evaluate.mt.api_key),
            ("remote-judge", F.evaluate.mt.judge_endpoint, F.evaluate.mt.judge_api_key),
        )
    ),
    Rule(
        "two-ways-to-meet",
        when=(F.train.torchrun.rdzv_endpoint.is_set(),),
        require=~F.train.torchrun.master_addr.is_set(),
        why="torchrun uses a rendezvous endpoint or the address of machine 0, not both",
    ),
    Rule(
        "port-needs-address",
        when=(F.train.torchrun.master_port.is_set(),),
        require=F.train.torchrun.master_addr.is_set(),
        why="a port alone does not say which machine",
    ),
)

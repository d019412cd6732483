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
        "offload-needs-deepspeed",
        when=(_DEEPSPEED.ds_offload_strat.is_set(),),
        require=_DEEPSPEED.enabled.is_(True),
        why="only DeepSpeed reads this setting: without it nothing would be offloaded",
        fix={"train.deepspeed.enabled": True},
    ),
    Rule(
        "optimizer-offload-needs-deepspeed",
        when=(_DEEPSPEED.cpu_offload_optimizer.is_(True),),
        require=_DEEPSPEED.enabled.is_(True),
        why="only DeepSpeed reads this setting: without it nothing would be offloaded",
        fix={"train.deepspeed.enabled": True},
    ),
    Rule(
        "parameter-offload-needs-deepspeed",
        when=(_DEEPSPEED.cpu_offload_params.is_(True),),
        require=_DEEPSPEED.enabled.is_(True),
        why="only DeepSpeed reads this setting: without it nothing would be offloaded",
        fix={"train.deepspeed.enabled": True},
    ),
    Rule(
        "deepspeed-config-needs-deepspeed",
        when=(_DEEPSPEED.deepspeed_config.is_set(),),
        require=_DEEPSPEED.enabled.is_(True),
        why="only DeepSpeed reads that file: without it nothing in it would take effect",
        fix={"train.deepspeed.enabled": True},
    ),
    Rule(
        "parameter-offload-needs-zero-3",
        when=(_DEEPSPEED.cpu_offload_params.is_(True), ~_DEEPSPEED.deepspeed_config.is_set()),
        require=_DEEPSPEED.zero_stage.is_(3),
        why="below stage 3 every process keeps all parameters: there is nothing that DeepSpeed could move",
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
        why="DeepSpeed has to know on which disk it may write",
    ),
    Rule(
        "deepspeed-or-fsdp",
        when=(_DEEPSPEED.enabled.is_(True),),
        require=_FSDP.enabled.is_(False),
        why="both shard the same model: one run uses one of them",
        fix={"train.fsdp.enabled": False},
    ),
    Rule(
        "fsdp-offload-needs-fsdp",
        when=(_FSDP.fsdp_cpu_offload.is_(True),),
        require=_FSDP.enabled.is_(True),
        why="only FSDP reads this setting: without it nothing would be offloaded",
        fix={"train.fsdp.enabled": True},
    ),
    Rule(
        "optimizer-offload-needs-zero",
        when=(_DEEPSPEED.cpu_offload_optimizer.is_(True), ~_DEEPSPEED.deepspeed_config.is_set()),
        require=_DEEPSPEED.zero_stage.at_least(1),
        why="at stage 0 DeepSpeed has no ZeRO optimizer that it could keep in main memory",
        fix={"train.deepspeed.zero_stage": 2},
    ),
    Rule(
        "offload-of-nothing",
        when=(_DEEPSPEED.ds_offload_strat.is_set(), _DEEPSPEED.cpu_offload_params.is_(False)),
        require=_DEEPSPEED.cpu_offload_optimizer.is_(True),
        why="it says where to, but neither the optimizer nor the parameters are to be moved there",
        fix={"train.deepspeed.cpu_offload_optimizer": True},
        severity="warning",
    ),
    *(
        Rule(
            f"{name.replace('_', '-')}-beside-deepspeed-config",
            when=(condition, _DEEPSPEED.deepspeed_config.is_set()),
            require=~condition,
            why="the file is used as it stands: this setting has no effect beside it",
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
            why="without LoRA there is no adapter that it could shape",
            fix={"train.lora.enabled": True},
            severity="warning",
        )
        for name in ("lora_rank", "lora_alpha", "lora_dropout", "target_modules")
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
        why="the weights would not move by more than their rounding",
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
                why="work on the CPU uses none of the GPUs that it names",
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
        why="without a GPU accelerate trains in fp32 instead, without a word; bf16 runs on the CPU",
        fix={"train.precision": "bf16"},
    ),
    Rule(
        "fp16-needs-gpus-left",
        when=(F.train.precision.is_("fp16"),),
        require=~F.train.gpus.is_(()),
        why="without a GPU accelerate trains in fp32 instead, without a word; bf16 runs on the CPU",
        fix={"train.precision": "bf16"},
    ),
    Rule(
        "prune-needs-input",
        when=(F.evaluate.prune.is_(True),),
        require=F.evaluate.input_dir.is_set(),
        why="pruning keeps the best of a folder of checkpoints: it has to know which folder",
    ),
    Rule(
        "mmlu-needs-tasks",
        when=(F.evaluate.benchmarks.has("mmlu"),),
        require=F.evaluate.mmlu.tasks.is_set(),
        why="there would be no question to ask",
    ),
    Rule(
        "mt-bench-needs-an-endpoint",
        when=(F.evaluate.benchmarks.has("mt_bench"),),
        require=F.evaluate.mt.endpoint.is_set(),
        why="MT-Bench talks to a served model",
    ),
    *(
        Rule(
            f"{name}-needs-a-key",
            when=(endpoint.is_set(), ~endpoint.matches(_LOCAL)),
            require=key.is_set(),
            why="most endpoints outside this machine answer nobody without a key",
            severity="warning",
        )
        for name, endpoint, key in (
            ("remote-teacher", F.generate.model_endpoint_url, F.generate.api_key),
            ("remote-model", F.evaluate.mt.endpoint, F.evaluate.mt.api_key),
            ("remote-judge", F.evaluate.mt.judge_endpoint, F.evaluate.mt.api_key),
        )
    ),
    Rule(
        "two-ways-to-meet",
        when=(F.train.torchrun.rdzv_endpoint.is_set(),),
        require=~F.train.torchrun.master_addr.is_set(),
        why="torchrun takes a rendezvous endpoint or the address of machine 0, not both",
    ),
    Rule(
        "port-needs-address",
        when=(F.train.torchrun.master_port.is_set(),),
        require=F.train.torchrun.master_addr.is_set(),
        why="a port alone does not say on which machine the others meet",
    ),
)

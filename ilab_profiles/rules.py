"""Which settings go together: the table of rules, and beside it the checks that the language of rules cannot say.

Each rule names what would go wrong. Arithmetic over two settings is a Python check, marked with :func:`check`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ilab_profiles.conditions import Check, F, Field, Rule, Violation, show, value_at
from ilab_profiles.diagnostics import Severity
from ilab_profiles.profile import Profile

__all__ = ["CHECKS", "RULES", "check", "violations"]

CHECKS: list[Check] = []


def check(
    id: str, *involved: Field, why: str, severity: Severity = "error"
) -> Callable[[Callable[[Profile], Iterator[str]]], Callable[[Profile], Iterator[str]]]:
    """Register a Python check over the fields ``involved``; findings point to the first of them that somebody set."""

    def register(run: Callable[[Profile], Iterator[str]]) -> Callable[[Profile], Iterator[str]]:
        CHECKS.append(Check(id, tuple(item.path for item in involved), why, run, severity))
        return run

    return register


def violations(profile: Profile) -> Iterator[Violation]:
    """Everything in a profile that breaks a rule or a check, in the order of the table."""
    for rule in RULES:
        if all(condition.holds(profile) for condition in rule.when) and not rule.require.holds(profile):
            cause = rule.when[0] if rule.when else rule.require
            message = f"{show(value_at(profile, cause.path))} needs {rule.require}"
            involved = (*(condition.path for condition in rule.when), rule.require.path)
            yield Violation(rule.id, cause.path, message, rule.why, rule.fix, rule.severity, involved)
    for item in CHECKS:
        for message in item.run(profile):
            yield Violation(item.id, item.involved[0], message, item.why, {}, item.severity, item.involved)


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
        "cpu-has-no-gpus",
        when=(F.train.device.is_("cpu"), F.train.gpus.is_set()),
        require=F.train.gpus.is_(()),
        why="a run on the CPU uses none of the GPUs that it names",
        fix={"train.gpus": -1},
    ),
    Rule(
        "cuda-needs-a-gpu",
        when=(F.train.device.is_("cuda"),),
        require=~F.train.gpus.is_(()),
        why="gpus: -1 hides every GPU from the run",
    ),
    Rule(
        "fp16-needs-a-gpu",
        when=(F.train.precision.is_("fp16"),),
        require=~F.train.device.is_("cpu"),
        why="the CPU has no fast fp16 arithmetic and no gradient scaler; bf16 runs there",
        fix={"train.precision": "bf16"},
    ),
    Rule(
        "prune-needs-input",
        when=(F.evaluate.prune.is_(True),),
        require=F.evaluate.input_dir.is_set(),
        why="pruning keeps the best of a folder of checkpoints: it has to know which folder",
    ),
)


@check(
    "batch-holds-a-sample",
    F.train.max_batch_len,
    F.train.max_seq_len,
    why="a conversation of max_seq_len tokens would fit into no batch",
)
def _batch_holds_a_sample(profile: Profile) -> Iterator[str]:
    train = profile.train
    if train.max_batch_len < train.max_seq_len:
        yield f"{train.max_batch_len} tokens are fewer than train.max_seq_len: {train.max_seq_len}"


@check(
    "num-gpus-agrees",
    F.train.num_gpus,
    F.train.gpus,
    why="one process is started for each GPU",
)
def _num_gpus_agrees(profile: Profile) -> Iterator[str]:
    train = profile.train
    if train.num_gpus and train.gpus and train.num_gpus != len(train.gpus):
        yield f"{train.num_gpus} disagrees with train.gpus, which names {len(train.gpus)}"


@check(
    "batch-covers-processes",
    F.train.effective_batch_size,
    F.train.num_gpus,
    F.train.gpus,
    F.train.torchrun.nnodes,
    why="a process without a sample would only wait for the others",
)
def _batch_covers_processes(profile: Profile) -> Iterator[str]:
    train = profile.train
    if train.effective_batch_size % train.world_size:
        yield f"{train.effective_batch_size} samples do not divide over {train.world_size} processes"


@check(
    "rendezvous-or-master",
    F.train.torchrun.rdzv_endpoint,
    F.train.torchrun.master_addr,
    F.train.torchrun.master_port,
    why="torchrun takes one of the two ways to meet",
)
def _rendezvous_or_master(profile: Profile) -> Iterator[str]:
    torchrun = profile.train.torchrun
    if torchrun.rdzv_endpoint and (torchrun.master_addr or torchrun.master_port):
        yield "a rendezvous endpoint excludes train.torchrun.master_addr and master_port"

"""What can be known before a training is launched: settings that cannot be carried out, model, data. Never writes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ilab_cli.backends.base import output_folder
from ilab_cli.backends.hardware import device_findings, memory_findings, on_cpu
from ilab_cli.backends.model_folder import ADVICE, problems, weight_files
from ilab_cli.backends.train import adapters, memory, validation
from ilab_cli.backends.train.architecture import configuration, fitted, mixes_samples
from ilab_cli.backends.train.checkpoint import newest
from ilab_cli.backends.train.data import conversations
from ilab_cli.extras import missing_extra
from ilab_profiles import Finding, InputError, Train
from ilab_profiles.diagnostics import counted
from ilab_profiles.hardware.cores import cores
from ilab_profiles.zero import configuration as zero_configuration

if TYPE_CHECKING:
    from ilab_cli.backends.train.data.dataset import Samples
    from ilab_cli.backends.train.plan import BatchPlan

__all__ = ["check_settings", "preflight", "preflight_elsewhere"]

_FEW = 0.01
"""The share of conversations that may be left out for their length without a warning."""


def preflight(train: Train) -> list[Finding]:
    """All that is wrong with a training before it starts, warnings included."""
    missing = _missing_extras(train)
    settings = list(_settings(train, with_torch=not missing))
    model = [*_model(train), *_memory(train)]
    stopped = missing or model or any(finding.severity == "error" for finding in settings)
    plans: list[BatchPlan] = []
    runs = [run.model_copy(update={"model_path": train.model_path}) for run in train.runs()]
    data = [
        _in_phase(train, number, replace(finding, path=train.path_in_run(number, finding.path)))
        for number, run in enumerate(runs)
        for finding in (_lines(run) if missing or model else _samples(run, plans))
    ]
    longest = max((int(plan.lengths.max()) for plan in plans), default=0)
    fits = [] if stopped else list(memory.findings(train, longest))
    sound = len(plans) == len(runs) and not any(finding.severity == "error" for finding in data)
    if not (missing or model) and (sound or train.model_path):
        model += adapters.findings(train)
    space = _space(train, plans) if sound else ()
    trackers = [finding for name in train.trackers for finding in missing_extra(name, "train.trackers")]
    return list(dict.fromkeys([*missing, *trackers, *settings, *model, *fits, *data, *space]))


def _in_phase(train: Train, number: int, finding: Finding) -> Finding:
    """What is wrong with data that nobody named: where others have some, the phase is what lacks them."""
    unnamed = train.data_path == Train.model_fields["data_path"].default
    if finding.rule != "data-not-found" or finding.path != "train.data_path" or not unnamed:
        return finding
    if not any(phase.data_path for phase in train.phases):
        return finding
    message = f"phase {train.phase_names[number]} has no data_path, and there is no {train.data_path}"
    return replace(finding, message=message, path=f"train.phases.{number}", hint="give it one, as the others have")


def preflight_elsewhere(train: Train, *, files: bool) -> list[Finding]:
    """All that is wrong with a training on other machines, as far as it is known on this one.

    Args:
        train: the settings.
        files: whether those machines see the files of this one.
    """
    if not files:
        return []
    settings = [*_settings(train, with_torch=False), *_model(train)]
    return list(dict.fromkeys([*settings, *(finding for run in train.runs() for finding in _lines(run))]))


def check_settings(train: Train) -> None:
    """Refuse settings that cannot be carried out here.

    Raises:
        InputError: with all of them.
    """
    if findings := [finding for finding in _settings(train, with_torch=True) if finding.severity == "error"]:
        raise InputError(findings)


def _missing_extras(train: Train) -> list[Finding]:
    missing = missing_extra("train", "ilab model train")
    if train.deepspeed.quantize_dtype:
        extra = "fp8" if train.deepspeed.quantize_dtype == "fp8" else "quantize"
        missing += missing_extra(extra, "train.deepspeed.quantize_dtype")
    if train.optimizer == "adamw_8bit":
        missing += missing_extra("quantize", "train.optimizer: adamw_8bit")
    if train.deepspeed.enabled:
        missing += missing_extra("deepspeed", "train.deepspeed")
    return missing


# --- settings -------------------------------------------------------------------------------------------------------


def _settings(train: Train, *, with_torch: bool) -> Iterator[Finding]:
    yield from output_folder(train.output_dir, "train.output_dir")
    if with_torch:
        yield from _meeting(train)
        yield from _hardware(train)
    if train.deepspeed.enabled:
        yield from _deepspeed_config(train)
        if with_torch and train.deepspeed.ds_offload_strat == "nvme":
            yield from _nvme()
    for run in train.runs():
        try:
            found = newest(Path(run.output_dir))
        except InputError as error:
            yield from error.findings
            continue
        if found and not train.resume:
            yield Finding(
                "checkpoints-exist",
                f"{run.output_dir} has checkpoints, and train.resume is off",
                "train.output_dir",
                why="a new run would overwrite them",
                hint="replace them with --overwrite, or choose another folder",
            )


def _deepspeed_config(train: Train) -> Iterator[Finding]:
    try:
        stage = zero_configuration(train)["zero_optimization"].get("stage")
    except InputError as error:
        yield from error.findings
        return
    if stage == 3 and train.deepspeed.quantize_dtype:
        yield Finding(
            "quantize-needs-whole-model",
            "a quantized model cannot be split over processes, which ZeRO 3 does",
            "train.deepspeed.quantize_dtype",
            hint="set train.deepspeed.zero_stage: 2",
        )


def _nvme() -> Iterator[Finding]:
    """A finding if DeepSpeed cannot write to a disk by itself."""
    logging.disable(logging.WARNING)  # it tells what it thinks of the hardware
    try:
        from deepspeed.ops.op_builder import AsyncIOBuilder

        compatible = AsyncIOBuilder().is_compatible(verbose=False)
    finally:
        logging.disable(logging.NOTSET)
    if not compatible:
        message = "offload to a disk needs the library libaio, with its header, and a compiler"
        hint = "install libaio-dev (or libaio-devel) and g++, or set it to cpu"
        yield Finding("no-libaio", message, "train.deepspeed.ds_offload_strat", hint=hint)


def _meeting(train: Train) -> Iterator[Finding]:
    torchrun = train.torchrun
    if torchrun.nnodes > 1 and not (torchrun.rdzv_endpoint or torchrun.master_addr):
        yield Finding(
            "machines-need-a-place-to-meet",
            f"{torchrun.nnodes} machines would not find each other",
            "train.torchrun.nnodes",
            hint="set train.torchrun.rdzv_endpoint, or let a scheduler start them: --launcher slurm",
        )


def _hardware(train: Train) -> Iterator[Finding]:
    yield from device_findings("train", train.device, train.gpus, train.num_processes)
    if on_cpu(train.device, train.gpus):
        if train.num_processes > cores() and not train.oversubscribe:
            message = f"{train.num_processes} processes on {counted(cores(), 'cores')}: they would wait for each other"
            hint = f"use at most {cores()}, or --oversubscribe"
            yield Finding("too-many-processes", message, "train.num_gpus", hint=hint)
        if train.precision == "fp16":
            yield Finding("precision", "fp16 needs a GPU", "train.precision", hint="use fp32 or bf16")


# --- model and data -------------------------------------------------------------------------------------------------


def _model(train: Train) -> Iterator[Finding]:
    if not train.model_path:
        return  # a hub name: whether it exists, loading its tokenizer tells
    advice = f"{ADVICE}; for a model of a hub, set train.model_repo"
    yield from problems(Path(train.model_path), "train.model_path", advice)


def _memory(train: Train) -> Iterator[Finding]:
    if train.model_path:
        yield from memory_findings(weight_files(Path(train.model_path)), "train.model_path")


def _lines(train: Train) -> Iterable[Finding]:
    """What is wrong with the data, looked at without tokenizer."""
    try:
        return conversations.check(conversations.files_of(train.data_path))
    except InputError as error:
        return error.findings


def _samples(train: Train, plans: list[BatchPlan]) -> Iterator[Finding]:
    """What is wrong with the data for this model, and with the plan that follows from them, which joins the others."""
    from ilab_cli.backends.train.data import dataset
    from ilab_cli.backends.train.plan import BatchPlan

    if not train.model_path and (broken := list(_lines(train))):
        yield from broken  # sound data first: looking for a model on the hub takes time
        return
    try:
        config = configuration(train)
    except InputError as error:
        yield from (*error.findings, *_lines(train))
        return
    yield from _unpackable(train, config)
    yield from validation.findings(train, lambda samples: _beyond(samples, config))
    try:
        samples = dataset.examine(train)
    except InputError as error:
        yield from error.findings
        return
    yield from _left_out(samples, train)
    yield from _beyond(samples, config)
    plan = BatchPlan(fitted(train, config), samples.lengths, config.hidden_size)
    plans.append(plan)
    if train.warmup_steps >= plan.steps:
        yield Finding(
            "warmup-too-long",
            f"the run has {plan.steps} steps: it ends before the learning rate is reached",
            "train.warmup_steps",
            hint=f"set it to {plan.steps // 10}",
            severity="warning",
        )


def _beyond(samples: Samples, config: Any) -> Iterator[Finding]:
    """What in the samples is beyond the model."""
    longest, highest = int(samples.lengths.max()), samples.highest
    limit, words = getattr(config, "max_position_embeddings", None), getattr(config, "vocab_size", None)
    if limit and longest > limit:
        yield Finding(
            "longer-than-model",
            f"the longest conversation has {longest} tokens, the model reads {limit}",
            "train.max_seq_len",
            hint=f"set it to {limit} or less",
        )
    if words and highest >= words:
        yield Finding(
            "vocabulary",
            f"the data hold token {highest}, the model knows {words} tokens",
            "train.model_path",
            why="tokenizer and weights are not of one model, or tokens were added to the tokenizer alone",
            hint="take the tokenizer that came with the weights, or resize the model's embeddings and save it first",
        )


def _space(train: Train, plans: list[BatchPlan]) -> Iterable[Finding]:
    """Whether the disk has room for the run."""
    from ilab_cli.backends.train import disk

    return disk.findings(train, plans)


def _unpackable(train: Train, config: Any) -> Iterator[Finding]:
    """A warning if the model cannot keep packed samples apart."""
    if train.packing != "none" and (why := mixes_samples(config)):
        message = f"samples cannot share a row in this model: {why}"
        hint = "they are padded; set it to none"
        yield Finding("not-packable", message, "train.packing", hint=hint, severity="warning")


def _left_out(samples: Samples, train: Train) -> Iterator[Finding]:
    """A warning if more than a few conversations are too long."""
    total = samples.left_out + len(samples)
    too_long = samples.left_out + samples.truncated
    if too_long <= _FEW * total:
        return
    message = f"{too_long} of {total} conversations ({too_long / total:.1%}) have more than {train.max_seq_len} tokens"
    if not samples.truncated:
        hint = "they are left out; raise it, shorten them, or set train.too_long: truncate"
        yield Finding("too-long-left-out", message, "train.max_seq_len", hint=hint, severity="warning")
        return
    hint = f"{samples.truncated} are truncated to their beginning"
    if samples.left_out:
        hint += f", {samples.left_out} left out: nothing is learned there"
    yield Finding("too-long-truncated", message, "train.max_seq_len", hint=f"{hint}; raise it", severity="warning")

"""What became of every setting of the older ``ilab``: one row a setting, its new name or the reason why it has none.

The table and the older program's defaults that differ from today's stand here; how values change is told in
:mod:`ilab_profiles.migration.values`, and files are migrated in :mod:`ilab_profiles.migration.migrate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ilab_profiles.migration import values as to
from ilab_profiles.migration.values import Convert

__all__ = ["OLDER_DEFAULTS", "TABLE", "Older"]


@dataclass(frozen=True, slots=True)
class Older:
    """One setting of the older program.

    Args:
        old: its dotted path there.
        new: the dotted paths that take its place, in a profile or in ``config.yaml``; none if there is no counterpart.
        convert: gives the values of ``new``, or of the first ones of them.
        note: what to know about the change; without ``new``, why there is no counterpart.
    """

    old: str
    new: tuple[str, ...] = ()
    convert: Convert = to.keep
    note: str = ""


def _same(section: str, *names: str) -> tuple[Older, ...]:
    """Settings that kept their names."""
    return tuple(Older(f"{section}.{name}", (f"{section}.{name}",)) for name in names)


def _renamed(section: str, new: str, **names: str) -> tuple[Older, ...]:
    """Settings that moved to another section, each with its new name."""
    return tuple(Older(f"{section}.{name}", (f"{new}.{target}",)) for name, target in names.items())


def _gone(why: str, section: str, *names: str) -> tuple[Older, ...]:
    """Settings without a counterpart."""
    return tuple(Older(f"{section}.{name}", note=why) for name in names)


def _server(server: str, new: str) -> tuple[Older, ...]:
    """The settings of a server, whose address is one setting today."""
    return (
        Older(f"{server}.host", (new,), to.address(server), "host and port are one setting"),
        Older(f"{server}.port", (new,), to.address(server), "host and port are one setting"),
        *_gone("it described a running server and chose nothing", server, "backend_type", "current_max_ctx_size"),
    )


def _phase(number: int) -> tuple[Older, ...]:
    """The settings of one of the two phases, which were counted from 1."""
    names = {
        "num_epochs": "num_epochs",
        "effective_batch_size": "effective_batch_size",
        "learning_rate": "learning_rate",
        "samples_per_save": "save_samples",
    }
    old, new = f"train.phased_phase{number}_", f"train.phases.{number - 1}."
    return tuple(Older(f"{old}{name}", (f"{new}{target}",), to.phase) for name, target in names.items())


_BRANCH = "which leaves are new is told by evaluate.mt.taxonomy_base, a git revision"
_DK_BENCH = "there is no DK-Bench"
_NAMED = "models are named by path or hub name where they are used"
_RAG = "retrieval is not part of the workflow"
_SERVE = "section serve has no such setting"
_TEACHER = "a teacher is served with the settings of section serve"
_FIRST = "a number of GPUs became a selection: the first ones"
_DEEPSPEED = to.only_under("deepspeed", "to keep the optimizer in main memory, set train.fsdp.fsdp_cpu_offload: true")
_FSDP = to.only_under("fsdp", "to keep the optimizer in main memory, set train.deepspeed.cpu_offload_optimizer: true")

_CHAT = (
    *_same("chat", "context", "greedy_mode", "logs_dir", "max_tokens", "model", "session", "vi_mode"),
    *_same("chat", "visible_overflow"),
    Older("chat.temperature", ("chat.greedy_mode",), to.greedy),
)

_EVALUATE = (
    *_same("evaluate", "model", "mmlu.batch_size", "mmlu.few_shots"),
    Older("evaluate.gpus", ("evaluate.gpus",), to.first_gpus, _FIRST),
    *_renamed("evaluate.mmlu_branch", "evaluate.mmlu", tasks_dir="data_dir"),
    *_renamed("evaluate.mt_bench", "evaluate.mt", judge_model="judge_model"),
    Older(
        "evaluate.mt_bench.max_workers",
        ("evaluate.mt.max_concurrency",),
        to.unless("evaluate.mt.max_concurrency is a number; without one, its default holds", "auto"),
    ),
    Older("evaluate.mt_bench.output_dir", ("evaluate.output_dir",), note="one folder for every benchmark"),
    *_same("evaluate", "base_model"),
    *_gone(_BRANCH, "evaluate", "base_branch", "branch"),
    *_renamed("evaluate.mt_bench_branch", "evaluate.mt", taxonomy_path="taxonomy_path"),
    *_gone("evaluate.mt.judge_model is the judge of both", "evaluate.mt_bench_branch", "judge_model"),
    Older("evaluate.mt_bench_branch.output_dir", ("evaluate.output_dir",), note="one folder for every benchmark"),
    *_gone(_DK_BENCH, "evaluate", "system_prompt", "temperature"),
    *_gone(_DK_BENCH, "evaluate.dk_bench", "input_questions", "judge_model", "output_dir", "output_file_formats"),
)

_GENERAL = (
    Older("general.log_level", ("general.log_level",), to.upper),
    *_gone("general.log_level decides alone", "general", "debug_level"),
    *_gone("the form of messages is fixed", "general", "log_format"),
    *_gone(_NAMED, "general", "student_model_id", "teacher_model_id"),
    *_gone("the chat template of the model's tokenizer is used", "general", "use_legacy_tmpl"),
)

_GENERATE = (
    *_same("generate", "chunk_word_count", "model", "num_cpus", "output_dir", "taxonomy_base", "taxonomy_path"),
    *_renamed("generate", "generate", max_num_tokens="max_tokens"),
    Older(
        "generate.num_instructions",
        ("generate.num_instructions",),
        to.unless("-1 left the number to sdg_scale_factor", -1),
    ),
    Older("generate.pipeline", ("generate.pipeline", "generate.config"), to.built_in_or_folder),
    *_gone("generate.max_concurrency bounds the requests of the whole run", "generate", "batch_size"),
    Older(
        "generate.sdg_scale_factor",
        note="it multiplied the answers to each seed; generate.num_instructions bounds those of the whole run",
    ),
    *_gone("the taxonomy holds the seeds", "generate", "seed_file"),
    *_server("generate.teacher.server", "generate.model_endpoint_url"),
    Older("generate.teacher.model_path", ("generate.model",), note="the teacher is named once, in generate.model"),
    Older("generate.teacher.llama_cpp.llm_family", ("generate.model_family",), to.family("llama-cpp")),
    Older("generate.teacher.vllm.llm_family", ("generate.model_family",), to.family("vllm")),
    Older("generate.teacher.vllm.gpus", ("generate.gpus",), to.first_gpus, _FIRST),
    *_gone(_TEACHER, "generate.teacher", "backend", "chat_template", "llama_cpp.gpu_layers", "llama_cpp.max_ctx_size"),
    *_gone(_TEACHER, "generate.teacher.vllm", "max_startup_attempts", "vllm_args"),
)

_MACHINE = (
    *_renamed("metadata", "hardware", gpu_count="count", gpu_family="gpu"),
    Older("metadata.cpu_info", ("description",), note="hardware describes GPUs only"),
    *_gone("hardware.gpu names the GPU without its maker", "metadata", "gpu_manufacturer"),
    *_gone("hardware.gpu names the GPU without its variants", "metadata", "gpu_sku"),
)

_NO_SECTION = (
    Older("models", note=_NAMED),
    Older("version", note="it was the version of the older file format"),
    *_gone(_RAG, "rag", "enabled", "convert.output_dir", "convert.taxonomy_base", "convert.taxonomy_path"),
    *_gone(_RAG, "rag", "document_store.collection_name", "document_store.uri", "retriever.top_k"),
    *_gone(_RAG, "rag", "embedding_model.embedding_model_path"),
)

_SERVING = (
    *_same("serve", "gpu_layers", "host_port", "max_ctx_size", "model_path"),
    *_renamed("serve.llama_cpp", "serve", gpu_layers="gpu_layers", max_ctx_size="max_ctx_size"),
    *_server("serve.server", "serve.host_port"),
    *_gone(_SERVE, "serve", "backend", "chat_template", "llama_cpp.llm_family", "vllm.gpus", "vllm.llm_family"),
    *_gone(_SERVE, "serve.vllm", "max_startup_attempts", "vllm_args"),
)

_TRAIN = (
    *_same("train", "data_path", "effective_batch_size", "max_batch_len", "max_seq_len", "num_epochs", "save_samples"),
    *_renamed("train", "train", ckpt_output_dir="output_dir"),
    Older("train.model_path", ("train.model_path", "train.model_repo"), to.hub_or_folder, "ORG/NAME is a hub name"),
    Older("train.device", ("train.device",), to.device),
    Older("train.nproc_per_node", ("train.num_gpus",), to.processes),
    Older("train.distributed_backend", ("train.fsdp.enabled", "train.deepspeed.enabled"), to.backend),
    Older("train.deepspeed_cpu_offload_optimizer", ("train.deepspeed.cpu_offload_optimizer",), _DEEPSPEED),
    Older("train.fsdp_cpu_offload_optimizer", ("train.fsdp.fsdp_cpu_offload",), _FSDP, "parameters are moved as well"),
    Older("train.lora_rank", ("train.lora.enabled", "train.lora.lora_rank"), to.lora_rank, "0 stood for no LoRA"),
    Older("train.lora_quantize_dtype", ("train.deepspeed.quantize_dtype",), to.quantize),
    *_phase(1),
    *_phase(2),
    *_renamed("train", "evaluate.mt", phased_mt_bench_judge="judge_model"),
    *_gone("the phases are folders in train.output_dir", "train", "phased_base_dir"),
    *_gone("train.resume continues from the last checkpoint in train.output_dir", "train", "training_journal"),
    *_gone("checkpoints come every train.save_samples samples and at the end", "train", "checkpoint_at_epoch"),
    *_gone("tokenized data are not written to a folder of their own", "train", "data_output_dir"),
    *_gone("transformers chooses the attention that the GPU can run", "train", "disable_flash_attn"),
    *_gone("it described the model; train.packing packs batches of any model", "train", "is_padding_free"),
    *_gone("one trainer serves every machine", "train", "pipeline"),
)

_ARGS = (
    *_renamed(
        "train.additional_args",
        "train",
        learning_rate="learning_rate",
        warmup_steps="warmup_steps",
        random_seed="seed",
        lora_alpha="lora.lora_alpha",
        lora_dropout="lora.lora_dropout",
        nnodes="torchrun.nnodes",
        node_rank="torchrun.node_rank",
        rdzv_endpoint="torchrun.rdzv_endpoint",
    ),
    Older("train.additional_args.rdzv_id", ("train.torchrun.rdzv_id",), to.text),
    Older("train.additional_args.lora_target_modules", ("train.lora.target_modules",), to.with_lora),
    *(
        Older(
            f"train.additional_args.deepspeed_cpu_offload_optimizer_{name}",
            (),
            _DEEPSPEED,
            "a DeepSpeed file can say it",
        )
        for name in ("pin_memory", "ratio")
    ),
    *_gone("transformers loads every model", "train.additional_args", "use_dolomite"),
)

_ROWS = (*_CHAT, *_EVALUATE, *_GENERAL, *_GENERATE, *_MACHINE, *_NO_SECTION, *_SERVING, *_TRAIN, *_ARGS)

TABLE: Mapping[str, Older] = {row.old: row for row in _ROWS}
"""Every setting of the older program by its dotted path; where several meet in one new one, the first counts."""

_ADDRESS: Mapping[str, Any] = {"host": "127.0.0.1", "port": 8000}

OLDER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "train.": {
        "train.additional_args.lora_target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
        "train.device": "cpu",
        "train.distributed_backend": "fsdp",
        "train.lora_quantize_dtype": "nf4",
        "train.num_epochs": 10,
        "train.save_samples": 250_000,
    },
    "train.phased_phase": {
        "train.phased_phase1_num_epochs": 7,
        "train.phased_phase1_effective_batch_size": 128,
        "train.phased_phase1_learning_rate": 2e-5,
        "train.phased_phase1_samples_per_save": 0,
        "train.phased_phase2_num_epochs": 10,
        "train.phased_phase2_effective_batch_size": 3840,
        "train.phased_phase2_learning_rate": 6e-6,
        "train.phased_phase2_samples_per_save": 0,
    },
    "serve.server.": {f"serve.server.{name}": value for name, value in _ADDRESS.items()},
    "generate.teacher.server.": {f"generate.teacher.server.{name}": value for name, value in _ADDRESS.items()},
}
"""Older defaults that differ from today's, by the beginning of the paths beside which they were in force."""

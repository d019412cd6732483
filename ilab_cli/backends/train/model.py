"""The model of a run: loaded, quantized and given adapters as the settings say, and merged again at the end.

Trained weights are kept in fp32 unless the settings say bf16; a base that adapters are trained on is kept in the type
of the arithmetic, or quantized.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ilab_cli.backends.train import attention
from ilab_cli.backends.train.data.tokens import model_source
from ilab_profiles import Train

__all__ = ["build", "language_model", "layers", "merge"]


def build(train: Train, device: Any, checkpoint: Path | None) -> Any:
    """Load the model to train, with the weights of ``checkpoint`` where there is one.

    Args:
        train: the settings.
        device: ``torch.device`` that a quantized base model is put on; others are moved later.
        checkpoint: folder of a checkpoint of this run: a whole model, or adapters.

    Returns:
        ``transformers.PreTrainedModel``, or ``peft.PeftModel`` if adapters are trained; in training mode.
    """
    import torch

    torch.manual_seed(train.seed)
    if train.lora.enabled:
        model = _with_adapters(train, _load(train, model_source(train), device), checkpoint)
    else:
        model = _load(train, str(checkpoint or model_source(train)), device)
    if train.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.config.use_cache = False
    if train.compile:
        if train.lora.enabled:
            model.enable_input_require_grads()  # else the first layer alone has an input without, and is compiled anew
        for layer in layers(model):
            layer.compile(dynamic=True)
    return model.train()


def language_model(model: Any) -> Any:
    """The model itself, without the adapters' wrapper around it."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def layers(model: Any) -> list[Any]:
    """The layers of a model's decoder: the modules that stand together in the longest list."""
    import torch

    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return list(max(lists, key=len, default=()))


def _load(train: Train, source: str, device: Any) -> Any:
    from transformers import AutoModelForCausalLM

    dtype = _type(train.precision if train.lora.enabled else train.master_weights)
    options: dict[str, Any] = {"dtype": dtype, "trust_remote_code": train.trust_remote_code}
    if train.packing != "none":
        attention.register(device)
        options["attn_implementation"] = attention.NAME
    if train.deepspeed.quantize_dtype:
        how = _nf4(train) if train.deepspeed.quantize_dtype == "nf4" else _fp8()
        options |= {"quantization_config": how, "device_map": {"": device}}
    return AutoModelForCausalLM.from_pretrained(source, **options)


def _type(name: str) -> Any:
    """The ``torch.dtype`` of a precision."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def _nf4(train: Train) -> Any:
    """Four-bit NormalFloat with double quantization, as in QLoRA (Dettmers et al. 2023)."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=_type(train.precision),
    )


def _fp8() -> Any:
    """Eight-bit floating point (e4m3), a scale for each row of a matrix; multiplied in the compute type."""
    from torchao.quantization import Float8WeightOnlyConfig
    from transformers import TorchAoConfig

    return TorchAoConfig(Float8WeightOnlyConfig())


def _with_adapters(train: Train, base: Any, checkpoint: Path | None) -> Any:
    from peft.tuners.tuners_utils import BaseTunerLayer

    model = _adapted(train, base, checkpoint)
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False  # the engine sees to types; every input would go to fp32 and back
    return model


def _adapted(train: Train, base: Any, checkpoint: Path | None) -> Any:
    import peft

    in_fp32 = train.master_weights == "fp32"
    if checkpoint:
        return peft.PeftModel.from_pretrained(base, checkpoint, is_trainable=True, autocast_adapter_dtype=in_fp32)
    lora = train.lora
    targets = list(lora.target_modules) if lora.target_modules else ["all-linear"]
    return peft.get_peft_model(
        base,
        peft.LoraConfig(
            r=lora.lora_rank,
            lora_alpha=lora.lora_alpha,
            lora_dropout=lora.lora_dropout,
            target_modules="all-linear" if targets == ["all-linear"] else targets,
            task_type="CAUSAL_LM",
        ),
        autocast_adapter_dtype=in_fp32,
    )


def merge(train: Train, adapters: Path) -> Any:
    """The base model, in fp32 and not quantized, with trained adapters added into its weights; on the CPU.

    Merging into quantized weights would round the adapters away, so the base is loaded once more.
    """
    import peft
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.integrations import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # under ZeRO 3 the base would be split over the processes, of which one calls this
    base = AutoModelForCausalLM.from_pretrained(
        model_source(train), dtype=torch.float32, trust_remote_code=train.trust_remote_code
    )
    return peft.PeftModel.from_pretrained(base, adapters).merge_and_unload()

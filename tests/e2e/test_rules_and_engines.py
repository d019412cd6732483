"""What the reasons of rules say of the engines, tried with the engines."""

from __future__ import annotations

import pytest

pytest.importorskip("accelerate")


def test_quantized_weights_take_no_gradient() -> None:
    """quantize-needs-lora: a quantized base model is frozen."""
    bnb = pytest.importorskip("bitsandbytes")
    layer = bnb.nn.Linear4bit(64, 64, quant_type="nf4").to("cpu")
    with pytest.raises(RuntimeError, match="floating point"):
        layer.weight.requires_grad_(True)


def test_fp16_on_the_cpu_is_fp32() -> None:
    """fp16-needs-a-gpu: accelerate trains in fp32 instead, without a word."""
    import torch
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, mixed_precision="fp16")
    try:
        layer = accelerator.prepare(torch.nn.Linear(4, 4))
        assert layer(torch.ones(1, 4)).dtype == torch.float32
    finally:
        accelerator.free_memory()
        type(accelerator.state)._reset_state(reset_partial_state=True)


@pytest.mark.filterwarnings("ignore")
def test_deepspeed_takes_offload_of_parameters_below_stage_3_without_a_word() -> None:
    """parameter-offload-needs-zero-3: DeepSpeed documents it for stage 3 only, and refuses it nowhere."""
    zero = pytest.importorskip("deepspeed.runtime.zero.config")
    config = zero.DeepSpeedZeroConfig(stage=2, offload_param={"device": "cpu"})
    assert config.offload_param is not None
    assert config.offload_param.device == "cpu"

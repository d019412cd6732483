"""The memory of our own training code, traced: its real operations on tensors that have shapes and no numbers.

Nothing is computed, so a model of any size is traced in a second. What is counted is what an allocator without waste
would hold. Ours are the loss, packed attention, adapters and FSDP; the types are those of the settings.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ilab_cli.backends.train import attention, fsdp
from ilab_cli.backends.train.loss import learner
from ilab_cli.backends.train.model import layers
from ilab_profiles import Train

__all__ = ["traced"]


class _Counter(TorchDispatchMode):  # type: ignore[misc]
    """Counts the bytes of all storages that are alive, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.sizes: weakref.WeakKeyDictionary[Any, list[int]] = weakref.WeakKeyDictionary()

    def resized(self, storage: Any, size: int) -> None:
        if storage in self.sizes:
            self._change(size - self.sizes[storage][0])
            self.sizes[storage][0] = size

    def _change(self, by: int) -> None:
        self.now += by
        self.most = max(self.most, self.now)

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = call(*args, **(kwargs or {}))
        for made in tree_leaves(out):
            if isinstance(made, torch.Tensor):
                storage = (made.to_local() if hasattr(made, "to_local") else made).untyped_storage()
                if storage not in self.sizes:
                    size = [storage.nbytes()]
                    self.sizes[storage] = size
                    self._change(size[0])
                    weakref.finalize(storage, lambda held: self._change(-held[0]), size)
        return out


@contextmanager
def _counting() -> Iterator[_Counter]:
    """Count what is done within, on fake tensors; FSDP lets storages grow and shrink."""
    resize, counter = torch.UntypedStorage.resize_, _Counter()

    def resized(storage: Any, size: int) -> Any:
        counter.resized(storage, size)
        return resize(storage, size)

    torch.UntypedStorage.resize_ = resized
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), counter:
            yield counter
    finally:
        torch.UntypedStorage.resize_ = resize


class _Borders(list[int]):
    """Where samples begin, as our attention asks for it."""

    def tolist(self) -> list[int]:
        return list(self)


def _inputs(lengths: list[int]) -> dict[str, Any]:
    borders = _Borders([0, *itertools.accumulate(lengths)])
    ids = torch.zeros(1, borders[-1], dtype=torch.int64)
    told = {"cu_seq_lens_q": borders, "cu_seq_lens_k": borders, "max_length_q": max(lengths)}
    return {"input_ids": ids, "position_ids": ids, **told, "max_length_k": max(lengths)}


def traced(config: Any, train: Train, lengths: list[int], mesh: Any = None) -> float:
    """The most bytes that a process holds at a time in the second step of a training, in which one is as any other.

    Args:
        config: ``transformers.PretrainedConfig``.
        train: the settings; of one microbatch a step, without DeepSpeed and quantization.
        lengths: tokens of its samples.
        mesh: the processes, for FSDP.
    """
    attention.register(torch.device("cpu"))
    with _counting() as counter:
        model = _model(config, train)
        network = learner(model)
        if mesh is not None:
            network = fsdp.shard(train, network, layers(model), torch.device("cpu"))
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(weights, foreach=True)
        positions = torch.arange(sum(lengths) - 1)
        half = train.precision == "bf16" and not train.fsdp.enabled
        for _ in range(2):
            counter.most = counter.now
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = network(_inputs(lengths), positions, torch.zeros(1, len(positions), dtype=torch.int64))
            loss.backward()
            del loss
            optimizer.step()
            optimizer.zero_grad()
        return counter.most


def _model(config: Any, train: Train) -> Any:
    from transformers import AutoModelForCausalLM

    base = train.precision if train.lora.enabled else train.master_weights
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[base]
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention.NAME, dtype=dtype)
    if train.lora.enabled:
        model = _adapted(model, train)
    if train.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.config.use_cache = False
    return model.train()


def _adapted(model: Any, train: Train) -> Any:
    """A model with adapters; fake weights cannot be moved, and need not be."""
    import peft
    from peft.tuners.tuners_utils import BaseTunerLayer

    settings = peft.LoraConfig(
        r=train.lora.lora_rank, lora_dropout=train.lora.lora_dropout, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    stay: Callable[..., Any] = lambda self, *_, **__: self  # noqa: E731
    own, torch.nn.Module.to = torch.nn.Module.to, stay
    moved, BaseTunerLayer._move_adapter_to_device_of_base_layer = (
        BaseTunerLayer._move_adapter_to_device_of_base_layer,
        stay,
    )
    try:
        model = peft.get_peft_model(model, settings)
    finally:
        torch.nn.Module.to = own
        BaseTunerLayer._move_adapter_to_device_of_base_layer = moved
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False
    return model

"""Which layers get adapters, checked on a model without weights before any are loaded."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from ilab_cli.backends.train.architecture import skeleton
from ilab_profiles import Finding, InputError, Train
from ilab_profiles.diagnostics import nearest

__all__ = ["chosen", "findings"]

_ALL = ("all-linear",)
_FUSED = "without also targeting"
"""In what peft says of a part of a fused matrix that is named without the other parts."""
_ENDS = {"lm_head", "embed_out", "embed_tokens", "word_embeddings", "wte"}
"""What the first and the last layer of language models are called."""


def findings(train: Train) -> Iterator[Finding]:
    """What is wrong with the layers that LoRA names, and a warning if its rank is above what their matrices have.

    A model that cannot be read is not this function's business.
    """
    if not train.lora.enabled:
        return
    try:
        model = skeleton(train)
    except InputError:
        return
    if (targets := _targets(train)) != _ALL:
        layers = [name for name, _ in _layers(model)]
        others = [target for target in targets if not any(_is_meant(target, layer) for layer in layers)]
        yield from _wrong(train, others, layers)
        yield from _tied(targets, model.config.get_text_config())
    yield from _too_much(train.lora.lora_rank, chosen(train, model))


def chosen(train: Train, model: Any) -> dict[str, Any]:
    """The layers that get an adapter, by name, as peft chooses them: all that are linear, except the head, or by name.

    Args:
        train: the settings.
        model: ``transformers.PreTrainedModel``.
    """
    from torch.nn import Embedding

    if (targets := _targets(train)) != _ALL:
        return {name: layer for name, layer in _layers(model) if any(_is_meant(target, name) for target in targets)}
    head = model.get_output_embeddings()
    return {name: layer for name, layer in _layers(model) if not isinstance(layer, Embedding) and layer is not head}


def _targets(train: Train) -> tuple[str, ...]:
    return tuple(train.lora.target_modules or _ALL)


def _layers(model: Any) -> list[tuple[str, Any]]:
    """The layers that can get an adapter, with their names."""
    from torch.nn import Conv1d, Conv2d, Conv3d, Embedding, Linear
    from transformers.pytorch_utils import Conv1D

    kinds = (Linear, Embedding, Conv1d, Conv2d, Conv3d, Conv1D)
    return [(name, layer) for name, layer in model.named_modules() if isinstance(layer, kinds)]


def _is_meant(target: str, layer: str) -> bool:
    """Whether a target names a layer: in whole, or by the end of its dotted name."""
    return f".{layer}".endswith(f".{target}")


def _wrong(train: Train, others: list[str], layers: list[str]) -> Iterator[Finding]:
    """What is wrong with targets that are no layers; they may be parts of matrices that transformers fuses."""
    said = {target: _refusal(train, [target]) for target in others}
    if unknown := [target for target, why in said.items() if why and _FUSED not in why]:
        yield _unknown(unknown, layers)
    elif others and (why := _refusal(train, _targets(train))):
        hint = "name what is fused together, or leave it out"
        yield Finding("no-such-layer", f"peft refuses the layers: {why}", "train.lora.target_modules", hint=hint)


def _refusal(train: Train, targets: Iterable[str]) -> str:
    """Why peft refuses some targets, in its own words; empty if it takes them."""
    logging.disable(logging.WARNING)  # it imports libraries that tell what else they would like to have
    try:
        import peft

        adapters = peft.LoraConfig(r=1, target_modules=list(targets), task_type="CAUSAL_LM")
        with warnings.catch_warnings(action="ignore"):
            peft.get_peft_model(skeleton(train), adapters, low_cpu_mem_usage=True)
    except ValueError as error:
        return str(error).partition("\n")[0]
    finally:
        logging.disable(logging.NOTSET)
    return ""


def _unknown(names: list[str], layers: list[str]) -> Finding:
    """The error that names the targets that are nothing in the model."""
    ends = sorted({layer.rpartition(".")[2] for layer in layers})
    near = [close for name in names if (close := nearest(name.rpartition(".")[2], ends))]
    hint = f"did you mean {', '.join(dict.fromkeys(near))}?" if near else f"layers of this model: {', '.join(ends)}"
    message = f"no layer of this model that can get an adapter is called {' or '.join(names)}"
    return Finding("no-such-layer", message, "train.lora.target_modules", hint=hint)


def _tied(names: Iterable[str], config: Any) -> Iterator[Finding]:
    """Adapters on the head would change the embeddings, too, when they are merged into a model that ties the two."""
    ends = sorted({name for name in names if name.rpartition(".")[2] in _ENDS})
    if ends and getattr(config, "tie_word_embeddings", False):
        message = f"{', '.join(ends)}: head and embeddings of this model are one and the same matrix"
        why = "merged into it, adapters on one of them would change the other"
        hint = "leave it out, or train the whole model"
        yield Finding("tied-embeddings", message, "train.lora.target_modules", why=why, hint=hint)


def _too_much(rank: int, layers: dict[str, Any]) -> Iterator[Finding]:
    """A warning if some matrices have a lower rank than their adapters."""
    sides = {name: min(layer.weight.flatten(1).shape) for name, layer in layers.items()}
    if few := [name for name, side in sides.items() if side < rank]:
        message = f"the rank {rank} is above the smaller side of {len(few)} of {len(sides)} matrices, {few[0]} for one"
        why = "such an adapter takes more memory than its matrix, and learns no more"
        hint = f"set it to {min(sides.values())} or less"
        yield Finding("rank-too-high", message, "train.lora.lora_rank", why=why, hint=hint, severity="warning")

"""What can be known of a model from its ``config.json``, before any weight is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from ilab_profiles import Finding, InputError, Train

__all__ = ["configuration", "fitted", "mixes_samples", "skeleton", "unpacked"]

_SEPARABLE = {"full_attention", "sliding_attention"}
"""Kinds of layers in which a token looks at nothing but earlier tokens, through attention that we give to the model."""


def configuration(train: Train) -> Any:
    """The model's configuration, of its language model where it has several parts.

    Returns:
        ``transformers.PretrainedConfig``.

    Raises:
        InputError: if transformers cannot read it.
    """
    with _reading(train) as source:
        return _whole(train, source).get_text_config()


def skeleton(train: Train) -> Any:
    """The model without weights: its modules and their shapes.

    Returns:
        ``transformers.PreTrainedModel`` on the device ``meta``.

    Raises:
        InputError: if transformers cannot read its configuration, or make a model of it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with _reading(train) as source, torch.device("meta"):
        return AutoModelForCausalLM.from_config(_whole(train, source), trust_remote_code=train.trust_remote_code)


def _whole(train: Train, source: str) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(source, trust_remote_code=train.trust_remote_code)


@contextmanager
def _reading(train: Train) -> Iterator[str]:
    """Tell what goes wrong when a model is read from where the settings name it."""
    from ilab_cli.backends.train.data.tokens import model_source

    source = model_source(train)
    try:
        yield source
    except Exception as error:  # what checks a configuration raises errors of many kinds
        raise InputError(_not_read(train, source, error)) from error


def _not_read(train: Train, source: str, error: Exception) -> Finding:
    where = "train.model_path" if train.model_path else "train.model_repo"
    if unknown := re.search("model type `(.*?)`", str(error)):
        message = (
            f"{source}: transformers {version('transformers')} knows no model_type {unknown[1]!r} (in config.json)"
        )
        return Finding("model-not-read", message, where, hint="mend it, or install a transformers that knows it")
    reason = str(error).strip().partition("\n")[0]
    message = f"cannot read the model {source}: {reason}"
    return Finding("model-not-read", message, where, hint="see its config.json, or name another model")


def mixes_samples(config: Any) -> str:
    """Why samples in one row would see each other in this model; empty if they would not.

    Args:
        config: ``transformers.PretrainedConfig``.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return "its code is not transformers' own"
    model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    kinds = set(getattr(config, "layer_types", None) or ()) - _SEPARABLE
    if kinds:
        return f"it has layers of the kind {', '.join(sorted(kinds))}"
    if model._is_stateful:
        return "it carries a state from token to token"
    if not (model._supports_sdpa and model._supports_attention_backend):
        return "its attention cannot be replaced"
    if getattr(config, "attn_logit_softcapping", None):
        return "its attention caps its scores"
    return ""


def fitted(train: Train, config: Any) -> Train:
    """The settings, with packing off where this model cannot keep packed samples apart."""
    return unpacked(train) if mixes_samples(config) else train


def unpacked(train: Train) -> Train:
    """The settings, with packing off."""
    return train.model_copy(update={"packing": "none"})

"""What a model is made of, as its ``config.json`` says: counted exactly, without the libraries that would build it.

Known are the families in :mod:`~ilab_profiles.estimate.anatomy.families`. Of any other model the parameters are those
that its files hold, in layers like those of most models. What is not known of a model, the result says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ilab_profiles.diagnostics import Finding, InputError
from ilab_profiles.estimate.anatomy import stored
from ilab_profiles.estimate.anatomy.building import build
from ilab_profiles.estimate.anatomy.defaults import DEFAULTS
from ilab_profiles.estimate.anatomy.families import FAMILIES
from ilab_profiles.estimate.anatomy.known import KNOWN, cached
from ilab_profiles.estimate.anatomy.settings import ADVICE, Settings, load
from ilab_profiles.estimate.anatomy.shapes import Architecture, Layer, Matrix
from ilab_profiles.estimate.anatomy.unfamiliar import guess
from ilab_profiles.estimate.anatomy.vision import seeing, within

__all__ = ["Architecture", "Layer", "Matrix", "read"]

_LANGUAGE = {
    "llama4": "llama4_text",
    "gemma3": "gemma3_text",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
}
"""Models of several parts, and the family of the one that is their language model."""


def read(model: str | os.PathLike[str], *, trust_remote_code: bool = False) -> Architecture:
    """What a model is made of.

    Args:
        model: its folder, its ``config.json``, or its name on a hub, which is looked up in the cache of Hugging Face.
        trust_remote_code: whether code that comes with the model builds it, where there is such code.

    Raises:
        InputError: if there is no such model, or its ``config.json`` is wrong.
    """
    settings = _settings(model)
    kind = settings.name("model_type")
    family, part = _language(settings, kind)
    for one in (settings, part):
        one.stop_if_refused()
    own_code = trust_remote_code and bool(settings.get("auto_map"))
    unknown = tuple(_remarks(settings, part, own_code))
    if own_code or family not in FAMILIES:
        packed = bool(settings.get("quantization_config"))  # several parameters in one number
        return guess(kind, part, None if packed else stored.parameters(Path(settings.source).parent), unknown)
    part.speak(FAMILIES[family].names, DEFAULTS[family])
    if kind == "gemma3":
        part.data["tie_word_embeddings"] = settings.get("tie_word_embeddings", True)
        return seeing(build(kind, within(FAMILIES[family]), part, unknown), settings.part("vision_config"))
    return build(kind, FAMILIES[family], part, unknown)


def _language(settings: Settings, kind: str) -> tuple[str, Settings]:
    """The family of a model's language model, and the settings of that: a part of them, or all."""
    if kind in _LANGUAGE:
        return _LANGUAGE[kind], settings.part("text_config")
    if settings.get("text_config"):
        part = settings.part("text_config")
        return part.name("model_type", kind), part
    return kind, settings


def _settings(model: str | os.PathLike[str]) -> Settings:
    """The settings of a model, wherever it lies."""
    path, name = Path(model), os.fspath(model)
    if name and os.path.isdir(path):
        return load(path / "config.json")
    if path.suffix == ".gguf":
        raise InputError(Finding("model-config", f"{name} is a .gguf file, which is not trained", hint=ADVICE))
    if os.path.isfile(path):
        return load(path)
    if folder := cached(name):
        return load(folder / "config.json")
    if name in KNOWN:
        return Settings(KNOWN[name], name)
    message = f"{name} is neither a folder nor a file, nor a model in the cache of Hugging Face"
    raise InputError(Finding("model-not-found", message, hint=ADVICE))


def _remarks(settings: Settings, part: Settings, own_code: bool) -> Iterator[str]:
    """What is not known of a model, whatever its family."""
    kind = settings.name("model_type")
    if part is not settings and kind not in _LANGUAGE:
        yield f"of {kind} only the language model is counted"
    if own_code:
        yield "code that comes with it builds it (auto_map)"
    if settings.get("quantization_config"):
        yield "its weights are stored quantized (quantization_config): how they are loaded is not known"

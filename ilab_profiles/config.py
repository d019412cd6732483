"""``config.yaml``: what a user sets once for every command, the choice of a profile above all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from ilab_profiles import catalog
from ilab_profiles.document import read
from ilab_profiles.fields import Section, section, setting
from ilab_profiles.layers import Layer, read_document
from ilab_profiles.merge import merge, validate
from ilab_profiles.paths import section_of
from ilab_profiles.render import dump, to_data

__all__ = ["Chat", "Config", "General", "Serve", "read_config", "render_config"]


class Chat(Section):
    """Settings of a chat with a served model."""

    context: str = setting("default", "Opening instructions of the chat")
    greedy_mode: bool = setting(False, "Always take the likeliest word")
    logs_dir: str = setting("data/chatlogs", "Folder for logs of chats", path=True)
    max_tokens: int | None = setting(None, "Longest answer; unset leaves it to the model", unit="tokens", ge=1)
    model: str = setting("models/granite-7b-lab", "Model to chat with", path=True)
    session: str | None = setting(None, "File of a chat to go on with", path=True)
    vi_mode: bool = setting(False, "Edit with the keys of vi")
    visible_overflow: bool = setting(True, "Show text that is longer than the screen")


class General(Section):
    """Settings of the program itself."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting("INFO", "How much the program tells")


class Serve(Section):
    """Settings of a model served on this machine."""

    gpu_layers: int = setting(-1, "Layers kept on the GPU; -1 means all", unit="layers", ge=-1)
    host_port: str = setting("127.0.0.1:8000", "HOST:PORT to serve at")
    max_ctx_size: int = setting(4096, "Longest conversation", unit="tokens", ge=1)
    model_path: str = setting("models/granite-7b-lab", "Model to serve", path=True)


class Config(Section):
    """The whole of ``config.yaml``."""

    chat: Chat = section(Chat, "Chat with a model")
    general: General = section(General, "The program itself")
    profile: str | dict[str, Any] = setting(
        catalog.DEFAULT, "Name or path of a profile, or its settings, which may extend one: `extends: single_gpu`"
    )
    serve: Serve = section(Serve, "Serve a model")


def read_config(path: Path) -> tuple[Config, list[Layer]]:
    """Read ``config.yaml``, and the layers of the profile that it chooses or holds.

    What is wrong outside the profile is in the findings of the first layer, so that merging reports it with the rest.

    Raises:
        InputError: if the file cannot be read, or its profile cannot be found.
    """
    document = read(path)
    layer = read_document(document, "config", document.source, model=Config)
    config, wrong = validate(Config, layer.settings)
    layers = [Layer({}, (*layer.findings, *wrong))]
    if isinstance(config.profile, str):
        position = document.position(("profile",))
        found = catalog.find(config.profile, beside=path.parent, asked_at=(position, document.line(position.line)))
        return config, [*layers, *catalog.chain(str(found))]
    return config, [*layers, *catalog.extend(document, ("profile",), kind="config")]


def render_config(profile: str = "") -> str:
    """The text of a commented ``config.yaml`` that chooses a profile (the default one if none is named).

    Raises:
        InputError: if there is no such profile, or it is refused.
    """
    name = profile or catalog.DEFAULT
    merge(catalog.chain(name))
    model = Config(profile=name)
    return "# Settings of ilab.\n" + dump(to_data(model), _comment)


def _comment(path: str) -> str:
    model: type[Section] = Config
    for part in path.split("."):
        info = model.model_fields[part]
        model = section_of(info.annotation) or model
    return info.description or ""

"""``config.yaml``: what a user sets once for every command, the choice of a profile above all."""

from __future__ import annotations

from typing import Any, Literal

from ilab_profiles import catalog
from ilab_profiles.models.fields import Section, section, setting

__all__ = ["Chat", "Config", "General", "Serve"]


class Chat(Section):
    """Settings of a chat with a served model."""

    context: str = setting("default", "Opening instructions of the chat")
    greedy_mode: bool = setting(False, "Always take the most likely token")
    logs_dir: str = setting("data/chatlogs", "Folder for logs of chats", path=True)
    max_tokens: int | None = setting(None, "Longest answer; unset: the model decides", unit="tokens", ge=1)
    model: str = setting("models/granite-7b-lab", "Model to chat with", path="or name")
    session: str | None = setting(None, "File of a chat to continue", path=True)
    vi_mode: bool = setting(False, "Edit with the keys of vi")
    visible_overflow: bool = setting(True, "Show text that does not fit the screen")


class General(Section):
    """Settings of the program itself."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting("INFO", "How much the program prints")


class Serve(Section):
    """Settings of a model served on this machine."""

    gpu_layers: int = setting(-1, "Layers kept on the GPU; -1 means all", unit="layers", ge=-1)
    host_port: str = setting("127.0.0.1:8000", "HOST:PORT to serve at")
    max_ctx_size: int = setting(4096, "Longest conversation", unit="tokens", ge=1)
    model_path: str = setting("models/granite-7b-lab", "Model to serve", path="or name")


class Config(Section):
    """The whole of ``config.yaml``."""

    chat: Chat = section(Chat, "Chat with a model")
    general: General = section(General, "The program itself")
    profile: str | dict[str, Any] = setting(
        catalog.DEFAULT, "Name or path of a profile, or its settings, which may extend one (`extends: single_gpu`)"
    )
    serve: Serve = section(Serve, "Serve a model")

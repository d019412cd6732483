"""``config.yaml``: what a user sets once for every command, the choice of a profile above all."""

from __future__ import annotations

from typing import Any, Literal

from ilab_profiles import catalog
from ilab_profiles.models.fields import Section, section, setting

__all__ = ["Chat", "Config", "General", "Serve"]


class Chat(Section):
    """Settings of a chat with a served model."""

    context: str = setting("default", "Opening instructions of the chat", acts="the system message of each request")
    greedy_mode: bool = setting(False, "Always take the most likely token", acts="temperature of each request")
    logs_dir: str = setting("data/chatlogs", "Folder for logs of chats", acts="where chats are written", path=True)
    max_tokens: int | None = setting(
        None, "Longest answer; unset: the model decides", acts="max_tokens of each request", unit="tokens", ge=1
    )
    model: str = setting(
        "models/granite-7b-lab",
        "Model to chat with",
        acts="the model that is served for a chat; as a flag, the model that requests name",
        path="or name",
    )
    session: str | None = setting(
        None, "File of a chat to continue", acts="the earlier messages in each request", path=True
    )
    vi_mode: bool = setting(False, "Edit with the keys of vi", acts="the keys of the line editor")
    visible_overflow: bool = setting(
        True, "Show text that does not fit the screen", acts="answers that are longer than the screen, while they come"
    )


class General(Section):
    """Settings of the program itself."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting(
        "INFO", "How much the program prints", acts="which lines are printed on stderr"
    )


class Serve(Section):
    """Settings of a model served on this machine."""

    gpu_layers: int = setting(
        -1,
        "Layers kept on the GPU; -1 means all",
        acts="llama-server --n-gpu-layers; with 0 no server sees a GPU",
        unit="layers",
        ge=-1,
    )
    host_port: str = setting("127.0.0.1:8000", "HOST:PORT to serve at", acts="--host and --port of the server")
    max_ctx_size: int = setting(
        4096, "Longest conversation", acts="llama-server --ctx-size, vllm --max-model-len", unit="tokens", ge=1
    )
    model_path: str = setting(
        "models/granite-7b-lab", "Model to serve", acts="the model that the server loads", path="or name"
    )


class Config(Section):
    """The whole of ``config.yaml``."""

    chat: Chat = section(Chat, "Chat with a model")
    general: General = section(General, "The program itself")
    profile: str | dict[str, Any] = setting(
        catalog.DEFAULT,
        "Name or path of a profile, or its settings, which may extend one (`extends: single_gpu`)",
        acts="the settings in force of every command",
    )
    serve: Serve = section(Serve, "Serve a model")

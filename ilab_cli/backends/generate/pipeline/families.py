"""Families of teachers: how a raw prompt is written out for each, and which of them take a system role.

A chat endpoint applies the teacher's own template, so it gets messages; all that a family decides there is whether the
system text is a message of its own. Templates leave out the token that begins a text: endpoints add it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from ilab_profiles import Finding, InputError
from ilab_profiles.diagnostics import nearest

__all__ = ["FAMILIES", "PLAIN", "Family", "family_of"]


@dataclass(frozen=True)
class Family:
    """How the teachers of a family want to be asked.

    Attributes:
        raw: the whole prompt, with ``{system}`` and ``{user}``; ``system`` ends with its own separator or is empty.
        system: what ``{system}`` stands for where there is a system text, with ``{text}``.
        stop: texts at which the answer ends.
        system_role: whether chat messages may begin with one of the system role.
    """

    raw: str
    system: str = "{text}\n\n"
    stop: tuple[str, ...] = ()
    system_role: bool = True

    def prompt(self, system: str, user: str) -> str:
        """The prompt for an endpoint that takes raw prompts."""
        head = self.system.replace("{text}", system) if system else ""
        before, after = self.raw.split("{user}")
        return before.replace("{system}", head) + user + after

    def messages(self, system: str, user: str) -> list[dict[str, str]]:
        """The messages for a chat endpoint."""
        if system and not self.system_role:
            system, user = "", f"{system}\n\n{user}"
        head = [{"role": "system", "content": system}] if system else []
        return [*head, {"role": "user", "content": user}]


PLAIN = Family("{system}{user}\n", system_role=False)  # one message of the user is what every chat template takes
_GRANITE = Family(
    "{system}<|user|>\n{user}\n<|assistant|>\n", "<|system|>\n{text}\n", ("<|endoftext|>", "<|user|>", "<|system|>")
)
_CHATML = Family(
    "{system}<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\n{text}<|im_end|>\n",
    ("<|im_end|>",),
)
_MISTRAL = Family("[INST] {system}{user} [/INST]", stop=("</s>", "[INST]"), system_role=False)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "mixtral": _MISTRAL,
        "mistral": _MISTRAL,
        "merlinite": _GRANITE,
        "granite": _GRANITE,
        "granite3": Family(
            "{system}<|start_of_role|>user<|end_of_role|>{user}<|end_of_text|>\n"
            "<|start_of_role|>assistant<|end_of_role|>",
            "<|start_of_role|>system<|end_of_role|>{text}<|end_of_text|>\n",
            ("<|end_of_text|>",),
        ),
        "llama": Family(
            "{system}<|start_header_id|>user<|end_header_id|>\n\n{user}<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "<|start_header_id|>system<|end_header_id|>\n\n{text}<|eot_id|>",
            ("<|eot_id|>",),
        ),
        "llama2": Family("[INST] {system}{user} [/INST]", "<<SYS>>\n{text}\n<</SYS>>\n\n", ("</s>",)),
        "chatml": _CHATML,
        "qwen": _CHATML,
        "gemma": Family(
            "<start_of_turn>user\n{system}{user}<end_of_turn>\n<start_of_turn>model\n",
            stop=("<end_of_turn>",),
            system_role=False,
        ),
        "phi": Family("{system}<|user|>\n{user}<|end|>\n<|assistant|>\n", "<|system|>\n{text}<|end|>\n", ("<|end|>",)),
    }
)
"""The families by name; names are matched without regard to case."""


@cache
def family_of(name: str | None, model: str | None = None) -> Family:
    """The family of a name, or else the one whose name the teacher's own name contains, or else a plain one.

    Raises:
        InputError: if a name is given and no family is called so.
    """
    if name:
        found = FAMILIES.get(name.lower())
        if found is None:
            near = nearest(name.lower(), FAMILIES)
            hint = f"did you mean {near}?" if near else f"known families: {', '.join(FAMILIES)}"
            message = f"no family of teachers is called {name}"
            raise InputError(Finding("unknown-model-family", message, "generate.model_family", hint=hint))
        return found
    text = re.sub(r"[-.](?=\d)", "", (model or "").lower())  # Llama-2 is of the family llama2
    inside = [known for known in FAMILIES if re.search(rf"(?<![a-z]){known}", text)]
    return FAMILIES[max(inside, key=len)] if inside else PLAIN

"""Chat templates in the forms that model families use, each with what is learned of a conversation written in it.

What is learned is told a second time here, in Python and without any template: what the assistant's own text becomes,
and what ends the turn. Families whose form is the same stand here once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ilab_cli.backends.train.data.conversations import Conversation
from ilab_profiles import Finding, Position

Messages = Sequence[dict[str, Any]]
SPECIAL = [
    *("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    *("<|im_start|>", "<|im_sep|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]"),
    *("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|start|>", "<|channel|>", "<|message|>", "<|return|>"),
    *("<|call|>", "<|User|>", "<|Assistant|>"),
]
EOS = "</s>"


@dataclass(frozen=True)
class Family:
    """One form of templates.

    Args:
        template: Jinja.
        answer: what the text of an assistant message becomes, given all messages and its number.
        end: what ends the turn.
        endless: whether a conversation has a turn whose end nobody can know.
        takes_system: whether a system message may stand first.
    """

    template: str
    answer: Callable[[Messages, int], str]
    end: Callable[[Messages, int], str]
    endless: Callable[[Messages], bool] = lambda messages: False
    takes_system: bool = True

    def learned(self, messages: Messages) -> list[str]:
        """The learned texts, one for each assistant turn."""
        turns = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
        return [self.answer(messages, number) + self.end(messages, number) for number in turns]


def _as_it_is(messages: Messages, number: int) -> str:
    return str(messages[number]["content"])


def _stripped(messages: Messages, number: int) -> str:
    return str(messages[number]["content"]).strip()


def _always(end: str) -> Callable[[Messages, int], str]:
    return lambda messages, number: end


def _is_last(messages: Messages, number: int) -> bool:
    return number == len(messages) - 1


def _is_history(messages: Messages, number: int) -> bool:
    return any(message["role"] == "user" for message in messages[number:])


def _after_thinking(messages: Messages, number: int) -> str:
    text = _as_it_is(messages, number)
    return text.split("</think>")[-1].lstrip("\n") if "</think>" in text else text


def _qwen3(messages: Messages, number: int) -> str:
    text, thinking = _as_it_is(messages, number), ""
    if "</think>" in text:
        thinking = text.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n")
        text = text.split("</think>")[-1].lstrip("\n")
    if _is_history(messages, number) or not (_is_last(messages, number) or thinking):
        return text
    opened = f"<think>\n{thinking.strip(chr(10))}\n</think>\n\n" if thinking.strip("\n") else ""
    return opened + text.lstrip("\n")


def _next_marker(messages: Messages, number: int) -> str:
    return EOS if _is_last(messages, number) else f"<|{messages[number + 1]['role']}|>"


CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
LLAMA3 = (
    "{{ '<|begin_of_text|>' }}{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
QWEN3 = """{%- set ns = namespace(last=-1) %}
{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}
{%- for message in messages %}
{%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}
{%- if message.role == 'assistant' %}
  {%- set reasoning = '' %}
  {%- if message.reasoning_content is string %}
    {%- set reasoning = message.reasoning_content %}
  {%- elif '</think>' in content %}
    {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
    {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
  {%- endif %}
  {%- if loop.index0 > ns.last and (loop.last or reasoning) %}
    {{- '<|im_start|>assistant\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
  {%- else %}
    {{- '<|im_start|>assistant\\n' + content }}
  {%- endif %}
  {%- for call in message.tool_calls or [] %}
    {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
    {%- if call.function %}{%- set call = call.function %}{%- endif %}
    {{- '<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
    {%- if call.arguments is string %}{{- call.arguments }}{%- else %}{{- call.arguments | tojson }}{%- endif %}
    {{- '}\\n</tool_call>' }}
  {%- endfor %}
  {{- '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
  {{- '<|im_start|>user\\n<tool_response>\\n' + content + '\\n</tool_response><|im_end|>\\n' }}
{%- else %}
  {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""
GEMMA = (
    "{{ '<|begin_of_text|>' }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}"
    "{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
)
MISTRAL = (
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set rest = messages[1:] %}"
    "{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}{% if m.role == 'user' %}[INST] {% if loop.last and system %}{{ system }}\n\n{% endif %}"
    "{{ m.content }}[/INST]{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m.role == 'system' %}<<SYS>>{{ m.content }}<</SYS>>"
    "{% elif m.role == 'user' %}{{ bos_token ~ '[INST] ' ~ m.content.strip() ~ ' [/INST]' }}"
    "{% else %}{{ ' ' ~ m.content.strip() ~ ' ' ~ eos_token }}{% endif %}{% endfor %}"
)
PHI3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
PHI4 = "{% for m in messages %}{{ '<|im_start|>' + m.role + '<|im_sep|>' + m.content + '<|im_end|>' }}{% endfor %}"
DEEPSEEK = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %}<|User|>"
    "{{ m.content }}{% else %}{% set content = m.content %}{% if '</think>' in content %}"
    "{% set content = content.split('</think>')[-1] %}{% endif %}<|Assistant|>{{ content }}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"
)
HARMONY = (
    "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{% if m.thinking and loop.last %}<|start|>assistant<|channel|>analysis<|message|>{{ m.thinking }}<|end|>"
    "{% endif %}"
    "{% if m.tool_calls %}<|start|>assistant to=functions.{{ m.tool_calls[0].function.name }}<|channel|>commentary json"
    "<|message|>{{ m.tool_calls[0].function.arguments | tojson }}<|call|>"
    "{% else %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}"
    "{% if loop.last %}<|return|>{% else %}<|end|>{% endif %}{% endif %}"
    "{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
DROPS = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}{% if m.role == 'assistant' %}{% set c = m.content %}"
    "{% if '</think>' in c %}{% set c = c.split('</think>')[-1].lstrip('\\n') %}{% endif %}<|im_start|>assistant\n"
    "{% if loop.index0 > ns.last %}<think>\n\n</think>\n\n{% endif %}{{ c }}<|im_end|>\n"
    "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
)
NEXT_ROLE = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
WITHOUT_END = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
)
WITH_END = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}"
    "{% endfor %}"
)
THINKS_FIRST = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and "
    "not m.content.startswith('<think>') %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
)
PLAIN_WORDS = (
    "{% for m in messages %}{% if m.role == 'assistant' %}### Response:\n{{ m.content }}\n\n"
    "{% else %}### Instruction:\n{{ m.content }}\n\n{% endif %}{% endfor %}"
)
VICUNA = (
    "{% for m in messages %}{% if m.role == 'assistant' %}ASSISTANT: {{ m.content }}{{ eos_token }}"
    "{% else %}{{ m.role | upper }}: {{ m.content }} {% endif %}{% endfor %}"
)
BETWEEN = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% if not loop.last %}<|end|>{% endif %}{% endfor %}"
SHOUTS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content | upper }}<|end|>{% endfor %}"
SHORTENS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content[:8] }}<|end|>{% endfor %}"
IF_ANY = "{% for m in messages %}<|{{ m.role }}|>{% if m.content %}\n{{ m.content }}{% endif %}<|end|>{% endfor %}"

FAMILIES = {
    "chatml": Family(CHATML, _as_it_is, _always("<|im_end|>\n")),
    "llama3": Family(LLAMA3, _stripped, _always("<|eot_id|>")),
    "qwen3": Family(QWEN3, _qwen3, _always("<|im_end|>\n")),
    "gemma": Family(GEMMA, _stripped, _always("<end_of_turn>\n"), takes_system=False),
    "mistral": Family(MISTRAL, _as_it_is, _always(EOS)),
    "llama2": Family(LLAMA2, _stripped, _always(f" {EOS}")),
    "phi3": Family(PHI3, _as_it_is, lambda all, at: f"<|end|>\n{EOS if _is_last(all, at) else ''}"),
    "phi4": Family(PHI4, _as_it_is, _always("<|im_end|>")),
    "deepseek": Family(DEEPSEEK, lambda all, at: _as_it_is(all, at).split("</think>")[-1], _always(EOS)),
    "harmony": Family(HARMONY, _as_it_is, lambda all, at: "<|return|>" if _is_last(all, at) else "<|end|>"),
    "drops": Family(DROPS, _after_thinking, _always("<|im_end|>\n")),
    "next_role": Family(NEXT_ROLE, _as_it_is, _next_marker),
    "without_end": Family(WITHOUT_END, _as_it_is, _always("<|im_end|>\n")),
    "with_end": Family(WITH_END, _as_it_is, _always("<|im_end|>")),
    "thinks_first": Family(THINKS_FIRST, _as_it_is, _always("<|im_end|>\n")),
    "plain_words": Family(
        PLAIN_WORDS,
        _as_it_is,
        _always(f"\n\n{EOS}"),
        endless=lambda messages: any(message["role"] == "assistant" for message in messages[:-1]),
    ),
    "vicuna": Family(VICUNA, _as_it_is, _always(EOS)),
    "between": Family(BETWEEN, _as_it_is, lambda all, at: EOS if _is_last(all, at) else "<|end|>"),
    "shouts": Family(SHOUTS, lambda all, at: _as_it_is(all, at).upper(), _always("<|end|>")),
    "shortens": Family(SHORTENS, lambda all, at: _as_it_is(all, at)[:8], _always("<|end|>")),
    "if_any": Family(IF_ANY, _as_it_is, _always("<|end|>")),
}


def learned(tokenizer: Any, messages: Messages) -> list[str] | Finding:
    """The runs of learned tokens, as text."""
    from ilab_cli.backends.train.data.tokens import encode

    (item,) = encode(tokenizer, [Conversation(list(messages), Position("data.jsonl", 3))])
    if isinstance(item, Finding):
        return item
    runs: list[list[int]] = []
    before = False
    for token, counts in zip(*item, strict=True):
        if counts:
            runs[-1].append(int(token)) if before else runs.append([int(token)])
        before = bool(counts)
    return [tokenizer.decode(run) for run in runs]

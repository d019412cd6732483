"""A teacher without a model: an OpenAI-compatible endpoint that answers by copying from the prompt.

It is no language model and knows nothing. It looks for the documents, contexts and seed examples in a prompt, takes
sentences out of them, turns these into questions by fixed rules, and puts all of it into the tags that the prompt asks
for. A judgement compares words. So it is good for demos, for tests and for trying pipelines without a model, and for
nothing else: what is made with it teaches a student at best the sentences of the documents. The same prompt with the
same ``seed`` gets the same answer; other seeds get other answers.

Run as ``python examples/offline_teacher.py --port 0``; it prints its address and serves until it is stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

__all__ = ["MODEL", "answer", "application"]

MODEL = "offline-extraction-teacher"

# --- what a prompt holds ----------------------------------------------------------------------------------------------

_ASKED = re.compile(
    r"(?:\[Start of (?P<long>[\w ]+)\]\s+and\s+\[End of (?P=long)\]|<(?P<short>\w+)>\s+and\s+</(?P=short)>)"
)
_TAGGED = re.compile(
    r"\[Start of (?P<long>[\w ]+)\]\s*\n(?P<one>.*?)\[End of (?P=long)\]"
    r"|<(?P<short>\w+)>\s*\n(?P<two>.*?)</(?P=short)>",
    re.DOTALL,
)
_LABELLED_PAIR = re.compile(r"\[Question\]\s*(.*?)\s*\[Answer\]\s*(.*?)\s*\[END\]", re.DOTALL | re.IGNORECASE)
_OLD_DOCUMENT = re.compile(
    r"(?:Here is the document|Document):\s*\n(.*?)(?=\n\s*(?:Provide|Now|Return|Follow)\b|\Z)", re.DOTALL
)
_OLD_EXAMPLE = re.compile(
    r"type of questions that are asked for:\s*\n(.*?)(?=\n\s*(?:Provide|Now|Return)\b|\Z)", re.DOTALL
)
_OLD_CONTEXT = re.compile(r"context for the example question:\s*\n(.*?)(?=\n\s*Here is an example|\Z)", re.DOTALL)
_COUNT = re.compile(r"\b(\d+)\s+(?:new |such |diverse )*(?:pairs|questions|tasks)", re.IGNORECASE)
_HIGHEST = re.compile(r"(?:maximum possible score of|scale of \d (?:to|or)|\bscale \d-)\s*(\d)|(\d)-point scale")

_RATED = "[[rating]]"
_PART = re.compile(r"\n(?=\[The Start of |### )")
_HEADING = re.compile(r"^(?:\[|<\||###).*$", re.MULTILINE)

_REASONS = {"explanation", "reason", "evaluation", "feedback"}
_TEXTS = ("document", "context")
_WORD = re.compile(r"[^\W\d_]{4,}|\d+")


class Prompt:
    """What is found in a prompt: the tags it asks for, its tagged texts, and its examples."""

    def __init__(self, text: str) -> None:
        """Look through the text once."""
        self.text = text
        asked = (found["long"] or found["short"] for found in _ASKED.finditer(text))
        self.asked = list(dict.fromkeys(asked))
        self.square = "[Start of" in text
        self.tagged: dict[str, list[str]] = {}
        for found in _TAGGED.finditer(text):
            name, value = (found["long"] or found["short"]).lower(), found["one"] or found["two"] or ""
            if value.strip(" .\n"):
                self.tagged.setdefault(name, []).append(value.strip())
        self.examples = self._examples()

    def _examples(self) -> list[tuple[str, str]]:
        answers = self.tagged.get("answer") or self.tagged.get("response") or []
        questions = self.tagged.get("question", [])
        pairs = [*zip(questions, answers or [""] * len(questions), strict=False), *_LABELLED_PAIR.findall(self.text)]
        if found := _OLD_EXAMPLE.search(self.text):
            parts = re.split(r"(?<=\?)\s+|\n", found[1].strip(), maxsplit=1)
            pairs.append((parts[0].strip(), parts[-1].strip()))
        return pairs

    @property
    def material(self) -> str:
        """The document or context that the prompt is about: the last of its kind."""
        for name in _TEXTS:
            if name in self.tagged:
                return self.tagged[name][-1]
        for pattern in (_OLD_DOCUMENT, _OLD_CONTEXT):
            if found := pattern.findall(self.text):
                return str(found[-1]).strip()
        return ""

    @property
    def count(self) -> int:
        """How many pairs or questions it asks for."""
        found = _COUNT.findall(self.text)
        return min(int(found[-1]), 50) if found else 3

    def wrap(self, name: str, value: str) -> str:
        """A value in the tags of the prompt."""
        return f"[Start of {name}]\n{value}\n[End of {name}]" if self.square else f"<{name}>\n{value}\n</{name}>"


# --- sentences and what can be asked about them -----------------------------------------------------------------------

_MARKUP = [
    (re.compile(r"!\[[^\]]*\]\([^)]*\)|<[^>\n]+>|^\s*[#>|-].*$|\{[^}\n]*\}", re.MULTILINE), " "),
    (re.compile(r"\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"[*_`]{1,3}|\[\^?\d+\]"), ""),
]
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z0-9])")
_CLAUSE = re.compile(
    r"^((?:[A-Z][\w'\u2019-]*|\d+)(?: [\w'\u2019(),-]+){0,7}?) "
    r"(is|are|was|were|has|have|had|can|may|must|should|will|did|includes?|began|became|lives?|feeds?) (.{8,})$"
)
_PRONOUNS = {"it", "they", "he", "she", "this", "these", "that", "those", "there", "we", "you", "i", "its", "their"}
_GAP = re.compile(r"\b(?:\d[\d,.]*\d|\d)\b|(?<=[a-z,] )[A-Z][a-z]{3,}\b|\b[a-z]{8,}\b")
_LEADS = ["", "Please help: ", "Here is one more task. ", "A colleague asks: ", "Try this: ", "Next question: "]
_TAILS = ["", " Keep to the point.", " Answer carefully.", " Give the answer only.", " Take your time.", " Thank you."]


def sentences(text: str) -> list[str]:
    """The full sentences of a text, without markup."""
    for pattern, by in _MARKUP:
        text = pattern.sub(by, text)
    parts = (" ".join(part.split()) for block in re.split(r"\n\s*\n", text) for part in _SENTENCE.split(block))
    return [part for part in parts if 5 <= len(part.split()) <= 80 and part[-1] in ".!?"]


def pairs_about(sentence: str) -> list[tuple[str, str]]:
    """The questions that can be asked about a sentence, each with its answer."""
    made = []
    clause = _CLAUSE.match(sentence)
    if clause and clause[1].split()[0].lower() not in _PRONOUNS:
        subject, verb = clause[1], clause[2]
        name = subject if subject.split()[0].lower() not in {"the", "a", "an"} else subject[0].lower() + subject[1:]
        if verb in {"is", "are", "was", "were"}:
            made.append((f"What {verb} {name}?", sentence))
        made.append((f"What should one know about {name}, starting with “{verb} {clause[3].split()[0]}”?", sentence))
    gaps = list(_GAP.finditer(sentence))
    for gap in {0: gaps[:1], 1: gaps[-1:]}.values():
        for found in gap:
            holed = f"{sentence[: found.start()]}____{sentence[found.end() :]}"
            made.append((f"Which word or number fills the gap: “{holed}”?", f"{found[0]}. {sentence}"))
    start = " ".join(sentence.split()[:6])
    made.append((f"How does the statement that begins with “{start}” go on?", sentence))
    return list(dict.fromkeys(made))


def _words(text: str) -> set[str]:
    return {word.lower()[:7] for word in _WORD.findall(text)}


def _nearest(question: str, texts: Sequence[str]) -> str:
    """The text that shares most words with a question."""
    wanted = _words(question)
    return max(texts, key=lambda text: len(wanted & _words(text)), default="")


# --- the answer -------------------------------------------------------------------------------------------------------


def answer(text: str, seed: int) -> str:
    """What the teacher says to a prompt.

    Args:
        text: the prompt, or the messages of a chat joined by line breaks.
        seed: another seed gives another choice of sentences.
    """
    prompt = Prompt(text)
    draw = random.Random(hashlib.sha256(f"{seed}/{text}".encode("utf-8", "replace")).digest())
    names = {name.lower() for name in prompt.asked}
    if _RATED in text:
        return _rating(text)
    if names & _REASONS:
        return _judgement(prompt)
    if "context" in names:
        return prompt.wrap(prompt.asked[0], _new_context(prompt, draw))
    if names:
        return _tagged(prompt, draw)
    if re.search(r"\[question\]", text, re.IGNORECASE):
        return "\n\n".join(f"[Question]\n{q}\n[Answer]\n{a}\n[END]" for q, a in _pairs(prompt, draw))
    if "question" in text.lower():
        question, response = _pairs(prompt, draw)[0]
        return f"{question}\n{response}"
    found = sentences(text)
    copied = " ".join(draw.sample(found, min(len(found), 3)))
    return prompt.material or copied or "There is nothing in the prompt to copy."


def _tagged(prompt: Prompt, draw: random.Random) -> str:
    question = next((name for name in prompt.asked if name.lower() == "question"), None)
    others = [name for name in prompt.asked if name != question]
    if question is None:
        return "\n".join(prompt.wrap(name, _reply(prompt)) for name in others)
    return "\n\n".join(
        "\n".join([prompt.wrap(question, asked), *(prompt.wrap(name, reply) for name in others)])
        for asked, reply in _pairs(prompt, draw)
    )


def _pairs(prompt: Prompt, draw: random.Random) -> list[tuple[str, str]]:
    """New pairs: about sentences of the material, or else the examples in other words."""
    found = sentences(prompt.material)
    draw.shuffle(found)
    pairs = [draw.choice(pairs_about(sentence)) for sentence in found[: prompt.count]]
    missing = prompt.count - len(pairs)
    if missing and prompt.examples and not prompt.tagged.get("document"):
        ways = [(lead, tail) for lead in _LEADS for tail in _TAILS if lead or tail]
        for lead, tail in draw.sample(ways, min(missing, len(ways))):
            question, reply = draw.choice(prompt.examples)
            pairs.append((f"{lead}{question.strip()}{tail}", reply.strip()))
    return pairs or [("What is in the prompt?", "There is nothing in the prompt to copy.")]


def _reply(prompt: Prompt) -> str:
    """The answer to the last question: that of an example which it repeats, or the sentence nearest to it."""
    question = prompt.tagged.get("question", [""])[-1]
    for asked, reply in prompt.examples:
        if reply.strip() and asked.strip() in question:
            return reply.strip()
    return _nearest(question, sentences(prompt.material)) or (prompt.examples[0][1] if prompt.examples else question)


def _new_context(prompt: Prompt, draw: random.Random) -> str:
    """Some sentences of the example's context, in another order."""
    found = sentences(prompt.material)
    if len(found) < 2:
        return f"{draw.choice(_LEADS[1:]).rstrip()} {prompt.material}"
    return " ".join(draw.sample(found, draw.randint(max(1, len(found) // 2), len(found))))


def _rating(text: str) -> str:
    """A verdict on the last part of a prompt, from 1 to 10: by how many of its words stand before it."""
    *before, last = _PART.split(text)
    said, known = _words(_HEADING.sub("", last)), _words("\n".join(before))
    rating = 1 + round(9 * len(said & known) / max(len(said), 1))
    return f"The words of the answer were compared with those before it, and nothing else. Rating: [[{rating}]]"


def _judgement(prompt: Prompt) -> str:
    """Verdicts by comparing words: an answer is faithful where most of its words are in the material."""
    question = prompt.tagged.get("question", [""])[-1]
    reply = (prompt.tagged.get("answer") or prompt.tagged.get("response") or [question])[-1]
    said, known = _words(reply), _words(f"{prompt.material} {question}")
    faithful = not prompt.material or len(said & known) >= 0.6 * len(said)
    good = {"faithful": faithful, "relevant": bool(question or reply), "wellformed": len(reply.split()) >= 1}
    found = _HIGHEST.findall(prompt.text)
    highest = int("".join(found[-1])) if found else 1
    values = []
    for name in prompt.asked:
        key = name.lower()
        if key in _REASONS:
            value = "The words of the answer were compared with those of the text, and nothing else."
        elif key in {"score", "rating"}:
            value = str(highest if faithful else 0)
        elif key in good:
            value = "yes" if good[key] else "no"
        else:
            value = "YES" if faithful else "NO"
        values.append(prompt.wrap(name, value))
    return "\n".join(values)


# --- the endpoint -----------------------------------------------------------------------------------------------------


def _choices(text: str, body: dict[str, Any], chat: bool) -> list[dict[str, Any]]:
    seed, limit = int(body.get("seed") or 0), body.get("max_tokens") or body.get("max_completion_tokens")
    choices = []
    for index in range(int(body.get("n") or 1)):
        said = answer(text, seed + index)
        pieces = re.findall(r"\S+\s*", said)  # a word counts as one token
        cut = limit is not None and len(pieces) > int(limit)
        said = "".join(pieces[: int(limit)]) if cut and limit else said
        content = {"message": {"role": "assistant", "content": said}} if chat else {"text": said}
        choices.append({"index": index, "finish_reason": "length" if cut else "stop", **content})
    return choices


def _response(kind: str, prompts: list[str], body: dict[str, Any], chat: bool) -> web.Response:
    choices = [choice for text in prompts for choice in _choices(text, body, chat)]
    for index, choice in enumerate(choices):
        choice["index"] = index
    asked = sum(len(text.split()) for text in prompts)
    said = sum(len((choice.get("text") or choice["message"]["content"]).split()) for choice in choices)
    usage = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    name = f"offline-{hashlib.sha256(''.join(prompts).encode('utf-8', 'replace')).hexdigest()[:16]}"
    return web.json_response(
        {
            "id": name,
            "object": kind,
            "created": int(time.time()),
            "model": MODEL,
            "choices": choices,
            "usage": usage,
        }
    )


def _refused(message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "invalid_request_error"}}, status=400)


async def _models(_: web.Request) -> web.Response:
    model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "nobody: it copies from the prompt"}
    return web.json_response({"object": "list", "data": [model]})


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body is no JSON object")
    if body.get("stream"):
        raise web.HTTPBadRequest(text="this teacher does not stream")
    return body


async def _chat(request: web.Request) -> web.Response:
    body = await _body(request)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return _refused("messages is missing")
    text = "\n".join(str(message.get("content") or "") for message in messages)
    return _response("chat.completion", [text], body, True)


async def _completion(request: web.Request) -> web.Response:
    body = await _body(request)
    prompt = body.get("prompt")
    if not prompt or not isinstance(prompt, str | list):
        return _refused("prompt is missing")
    return _response("text_completion", [prompt] if isinstance(prompt, str) else [str(p) for p in prompt], body, False)


def application() -> web.Application:
    """The endpoint as an aiohttp application."""
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_get("/v1/models", _models)
    app.router.add_post("/v1/chat/completions", _chat)
    app.router.add_post("/v1/completions", _completion)
    return app


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--port-file", type=Path, help="a file to write the port to, once it is known")
    options = parser.parse_args()
    listening = socket.create_server((options.host, options.port))
    port = listening.getsockname()[1]
    if options.port_file:
        temporary = options.port_file.with_name(f".{options.port_file.name}.{os.getpid()}")
        temporary.write_text(f"{port}\n", encoding="utf-8")
        temporary.replace(options.port_file)
    print(f"http://{options.host}:{port}/v1", flush=True)
    web.run_app(application(), sock=listening, print=lambda *_: None, access_log=None)


if __name__ == "__main__":
    main()

"""The offline teacher: that it serves what its clients expect, and that every pipeline gets something out of it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest

from ilab_cli.backends.client.requests import Answer, Request
from ilab_cli.backends.generate.pipeline import Row, load
from ilab_profiles.models.generate import Generate
from tests.programs import EXAMPLES, example

ROOT = Path(__file__).parents[4]
TEACHER = EXAMPLES / "offline_teacher.py"
UPSTREAM = ROOT.parent / "shared" / "upstream" / "pipelines" / "simple"

DOCUMENT = """\
# The river Brind

The **Brind** is a [river](https://example.org) of 48 kilometres. It rises in the Hallow hills and flows south.

Two bridges cross the Brind. The older bridge was built in 1742 by masons from Aldmoor. The younger bridge carries the
railway, which has run since 1889. Otters live along the upper river, because the water there is clean and cold.
"""
KNOWLEDGE: Row = {
    "leaf": "knowledge/rivers",
    "kind": "knowledge",
    "task_description": "",
    "domain": "geography",
    "document_outline": "A river",
    "document": DOCUMENT,
    "icl_document": "The Sorrel is a brook. It is 4 kilometres long.",
    **{f"icl_query_{number}": f"How long is brook {number}?" for number in (1, 2, 3)},
    **{f"icl_response_{number}": "It is 4 kilometres long." for number in (1, 2, 3)},
}
FREEFORM: Row = {
    "leaf": "skills/sums",
    "kind": "freeform",
    "task_description": "Add numbers",
    "seed_question": "What is 17 and 25?",
    "seed_response": "17 and 25 make 42.",
}
GROUNDED: Row = FREEFORM | {"kind": "grounded", "seed_context": DOCUMENT, "seed_question": "How old is the bridge?"}
ROWS = {row["kind"]: row for row in (KNOWLEDGE, GROUNDED, FREEFORM)}


@pytest.fixture(scope="module")
def teacher() -> ModuleType:
    return example("offline_teacher.py")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("teacher") / "port"
    command = [sys.executable, str(TEACHER), "--port", "0", "--port-file", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as served:
        assert served.stdout
        assert served.stderr
        address = served.stdout.readline().strip()
        assert address == f"http://127.0.0.1:{int(file.read_text(encoding='utf-8'))}/v1"
        yield address
        served.send_signal(signal.SIGTERM)
        assert served.wait(10) in (0, -signal.SIGTERM)
        assert served.stderr.read() == ""


def post(url: str, body: Any) -> tuple[int, Any]:
    async def send() -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
            text = response.content_type != "application/json"
            return response.status, await (response.text() if text else response.json())

    return asyncio.run(send())


def test_it_says_what_it_is(teacher: ModuleType, url: str) -> None:
    async def get() -> Any:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/models") as response:
            return await response.json()

    assert [model["id"] for model in asyncio.run(get())["data"]] == ["offline-extraction-teacher"]
    assert "no language model" in str(teacher.__doc__)


def test_chat_and_completions_give_samples_by_seed(url: str) -> None:
    said = f"<document>\n{DOCUMENT}</document>\nWrite 2 questions between <question> and </question>."
    chat: Callable[[int], Any] = lambda seed: post(  # noqa: E731
        f"{url}/chat/completions", {"messages": [{"role": "user", "content": said}], "n": 3, "seed": seed}
    )
    status, body = chat(1)
    texts = [choice["message"]["content"] for choice in body["choices"]]
    assert (status, len(texts), len(set(texts))) == (200, 3, 3)
    assert chat(1)[1]["choices"] == body["choices"] != chat(9)[1]["choices"]
    status, body = post(f"{url}/completions", {"prompt": [said, said], "seed": 1})
    assert [choice["text"] for choice in body["choices"]] == [texts[0]] * 2


def test_long_answers_are_cut(url: str) -> None:
    _, body = post(f"{url}/completions", {"prompt": f"Here is the document:\n{DOCUMENT}", "max_tokens": 4})
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "length"
    assert len(choice["text"].split()) == 4


@pytest.mark.parametrize("body", [[], {}, {"messages": []}, {"messages": "a"}, {"messages": [{}], "stream": True}])
def test_wrong_requests_are_refused(url: str, body: Any) -> None:
    assert post(f"{url}/chat/completions", body)[0] == 400


def run(teacher: ModuleType, config: str | None, builtin: Any, kind: str, settings: Generate) -> tuple[list[Row], Any]:
    async def ask(request: Request, samples: int) -> list[Answer]:
        body = request.body
        text = body.get("prompt") or "\n".join(message["content"] for message in body["messages"])
        return [Answer(teacher.answer(text, body["seed"] + sample)) for sample in range(samples)]

    return asyncio.run(load(config, builtin, settings)[kind].run(ROWS[kind], ask))


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("kind", ["knowledge", "grounded", "freeform"])
@pytest.mark.parametrize("builtin", ["simple", "full", "older"])
def test_every_pipeline_gets_varied_pairs(teacher: ModuleType, builtin: str, kind: str, raw: bool) -> None:
    if builtin == "older" and not UPSTREAM.is_dir():
        pytest.skip("needs ../shared")
    config = str(UPSTREAM) if builtin == "older" else None
    settings = Generate(num_samples=4, num_grounded_questions=4, raw_prompts=raw, model_family="granite")
    rows, rejected = run(teacher, config, "full" if builtin == "full" else "simple", kind, settings)
    assert len({row["question"] for row in rows}) >= 3, rejected
    assert all(row["response"] for row in rows)


def test_it_copies_from_the_document(teacher: ModuleType) -> None:
    rows, _ = run(teacher, None, "full", "knowledge", Generate(num_samples=6))
    text = " ".join(DOCUMENT.replace("**", "").replace("[river](https://example.org)", "river").split())
    assert all(row["response"].split(". ")[-1] in text for row in rows)


@pytest.mark.parametrize(("reply", "verdict"), [("The Brind is a river.", "yes"), ("Elephants trumpet loudly.", "no")])
def test_it_judges_by_words(teacher: ModuleType, reply: str, verdict: str) -> None:
    pipeline = load(None, "full", Generate())["knowledge"]
    judge = pipeline.blocks[1]
    asked: list[Request] = []

    async def ask(request: Request, samples: int) -> list[Answer]:
        asked.append(request)
        return []

    asyncio.run(judge.run(KNOWLEDGE | {"question": "What is it?", "response": reply, "row_key": "a"}, ask))
    said = teacher.answer("\n".join(message["content"] for message in asked[0].body["messages"]), 0)
    assert f"<faithful>\n{verdict}\n</faithful>" in said


def test_scores_are_in_the_tags_of_older_prompts(teacher: ModuleType) -> None:
    said = "A score, with a maximum possible score of 2 points. Give the feedback within the [Start of Feedback] and "
    said += "[End of Feedback] tags, and the score between [Start of Score] and [End of Score] tags."
    assert "[Start of Score]\n2\n[End of Score]" in teacher.answer(said, 0)


def test_it_answers_quickly(teacher: ModuleType) -> None:
    text = f"<document>\n{DOCUMENT * 20}</document>\nWrite 5 pairs between <question> and </question>."
    begun = time.perf_counter()
    for seed in range(20):
        teacher.answer(text, seed)
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize(("reply", "rating"), [("Tides follow the moon.", 10), ("Elephants trumpet loudly.", 1)])
def test_it_rates_by_words_when_it_is_asked_as_a_judge(teacher: ModuleType, reply: str, rating: int) -> None:
    asked = 'Rate it: "Rating: [[rating]]". For example: "Rating: [[5]]".\n\n[Question]\nDo tides follow the moon?'
    said = teacher.answer(f"{asked}\n\n[The Start of Assistant's Answer]\n{reply}\n", 0)
    assert said.endswith(f"Rating: [[{rating}]]")

"""What the tests of whole runs share: a taxonomy with documents, and a teacher that remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ilab_cli.backends.generate import launch
from ilab_profiles import Generate, Profile
from tests.ilab_cli.backends.generate.stub import close
from tests.ilab_cli.backends.generate.taxonomies import commit, put
from tests.programs import Ilab, example, ilab_in

Run = Callable[..., int]
BIRDS = ("wren", "heron", "magpie", "plover")


@dataclass
class Teacher:
    """The offline teacher, in a thread of its own.

    Attributes:
        asked: bodies of the calls, in the order in which they came.
        keys: what came with them as authorization.
        delay: seconds that each answer takes.
        status: what every call gets in place of an answer, if it is not 0.
        most: most calls that were under way at the same time.
    """

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    delay: float = 0.0
    status: int = 0
    most: int = 0
    _under_way: int = 0

    @property
    def prompts(self) -> list[str]:
        """What was asked, as text."""
        return [
            body["prompt"] if "prompt" in body else "\n".join(message["content"] for message in body["messages"])
            for body in self.asked
        ]

    async def serve(self, ready: Callable[[asyncio.AbstractEventLoop, asyncio.Event], None]) -> None:
        """Serve until the event is set that ``ready`` gets."""

        @web.middleware
        async def remember(request: web.Request, handler: Callable[[web.Request], Any]) -> Any:
            if request.method == "POST":
                self.asked.append(await request.json())
                self.keys.append(request.headers.get("Authorization", ""))
                self._under_way += 1
                self.most = max(self.most, self._under_way)
                await asyncio.sleep(self.delay)
                self._under_way -= 1
            if self.status:
                return web.json_response({"error": {"message": "no"}}, status=self.status)
            return await handler(request)

        application: web.Application = example("offline_teacher.py").application()
        application.middlewares.append(remember)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}/v1".format(*runner.addresses[0])
        end = asyncio.Event()
        ready(asyncio.get_running_loop(), end)
        await end.wait()
        await close(runner)


@contextmanager
def running() -> Iterator[Teacher]:
    """A teacher in a thread of its own, which ends with the block."""
    teacher, ready = Teacher(), threading.Event()
    handles: list[Any] = []

    def begun(loop: asyncio.AbstractEventLoop, end: asyncio.Event) -> None:
        handles.extend((loop, end))
        ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(teacher.serve(begun)))
    thread.start()
    assert ready.wait(20)
    try:
        yield teacher
    finally:
        handles[0].call_soon_threadsafe(handles[1].set)
        thread.join(20)


@pytest.fixture
def make_teacher() -> Iterator[Callable[[], Teacher]]:
    """Start teachers; they end with the test."""
    with ExitStack() as exits:
        yield lambda: exits.enter_context(running())


@pytest.fixture
def teacher(make_teacher: Callable[[], Teacher]) -> Teacher:
    """A teacher."""
    return make_teacher()


def document(bird: str, sentences: int = 60) -> str:
    """A document with sentences that differ, three to a paragraph."""
    text = [f"The {bird} number {n} lives in tree {n * 7} and eats {n * 3} beetles a day." for n in range(1, sentences)]
    return f"# About the {bird}\n\n" + "\n\n".join(" ".join(text[at : at + 3]) for at in range(0, len(text), 3)) + "\n"


def knowledge_leaf(bird: str, repo: Path, revision: str) -> str:
    """The ``qna.yaml`` of a bird."""
    examples = [
        {
            "context": f"The {bird} of wood {n} sings {n} songs.",
            "questions_and_answers": [
                {"question": f"What does the {bird} of wood {n} do in month {m}?", "answer": f"It sings {n}{m} songs."}
                for m in range(3)
            ],
        }
        for n in range(5)
    ]
    leaf = {
        "version": 3,
        "created_by": "someone",
        "domain": "birds",
        "document_outline": f"About the {bird}.",
        "document": {"repo": str(repo), "commit": revision, "patterns": [f"{bird}.md"]},
        "seed_examples": examples,
    }
    return json.dumps(leaf)


def skill_leaf(grounded: bool) -> str:
    """The ``qna.yaml`` of a skill."""
    examples = [
        {
            **({"context": f"Box {n} holds {n} nails. It stands on shelf {n + 9}."} if grounded else {}),
            "question": f"How many nails are in box {n}?",
            "answer": f"There are {n} nails in it.",
        }
        for n in range(5)
    ]
    description = "Count what is in a box."
    return json.dumps(
        {"version": 3, "created_by": "someone", "task_description": description, "seed_examples": examples}
    )


@pytest.fixture
def taxonomy(tmp_path: Path) -> Path:
    """Two leaves of knowledge, one grounded and one free-form skill, and the repository with the documents."""
    repo = tmp_path / "documents"
    repo.mkdir()
    revision = commit(repo, {f"{bird}.md": document(bird) for bird in BIRDS})
    files = {f"knowledge/birds/{bird}/qna.yaml": knowledge_leaf(bird, repo, revision) for bird in BIRDS[:2]}
    files["compositional_skills/boxes/qna.yaml"] = skill_leaf(grounded=False)
    files["compositional_skills/grounded/boxes/qna.yaml"] = skill_leaf(grounded=True)
    return put(tmp_path / "taxonomy", dict(files))


@pytest.fixture
def settings(tmp_path: Path, taxonomy: Path, teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings of a small run in an empty working folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in [name for name in os.environ if name.startswith("ILAB_")]:
        monkeypatch.delenv(name)
    return {
        "taxonomy_path": str(taxonomy),
        "taxonomy_base": "empty",
        "model_endpoint_url": teacher.url,
        "num_instructions": 20,
        "output_dir": "generated",
        "num_cpus": 1,
    }


def generate_of(settings: dict[str, Any]) -> Generate:
    """The section of a profile with these settings."""
    return Profile.from_dict({"generate": settings}).generate


@pytest.fixture
def run(settings: dict[str, Any]) -> Run:
    """Generate in this process, with some settings changed; returns the exit code."""

    def generate(**changes: Any) -> int:
        return launch.run(generate_of(settings | changes))

    return generate


@pytest.fixture
def ilab(tmp_path: Path, settings: dict[str, Any]) -> Ilab:
    """Run ``ilab`` as a user does, in the working folder."""
    return ilab_in(tmp_path / "work")


@pytest.fixture
def flags(settings: dict[str, Any]) -> list[str]:
    """The settings as flags."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]


def lines(path: Path) -> list[dict[str, Any]]:
    """The values of a JSONL file; none if it is not there."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def pairs(folder: Path = Path("generated")) -> list[dict[str, Any]]:
    """All generated pairs of a run."""
    return [row for kind in ("knowledge", "skills") for row in lines(folder / f"train_{kind}.jsonl")]


def content(folder: Path = Path("generated")) -> dict[str, bytes]:
    """The data and tasks of a run, by name of file."""
    files = [*folder.glob("t*.jsonl"), *folder.glob("recipe*.yaml"), *(folder / "mmlu").iterdir()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def mixed(folder: Path = Path("generated/mixed")) -> dict[str, bytes]:
    """Mixed data by name of file."""
    return {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}

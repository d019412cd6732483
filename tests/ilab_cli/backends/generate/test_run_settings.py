"""Every setting of generation does something: it changes what is asked or what is written."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.generate import launch
from ilab_cli.backends.generate.teacher import to_be_served
from ilab_profiles import Profile
from ilab_profiles.models.config import Serve
from ilab_profiles.rules.violations import violations
from ilab_profiles.yaml.write import dump
from tests.ilab_cli.backends.generate.conftest import BIRDS, Run, Teacher, document, generate_of, knowledge_leaf, pairs
from tests.ilab_cli.backends.generate.taxonomies import commit, put
from tests.programs import Ilab

Make = Callable[[], Teacher]


def test_num_instructions(run: Run) -> None:
    for number in (8, 26):
        assert run(num_instructions=number) == 0
        assert len(pairs()) == number


def test_fewer_pairs_than_leaves(run: Run, settings: dict[str, Any]) -> None:
    (finding,) = launch.preflight(generate_of(settings | {"num_instructions": 3}))
    assert (finding.rule, finding.severity) == ("fewer-pairs-than-leaves", "warning")
    assert run(num_instructions=3) == 0
    assert len({pair["metadata"]["leaf"] for pair in pairs()}) == 3


def test_num_samples(run: Run, teacher: Teacher) -> None:
    assert run(num_samples=2) == 0
    assert all("Now write 2 new pairs" in prompt for prompt in teacher.prompts if "<document>" in prompt)
    few = len(teacher.asked)
    assert run(num_samples=9) == 0
    assert any("Now write 9 new pairs" in prompt for prompt in teacher.prompts)
    assert len(teacher.asked) - few < few


def test_num_grounded_questions(run: Run, teacher: Teacher) -> None:
    for number in (2, 6):
        teacher.asked.clear()
        assert run(num_grounded_questions=number) == 0
        assert any(re.search(rf"\b{number} (new )?(pairs|questions|tasks)", prompt) for prompt in teacher.prompts)


def test_chunk_word_count(run: Run, teacher: Teacher) -> None:
    shown: dict[int, set[str]] = {}
    for words in (40, 200):
        teacher.asked.clear()
        assert run(chunk_word_count=words, num_instructions=200, num_samples=2) == 0
        found = (re.search(r"<document>\n(.*?)</document>", prompt, re.DOTALL) for prompt in teacher.prompts)
        shown[words] = {match[1] for match in found if match}
        outline = 3
        assert max(len(text.split()) for text in shown[words]) <= words + outline
    assert len(shown[40]) > 2 * len(shown[200])


def test_num_cpus(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many processes fetch and cut documents at once: with a git that takes its time, the clock shows it."""
    slow = tmp_path / "bin" / "git"
    real = next(str(path) for folder in os.environ["PATH"].split(":") if (path := Path(folder, "git")).exists())
    put(slow.parent, {"git": f'#!/bin/sh\ncase " $* " in *" fetch "*) sleep 1;; esac\nexec {real} "$@"\n'})
    slow.chmod(0o755)
    for bird in BIRDS:
        (repo := tmp_path / f"about-{bird}").mkdir()
        revision = commit(repo, {f"{bird}.md": document(bird)})
        put(tmp_path / "taxonomy" / "knowledge" / "birds" / bird, {"qna.yaml": knowledge_leaf(bird, repo, revision)})
    monkeypatch.setenv("PATH", str(slow.parent), prepend=":")
    seconds = {}
    for number in (1, 4):
        begun = time.monotonic()
        assert run(num_cpus=number, output_dir=f"with{number}") == 0
        seconds[number] = time.monotonic() - begun
    assert seconds[1] > 4
    assert seconds[4] < seconds[1] - 2
    assert pairs(Path("with1")) == pairs(Path("with4"))


SERVER = """#!{python}
import asyncio, json, os, sys
sys.path.insert(0, {examples!r})
from aiohttp import web
from offline_teacher import application
with open({seen!r}, "w") as file:
    json.dump([os.environ.get("CUDA_VISIBLE_DEVICES"), sys.argv], file)
app = application()
app.router.add_get("/health", lambda request: asyncio.sleep(0, web.Response()))
web.run_app(app, port=int(sys.argv[sys.argv.index("--port") + 1]), print=None)
"""


@pytest.fixture
def serve(tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A program that stands for a server of ``.gguf`` models, and a config file that asks for it."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    examples = str(Path(__file__).parents[4] / "examples")
    text = SERVER.format(python=sys.executable, examples=examples, seen=str(tmp_path / "seen.json"))
    put(tmp_path / "bin", {"llama-server": text, "model.gguf": b"GGUF"})
    (tmp_path / "bin" / "llama-server").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    section = {"host_port": f"127.0.0.1:{port}", "model_path": str(tmp_path / "bin" / "model.gguf")}
    put(Path(), {"config.yaml": dump({"profile": "cpu_only", "serve": section})})
    return settings | {"model_endpoint_url": f"localhost:{port}"}


@pytest.mark.parametrize(("gpus", "visible"), [("1-2", "1,2"), ("-1", "")])
def test_gpus(gpus: str, visible: str, ilab: Ilab, serve: dict[str, Any], tmp_path: Path) -> None:
    """The run starts the teacher of ``config.yaml`` where it does not run yet; these are the GPUs that it sees."""
    assert to_be_served(generate_of(serve))
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in serve.items()]
    done = ilab("data", "generate", *flags, f"--gpus={gpus}")
    assert done.returncode == 0, done.stderr
    assert "starting llama.cpp" in done.stderr
    assert json.loads((tmp_path / "seen.json").read_text())[0] == visible
    assert len(pairs()) == 20
    assert to_be_served(generate_of(serve)), "it ended with the run"


def test_the_same_server_by_hand(ilab: Ilab, serve: dict[str, Any], tmp_path: Path) -> None:
    shown = ilab("model", "serve", "--dry-run")
    assert (shown.returncode, "llama-server" in shown.stdout) == (0, True), shown.stderr
    assert not (tmp_path / "seen.json").exists()
    told = " ".join(ilab("model", "serve", "--help").stdout.split())
    assert "llama.cpp serves .gguf files" in told
    assert "llama.cpp: available" in told
    (tmp_path / "bin" / "model.gguf").unlink()
    refused = ilab("model", "serve")
    assert (refused.returncode, "error[model-not-found]" in refused.stderr) == (2, True)


def test_a_teacher_that_runs_or_is_elsewhere_is_not_started(
    serve: dict[str, Any], teacher: Teacher, tmp_path: Path
) -> None:
    assert not to_be_served(generate_of(serve | {"model_endpoint_url": "https://teacher.example/v1"}))
    assert not to_be_served(generate_of(serve | {"model_endpoint_url": teacher.url}))
    put(Path(), {"config.yaml": dump({"serve": {"host_port": teacher.url.split("/")[2]}})})
    assert not to_be_served(generate_of(serve | {"model_endpoint_url": teacher.url}))
    assert not Path(Serve().model_path).exists()


def test_model_family(run: Run, teacher: Teacher) -> None:
    bodies = []
    for family in ("mixtral", "granite"):
        teacher.asked.clear()
        assert run(model_family=family, raw_prompts=True) == 0
        assert all("messages" not in body for body in teacher.asked)
        bodies.append(teacher.prompts)
    assert all("[INST]" in prompt for prompt in bodies[0])
    assert not any("[INST]" in prompt for prompt in bodies[1])
    teacher.asked.clear()
    assert run(model_family="mixtral") == 0
    assert all("prompt" not in body and body["messages"] for body in teacher.asked)


def test_model_endpoint_url(run: Run, teacher: Teacher, make_teacher: Make) -> None:
    other = make_teacher()
    teacher.delay = other.delay = 0.05
    assert run(model_endpoint_url=f"{teacher.url}, {other.url}", num_samples=1) == 0
    assert teacher.asked
    assert other.asked
    teacher.asked.clear()
    assert run(model_endpoint_url=other.url, output_dir="alone") == 0
    assert not teacher.asked
    for urls, warnings in (("127.0.0.1:1, localhost:2/v1", 0), ("127.0.0.1:1, teacher.example:2", 1)):
        profile = Profile.from_dict({"generate": {"model_endpoint_url": urls}})
        assert [found.rule for found in violations(profile)] == ["remote-teacher-needs-a-key"] * warnings


def test_api_key(run: Run, teacher: Teacher, ilab: Ilab, flags: list[str]) -> None:
    assert run() == 0
    assert set(teacher.keys) == {""}
    teacher.keys.clear()
    done = ilab("data", "generate", *flags, "--output-dir=one", "--api-key=very-secret")
    assert (done.returncode, set(teacher.keys)) == (0, {"Bearer very-secret"})
    done = ilab("data", "generate", *flags, "--output-dir=two", ILAB_GENERATE__API_KEY="also-secret")
    assert (done.returncode, set(teacher.keys)) == (0, {"Bearer very-secret", "Bearer also-secret"})
    written = [file.read_bytes() for file in Path().rglob("*") if file.is_file()]
    assert not any(b"very-secret" in text or b"also-secret" in text for text in [*written, done.stderr.encode()])


def test_what_each_request_holds(run: Run, teacher: Teacher) -> None:
    assert run(temperature=0.25, max_tokens=321) == 0
    assert {(body["temperature"], body["max_tokens"], body["model"]) for body in teacher.asked} == {
        (0.25, 321, "offline-extraction-teacher")
    }
    seeds = [body["seed"] for body in teacher.asked]
    teacher.asked.clear()
    assert run(seed=1) == 0
    assert not set(seeds) & {body["seed"] for body in teacher.asked}


def test_pipeline(run: Run, teacher: Teacher) -> None:
    assert run() == 0
    simple = len(teacher.asked)
    assert run(pipeline="full", output_dir="full") == 0
    assert len(teacher.asked) > 3 * simple
    assert {pair["metadata"]["pipeline"].split("/")[0] for pair in pairs(Path("full"))} == {"full"}

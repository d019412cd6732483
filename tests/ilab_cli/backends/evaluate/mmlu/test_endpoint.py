"""A served model is asked for log probabilities: in each form the answers are those of the model in a folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ilab_cli.backends.evaluate.launch import command, preflight
from ilab_profiles import Evaluate
from tests.ilab_cli.backends.evaluate.conftest import ROOT, MakeTask
from tests.ilab_cli.backends.evaluate.mmlu.served import serving
from tests.ilab_cli.backends.evaluate.test_run import RUN, answers

pytest.importorskip("lm_eval", reason="needs the extra `evaluate`")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def tasks(make_task: MakeTask) -> Path:
    """A folder with a task of six questions, some of whose choices are several tokens."""
    more = 'doc_to_choice: ["A", "B low", "C", "high tide"]\n'
    rows = [{"question": f"How high is tide {number}?", "answer": number % 4} for number in range(6)]
    path = make_task(rows=rows)
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "doc_to_choice" not in line) + more)
    return path.parent


def settings(output: Path, tasks: Path, **mmlu: Any) -> dict[str, Any]:
    about = {"data_dir": str(tasks), "tasks": ["tides"], "few_shots": 2, "apply_chat_template": False, **mmlu}
    return {"benchmarks": ["mmlu"], "output_dir": str(output), "gpus": -1, "mmlu": about}


def start(data: dict[str, Any], **variables: str) -> subprocess.Popen[str]:
    pipe, environment = subprocess.PIPE, {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    words = [sys.executable, "-c", RUN, json.dumps(data)]
    return subprocess.Popen(words, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def run(data: dict[str, Any], **variables: str) -> tuple[int, str, str]:
    process = start(data, **variables)
    out, err = process.communicate()
    return process.returncode, out, err


def test_the_answers_are_those_of_the_model(student: Path, tasks: Path, tmp_path: Path) -> None:
    assert run({**settings(tmp_path / "local", tasks), "model": str(student)})[0] == 0
    expected = answers(tmp_path / "local" / "answers_tides.jsonl")
    for form in ("echo", "prompt_logprobs"):
        with serving(student, form) as server:
            code, out, err = run(
                settings(tmp_path / form, tasks, endpoint=server.url), ILAB_EVALUATE__MT__API_KEY="hush"
            )
            assert (code, err) == (0, "")
            assert server.keys == {"hush"}
        assert out.startswith("asked without the chat template of the model: an endpoint is asked without one\n")
        found = answers(tmp_path / form / "answers_tides.jsonl")
        assert [row["prompt"] for row in found] == [row["prompt"] for row in expected]
        for row, other in zip(found, expected, strict=True):
            assert row["log_likelihoods"] == pytest.approx(other["log_likelihoods"], abs=1e-4)
        for file in (tmp_path / form).iterdir():
            assert "hush" not in file.read_text()


def test_a_run_that_was_killed_asks_nothing_twice(student: Path, tasks: Path, tmp_path: Path) -> None:
    journal = tmp_path / "out" / "mmlu.journal.jsonl"
    with serving(student, "echo", limit=9) as server:
        data = settings(tmp_path / "out", tasks, endpoint=server.url)
        first = start(data)
        while not journal.exists() or journal.read_text().count("\n") < 9:
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
        worker = int(subprocess.check_output(["pgrep", "-P", str(first.pid)], text=True))
        os.kill(worker, signal.SIGKILL)
        first.communicate()
        assert first.returncode == 1
        answered = {json.loads(line)["row"] for line in journal.read_text().splitlines()}
        server.limit = 10**9
        server.go.set()
        server.asked.clear()
        code, _, err = run(data)
        assert (code, err) == (0, "")
        assert len(answered) == 9
        assert sum(server.asked.values()) == 6 * 4 - 9
        assert set(server.asked.values()) == {1}
    assert len(answers(tmp_path / "out" / "answers_tides.jsonl")) == 6


def test_an_endpoint_without_log_probabilities_is_refused(student: Path, tasks: Path, tmp_path: Path) -> None:
    with serving(student, "none") as server:
        code, out, err = run(settings(tmp_path / "out", tasks, endpoint=server.url))
        assert (code, out) == (1, "")
        assert f"{server.url} gives no log probabilities of the prompt" in err
        assert err.count("\n") == 1
        assert server.answered == 2
    assert not (tmp_path / "out" / "scores.json").exists()


def test_what_is_wrong_is_said_before_the_start(tasks: Path, tmp_path: Path) -> None:
    sound = Evaluate.model_validate(settings(tmp_path / "out", tasks, endpoint="localhost:1"))
    assert preflight(sound) == []
    odd = Evaluate.model_validate(settings(tmp_path / "out", tasks, endpoint="ftp://localhost"))
    assert [finding.path for finding in preflight(odd)] == ["evaluate.mmlu.endpoint"]
    secret = Evaluate.model_validate({**settings(tmp_path / "out", tasks, endpoint="x"), "mt": {"api_key": "hush"}})
    assert "hush" not in " ".join(command(secret))


def test_a_chat_template_at_an_endpoint_is_refused(tasks: Path, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="apply_chat_template"):
        Evaluate.model_validate(settings(tmp_path / "out", tasks, endpoint="localhost:1", apply_chat_template=True))

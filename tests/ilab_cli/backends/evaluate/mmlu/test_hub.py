"""lm-eval's own tasks: from the cache of a hub without a network, and refused where there is neither."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ilab_cli.backends.evaluate.mmlu import hub
from ilab_profiles import InputError
from ilab_profiles.models.evaluate import Mmlu
from tests.ilab_cli.backends.evaluate.conftest import ROOT
from tests.ilab_cli.backends.evaluate.test_run import RUN, answers

pytest.importorskip("lm_eval", reason="needs the extra `evaluate`")

FILL = """
import sys
from datasets import load_dataset
folder = sys.argv[1]
load_dataset("json", data_files={s: f"{folder}/{s}.jsonl" for s in ("test", "dev")}, cache_dir=f"{folder}/made")
"""


@pytest.fixture
def cache_of_a_hub(tmp_path: Path) -> Path:
    """A folder that ``HF_HOME`` may name: one subject of ``cais/mmlu`` lies in its cache, as datasets keeps it."""
    home = tmp_path / "home"
    rows = [{"question": f"What is {n}?", "choices": list("wxyz"), "answer": n % 4, "subject": "it"} for n in range(6)]
    for split in ("test", "dev"):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    subprocess.run([sys.executable, "-c", FILL, tmp_path], check=True, capture_output=True)
    (info,) = (tmp_path / "made").rglob("dataset_info.json")
    place = home / "datasets" / "cais___mmlu" / "anatomy" / "0.0.0" / ("0123456789" * 4)
    shutil.copytree(info.parent, place)
    for file in place.glob("json-*.arrow"):
        file.rename(place / file.name.replace("json-", "mmlu-"))
    told = json.loads((place / "dataset_info.json").read_text())
    told |= {"builder_name": "parquet", "dataset_name": "mmlu", "config_name": "anatomy"}
    (place / "dataset_info.json").write_text(json.dumps(told))
    return home


def evaluate(student: Path, home: Path, output: Path, task: str) -> subprocess.CompletedProcess[str]:
    mmlu = {"tasks": [task], "few_shots": 2}
    settings = {"benchmarks": ["mmlu"], "model": str(student), "output_dir": str(output), "gpus": -1, "mmlu": mmlu}
    variables = {"PYTHONPATH": str(ROOT), "HF_HOME": str(home), "HF_ENDPOINT": "http://127.0.0.1:1"}
    command = [sys.executable, "-c", RUN, json.dumps(settings)]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)


def test_a_task_is_run_from_the_cache_where_no_hub_answers(student: Path, cache_of_a_hub: Path, tmp_path: Path) -> None:
    run = evaluate(student, cache_of_a_hub, tmp_path / "out", "mmlu_anatomy")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("asked without the chat template of the model: lm-eval's tasks are asked as")
    (first, *_, last) = answers(tmp_path / "out" / "answers_mmlu_anatomy.jsonl")
    assert (first["question"], last["question"], first["right"], last["right"]) == (0, 5, "w", "x")
    assert first["prompt"].startswith("The following are multiple choice questions (with answers) about anatomy.\n\n")
    assert first["prompt"].count("Answer: ") == 2
    assert 0 < first["probability"] < 1
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())["benchmarks"]["mmlu"]
    assert (scores["tasks"]["mmlu_anatomy"]["questions"], scores["few_shots"]) == (6, 2)
    assert scores["apply_chat_template"] is False


def test_a_subject_that_the_cache_lacks_is_refused(student: Path, cache_of_a_hub: Path, tmp_path: Path) -> None:
    run = evaluate(student, cache_of_a_hub, tmp_path / "out", "mmlu_astronomy")
    assert (run.returncode, run.stdout) == (2, "")
    assert "mmlu_astronomy: no folder of task files is given" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No hub answers."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    hub.is_offline.cache_clear()
    yield
    hub.is_offline.cache_clear()


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize(
    ("task", "rule", "told"),
    [
        ("mmlu", "no-task-folder", "cais/mmlu is not in its cache"),
        ("mmlu_pro", "no-task-folder", "TIGER-Lab/MMLU-Pro is not in its cache"),
        ("mmlu_stem_tasks", "no-task-folder", "cais/mmlu is not in its cache"),
        ("mmlu_pr", "no-task-folder", "a generation writes them"),
        ("mmlu_anatomie", "unknown-task", "did you mean mmlu_anatomy"),
    ],
)
def test_what_cannot_be_had_is_refused(
    task: str, rule: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from datasets import config
    from huggingface_hub import constants

    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError) as caught:
        hub.check(Mmlu(tasks=(task,)))
    (finding,) = caught.value.findings
    assert finding.rule == rule
    assert told in f"{finding.why} {finding.hint}"


def test_a_hub_that_answers_is_there_whatever_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    try:
        hub.is_offline.cache_clear()
        assert not hub.is_offline()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        hub.is_offline.cache_clear()
        assert hub.is_offline()
    finally:
        hub.is_offline.cache_clear()
        server.shutdown()
        server.server_close()

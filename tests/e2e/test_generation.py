"""From a taxonomy to a trained and evaluated student, with the commands a user types and the settings they have."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ilab_profiles.yaml.read import read
from tests.programs import EXAMPLES, Ilab, ilab_in

for module in ("aiohttp", "jinja2", "accelerate", "peft", "lm_eval"):
    pytest.importorskip(module)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's taxonomy and a student."""
    folder = tmp_path_factory.mktemp("work")
    for command in (["demo/make_taxonomy.py", "taxonomy"], ["tiny_student.py", "student"]):
        script, *arguments = command
        subprocess.run(
            [sys.executable, str(EXAMPLES / script), *arguments], cwd=folder, check=True, capture_output=True
        )
    return folder


@pytest.fixture(scope="module")
def ilab(work: Path) -> Ilab:
    return ilab_in(work)


@pytest.fixture(scope="module")
def endpoint(work: Path) -> Iterator[str]:
    """The address of the offline teacher."""
    command = [sys.executable, str(EXAMPLES / "offline_teacher.py"), "--port", "0"]
    with subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.terminate()


def test_the_whole_way(work: Path, ilab: Ilab, endpoint: str) -> None:
    assert ilab("config", "init", "--profile", "cpu_only").returncode == 0
    made = ilab(
        *("model", "generate", "--taxonomy-base", "empty", "--num-instructions", "60"),
        *("--model-endpoint-url", endpoint, "--pipeline", "full"),
    )
    assert made.returncode == 0, made.stderr
    assert read(work / "generated" / "run.yaml").data["status"] == "complete"

    quick = ("--model-path", "student", "--num-epochs", "1", "--warmup-steps", "1", "--max-seq-len", "256")
    trained = ilab("model", "train", *quick, "--output-dir", "trained")
    assert trained.returncode == 0, trained.stderr
    assert "training on 60 conversations" in trained.stderr, "what was mixed is what it trains on by default"
    also = ilab("model", "train", *quick, "--data-path", "generated", "--output-dir", "other", "--dry-run")
    assert also.returncode == 0, also.stderr

    scored = ilab(
        *("model", "evaluate", "--benchmarks", "mmlu", "--model", "trained/model", "--data-dir", "generated"),
        *("--output-dir", "scores", "--few-shots", "1"),
    )
    assert scored.returncode == 0, scored.stderr
    assert (
        json.loads((work / "scores" / "latest" / "scores.json").read_text())["benchmarks"]["mmlu"]["overall"][
            "questions"
        ]
        == 60
    )
    for leaf in ("trades", "quarters", "pets", "instruments"):
        assert f"knowledge_ferrowmere_{leaf}" in scored.stdout

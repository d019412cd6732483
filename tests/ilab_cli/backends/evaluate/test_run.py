"""Real evaluations: lm-eval, a tiny model, and the files and exit codes that come out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.ilab_cli.backends.evaluate.conftest import ROOT, MakeTask

DEMO = ROOT / "examples" / "demo" / "mmlu"
RUN = """
import json, sys
from ilab_cli.backends.evaluate.launch import run
from ilab_profiles import Evaluate
sys.exit(run(Evaluate.model_validate(json.loads(sys.argv[1]))))
"""


def start(model: Path, output: Path, **mmlu: Any) -> subprocess.Popen[str]:
    settings = {"benchmarks": ["mmlu"], "model": str(model), "output_dir": str(output), "gpus": -1, "mmlu": mmlu}
    command = [sys.executable, "-c", RUN, json.dumps(settings)]
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=output.parent, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


def evaluate(model: Path, output: Path, **mmlu: Any) -> tuple[int, str, str]:
    process = start(model, output, **mmlu)
    out, err = process.communicate()
    return process.returncode, out, err


def answers(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def log_likelihoods(model: Path, row: dict[str, Any], tokenizer_of: Path | None = None) -> list[float]:
    """The same by hand: the sum of the logarithms of the probabilities of the choice's tokens."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tokenizer_of or model)
        net = AutoModelForCausalLM.from_pretrained(model)
        sums = []
        for choice in row["choices"]:
            prompt = tokenizer(row["prompt"], add_special_tokens=False).input_ids
            answer = tokenizer(choice, add_special_tokens=False).input_ids
            with torch.no_grad():
                logits = net(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
            sums.append(sum(float(logits[len(prompt) - 1 + i, token]) for i, token in enumerate(answer)))
        return sums


def test_scores_and_answers(student: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    code, out, err = evaluate(student, output, data_dir=str(DEMO), few_shots=0, apply_chat_template=True)
    assert (code, err) == (0, "")
    assert sorted(path.name for path in output.iterdir()) == [
        "answers_brindlemoor_animals.jsonl",
        "answers_brindlemoor_instruments.jsonl",
        "answers_brindlemoor_streets.jsonl",
        "answers_brindlemoor_trades.jsonl",
        "scores.json",
    ]
    scores = json.loads((output / "scores.json").read_text())["benchmarks"]["mmlu"]
    rows = answers(output / "answers_brindlemoor_trades.jsonl")
    questions = answers(DEMO / "trades.jsonl")
    right = [row["correct"] for row in rows]
    assert scores["tasks"]["brindlemoor_trades"]["acc"] == sum(right) / len(right)
    assert right == [row["answered"] == row["right"] for row in rows]
    assert [row["right"] for row in rows] == [question["choices"][question["answer"]] for question in questions]
    assert rows[0]["prompt"] == f"<|user|>{questions[0]['question']}<|assistant|>"
    assert rows[0]["log_likelihoods"] == pytest.approx(log_likelihoods(student, rows[0]), abs=1e-3)
    assert scores["overall"]["questions"] == 48
    assert scores["groups"]["mmlu_pr"]["acc"] == scores["overall"]["acc"]
    assert out.splitlines()[-1].startswith("overall")


def test_a_question_is_never_an_example_for_itself(student: Path, make_task: MakeTask, tmp_path: Path) -> None:
    folder = make_task(rows=[{"question": f"How high is tide {i}?", "answer": i % 4} for i in range(6)]).parent
    code, _, err = evaluate(
        student, tmp_path / "out", data_dir=str(folder), tasks=["tides"], few_shots=5, apply_chat_template=False
    )
    assert (code, err) == (0, "")
    for row in answers(tmp_path / "out" / "answers_tides.jsonl"):
        asked = row["prompt"].split("\n\n")
        assert len(set(asked)) == len(asked) == 6
        assert asked[-1].endswith("Answer:")


def test_questions_too_long_for_the_model_are_warned_of_once(
    student: Path, make_task: MakeTask, tmp_path: Path
) -> None:
    model = shutil.copytree(student, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8}))
    folder = make_task().parent
    code, out, err = evaluate(model, tmp_path / "out", data_dir=str(folder), tasks=["tides"], few_shots=2)
    assert code == 0
    assert out
    assert err.count("warning: ") == err.count("\n") == 1
    assert "exceeds model's maximum length (8)" in err


def test_an_adapter_is_put_on_its_base(student: Path, make_task: MakeTask, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    code = """
import sys, torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
torch.manual_seed(0)
config = LoraConfig(target_modules=["q_proj", "down_proj"], init_lora_weights=False)
get_peft_model(AutoModelForCausalLM.from_pretrained(sys.argv[1]), config).save_pretrained(sys.argv[2])
"""
    subprocess.run([sys.executable, "-c", code, student, adapter], check=True, capture_output=True)
    folder = make_task().parent
    mmlu = {"data_dir": str(folder), "tasks": ["tides"], "few_shots": 0, "apply_chat_template": False}
    status, _, err = evaluate(adapter, tmp_path / "out", **mmlu)
    assert (status, err) == (0, "")
    row = answers(tmp_path / "out" / "answers_tides.jsonl")[0]
    row["choices"] = [f" {choice}" for choice in row["choices"]]  # as lm-eval joins them to the prompt
    assert row["log_likelihoods"] == pytest.approx(log_likelihoods(adapter, row, student), abs=1e-3)
    assert row["log_likelihoods"] != pytest.approx(log_likelihoods(student, row), abs=1e-2)


def test_a_model_that_cannot_be_loaded_is_one_line_and_exit_code_1(
    student: Path, make_task: MakeTask, tmp_path: Path
) -> None:
    model = shutil.copytree(student, tmp_path / "model")
    (model / "config.json").write_text('{"model_type": "unheard_of"}')
    output = tmp_path / "out"
    code, out, err = evaluate(model, output, data_dir=str(make_task().parent), tasks=["tides"], few_shots=0)
    assert (code, out) == (1, "")
    assert err.startswith("error: evaluation failed: ")
    assert err.count("\n") == 1
    assert not output.exists()


@pytest.mark.parametrize(("sent", "after"), [(signal.SIGINT, 2.0), (signal.SIGTERM, 1.0)])
def test_interruption_has_its_exit_code_and_leaves_no_process(
    student: Path, tmp_path: Path, sent: signal.Signals, after: float
) -> None:
    process = start(student, tmp_path / "out", data_dir=str(DEMO), few_shots=8, batch_size=1)
    time.sleep(after)
    process.send_signal(sent)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (128 + sent, "", "interrupted; the same command goes on where it was\n")
    assert not (tmp_path / "out").exists()

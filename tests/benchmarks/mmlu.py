"""What five-shot MMLU costs, in CPU seconds, beside ``lm_eval --model hf``, and whether the answers are the same.

The same small Llama with random weights, the same tasks, one process after another: five tasks of a hundred questions,
each after the five solved examples of its task, as long as those of MMLU. Counted is what a process and its children
use of the processors, in user and in system mode; they have one thread, as threads that wait for each other count too.
Start-up is that of the same command for one question a task, and is taken off both, as it is the same for the thousands
of questions of MMLU; the ratio with it stands beside. In bf16 answers may change against those in fp32, by lm-eval's
way as by ours: how many do is printed. ``nox -s bench -- mmlu``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from examples.tiny_student import demo_texts, make
from ilab_cli.backends.base import start
from ilab_cli.backends.evaluate.launch import command, environment
from ilab_profiles import Evaluate

AIM = 4.0
NEAR = 1e-4
"""Most that a log-likelihood may differ from lm-eval's, in nats."""
BATCH = 8
LARGER = 6
"""How much larger the weights of the layers are than transformers makes them."""
SHOTS = 5
TASK = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {{test: {folder}/{name}.jsonl, dev: {folder}/{name}_dev.jsonl}}
test_split: test
fewshot_split: dev
fewshot_config: {{sampler: {sampler}}}
output_type: multiple_choice
description: "The following are multiple choice questions (with answers) about {name}.\\n\\n"
doc_to_text: "{{{{question}}}}{{% for c in choices %}}\\n{{{{'ABCD'[loop.index0]}}}}. {{{{c}}}}{{% endfor %}}\\nAnswer:"
doc_to_choice: [A, B, C, D]
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""

Likelihoods = dict[tuple[str, int], list[float]]


@dataclass(slots=True)
class Run:
    """One process: what it cost, and what it found for each question of each task."""

    seconds: float
    found: Likelihoods = field(default_factory=dict)


def main() -> int:
    """Print the table; returns 1 if the aim is missed, or an answer is not the one of lm-eval."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=5, help="tasks")
    parser.add_argument("--questions", type=int, default=100, help="questions of each")
    parser.add_argument("--sampler", choices=["first_n", "default"], default="first_n", help="how examples are chosen")
    parser.add_argument("--bf16", type=int, default=2, help="tasks that are run in bf16 as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = make_tasks(folder / "tasks", options.tasks, options.questions, options.sampler)
        make_tasks(folder / "few", options.tasks, 1, options.sampler)
        make_model(folder / "fp32", "float32")
        make_model(folder / "bf16", "bfloat16")
        return measure(folder, names, options.questions, names[: options.bf16])


def measure(folder: Path, names: list[str], questions: int, coarse: list[str]) -> int:
    """Run all, and tell what misses its aim."""
    print(f"{len(names)} tasks of {questions} questions, {SHOTS} examples before each", flush=True)
    table: dict[str, tuple[Run, Run]] = {}
    for name, way in {"lm_eval --model hf": theirs, "ilab model evaluate": ours}.items():
        table[name] = way(folder, "fp32", "few", names), way(folder, "fp32", "tasks", names)
        begun, whole = (run.seconds for run in table[name])
        print(f"{name:20} {whole:7.1f} CPU s, of these start-up {begun:5.1f} s: {whole - begun:7.1f} s", flush=True)
    (few, plain), (few_ours, shared) = table.values()
    times = (plain.seconds - few.seconds) / (shared.seconds - few_ours.seconds)
    apart = max(abs(a - b) for key in plain.found for a, b in zip(plain.found[key], shared.found[key], strict=True))
    changed = flips(plain.found, shared.found)
    print(f"{times:.2f}x without start-up, {plain.seconds / shared.seconds:.2f}x with it; aim {AIM:g}x without")
    print(
        f"fp32: {changed} of {len(plain.found)} answers are not lm-eval's; log-likelihoods differ by up to {apart:.1e}"
    )
    for name, way, exact in (("lm-eval", theirs, plain), ("ilab", ours, shared)) if coarse else ():
        found = way(folder, "bf16", "tasks", coarse).found
        print(f"bf16, {name}: {flips(found, exact.found)} of {len(found)} answers are not those in fp32", flush=True)
    return int(times < AIM or changed > 0 or apart > NEAR)


def flips(some: Likelihoods, others: Likelihoods) -> int:
    """Questions that are answered otherwise."""
    return sum(best(some[key]) != best(others[key]) for key in some)


def best(likelihoods: list[float]) -> int:
    """The first of the likeliest choices, which counts as the answer."""
    return max(range(len(likelihoods)), key=likelihoods.__getitem__)


def make_model(folder: Path, dtype: str) -> None:
    """A model of 4 layers, 256 wide, for texts of up to 2,048 tokens; its weights are large enough to take all choices.

    As they come from transformers, random weights say much the same to every question, so that no answer could change.
    """
    import torch
    from transformers import AutoModelForCausalLM

    texts = [*demo_texts(), *(f"Answer: {letter}" for letter in "ABCD" * 50)]
    make(folder, texts, hidden_size=256, layers=4, vocab_size=4000)
    for name, changes in {
        "config.json": {"max_position_embeddings": 2048},
        "tokenizer_config.json": {"model_max_length": 2048},
    }.items():
        data = json.loads((folder / name).read_text(encoding="utf-8"))
        (folder / name).write_text(json.dumps(data | changes), encoding="utf-8")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for weights in model.model.layers.parameters():
            weights.mul_(LARGER if weights.dim() > 1 else 1)
    model.to(getattr(torch, dtype)).save_pretrained(folder)


def make_tasks(folder: Path, tasks: int, questions: int, sampler: str) -> list[str]:
    """Tasks of words of the demo, and their names."""
    draw = random.Random(0)
    words = sorted({word for text in demo_texts() for word in text.split() if word.isalpha()})
    names = [f"subject_{number}" for number in range(tasks)]
    folder.mkdir()
    for name in names:
        (folder / f"{name}.yaml").write_text(TASK.format(name=name, folder=folder, sampler=sampler), encoding="utf-8")
        for split, count in (("_dev", SHOTS if sampler == "first_n" else 4 * SHOTS), ("", questions)):
            rows = [json.dumps(question(draw, words)) for _ in range(count)]
            (folder / f"{name}{split}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return names


def question(draw: random.Random, words: list[str]) -> dict[str, object]:
    """A question about as long as those of MMLU: log-normal, 30 words in the middle, and 8 for each choice."""

    def text(median: int) -> str:
        return " ".join(draw.choices(words, k=min(300, 1 + int(median * draw.lognormvariate(0, 0.7)))))

    return {"question": text(30), "choices": [text(8) for _ in range(4)], "answer": draw.randrange(4)}


def theirs(folder: Path, model: str, tasks: str, names: list[str]) -> Run:
    """lm-eval's own command."""
    out = folder / "theirs"
    words = ["--model_args", f"pretrained={folder / model}", "--tasks", ",".join(names), "--device", "cpu"]
    words += ["--include_path", str(folder / tasks), "--num_fewshot", str(SHOTS), "--batch_size", str(BATCH)]
    words += ["--log_samples", "--output_path", str(out)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache")}
    run = Run(cpu_seconds([sys.executable, "-m", "lm_eval", "--model", "hf", *words], offline))
    for name in names:
        (file,) = out.rglob(f"samples_{name}_*.jsonl")
        for row in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            run.found[name, row["doc_id"]] = [float(one) for one, _ in row["filtered_resps"]]
    shutil.rmtree(out)
    return run


def ours(folder: Path, model: str, tasks: str, names: list[str]) -> Run:
    """The worker of ``ilab model evaluate``."""
    out = folder / "ours"
    mmlu = {"tasks": names, "data_dir": str(folder / tasks), "few_shots": SHOTS, "apply_chat_template": False}
    settings = {"benchmarks": ["mmlu"], "model": str(folder / model), "output_dir": str(out), "device": "cpu"}
    evaluate = Evaluate.model_validate({**settings, "mmlu": mmlu})
    run = Run(cpu_seconds(command(evaluate), environment(evaluate)))
    for name in names:
        for row in map(json.loads, (out / f"answers_{name}.jsonl").read_text(encoding="utf-8").splitlines()):
            run.found[name, row["question"]] = row["log_likelihoods"]
    shutil.rmtree(out)
    return run


def cpu_seconds(words: list[str], variables: dict[str, str]) -> float:
    """What a process and its children use of the processors."""
    variables = {**variables, "OMP_NUM_THREADS": "1"}
    process = start(words, variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr
    said = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{said}\n{words[:3]} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())

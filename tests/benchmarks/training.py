"""Tokens that a training learns from in a second, padding not counted, beside its peers: ``nox -s bench -- training``.

The same small Llama, random weights, and the same samples of log-normal lengths, eight a step, in one run: a bare torch
loop over our packed batches, which tells what the recipe costs beside it; transformers' Trainer with padded batches of
eight; TRL's SFTTrainer with packing, where it is installed. One process each, on the CPU, one after another.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from examples.tiny_student import demo_texts, make
from ilab_cli.backends.base import start
from ilab_cli.backends.train.launch import command, environment
from ilab_profiles import Train
from tests.benchmarks.packing import lengths

BATCH = 8
LONGEST = 1024
MEDIAN, SIGMA = 120, 1.0
WARM = 3
"""Steps that are not counted."""


def main() -> int:
    """Print the table; returns 1 if an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=25, help="steps of eight samples")
    parser.add_argument("--one", choices=["bare", "trainer", "trl"], help="what a process of its own measures")
    parser.add_argument("--settings", help="for --one")
    options = parser.parse_args()
    if options.one:
        train = Train.model_validate_json(options.settings)
        print(json.dumps({"bare": bare, "trainer": trainer, "trl": trl}[options.one](train)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        return measure(Path(name), options.steps)


def measure(folder: Path, steps: int) -> int:
    """Measure all, and tell what misses its aim."""
    make(folder / "model", demo_texts(), hidden_size=128, layers=4)
    train = Train(
        model_path=str(folder / "model"),
        data_path=str(data(folder / "data.jsonl", steps * BATCH)),
        output_dir=str(folder / "run"),
        device="cpu",
        effective_batch_size=BATCH,
        max_seq_len=LONGEST,
        max_batch_len=BATCH * LONGEST,
        save_samples=0,
        validate_samples=0,
        warmup_steps=1,
    )
    found = {"ours": ours(train), "bare loop": apart("bare", train), "Trainer, padded": apart("trainer", train)}
    if importlib.util.find_spec("trl"):
        found["TRL, packed"] = apart("trl", train)
    for name, (speed, milliseconds) in found.items():
        times = speed / found["Trainer, padded"][0]
        print(f"{name:16} {speed:9,.0f} tokens/s  {times:5.2f}x  {milliseconds:7.1f} ms a step")
    overhead = found["ours"][1] - found["bare loop"][1]
    print(f"overhead over the bare loop: {overhead:.2f} ms a step")
    slower = found["ours"][0] < 2 * found["Trainer, padded"][0]
    return int(slower or found["ours"][0] < found.get("TRL, packed", (0.0, 0.0))[0])


def data(file: Path, samples: int) -> Path:
    """Conversations whose answers are log-normally long, in words of the demo."""
    words = sorted({word for text in demo_texts() for word in text.split() if word.isalpha()})
    with file.open("w", encoding="utf-8") as stream:
        for number, size in enumerate(lengths(samples, MEDIAN, SIGMA, LONGEST // 2)):
            answer = " ".join(words[(number * 7 + index * 13) % len(words)] for index in range(int(size) // 2 + 1))
            said = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": answer}]
            stream.write(json.dumps({"messages": said}) + "\n")
    return file


def ours(train: Train) -> tuple[float, float]:
    """Tokens a second and milliseconds a step of the recipe, as it is launched."""
    process = start(command(train), environment(train), stdin=subprocess.DEVNULL, stdout=2, stderr=subprocess.DEVNULL)
    if process.wait():
        raise SystemExit("the training failed")
    text = (Path(train.output_dir) / "metrics.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    tokens = [b["tokens"] - a["tokens"] for a, b in pairwise(rows)]
    return summary(tokens, [row["tokens_per_second"] for row in rows[1:]])


def summary(tokens: list[int], speeds: list[float]) -> tuple[float, float]:
    """Tokens a second over all steps but the first, and the median time of a step in ms."""
    seconds = [count / speed for count, speed in zip(tokens, speeds, strict=True)][WARM:]
    return sum(tokens[WARM:]) / sum(seconds), statistics.median(seconds) * 1e3


def apart(name: str, train: Train) -> tuple[float, float]:
    """What a process of its own measures."""
    words = ["-m", __spec__.name if __spec__ else "", "--one", name, "--settings", train.model_dump_json()]
    process = start([sys.executable, *words], environment(train), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{name} failed")
    speed, milliseconds = json.loads(out.splitlines()[-1])
    return speed, milliseconds


def bare(train: Train) -> tuple[float, float]:
    """Our batches and our loss, and nothing else."""
    import torch

    from ilab_cli.backends.train.data.dataset import load, prepare
    from ilab_cli.backends.train.loss import Limits, collate, learner
    from ilab_cli.backends.train.model import build
    from ilab_cli.backends.train.plan import BatchPlan

    cpu = torch.device("cpu")
    samples = load(prepare(train))
    plan = BatchPlan(train, samples.lengths)
    model = build(train, cpu, None)
    network, optimizer = learner(model), torch.optim.AdamW(model.parameters(), lr=1e-4)
    limits = Limits(train.max_batch_len, int(samples.lengths.max()), packed=True)
    tokens, speeds = [], []
    for step in range(plan.steps):
        began = time.perf_counter()
        count = 0
        for numbers in plan.shares(step)[0]:
            batch = collate(samples, numbers, cpu, limits)
            network(batch.inputs, batch.positions, batch.targets).backward()
            count += int(samples.lengths[numbers].sum())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        tokens.append(count)
        speeds.append(count / (time.perf_counter() - began))
    return summary(tokens, speeds)


def rows(train: Train) -> list[dict[str, Any]]:
    """The samples as lists, as the peers want them."""
    from ilab_cli.backends.train.data.dataset import load, prepare

    samples = load(prepare(train))
    made = []
    for number in range(len(samples)):
        ids, learned = samples[number]
        labels = [int(token) if counts else -100 for token, counts in zip(ids, learned, strict=True)]
        made.append({"input_ids": ids.tolist(), "labels": labels})
    return made


def clock(tokens: int) -> Any:
    """A callback that tells at the end how fast the steps after the first ones were."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        times: list[float]

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.times = [*getattr(self, "times", []), time.perf_counter() - self.began]

        def result(self) -> tuple[float, float]:
            counted = self.times[WARM:]
            return tokens * len(counted) / len(self.times) / sum(counted), statistics.median(counted) * 1e3

    return Clock()


def trainer(train: Train) -> tuple[float, float]:
    """transformers' Trainer: batches of eight, padded to the longest."""
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainingArguments,
    )

    made = rows(train)
    watch = clock(sum(len(row["input_ids"]) for row in made))
    Trainer(
        model=AutoModelForCausalLM.from_pretrained(train.model_path),
        args=TrainingArguments(**arguments(train)),
        train_dataset=made,
        data_collator=DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(train.model_path)),
        callbacks=[watch],
    ).train()
    speed, milliseconds = watch.result()
    return float(speed), float(milliseconds)


def arguments(train: Train) -> dict[str, Any]:
    """What the peers are told alike."""
    return {
        "output_dir": f"{train.output_dir}-peer",
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": 1,
        "use_cpu": True,
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }


def trl(train: Train) -> tuple[float, float]:
    """TRL's SFTTrainer: rows filled by best-fit decreasing; as many tokens a step as eight samples have."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    made = rows(train)
    tokens = sum(len(row["input_ids"]) for row in made)
    share = max(1, round(BATCH * tokens / len(made) / LONGEST))
    watch = clock(tokens)
    SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(train.model_path),
        args=SFTConfig(
            **arguments(train)
            | {
                "per_device_train_batch_size": share,
                "packing": True,
                "max_length": LONGEST,
                "remove_unused_columns": True,
            }
        ),
        train_dataset=Dataset.from_list(made),
        processing_class=AutoTokenizer.from_pretrained(train.model_path),
        callbacks=[watch],
    ).train()
    speed, milliseconds = watch.result()
    return float(speed), float(milliseconds)


if __name__ == "__main__":
    sys.exit(main())

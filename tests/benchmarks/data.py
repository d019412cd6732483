"""How fast conversations are tokenised, and what memory data take that are larger than it: ``nox -s bench -- data``.

The floor is the tokenizer alone, with its own threads on all cores, over the same texts: no file, no template, no
mask. Tokenising is what ``ilab model train`` does before its workers start; then batches of a shuffled epoch are made
as a worker makes them. Memory is what all processes of a step have resident together, memory that they share counted
once (PSS), looked at four times a second; what a process takes with its libraries and tokenizer, but without data, is
told beside it. 5,000,000 conversations take about 10 minutes on two cores, and 4 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from ilab_profiles import Train
from tests.benchmarks.mixing import make_rows

LIMIT = 2 * 2**30
FLOOR = 100_000
"""Conversations that the floor is measured on, at most."""
BATCHES = 500


def main() -> int:
    """Print the table; returns 1 if a step took more memory than allowed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--conversations", type=int, default=300_000, help="how many to tokenise")
    parser.add_argument("--model", help="folder of a model and its tokenizer; without it a small one is made")
    parser.add_argument("--folder", help="where to work; needs 800 bytes for each conversation")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--settings", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        STEPS[options.step](Train.model_validate_json(options.settings))
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        return measure(Path(name), options.conversations, options.model)


def measure(folder: Path, conversations: int, model: str | None) -> int:
    """Print a line for each step."""
    data = make_rows(folder / "data.jsonl", conversations)
    train = Train(model_path=model or make_model(folder / "model", data), data_path=str(data), output_dir=str(folder))
    megabytes = data.stat().st_size / 1e6
    print(f"{conversations:,} conversations, {megabytes:,.0f} MB, {os.cpu_count()} cores", flush=True)
    rates, most = {}, 0
    for step, wanted in (("floor", min(conversations, FLOOR)), ("tokenise", conversations), ("batches", 0)):
        before = run("libraries", train)[1]
        seconds, memory = run(step, train)
        if step != "floor":
            most = max(most, memory)
        if wanted:
            rates[step] = wanted / seconds
        speed = f"{rates[step]:9,.0f} conversations/s" if wanted else f"{BATCHES:9,.0f} batches"
        print(
            f"{step:10} {seconds:7.1f} s {speed:26} {memory / 2**20:7,.0f} MiB, {before / 2**20:,.0f} without data",
            flush=True,
        )
    print(f"of the floor: {rates['tokenise'] / rates['floor']:.2f}; within 2 GiB: {most < LIMIT}")
    return int(most >= LIMIT)


def make_model(folder: Path, data: Path) -> str:
    """A small model whose tokenizer knows the words of the data."""
    from examples.tiny_student import make

    with data.open(encoding="utf-8") as stream:
        make(folder, [line for line, _ in zip(stream, range(2000), strict=False)], vocab_size=8000)
    return str(folder)


def run(step: str, train: Train) -> tuple[float, int]:
    """Seconds that a step takes in a process of its own, without its start, and the most bytes of its processes."""
    settings = train.model_dump_json(exclude_defaults=True)
    command = [sys.executable, "-m", "tests.benchmarks.data", "--step", step, "--settings", settings]
    most = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            most = max(most, resident(process.pid))
            time.sleep(0.25)
        assert process.stdout
        told = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{step} ended with {process.returncode}")
    return float(told), most


def resident(pid: int) -> int:
    """Bytes of memory of a process and all its descendants; what they share is counted once."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_full_info().pss
    return total


# --- steps, each in a process of its own, which prints the seconds of the work itself ---------------------------------


def libraries(train: Train) -> None:
    """Load what the other steps load, and stay a while to be looked at."""
    import torch  # noqa: F401

    from ilab_cli.backends.train import loss  # noqa: F401
    from ilab_cli.backends.train.data.tokens import load_tokenizer

    load_tokenizer(train)
    time.sleep(1)
    print(0)


def floor(train: Train) -> None:
    """The tokenizer alone, on texts that are rendered already."""
    from transformers.utils.chat_template_utils import render_jinja_template

    from ilab_cli.backends.train.data.conversations import chunks_of, read_chunk
    from ilab_cli.backends.train.data.tokens import load_tokenizer

    tokenizer = load_tokenizer(train)
    texts: list[str] = []
    for chunk in chunks_of(Path(train.data_path)):
        messages = [conversation.messages for conversation in read_chunk(chunk).conversations]
        texts += render_jinja_template(messages, chat_template=tokenizer.chat_template)[0]
        if len(texts) >= FLOOR:
            break
    del texts[FLOOR:]
    began = time.perf_counter()
    for start in range(0, len(texts), 1000):
        tokenizer.backend_tokenizer.encode_batch(texts[start : start + 1000], add_special_tokens=False)
    print(time.perf_counter() - began)


def tokenise(train: Train) -> None:
    """What the launcher does before it starts the workers."""
    from ilab_cli.backends.train.data.dataset import prepare

    began = time.perf_counter()
    prepare(train)
    print(time.perf_counter() - began)


def batches(train: Train) -> None:
    """What a worker does with the samples: the plan, and batches in the order of an epoch."""
    import torch

    from ilab_cli.backends.train.data.dataset import load, prepare
    from ilab_cli.backends.train.loss import Limits, collate
    from ilab_cli.backends.train.plan import BatchPlan

    samples = load(prepare(train))
    began = time.perf_counter()
    plan = BatchPlan(train, samples.lengths)
    limits = Limits(train.max_batch_len, int(samples.lengths.max()), packed=True)
    for step in range(min(BATCHES, plan.steps)):
        for numbers in plan.shares(step)[0]:
            collate(samples, numbers, torch.device("cpu"), limits)
    print(time.perf_counter() - began)


STEPS = {step.__name__: step for step in (libraries, floor, tokenise, batches)}


if __name__ == "__main__":
    sys.exit(main())

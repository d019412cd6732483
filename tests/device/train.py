"""What training costs on a GPU: tokens a second, share of the peak, memory. Run by hand, on a machine with one.

    python tests/device/train.py [--seconds 420] [--out results.json] [--cases NAME…]

Models of random weights are made on the spot, so nothing is fetched. Each case trains through the same launcher as
``ilab model train`` until it has done its steps, and is then stopped; "TRL" is TRL's SFTTrainer with packing on the
same samples, where it is installed, and "profile" tells which kernels the time goes to. First a tiny model's loss on
the GPU is compared with that on the CPU, and packed attention by torch's kernel with that sample by sample, gradients
included.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from examples.tiny_student import demo_texts, make  # noqa: E402
from ilab_cli.backends.base import start, stop  # noqa: E402
from ilab_cli.backends.train.data.dataset import load, prepare  # noqa: E402
from ilab_cli.backends.train.launch import command, environment  # noqa: E402
from ilab_profiles import Train  # noqa: E402
from ilab_profiles.estimate.architecture import read  # noqa: E402
from ilab_profiles.estimate.memory import memory  # noqa: E402
from ilab_profiles.estimate.setup import setup_of  # noqa: E402

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 operations a second, from the makers' data sheets."""
SIZES = {"1B": (2048, 16, 8192, 32, 8), "8B": (4096, 32, 14336, 32, 8)}
"""Hidden size, layers, width of the MLP, heads and key-value heads of Llama 3 models."""
VOCABULARY = 128_256
LENGTH = 4096
STEPS = 8
WARM = 2
"""Steps that are not counted."""
LORA: dict[str, Any] = {"enabled": True, "lora_rank": 16, "lora_alpha": 32.0, "lora_dropout": 0.0}
FULL: dict[str, Any] = {"max_batch_len": 2 * LENGTH, "optimizer": "adamw_fused"}
ADAPTERS: dict[str, Any] = {"lora": LORA, "max_batch_len": LENGTH}
NF4: dict[str, Any] = {"deepspeed": {"quantize_dtype": "nf4"}}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "1B full": ("1B", FULL),
    "1B full, compiled": ("1B", FULL | {"compile": True}),
    "1B full, checkpointing": ("1B", FULL | {"gradient_checkpointing": True}),
    "1B weights in bf16": ("1B", FULL | {"optimizer": "adamw", "master_weights": "bf16"}),
    "8B LoRA": ("8B", ADAPTERS),
    "8B LoRA, TRL": ("8B", ADAPTERS),
    "8B LoRA, compiled": ("8B", ADAPTERS | {"compile": True}),
    "8B LoRA, checkpointing": ("8B", ADAPTERS | {"gradient_checkpointing": True, "max_batch_len": 2 * LENGTH}),
    "8B QLoRA": ("8B", ADAPTERS | NF4),
    "8B LoRA, profile": ("8B", ADAPTERS),
    "1B full, profile": ("1B", FULL),
    "1B full, TRL": ("1B", FULL),
    "1B full, padded": ("1B", FULL | {"packing": "none"}),
}


def model(folder: Path, size: str) -> int:
    """Write a model of random weights in bf16; returns the number of its parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    make(folder, demo_texts(), hidden_size=64, layers=1)
    hidden, layers, width, heads, kv_heads = SIZES[size]
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        num_hidden_layers=layers,
        intermediate_size=width,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=2 * LENGTH,
        tie_word_embeddings=size == "1B",
    )
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        made = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    made.save_pretrained(folder)
    parameters = int(sum(weight.numel() for weight in made.parameters()))
    del made
    torch.cuda.empty_cache()
    return parameters


def data(file: Path, samples: int, words: int) -> Path:
    """Write conversations whose answers have up to about so many words, log-normally many."""
    draw = random.Random(0)
    known = sorted({word for text in demo_texts() for word in text.split() if word.isalpha()})
    lines = []
    for _ in range(samples):
        answer = " ".join(draw.choices(known, k=min(words, int(draw.lognormvariate(math.log(words / 4), 0.9)) + 1)))
        said = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": answer}]
        lines.append(json.dumps({"messages": said}))
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def rows(train: Train) -> list[dict[str, Any]]:
    """The steps that a training has done."""
    file = Path(train.output_dir) / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def run(train: Train, steps: int, seconds: float) -> dict[str, Any]:
    """Train until so many steps are done, or the time is up; what came of it."""
    began = time.monotonic()
    prepare(train)
    log = Path(train.output_dir) / "log.txt"
    with log.open("wb") as file:
        process = start(command(train), environment(train), stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        while process.poll() is None and len(rows(train)) < steps and time.monotonic() - began < seconds:
            time.sleep(0.5)
        stop(process, 15)
    done = rows(train)[:steps]
    said = log.read_text(errors="replace")
    if len(done) <= WARM:
        return {"failed": said[-1500:]}
    return {
        "losses": [round(row["loss"], 4) for row in done],
        "tokens_per_second": round(statistics.median(row["tokens_per_second"] for row in done[WARM:])),
        "memory_gb": max(row["memory"] for row in done) / 1e9,
        "seconds": round(time.monotonic() - began),
        "padded": "they are padded" in said,
    }


def apart(name: str, train: Train, seconds: float) -> dict[str, Any]:
    """What a process of its own measures."""
    words = [sys.executable, __file__, "--one", name, "--settings", train.model_dump_json()]
    environ = os.environ | environment(train)
    try:
        done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"failed": "no time"}
    if done.returncode:
        return {"failed": done.stderr[-1500:]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def trl(train: Train) -> dict[str, Any]:
    """TRL's SFTTrainer, as it packs, with as many tokens a microbatch and a step as ours."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    samples = load(prepare(train))
    made = []
    for number in range(len(samples)):
        ids, learned = samples[number]
        labels = [int(token) if counts else -100 for token, counts in zip(ids, learned, strict=True)]
        made.append({"input_ids": ids.tolist(), "labels": labels})
    times: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            torch.cuda.synchronize()
            times.append(time.perf_counter())

    rows_a_step = max(1, round(int(samples.lengths.sum()) / len(samples) * train.effective_batch_size / LENGTH))
    rows_at_once = train.max_batch_len // LENGTH
    lora = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    dtype = torch.bfloat16 if train.lora.enabled else torch.float32
    SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(train.model_path, dtype=dtype),
        args=SFTConfig(
            output_dir=train.output_dir,
            per_device_train_batch_size=rows_at_once,
            gradient_accumulation_steps=max(1, rows_a_step // rows_at_once),
            max_steps=STEPS,
            bf16=True,
            gradient_checkpointing=train.gradient_checkpointing,
            optim="adamw_torch_fused",
            packing=True,
            max_length=LENGTH,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(made),
        processing_class=AutoTokenizer.from_pretrained(train.model_path),
        peft_config=lora if train.lora.enabled else None,
        callbacks=[Clock()],
    ).train()
    tokens = max(1, rows_a_step // rows_at_once) * rows_at_once * LENGTH
    steps = [after - before for before, after in pairwise(times)][WARM - 1 :]
    return {
        "tokens_per_second": round(tokens / statistics.median(steps)),  # its rows are full
        "memory_gb": torch.cuda.max_memory_allocated() / 1e9,
    }


def profile(train: Train) -> dict[str, Any]:
    """Which kernels the time of a microbatch goes to: milliseconds of the longest, and of all."""
    import torch
    from torch.autograd import DeviceType

    from ilab_cli.backends.train.loss import Limits, collate, learner
    from ilab_cli.backends.train.model import build
    from ilab_cli.backends.train.plan import BatchPlan

    device = torch.device("cuda", 0)
    samples = load(prepare(train))
    shares = BatchPlan(train, samples.lengths).shares(0)[0]
    network = learner(build(train, device, None).to(device))
    limits = Limits(train.max_batch_len, int(samples.lengths.max()), packed=True)

    def microbatch() -> None:
        batch = collate(samples, shares[0], device, limits)
        with torch.autocast("cuda", torch.bfloat16):
            loss = network(batch.inputs, batch.positions, batch.targets)
        loss.backward()
        torch.cuda.synchronize()

    microbatch()
    microbatch()
    began = time.perf_counter()
    microbatch()
    wall = time.perf_counter() - began
    with torch.profiler.profile() as watched:
        microbatch()
    events = [event for event in watched.key_averages() if event.device_type == DeviceType.CUDA]
    longest = sorted(events, key=lambda event: -event.self_device_time_total)[:30]
    return {
        "wall_ms": wall * 1e3,
        "kernels_ms": sum(event.self_device_time_total for event in events) / 1e3,
        "longest": {f"{event.key[:90]} x{event.count}": event.self_device_time_total / 1e3 for event in longest},
    }


def attention() -> dict[str, Any]:
    """How far the kernel for samples of various lengths is from one call a sample: outputs and gradients, in bf16."""
    import torch

    from ilab_cli.backends.train import attention as packed

    device = torch.device("cuda", 0)
    packed.register(device)
    lengths = [700, 1, 300, 1047]
    told = packed.segments(lengths, device)
    torch.manual_seed(0)
    shapes = [(1, heads, sum(lengths), 128) for heads in (32, 8, 8)]
    query, key, value = inputs = [
        torch.randn(shape, device=device, dtype=torch.bfloat16, requires_grad=True) for shape in shapes
    ]
    found = []
    for kernel in (packed._kernel.copy(), set[int]()):
        packed._kernel.clear()
        packed._kernel.update(kernel)
        out, _ = packed.attend(torch.nn.Identity(), query, key, value, None, **told)
        found.append([out, *torch.autograd.grad(out.float().square().sum(), inputs)])
        packed._kernel.update(kernel)
    far = [float((a.float() - b.float()).abs().max() / b.float().abs().max()) for a, b in zip(*found, strict=True)]
    return {"kernel works": bool(found and packed._kernel_works(device)), "relative differences": far}


def same_as_on_the_cpu(folder: Path) -> dict[str, Any]:
    """The losses of a tiny model on both, in fp32."""
    make(folder / "tiny", demo_texts())
    lines = (ROOT / "examples" / "demo" / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "tiny.jsonl").write_text("".join(lines[:64]), encoding="utf-8")
    losses = {}
    for device in ("cpu", "cuda"):
        train = Train(
            model_path=str(folder / "tiny"),
            data_path=str(folder / "tiny.jsonl"),
            output_dir=str(folder / f"tiny-{device}"),
            device=device,
            effective_batch_size=8,
            learning_rate=1e-3,
            warmup_steps=1,
            max_seq_len=256,
            max_batch_len=1024,
            save_samples=0,
        )
        losses[device] = run(train, 8, 120)
    return losses


def estimated(train: Train) -> float:
    """The bytes of tensors that are estimated, beside what CUDA and its allocator take."""
    around = ("allocator", "CUDA")
    parts = memory(read(str(train.model_path)), setup_of(train, cuda=True))
    return sum(part.bytes for part in parts if part.where == "gpu" and not any(word in part.name for word in around))


def case(
    folder: Path, title: str, size: str, parameters: int, changes: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """One training of a large model."""
    import torch

    train = Train.model_validate(
        {
            "model_path": str(folder / size),
            "data_path": str(folder / "long.jsonl"),
            "output_dir": str(folder / "run"),
            "device": "cuda",
            "precision": "bf16",
            "effective_batch_size": 16,
            "learning_rate": 1e-5,
            "warmup_steps": 1,
            "max_seq_len": LENGTH,
            "save_samples": 0,
            **changes,
        }
    )
    shutil.rmtree(train.output_dir, ignore_errors=True)
    way = title.rpartition(", ")[2].lower()
    found = apart(way, train, seconds) if way in ("trl", "profile") else run(train, STEPS, seconds)
    shutil.rmtree(train.output_dir, ignore_errors=True)
    found["estimated_gb"] = estimated(train) / 1e9
    name = torch.cuda.get_device_name()
    peak = next((value for gpu, value in PEAK.items() if gpu in name), None)
    if peak and "tokens_per_second" in found:
        per_token = (4 if train.lora.enabled else 6) * parameters  # of a frozen weight no gradient is made
        found["mfu"] = per_token * found["tokens_per_second"] / peak
    return found


def attempted(what: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any]:
    """What came of it; one that fails costs no other its time."""
    try:
        return what(*given)
    except Exception:
        return {"failed": traceback.format_exc()[-1500:]}


def main() -> int:
    """Run everything that fits into the time."""
    import torch

    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=420)
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    parser.add_argument("--cases", nargs="*", default=["tiny", *CASES], help="which of them")
    parser.add_argument("--one", choices=["trl", "profile"], help="what a process of its own measures")
    parser.add_argument("--settings", help="for --one")
    options = parser.parse_args()
    if options.one:
        settings = Train.model_validate_json(options.settings)
        print(json.dumps({"trl": trl, "profile": profile}[options.one](settings)))
        return 0
    end = time.monotonic() + options.seconds
    results: dict[str, Any] = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "tiny" in options.cases:
            results["tiny"] = same_as_on_the_cpu(folder)
        results["attention"] = attempted(attention)
        print(results, flush=True)
        data(folder / "long.jsonl", 16 * (STEPS + 1), 2200)
        parameters: dict[str, int] = {}
        for title in options.cases:
            if title not in CASES:
                continue
            size, changes = CASES[title]
            if end - time.monotonic() < 40:
                results[title] = {"left out": "no time"}
                continue
            if size not in parameters:
                parameters[size] = model(folder / size, size)
            given = (folder, title, size, parameters[size], changes, end - time.monotonic())
            results[title] = attempted(case, *given)
            options.out.write_text(json.dumps(results, indent=2) + "\n")
            print(title, results[title], flush=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

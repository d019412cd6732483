"""What training costs on a GPU: tokens a second, share of the peak, memory. Run by hand, on a machine with one.

    python tests/device/train.py [--seconds 420] [--out results.json]

Models of random weights are made on the spot, so nothing is fetched. Each case trains through the same launcher as
``ilab model train`` until it has done its steps, and is then stopped. First a tiny model's loss on the GPU is compared
with that on the CPU, and packed attention by torch's kernel with that sample by sample, gradients included.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from examples.tiny_student import demo_texts, make  # noqa: E402
from ilab_cli.backends.base import start, stop  # noqa: E402
from ilab_cli.backends.train.data.dataset import prepare  # noqa: E402
from ilab_cli.backends.train.launch import command, environment  # noqa: E402
from ilab_profiles import Train  # noqa: E402

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 operations a second, from the makers' data sheets."""
SIZES = {"1B": (2048, 16, 8192, 32, 8), "8B": (4096, 32, 14336, 32, 8)}
"""Hidden size, layers, width of the MLP, heads and key-value heads of Llama 3 models."""
VOCABULARY = 128_256
LENGTH = 4096
STEPS = 5
LORA: dict[str, Any] = {"enabled": True, "lora_rank": 16, "lora_alpha": 32.0, "lora_dropout": 0.0}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "1B full bf16": ("1B", {"max_batch_len": 4 * LENGTH, "optimizer": "adamw_fused"}),
    "1B full bf16, padded": ("1B", {"max_batch_len": 4 * LENGTH, "optimizer": "adamw_fused", "packing": "none"}),
    "1B full bf16, compiled": ("1B", {"max_batch_len": 4 * LENGTH, "optimizer": "adamw_fused", "compile": True}),
    "1B weights in bf16": ("1B", {"max_batch_len": 4 * LENGTH, "master_weights": "bf16"}),
    "8B LoRA bf16": ("8B", {"lora": LORA, "max_batch_len": 2 * LENGTH}),
    "8B QLoRA nf4": ("8B", {"lora": LORA, "deepspeed": {"quantize_dtype": "nf4"}, "max_batch_len": 2 * LENGTH}),
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
    if len(done) < 2:
        return {"failed": log.read_text(errors="replace")[-1500:]}
    return {
        "losses": [row["loss"] for row in done],
        "tokens_per_second": statistics.median(row["tokens_per_second"] for row in done[1:]),
        "memory_gb": max(row["memory"] for row in done) / 1e9,
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
    for kernel in (packed._kernel.copy(), set()):
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


def case(folder: Path, size: str, parameters: int, changes: dict[str, Any], seconds: float) -> dict[str, Any]:
    """One training of a large model."""
    import torch

    train = Train.model_validate(
        {
            "model_path": str(folder / size),
            "data_path": str(folder / "long.jsonl"),
            "output_dir": str(folder / "run"),
            "device": "cuda",
            "precision": "bf16",
            "gradient_checkpointing": True,
            "effective_batch_size": 32,
            "learning_rate": 1e-5,
            "warmup_steps": 1,
            "max_seq_len": LENGTH,
            "save_samples": 0,
            **changes,
        }
    )
    shutil.rmtree(train.output_dir, ignore_errors=True)
    found = run(train, STEPS, seconds)
    shutil.rmtree(train.output_dir, ignore_errors=True)
    name = torch.cuda.get_device_name()
    peak = next((value for gpu, value in PEAK.items() if gpu in name), None)
    if peak and "tokens_per_second" in found:
        per_token = (4 if train.lora.enabled else 6) * parameters  # of a frozen weight no gradient is made
        found["mfu"] = per_token * found["tokens_per_second"] / peak
    return found


def main() -> int:
    """Run everything that fits into the time."""
    import torch

    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=420)
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    results: dict[str, Any] = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results["tiny"] = same_as_on_the_cpu(folder)
        results["attention"] = attention()
        data(folder / "long.jsonl", 32 * (STEPS + 1), 2200)
        parameters: dict[str, int] = {}
        for title, (size, changes) in CASES.items():
            if end - time.monotonic() < 60:
                results[title] = {"left out": "no time"}
                continue
            if size not in parameters:
                parameters[size] = model(folder / size, size)
            results[title] = case(folder, size, parameters[size], changes, end - time.monotonic())
            options.out.write_text(json.dumps(results, indent=2) + "\n")
            print(title, results[title], flush=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

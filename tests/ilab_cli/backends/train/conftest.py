"""Fixtures of the training tests: a tiny model and tokenizer made on the spot, data, and real runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ilab_profiles import Train

ROOT = Path(__file__).parents[4]
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SPECIAL = ["<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"]
WORDS = "red green blue one two three four five six seven eight nine ten apples pears plums and no some many".split()


def conversation(number: int) -> dict[str, Any]:
    """A short conversation, its length and words given by a number."""
    words = [WORDS[(number * 7 + step * 5) % len(WORDS)] for step in range(3 + number % 9)]
    return {
        "messages": [
            {"role": "user", "content": f"Say {words[0]} and {words[1]}."},
            {"role": "assistant", "content": " ".join(words)},
        ]
    }


def write_jsonl(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with a byte-level BPE tokenizer and a chat template."""
    pytest.importorskip("torch")
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    tokenizer = ByteLevelBPETokenizer()
    texts = [message["content"] for number in range(50) for message in conversation(number)["messages"]]
    tokenizer.train_from_iterator(texts, vocab_size=400, special_tokens=SPECIAL, show_progress=False)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer,
        eos_token="<|end|>",
        pad_token="<|pad|>",
        extra_special_tokens=SPECIAL[2:],
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-two conversations: with batches of 8, an epoch ends in a batch of 6."""
    return write_jsonl(tmp_path_factory.mktemp("data") / "train.jsonl", [conversation(number) for number in range(22)])


@pytest.fixture
def settings(model_dir: Path, data_file: Path, tmp_path: Path) -> Callable[..., Train]:
    """Makes a ``Train`` for the tiny model, with other values given by keyword."""

    def make(**changes: Any) -> Train:
        base = {
            "model_path": str(model_dir),
            "data_path": str(data_file),
            "output_dir": str(tmp_path / "run"),
            "device": "cpu",
            "num_epochs": 2,
            "effective_batch_size": 8,
            "learning_rate": 1e-2,
            "warmup_steps": 2,
            "max_seq_len": 128,
            "max_batch_len": 128,
            "save_samples": 0,
        }
        return Train.model_validate(base | changes)

    return make


def python(*arguments: str) -> list[str]:
    """A command of this interpreter in which our deprecated calls are errors."""
    return [sys.executable, "-W", "error::DeprecationWarning:ilab_cli", *arguments]


def start(train: Train, **options: Any) -> subprocess.Popen[str]:
    """Start a training with the launcher, in a process group of its own."""
    code = (
        "import sys; from ilab_profiles import Train; from ilab_cli.backends.train.launch import run;"
        "sys.exit(run(Train.model_validate_json(sys.argv[1])))"
    )
    text = train.model_dump_json(exclude_defaults=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        python("-c", code, text),
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **options,
    )


def train_to_end(train: Train, code: int = 0) -> str:
    """Do a training with the launcher, check its exit code, and return what it told on stderr."""
    process = start(train)
    out, err = process.communicate(timeout=150)
    log = Path(train.output_dir) / "train.log"
    assert process.returncode == code, err + (log.read_text() if log.exists() else "")
    assert out == ""
    return err


def metrics(train: Train) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(train.output_dir) / "metrics.jsonl").read_text().splitlines()]


def losses(train: Train) -> list[float]:
    return [row["loss"] for row in metrics(train)]

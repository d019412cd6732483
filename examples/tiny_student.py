"""Make a small student: a Llama model with random weights, and a tokenizer trained on the spot.

For trying the whole way on a laptop, without a download. Run as ``python examples/tiny_student.py OUT_DIR [TEXT …]``,
or call :func:`make`. Without texts, the tokenizer is made for the conversations of ``demo/train.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["demo_texts", "make"]

SPECIAL = ["<|pad|>", "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def make(
    out: Path, texts: Iterable[str], *, hidden_size: int = 128, layers: int = 2, vocab_size: int = 1000, seed: int = 0
) -> None:
    """Write a model and its tokenizer to a folder, as transformers loads them; the same input gives the same files.

    Args:
        out: the folder; it is made if need be.
        texts: what the tokenizer (byte-level BPE) is trained on.
        hidden_size: width of the model, a multiple of 4.
        layers: number of transformer layers.
        vocab_size: most tokens in the vocabulary.
        seed: seed of the weights.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=SPECIAL, initial_alphabet=sorted(alphabet), show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<|pad|>", bos_token="<|begin|>", eos_token="<|end|>", model_max_length=512
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def demo_texts() -> list[str]:
    """Every message of the demo's conversations."""
    lines = (Path(__file__).parent / "demo" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    return [message["content"] for line in lines for message in json.loads(line)["messages"]]


def main() -> None:
    """Make a student in the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Make a small model with random weights and its tokenizer.")
    parser.add_argument("out", type=Path, metavar="OUT_DIR", help="folder to write")
    parser.add_argument("text", type=Path, metavar="TEXT", nargs="*", help="files to train the tokenizer on")
    options = parser.parse_args()
    if not sys.stderr.isatty():
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
    texts = [file.read_text(encoding="utf-8") for file in options.text]
    make(options.out, texts or demo_texts())


if __name__ == "__main__":
    main()

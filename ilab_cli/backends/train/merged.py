"""A whole model made of a checkpoint that holds adapters; a process of its own, as it needs torch.

python -m ilab_cli.backends.train.merged CHECKPOINT TARGET --settings JSON
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from ilab_cli.backends.train.checkpoint import begin
from ilab_cli.backends.train.data.tokens import load_tokenizer
from ilab_cli.backends.train.files import replace_folder
from ilab_cli.backends.train.launch import environment
from ilab_cli.backends.train.model import merge
from ilab_profiles import Profile

__all__ = ["main"]


def main() -> None:
    """Write the merged model and its tokenizer to a folder, which appears whole or not at all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path, help="folder of the adapters")
    parser.add_argument("target", type=Path, help="folder of the model")
    parser.add_argument("--settings", required=True, help="the train section of a profile, as JSON")
    options = parser.parse_args()
    train = Profile.from_dict({"train": json.loads(options.settings)}).train
    os.environ.update(environment(train))
    temporary = begin(options.target)
    merge(train, options.checkpoint).save_pretrained(temporary)
    load_tokenizer(train).save_pretrained(temporary)
    replace_folder(temporary, options.target)


if __name__ == "__main__":
    main()

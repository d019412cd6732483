"""Cases of ``train`` that need no engine: the launched command, its environment, the plan, the data, the run folder."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from ilab_profiles import InputError, Profile, Train
from tests.alive import deepspeed, engine
from tests.alive.case import Case
from tests.alive.workshop import Workshop

Look = Callable[[Profile, Workshop], Any]
ON_CPU = {"train.device": "cpu"}
SMALL = {"train.effective_batch_size": 4, "train.max_seq_len": 64, "train.max_batch_len": 64}


# --- the launched command and its environment -------------------------------------------------------------------------


def option(name: str) -> Look:
    """The value of an option of torchrun in the launched command; the settings at its end are left out."""

    def look(profile: Profile, workshop: Workshop) -> str | None:
        from ilab_cli.backends.train.launch import command

        parts = command(profile.train)[:-2]
        return parts[parts.index(name) + 1] if name in parts else None

    return look


def variable(name: str) -> Look:
    """An environment variable of the processes of a training."""

    def look(profile: Profile, workshop: Workshop) -> str | None:
        from ilab_cli.backends.train.launch import environment

        return environment(profile.train).get(name)

    return look


SEVERAL = {"train.torchrun.nnodes": 2}
MEET = SEVERAL | {"train.torchrun.rdzv_endpoint": "127.0.0.1:1234"}
ADDRESS = SEVERAL | {"train.torchrun.master_addr": "127.0.0.1"}

LAUNCHED = [
    Case("train.num_gpus", 4, option("--nproc-per-node"), "1", "4", ON_CPU),
    Case("train.gpus", "1,3", variable("CUDA_VISIBLE_DEVICES"), None, "1,3"),
    Case("train.device", "cpu", variable("CUDA_VISIBLE_DEVICES"), None, ""),
    Case("train.torchrun.nnodes", 3, option("--nnodes"), None, "3"),
    Case("train.torchrun.node_rank", 1, option("--node-rank"), "0", "1", MEET),
    Case("train.torchrun.rdzv_id", "job", option("--rdzv-id"), None, "job", MEET),
    Case("train.torchrun.rdzv_endpoint", "127.0.0.1:1234", option("--rdzv-endpoint"), None, "127.0.0.1:1234", SEVERAL),
    Case("train.torchrun.master_addr", "127.0.0.1", option("--master-addr"), None, "127.0.0.1", SEVERAL),
    Case("train.torchrun.master_port", 1234, option("--master-port"), None, "1234", ADDRESS),
]


# --- the plan: which samples make which step, at what rate ------------------------------------------------------------


def planned(about: Callable[[Any], Any]) -> Look:
    """Something of the plan of a training on 24 samples of 20 to 43 tokens; of its second phase where it has phases."""

    def look(profile: Profile, workshop: Workshop) -> Any:
        from ilab_cli.backends.train.plan import BatchPlan

        return about(BatchPlan(profile.train.runs()[0], np.arange(20, 44), 128))

    return look


def four(batch: list[int]) -> bool:
    return len(batch) == 4


def microbatches(plan: Any) -> int:
    return len(plan.shares(0)[0])


def rates(plan: Any) -> list[float]:
    """The learning rate of some steps."""
    return [round(plan.learning_rate(step), 6) for step in (0, 2, 4)]


def due(plan: Any) -> list[int]:
    """The steps after which a checkpoint is due."""
    return [step + 1 for step in range(plan.steps) if plan.due(step, plan.train.save_samples)]


RATE = SMALL | {"train.learning_rate": 0.1, "train.warmup_steps": 0}
PHASES: dict[str, Any] = {"train.phases": [{}, {}]}

PLAN = [
    Case("train.num_epochs", 3, planned(lambda plan: plan.steps), 6, 18, SMALL),
    Case(
        "train.effective_batch_size", 8, planned(lambda plan: (plan.steps, len(plan.batch(0)))), (6, 4), (3, 8), SMALL
    ),
    Case("train.max_batch_len", 96, planned(microbatches), 4, 2, SMALL),
    Case("train.seed", 1, planned(lambda plan: plan.batch(0)), [16, 15, 18, 19], four, SMALL),
    Case("train.learning_rate", 0.2, planned(rates), lambda seen: seen[0] == 0.1, lambda seen: seen[0] == 0.2, RATE),
    Case("train.warmup_steps", 3, planned(rates), lambda seen: seen[0] == 0.1, lambda seen: seen[0] == 0.025, RATE),
    Case("train.lr_schedule", "constant", planned(rates), lambda seen: seen[2] < 0.1, [0.1, 0.1, 0.1], RATE),
    Case("train.phases.N.num_epochs", 3, planned(lambda plan: plan.steps), 6, 18, SMALL | PHASES),
    Case("train.phases.N.effective_batch_size", 8, planned(lambda plan: len(plan.batch(0))), 4, 8, SMALL | PHASES),
    Case("train.phases.N.learning_rate", 0.2, planned(lambda plan: plan.learning_rate(0)), 0.1, 0.2, RATE | PHASES),
    Case("train.phases.N.warmup_steps", 3, planned(lambda plan: plan.learning_rate(0)), 0.1, 0.025, RATE | PHASES),
    Case("train.phases.N.save_samples", 8, planned(due), [], [2, 4, 6], SMALL | PHASES),
]


# --- the data ---------------------------------------------------------------------------------------------------------


def samples(profile: Profile, workshop: Workshop) -> tuple[int, int]:
    """How many samples are trained on, and how many were truncated."""
    from ilab_cli.backends.train.data.dataset import examine

    made = examine(profile.train.runs()[0])
    return len(made), made.truncated


def first_sample(profile: Profile, workshop: Workshop) -> str:
    """The text that the first conversation becomes."""
    from ilab_cli.backends.train.data.dataset import examine
    from ilab_cli.backends.train.data.tokens import load_tokenizer

    return str(load_tokenizer(profile.train).decode(examine(profile.train)[0][0]))


def validated_on(profile: Profile, workshop: Workshop) -> list[int]:
    """The numbers of samples of each file of validation data."""
    from ilab_cli.backends.train.validation import load

    return [len(made) for made in load(profile.train)]


def template(workshop: Workshop) -> str:
    path = workshop.folder / "template.jinja"
    text = "{% for message in messages %}{{ message.role + ': ' + message.content + '\n' }}{% endfor %}"
    path.write_text(text, encoding="utf-8")
    return str(path)


DATA = {
    "train.model_path": lambda workshop: workshop.student,
    "train.data_path": lambda workshop: workshop.conversations("data.jsonl", *[3] * 20, 60),
    "train.output_dir": lambda workshop: str(workshop.folder / "run"),
}
HELD_OUT = {"train.valid_path": lambda workshop: workshop.conversations("held_out.jsonl", 3, 4)}

READ = [
    Case("train.data_path", lambda at: at.conversations("other.jsonl", 3, 4), samples, (21, 0), (2, 0), DATA),
    Case("train.max_seq_len", 32, samples, (21, 0), (20, 0), DATA),
    Case("train.too_long", "truncate", samples, (20, 0), (21, 1), DATA | {"train.max_seq_len": 32}),
    Case(
        "train.chat_template",
        template,
        first_sample,
        "<|user|>count<|assistant|>cat cat cat<|end|>",
        "user: count\nassistant: cat cat cat\n<|end|>",
        DATA,
    ),
    Case("train.valid_path", HELD_OUT["train.valid_path"], validated_on, [], [2], DATA),
    Case(
        "train.phases.N.data_path",
        lambda at: at.conversations("other.jsonl", 3, 4),
        samples,
        (21, 0),
        (2, 0),
        DATA | PHASES,
    ),
]


# --- the run: where it lies, what it refuses, when it ends ------------------------------------------------------------


def tokens_lie_in(profile: Profile, workshop: Workshop) -> str:
    """The folder in which samples were written, below that of the case; all is removed then."""
    from ilab_cli.backends.train.data.dataset import prepare

    place = prepare(profile.train).parent
    found = str(place.relative_to(workshop.folder))
    shutil.rmtree(place)
    return found


def finds(rule: str, prepare: Callable[[Train], object] = lambda _: None) -> Look:
    """Whether a training is refused by a finding."""

    def look(profile: Profile, workshop: Workshop) -> bool:
        from ilab_cli.backends.train.preflight import check_settings

        prepare(profile.train)
        try:
            check_settings(profile.train)
        except InputError as error:
            return rule in [finding.rule for finding in error.findings]
        return False

    return look


def checkpoint(train: Train, samples: int = 4) -> Path:
    """A checkpoint in the run folder, as far as there is one to go on from."""
    folder = Path(train.output_dir, "checkpoints", f"samples_{samples:07d}")
    (folder / "optimizer").mkdir(parents=True, exist_ok=True)
    (folder / "training.json").write_text(json.dumps({"step": samples, "samples": samples, "data": ""}))
    for name, text in {"config.json": "{}", "tokenizer.json": "{}"}.items():
        (folder / name).write_text(text)
    return folder


def asked_to_stop(profile: Profile, workshop: Workshop) -> bool:
    """Whether a training that takes half a second is asked to save a checkpoint and end; no process is started."""
    from ilab_cli.backends.train import launch

    asked: list[bool] = []

    def train(train: Train, stop: Any) -> int:
        threading.Event().wait(0.5)
        asked.append(stop.asked)
        return 1

    with patch.object(launch, "_launch", train):
        launch.run(profile.train)
    return asked[0]


def phase_folders(profile: Profile, workshop: Workshop) -> list[str]:
    """The folders of the phases, and what each starts from."""
    return [Path(run.output_dir).name for run in profile.train.runs()]


RUN = {"train.output_dir": lambda workshop: str(workshop.folder / "run")}
OUTPUT = [
    Case("train.output_dir", lambda at: str(at.folder / "other"), tokens_lie_in, "run", "other", DATA),
    Case("train.oversubscribe", True, finds("too-many-processes"), True, False, ON_CPU | {"train.num_gpus": 999} | RUN),
    Case("train.resume", False, finds("checkpoints-exist", checkpoint), False, True, ON_CPU | RUN),
    Case("train.max_hours", 0.1 / 3600, asked_to_stop, False, True, DATA),
    Case("train.phases", [{}, {}], phase_folders, ["train"], ["phase00", "phase01"]),
    Case("train.phases.N.name", "first", phase_folders, ["phase00", "phase01"], ["first", "phase01"], PHASES),
]

CASES = [*LAUNCHED, *PLAN, *READ, *OUTPUT, *deepspeed.CASES, *engine.CASES]

"""A small world to evaluate in: students, checkpoints, tasks, questions, endpoints, and what an evaluation comes to."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.evaluate import keys, launch
from ilab_profiles import Evaluate, Profile
from tests.alive.generating import elsewhere
from tests.alive.workshop import Workshop
from tests.ilab_cli.backends.endpoint import Body, Endpoint
from tests.ilab_cli.backends.evaluate.conftest import TASK
from tests.ilab_cli.backends.evaluate.mmlu.served import Served, serving
from tests.ilab_cli.backends.generate.taxonomies import SKILL, commit, put
from tests.programs import EXAMPLES, example

__all__ = ["SAMPLES", "World", "Written", "as_launched", "evaluate", "own_code", "says", "trained", "world", "written"]

SAMPLES = (10, 20, 30)
"""The checkpoints of a training: samples that each has seen."""
_OWN = """
from transformers import LlamaConfig, LlamaForCausalLM
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@dataclass(frozen=True)
class World:
    """What evaluations read, and whom they ask.

    Attributes:
        students: small models with other weights each, with a chat template.
        tasks: a folder of two tasks, ``tides`` and ``winds``.
        others: a folder with other questions under the same names.
        bench: questions and prompts of MT-Bench: one question of two turns.
        taxonomies: one with a skill that is committed and one that is new; another one.
        endpoints: two that serve the models ``student``, ``other`` and ``judge``.
        served: an endpoint of the first student that gives log probabilities.
    """

    students: tuple[Path, Path, Path]
    tasks: Path
    others: Path
    bench: Path
    taxonomies: tuple[Path, Path]
    endpoints: tuple[Endpoint, Endpoint]
    served: Served


def world(workshop: Workshop) -> World:
    """The one world of all cases."""
    return workshop.once(_evaluation)


def _evaluation(folder: Path, exits: ExitStack) -> World:
    pytest.importorskip("lm_eval", reason="needs the extra `evaluate`")
    tiny = example("tiny_student.py")
    students = folder / "one", folder / "two", folder / "three"
    for number, student in enumerate(students):
        tiny.make(student, tiny.demo_texts(), layers=1, hidden_size=64, seed=number)
    for name, asked in (("tasks", "Tide"), ("others", "Wind")):
        for task in ("tides", "winds"):
            rows = [{"question": f"{asked} {number} of {task}?", "answer": number % 4} for number in range(6)]
            put(folder / name, {f"{task}.yaml": TASK.format(name=task), f"{task}.jsonl": _lines(rows)})
    whole = EXAMPLES / "demo" / "mt_bench"
    bench = shutil.copytree(whole, folder / "bench")
    first = (whole / "question.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[0]
    (bench / "question.jsonl").write_text(first, encoding="utf-8")
    (folder / "taxonomy").mkdir()
    commit(folder / "taxonomy", {"compositional_skills/old/qna.yaml": SKILL})
    put(folder / "taxonomy", {"compositional_skills/new/qna.yaml": SKILL.replace("bird", "fish")})
    other = put(folder / "other", {"compositional_skills/else/qna.yaml": SKILL})
    models = ("student", "other", "judge")
    one, two = (exits.enter_context(Endpoint(says, models)) for _ in range(2))
    served = exits.enter_context(serving(students[0], "echo"))
    taxonomies = folder / "taxonomy", other
    return World(students, folder / "tasks", folder / "others", bench, taxonomies, (one, two), served)


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def says(body: Body) -> str:
    """The judge gives a 7; a model says what it was asked last."""
    return "Rating: [[7]]" if body["model"] == "judge" else f"You asked: {body['messages'][-1]['content']}"


def trained(workshop: Workshop) -> str:
    """The run folder of a training with a checkpoint of each student, which a case may change."""
    run = workshop.folder / "trained"
    for step, (samples, student) in enumerate(zip(SAMPLES, world(workshop).students, strict=True), start=1):
        place = shutil.copytree(student, run / "checkpoints" / f"samples_{samples:07d}")
        (place / "training.json").write_text(json.dumps({"step": step, "samples": samples, "data": "x"}))
    return str(run)


def own_code(workshop: Workshop) -> str:
    """A model that comes with code of its own."""
    folder = shutil.copytree(world(workshop).students[0], workshop.folder / "own")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}}
    put(folder, {"config.json": json.dumps(config), "own.py": _OWN})
    return str(folder)


@dataclass(frozen=True)
class Written:
    """What an evaluation came to.

    Attributes:
        code: its exit code.
        files: the files that were written, and what is in them.
        output: its folder in them.
        asked: what each endpoint was asked.
        keys: what came to each as authorization.
    """

    code: int
    files: dict[str, str]
    output: str
    asked: tuple[list[Body], ...]
    keys: tuple[set[str], ...]

    @property
    def scores(self) -> dict[str, Any]:
        """What is in ``scores.json``."""
        return dict(json.loads(self.files[f"{self.output}/scores.json"]))

    def answers(self, below: str = "", task: str = "tides") -> list[dict[str, Any]]:
        """The answers to a task."""
        return [json.loads(line) for line in self.files[f"{self.output}/{below}answers_{task}.jsonl"].splitlines()]


@contextmanager
def as_launched(settings: Evaluate) -> Iterator[Evaluate]:
    """What the worker gets: the settings of its command, and the keys by its environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in keys.as_variables(settings).items():
            patch.setenv(name, value)
        yield Profile.from_dict({"evaluate": json.loads(launch.command(settings)[-1])}).evaluate


def evaluate(profile: Profile, workshop: Workshop) -> Written:
    """Evaluate in an empty folder."""
    from ilab_cli.backends.evaluate import worker

    endpoints = world(workshop).endpoints
    for each in endpoints:
        each.asked.clear()
        each.begun.clear()
        each.keys.clear()
        each.most = 0
    with elsewhere(workshop) as folder, as_launched(profile.evaluate) as settings, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = worker.work(settings)
        files = written(folder)
    asked, seen = ([*each.asked] for each in endpoints), ({*each.keys} for each in endpoints)
    return Written(code, files, profile.evaluate.output_dir, tuple(asked), tuple(seen))


def written(folder: Path) -> dict[str, str]:
    """The text files below a folder, and what is in them."""
    found = (file for file in folder.rglob("*") if file.suffix in (".json", ".jsonl"))
    return {str(file.relative_to(folder)): file.read_text(encoding="utf-8") for file in found}

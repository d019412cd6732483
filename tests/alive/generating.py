"""A small world to generate in: a taxonomy with documents, teachers that remember, and what a run there comes to."""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.generate import documents, launch, prepare
from ilab_cli.backends.generate.run import Job, start
from ilab_cli.backends.mix import launch as mixing
from ilab_cli.backends.mix import mix, plan
from ilab_profiles import Profile
from tests.alive.workshop import Workshop
from tests.ilab_cli.backends.generate.conftest import (
    BIRDS,
    Teacher,
    document,
    knowledge_leaf,
    pairs,
    running,
    skill_leaf,
)
from tests.ilab_cli.backends.generate.taxonomies import SKILL, commit, put
from tests.ilab_cli.backends.mix.recipes import row, write_recipe, write_rows

__all__ = ["Asked", "World", "begun", "elsewhere", "leaves_at_once", "mixed", "most_processes", "run", "world"]

_PIPELINE = {
    "freeform_skills.yaml": (
        'version: "1.0"\nblocks:\n  - {name: ask, type: LLMBlock, config: {config_path: prompt.yaml, '
        "output_cols: [question, response]}}\n"
    ),
    "prompt.yaml": (
        'system: ""\nintroduction: ""\nprinciples: ""\nexamples: ""\ngeneration: "<question> and </question>, <answer> '
        'and </answer> of {{seed_question}}"\nstart_tags: ["<question>", "<answer>"]\nend_tags: ["</question>", '
        '"</answer>"]\n'
    ),
}


@dataclass(frozen=True)
class World:
    """What generations read, and whom they ask.

    Attributes:
        teacher: the teacher.
        other: another one.
        taxonomy: two leaves of knowledge, and two of skills.
        skills: a taxonomy of one skill that is committed, and of one that is new.
        pipeline: a pipeline of our own, for skills alone: what is asked is a question and its answer.
        recipes: two recipes, of 40 and 60 rows.
        large: a recipe of some megabytes.
    """

    teacher: Teacher
    other: Teacher
    taxonomy: Path
    skills: Path
    pipeline: Path
    recipes: tuple[Path, Path]
    large: Path


def world(workshop: Workshop) -> World:
    """The one world of all cases."""
    return workshop.once(_generation)


def _generation(folder: Path, exits: ExitStack) -> World:
    for name in ("documents", "skills"):
        (folder / name).mkdir()
    repo, skills = folder / "documents", folder / "skills"
    revision = commit(repo, {f"{bird}.md": document(bird) for bird in BIRDS})
    files = {f"knowledge/birds/{bird}/qna.yaml": knowledge_leaf(bird, repo, revision) for bird in BIRDS[:2]}
    files["compositional_skills/boxes/qna.yaml"] = skill_leaf(grounded=False)
    files["compositional_skills/grounded/boxes/qna.yaml"] = skill_leaf(grounded=True)
    commit(skills, {"compositional_skills/old/qna.yaml": SKILL})
    put(skills, {"compositional_skills/new/qna.yaml": SKILL})
    for name, number, text in (("a", 40, "a"), ("b", 60, "b"), ("large", 2500, "x" * 1000)):
        write_rows(folder / f"{name}.jsonl", [row(each, text) for each in range(number)])
    one, two, large = (write_recipe(folder / f"{name}.yaml", [(f"{name}.jsonl", 1.0)]) for name in ("a", "b", "large"))
    teacher, other = (exits.enter_context(running()) for _ in range(2))
    taxonomy = put(folder / "taxonomy", dict(files))
    return World(teacher, other, taxonomy, skills, put(folder / "pipeline", _PIPELINE), (one, two), large)


@dataclass(frozen=True)
class Asked:
    """What a generation came to.

    Attributes:
        code: its exit code.
        bodies: what the teacher was asked.
        others: what the other teacher was asked.
        keys: what came to the teacher as authorization.
        pairs: the pairs that were written.
        files: the files that were written, and what is in them.
    """

    code: int
    bodies: list[dict[str, Any]]
    others: list[dict[str, Any]]
    keys: set[str]
    pairs: list[dict[str, Any]]
    files: dict[str, bytes]


@contextmanager
def elsewhere(workshop: Workshop) -> Iterator[Path]:
    """An empty folder to work in."""
    with pytest.MonkeyPatch.context() as patch:
        folder = Path(tempfile.mkdtemp(dir=workshop.folder))
        patch.chdir(folder)
        yield folder


def run(profile: Profile, workshop: Workshop) -> Asked:
    """Generate in an empty folder."""
    teacher, other = world(workshop).teacher, world(workshop).other
    for each in (teacher, other):
        each.asked.clear()
        each.keys.clear()
    with elsewhere(workshop) as folder:
        code = launch.run(profile.generate)
        found = pairs(Path(profile.generate.output_dir))
        files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.jsonl")}
    return Asked(code, [*teacher.asked], [*other.asked], {*teacher.keys}, found, files)


def begun(profile: Profile, workshop: Workshop) -> Job:
    """All that a generation begins with."""
    with elsewhere(workshop):
        return start(profile.generate)


def leaves_at_once(profile: Profile, workshop: Workshop) -> int:
    """How many leaves are prepared at the same time."""
    fetch, lock, working, most = documents.fetch, threading.Lock(), 0, 0

    def slow(*arguments: Any) -> Any:
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        time.sleep(0.2)
        with lock:
            working -= 1
        return fetch(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "fetch", slow)
        begun(profile, workshop)
    return most


def mixed(profile: Profile, workshop: Workshop) -> dict[str, int]:
    """The files that a mix writes, and how many rows each has."""
    with elsewhere(workshop) as folder:
        assert mixing.run(profile.generate) == 0
        return {str(file.relative_to(folder)): file.read_bytes().count(b"\n") for file in folder.rglob("*.jsonl")}


def most_processes(profile: Profile, workshop: Workshop) -> int:
    """How many processes work beside our own while data are mixed, in pieces of a megabyte."""
    seen, done = {0}, threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            seen.add(len(multiprocessing.active_children()))

    watching = threading.Thread(target=watch)
    watching.start()
    with pytest.MonkeyPatch.context() as patch:
        for module in (plan, mix):
            patch.setattr(module, "MEMORY", 0)
        mixed(profile, workshop)
    done.set()
    watching.join()
    return max(seen)

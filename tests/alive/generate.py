"""Cases of the settings below ``generate``: what a teacher is asked, what is written, and what runs."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.generate import launch
from ilab_profiles import Profile
from ilab_profiles.yaml.write import dump
from tests.alive.case import Case
from tests.alive.generating import begun, elsewhere, leaves_at_once, mixed, most_processes, run, world
from tests.alive.workshop import Workshop
from tests.ilab_cli.backends.endpoint import Body, Endpoint, Says
from tests.ilab_cli.backends.generate.taxonomies import put
from tests.ilab_cli.backends.generate.test_run_settings import SERVER
from tests.programs import EXAMPLES

Look = Callable[[Profile, Workshop], Any]
BASE: dict[str, Any] = {
    "generate.taxonomy_path": lambda workshop: str(world(workshop).taxonomy),
    "generate.taxonomy_base": "empty",
    "generate.model_endpoint_url": lambda workshop: world(workshop).teacher.url,
    "generate.num_instructions": 8,
    "generate.max_retries": 0,
}
OURS = BASE | {
    "generate.taxonomy_path": lambda workshop: str(world(workshop).skills),
    "generate.config": lambda workshop: str(world(workshop).pipeline),
    "generate.num_instructions": 2,
}
"""With our own pipeline, whose teacher says what a case wants."""
RECIPE = {"generate.mix.knowledge_recipes": lambda workshop: [str(world(workshop).recipes[0])]}


def case(path: str, change: Any, look: Look, before: Any, after: Any, given: Mapping[str, Any] | None = None) -> Case:
    """A case of generation."""
    path = f"generate.{path}"
    given = {name: value for name, value in {**BASE, **(given or {})}.items() if name != path or name in (given or ())}
    return Case(path, change, look, before, after, given)


# --- looks ------------------------------------------------------------------------------------------------------------


def asked(*names: str) -> Look:
    """The values of keys in what the teacher is asked; without a name, which of them are there."""
    return lambda profile, workshop: {body.get(*names) for body in run(profile, workshop).bodies}


def keys_of_bodies(profile: Profile, workshop: Workshop) -> set[str]:
    return {name for body in run(profile, workshop).bodies for name in body} & {"prompt", "messages"}


def roles(profile: Profile, workshop: Workshop) -> set[str]:
    return {message["role"] for body in run(profile, workshop).bodies for message in body["messages"]}


def who(profile: Profile, workshop: Workshop) -> tuple[bool, bool]:
    """Whether the one and the other teacher are asked."""
    found = run(profile, workshop)
    return bool(found.bodies), bool(found.others)


def wanted(about: str) -> Look:
    """How many pairs the prompts want that have such a text in them."""

    def look(profile: Profile, workshop: Workshop) -> set[int]:
        prompts = [text for body in run(profile, workshop).bodies if about in (text := str(body))]
        return {int(number) for text in prompts for number in re.findall(r"Now write (\d+) new pairs", text)}

    return look


def leaves(profile: Profile, workshop: Workshop) -> set[str]:
    return {leaf.path for leaf in begun(profile, workshop).leaves}


def longest_piece(profile: Profile, workshop: Workshop) -> int:
    return max(len(text.text.split()) for texts in begun(profile, workshop).documents.values() for text in texts)


def pipelines(profile: Profile, workshop: Workshop) -> set[str]:
    """Which pipelines made the skills."""
    found = (pair["metadata"] for pair in run(profile, workshop).pairs)
    return {Path(about["pipeline"]).parent.name for about in found if about["leaf"].startswith("compositional")}


def folders(profile: Profile, workshop: Workshop) -> set[str]:
    return {name.partition("/")[0] for name in run(profile, workshop).files}


def taught(says: Says, seconds: float = 0.0) -> Callable[..., tuple[int, Endpoint]]:
    """Generate with a teacher that says such things: the exit code, and the teacher."""

    def look(profile: Profile, workshop: Workshop) -> tuple[int, Endpoint]:
        with Endpoint(says, seconds=seconds) as teacher, elsewhere(workshop):
            url = {"generate.model_endpoint_url": teacher.url}
            code = launch.run(profile.replace(url).generate)
            time.sleep(seconds)  # until nothing is left that it answers
            return code, teacher

    return look


def a_pair(body: Body) -> str:
    return "<question>Why?</question><answer>Therefore.</answer>"


def code_with_few_pairs(profile: Profile, workshop: Workshop) -> int:
    return taught(a_pair)(profile, workshop)[0]


def code_of_a_slow_teacher(profile: Profile, workshop: Workshop) -> int:
    return taught(new_pairs(), seconds=0.3)(profile, workshop)[0]


def new_pairs() -> Says:
    numbers = count()
    return lambda body: f"<question>Why {next(numbers)}?</question><answer>So.</answer>"


def tries(profile: Profile, workshop: Workshop) -> int:
    """How often the same is asked of a teacher that fails once."""
    failed: list[Body] = []
    say = new_pairs()

    def once(body: Body) -> str | tuple[int, str]:
        failed.append(body)
        return say(body) if len(failed) > 1 else (500, "busy")

    return max(taught(once)(profile, workshop)[1].begun.values())


def gpus_of_the_teacher(profile: Profile, workshop: Workshop) -> str | None:
    """The GPUs that a teacher sees that the run starts itself; a program of ours stands for the server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*free.getsockname())
    with elsewhere(workshop) as folder, pytest.MonkeyPatch.context() as patch:
        text = SERVER.format(python=sys.executable, examples=str(EXAMPLES), seen="seen.json")
        put(folder, {"llama-server": text, "model.gguf": b"GGUF"})
        (folder / "llama-server").chmod(0o755)
        (folder / "config.yaml").write_text(dump({"serve": {"host_port": address, "model_path": "model.gguf"}}))
        patch.setenv("PATH", str(folder), prepend=os.pathsep)
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        assert launch.run(profile.replace({"generate.model_endpoint_url": address}).generate) == 0
        seen: str | None = json.loads((folder / "seen.json").read_text())[0]
    return seen


def calls_at_once(profile: Profile, workshop: Workshop) -> int:
    """The most calls that are under way at the same time."""
    teacher = world(workshop).teacher
    teacher.delay, teacher.most = 0.05, 0
    run(profile, workshop)
    teacher.delay = 0.0
    return teacher.most


# --- cases ------------------------------------------------------------------------------------------------------------

MODEL = "offline-extraction-teacher"

CASES: list[Case] = [
    case("model_family", "granite", roles, {"user"}, {"system", "user"}),
    case("raw_prompts", True, keys_of_bodies, {"messages"}, {"prompt"}, {"generate.model_family": "granite"}),
    case("model", "another", asked("model"), {MODEL}, {"another"}),
    case("model_endpoint_url", lambda workshop: world(workshop).other.url, who, (True, False), (False, True), BASE),
    case("api_key", "a-key", lambda *world: run(*world).keys, {""}, {"Bearer a-key"}),
    case("gpus", (1, 2), gpus_of_the_teacher, None, "1,2"),
    case("num_cpus", 1, leaves_at_once, 2, 1),
    case(
        "taxonomy_path",
        lambda workshop: str(world(workshop).skills),
        leaves,
        lambda found: len(found) == 4,
        {"compositional_skills/old", "compositional_skills/new"},
        BASE,
    ),
    case("taxonomy_base", "HEAD", leaves, lambda found: len(found) == 2, {"compositional_skills/new"}, OURS),
    case("num_instructions", 12, lambda *world: len(run(*world).pairs), 8, 12, BASE),
    case("allow_fewer", True, code_with_few_pairs, 1, 0, OURS | {"generate.num_instructions": 50}),
    case("num_grounded_questions", 7, wanted("It stands on shelf"), {3}, {7}),
    case("num_samples", 2, wanted("<document>"), {5}, {2}),
    case("chunk_word_count", 40, longest_piece, lambda words: words > 100, lambda words: words <= 40),
    case("pipeline", "full", pipelines, {"simple"}, {"full"}),
    case(
        "config",
        lambda workshop: str(world(workshop).pipeline),
        pipelines,
        {"simple"},
        lambda found: "pipeline" in found,
    ),
    case("output_dir", "mine", folders, {"generated"}, {"mine"}),
    case("max_concurrency", 1, calls_at_once, lambda most: most > 1, 1),
    case("max_retries", 1, tries, 1, 2, OURS),
    case("request_timeout", 0.1, code_of_a_slow_teacher, 0, 1, OURS),
    case("max_tokens", 321, asked("max_tokens"), {2048}, {321}),
    case("temperature", 0.25, asked("temperature"), {0.7}, {0.25}),
    case("seed", 1, asked("seed"), lambda seeds: len(seeds) == 4, lambda seeds: len(seeds) == 4),
    case(
        "mix.num_util_proc",
        2,
        most_processes,
        0,
        2,
        {"generate.mix.knowledge_recipes": lambda workshop: [str(world(workshop).large)]},
    ),
    case(
        "mix.output_dir",
        "mine",
        mixed,
        {"generated/mixed/knowledge_train.jsonl": 40},
        {"mine/knowledge_train.jsonl": 40},
        RECIPE,
    ),
    case(
        "mix.knowledge_recipes",
        lambda workshop: [str(world(workshop).recipes[1])],
        mixed,
        {"generated/mixed/knowledge_train.jsonl": 40},
        {"generated/mixed/knowledge_train.jsonl": 60},
        RECIPE,
    ),
    case(
        "mix.skill_recipes",
        lambda workshop: [str(world(workshop).recipes[1])],
        mixed,
        {"generated/mixed/knowledge_train.jsonl": 40},
        {"generated/mixed/knowledge_train.jsonl": 40, "generated/mixed/skills_train.jsonl": 60},
        RECIPE,
    ),
]

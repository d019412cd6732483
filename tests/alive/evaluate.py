"""Cases of the settings below ``evaluate``: which models answer what, who is asked, and what is written."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.evaluate import launch, results
from ilab_cli.backends.evaluate.checkpoints import find
from ilab_profiles import Profile
from tests.alive.case import Case
from tests.alive.evaluating import SAMPLES, evaluate, own_code, says, trained, world
from tests.alive.generating import elsewhere
from tests.alive.workshop import Workshop
from tests.ilab_cli.backends.endpoint import Body, Endpoint
from tests.programs import EXAMPLES

Look = Callable[[Profile, Workshop], Any]
PROGRAMS = "ilab_cli.backends.train.worker", "ilab_cli.backends.phases.launch"


def student(number: int) -> Callable[[Workshop], str]:
    return lambda workshop: str(world(workshop).students[number])


def url(number: int) -> Callable[[Workshop], str]:
    return lambda workshop: world(workshop).endpoints[number].url


MMLU: dict[str, Any] = {
    "evaluate.benchmarks": ("mmlu",),
    "evaluate.model": student(0),
    "evaluate.device": "cpu",
    "evaluate.mmlu.data_dir": lambda workshop: str(world(workshop).tasks),
    "evaluate.mmlu.tasks": ("tides",),
    "evaluate.mmlu.few_shots": 1,
}
BRANCH = MMLU | {"evaluate.benchmarks": ("mmlu_branch",), "evaluate.base_model": student(0)}
FOLDER = MMLU | {"evaluate.model": None, "evaluate.input_dir": student(0)}
CHECKPOINTS = MMLU | {"evaluate.model": None, "evaluate.input_dir": trained}
MT: dict[str, Any] = {
    "evaluate.benchmarks": ("mt_bench",),
    "evaluate.mt.endpoint": url(0),
    "evaluate.mt.judge_model": "judge",
    "evaluate.mt.data_dir": lambda workshop: str(world(workshop).bench),
    "evaluate.mt.max_retries": 0,
}
APART = MT | {"evaluate.mt.judge_endpoint": url(1)}
MANY = APART | {"evaluate.mt.data_dir": str(EXAMPLES / "demo" / "mt_bench")}
JUDGED = {
    "evaluate.benchmarks": ("mmlu", "mt_bench"),
    "evaluate.mt.judge_endpoint": url(1),
    "evaluate.mt.data_dir": MT["evaluate.mt.data_dir"],
}
PHASES: dict[str, Any] = {
    "train.phases": [{"name": "one"}, {"name": "two"}],
    "train.model_path": student(0),
    "train.data_path": str(EXAMPLES / "demo" / "train.jsonl"),
    "train.device": "cpu",
}
MT_BRANCH = MT | {
    "evaluate.benchmarks": ("mt_bench_branch",),
    "evaluate.base_model": "other",
    "evaluate.mt.model": "student",
    "evaluate.mt.taxonomy_path": lambda workshop: str(world(workshop).taxonomies[0]),
    "evaluate.mt.taxonomy_base": "empty",
}


def case(path: str, change: Any, look: Look, before: Any, after: Any, given: Mapping[str, Any]) -> Case:
    """A case of evaluation."""
    return Case(f"evaluate.{path}", change, look, before, after, given)


# --- looks ------------------------------------------------------------------------------------------------------------


def who_answers(below: str = "") -> Look:
    """The student whose log-likelihoods, reckoned by hand, the answers have."""

    def look(profile: Profile, workshop: Workshop) -> str:
        row = evaluate(profile, workshop).answers(below)[0]
        found = row["log_likelihoods"]
        students = world(workshop).students
        return next((each.name for each in students if by_hand(each, row) == pytest.approx(found, abs=1e-3)), "nobody")

    return look


def by_hand(model: Path, row: Mapping[str, Any]) -> list[float]:
    from tests.ilab_cli.backends.evaluate.test_run import log_likelihoods

    return log_likelihoods(model, dict(row))


def benchmarks(profile: Profile, workshop: Workshop) -> set[str]:
    return set(evaluate(profile, workshop).scores["benchmarks"])


def prompt(profile: Profile, workshop: Workshop) -> str:
    """The first question as it was asked."""
    return str(evaluate(profile, workshop).answers()[0]["prompt"])


def first_word(profile: Profile, workshop: Workshop) -> str:
    return str(re.findall(r"\w+", prompt(profile, workshop))[1])


def folders(profile: Profile, workshop: Workshop) -> set[str]:
    return {
        name.rpartition("/")[0] for name in evaluate(profile, workshop).files if name.endswith("answers_tides.jsonl")
    }


def tasks(profile: Profile, workshop: Workshop) -> set[str]:
    return set(evaluate(profile, workshop).scores["benchmarks"]["mmlu"]["tasks"])


def names(profile: Profile, workshop: Workshop) -> set[str]:
    """Which files are written beside the answers."""
    return {Path(name).name for name in evaluate(profile, workshop).files if "answers_" not in name}


def code(profile: Profile, workshop: Workshop) -> int:
    import transformers

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(workshop.folder / "modules"))
        return evaluate(profile, workshop).code


def gpus_hidden(profile: Profile, workshop: Workshop) -> bool:
    """Whether the worker sees no GPU whatever there is."""
    return launch.environment(profile.evaluate).get("CUDA_VISIBLE_DEVICES") == ""


def devices(profile: Profile, workshop: Workshop) -> list[str]:
    """Where copies of the model would work, were there eight GPUs, of which a worker sees what its variable says."""
    import torch

    from ilab_cli.backends.evaluate.mmlu import ask, lm, sharing
    from ilab_cli.backends.evaluate.model import find_model

    made: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        seen = launch.environment(profile.evaluate).get("CUDA_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7").split(",")
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "device_count", lambda: len(seen))
        patch.setattr(sharing, "fits_one_gpu", lambda *_, **__: True)
        patch.setattr(lm, "SharingLM", lambda **given: made.append(given))
        ask._load(profile.evaluate, find_model(profile.evaluate))
    (given,) = made
    return [f"{place} is GPU {seen[int(place[-1])]}" for place in given["devices"]]


def scored(profile: Profile, workshop: Workshop) -> list[int]:
    """The checkpoints that got a score."""
    rows = evaluate(profile, workshop).scores["checkpoints"]
    return [row["samples"] for row in rows if row["score"] is not None]


def kept(profile: Profile, workshop: Workshop) -> int:
    """How many checkpoints are left."""
    evaluate(profile, workshop)
    return len(find(Path(profile.evaluate.input_dir or "")))


def best(profile: Profile, workshop: Workshop) -> str:
    """The student that is put where the best one lies; the scores of all are there, as after an interruption."""
    figures = ((0.9, 2.0), (0.5, 8.0), (0.1, 9.9))
    output = workshop.folder / f"by-{profile.evaluate.metric}"
    for each, (mmlu, mt) in zip(find(Path(profile.evaluate.input_dir or "")), figures, strict=True):
        found = {"mmlu": {"score": mmlu, "stderr": 0.01}, "mt_bench": {"score": mt, "stderr": 0.1}}
        place = output / results.CHECKPOINTS / each.name
        results.write(place, results.begun(place, each.model()) | {"benchmarks": found})
    evaluate(profile.replace({"evaluate.output_dir": str(output)}), workshop)
    weights = (output / "best" / "model.safetensors").read_bytes()
    students = world(workshop).students
    return next(each.name for each in students if (each / "model.safetensors").read_bytes() == weights)


def program(profile: Profile, workshop: Workshop) -> str:
    """The program that a dry run of a training shows."""
    from ilab_cli import app, command_line

    argv = ["ilab", "model", "train", "--profile=own.yaml", "--dry-run"]
    known, told = (command_line.words, command_line._all), StringIO()
    with elsewhere(workshop), pytest.MonkeyPatch.context() as patch, redirect_stdout(told), suppress(SystemExit):
        Path("own.yaml").write_text(profile.to_yaml(), encoding="utf-8")
        patch.setattr(sys, "argv", argv)
        for each in known:
            each.cache_clear()
        app.main()
    for each in known:
        each.cache_clear()
    return next(word for word in shlex.split(told.getvalue().splitlines()[-1]) if word.startswith("ilab_cli."))


def asked_of_a_server(profile: Profile, workshop: Workshop) -> bool:
    """Whether the model of an endpoint is asked for log probabilities."""
    server = world(workshop).served
    server.asked.clear()
    evaluate(profile, workshop)
    return bool(server.asked)


def earlier(workshop: Workshop) -> str:
    """The folder of an earlier evaluation."""
    folder = str(workshop.folder / "earlier")
    made = {path: value(workshop) if callable(value) else value for path, value in MMLU.items()}
    evaluate(Profile().replace({**made, "evaluate.output_dir": folder}), workshop)
    return folder


def largest_batch(profile: Profile, workshop: Workshop) -> int:
    """The most sequences that the model reads at once."""
    import torch

    forward, most = torch.nn.Embedding.forward, [0]

    def watched(self: torch.nn.Embedding, ids: torch.Tensor) -> torch.Tensor:
        most.append(ids.shape[0])
        return forward(self, ids)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Embedding, "forward", watched)
        evaluate(profile, workshop)
    return max(most)


def who_is_asked(judge: bool = False) -> Look:
    """Which endpoints are asked for answers, or for judgements."""

    def look(profile: Profile, workshop: Workshop) -> list[bool]:
        asked = evaluate(profile, workshop).asked
        return [any((body["model"] == "judge") is judge for body in bodies) for bodies in asked]

    return look


def asked(name: str, judge: bool = False) -> Look:
    """The values of a key in what the model is asked, or the judge."""

    def look(profile: Profile, workshop: Workshop) -> set[Any]:
        bodies = [body for part in evaluate(profile, workshop).asked for body in part]
        judges = {profile.evaluate.mt.judge_model, "judge"}
        return {body[name] for body in bodies if (body["model"] in judges) is judge}

    return look


def keys(profile: Profile, workshop: Workshop) -> tuple[set[str], ...]:
    return evaluate(profile, workshop).keys


def questions(profile: Profile, workshop: Workshop) -> int:
    """How many different questions the model is asked."""
    bodies = [body for part in evaluate(profile, workshop).asked for body in part if body["model"] != "judge"]
    return len({body["messages"][0]["content"] for body in bodies})


def skills(profile: Profile, workshop: Workshop) -> set[str]:
    """The leaves that are asked about."""
    return set(evaluate(profile, workshop).scores["benchmarks"]["mt_bench_branch"]["leaves"])


@contextmanager
def spoilt(workshop: Workshop, **changes: Any) -> Iterator[Endpoint]:
    """The first endpoint, which behaves otherwise for a while."""
    endpoint = world(workshop).endpoints[0]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in changes.items():
            patch.setattr(endpoint, name, value)
        yield endpoint
        time.sleep(endpoint.seconds)  # until nothing is left that it answers


def calls_at_once(profile: Profile, workshop: Workshop) -> int:
    with spoilt(workshop, seconds=0.02) as endpoint:
        evaluate(profile, workshop)
        return endpoint.most


def tries(profile: Profile, workshop: Workshop) -> int:
    """How often the same is asked of a model that fails once."""
    failed: list[Body] = []

    def once(body: Body) -> str | tuple[int, str]:
        failed.append(body)
        return says(body) if len(failed) > 1 else (500, "busy")

    with spoilt(workshop, says=once) as endpoint:
        evaluate(profile, workshop)
        return max(endpoint.begun.values())


def code_of_a_slow_model(profile: Profile, workshop: Workshop) -> int:
    with spoilt(workshop, seconds=0.3):
        return evaluate(profile, workshop).code


# --- cases ------------------------------------------------------------------------------------------------------------

CASES: list[Case] = [
    case(
        "benchmarks",
        ("mmlu_branch",),
        benchmarks,
        {"mmlu"},
        {"mmlu_branch"},
        BRANCH | {"evaluate.benchmarks": ("mmlu",)},
    ),
    case("model", student(1), who_answers(), "one", "two", MMLU),
    case("base_model", student(1), who_answers("mmlu_branch/base/"), "one", "two", BRANCH),
    case("input_dir", student(1), who_answers(), "one", "two", FOLDER),
    case("output_dir", "mine", folders, {"runs/evaluate"}, {"mine"}, MMLU),
    case("device", "cpu", gpus_hidden, False, True, {}),
    case("gpus", (1, 3), devices, [], ["cuda:0 is GPU 1", "cuda:1 is GPU 3"], MMLU | {"evaluate.device": "auto"}),
    case("checkpoints", "last:2", scored, [*SAMPLES], [*SAMPLES[1:]], CHECKPOINTS),
    case("metric", "mmlu", best, "two", "one", CHECKPOINTS | JUDGED),
    case("against", earlier, names, {"scores.json"}, {"scores.json", "comparison.json"}, MMLU),
    case("prune", True, kept, 3, lambda left: left < 3, CHECKPOINTS),
    case(
        "between_phases",
        True,
        program,
        "ilab_cli.backends.train.launch",
        "ilab_cli.backends.phases.launch",
        MMLU | PHASES,
    ),
    case("trust_remote_code", True, code, 1, 0, MMLU | {"evaluate.model": own_code}),
    case("mmlu.model", student(1), who_answers(), "one", "two", MMLU),
    case(
        "mmlu.endpoint",
        lambda workshop: world(workshop).served.url,
        asked_of_a_server,
        False,
        True,
        MMLU | {"evaluate.mmlu.apply_chat_template": False},
    ),
    case("mmlu.tasks", ("tides", "winds"), tasks, {"tides"}, {"tides", "winds"}, MMLU),
    case("mmlu.few_shots", 3, lambda *of: prompt(*of).count("Answer:"), 2, 4, MMLU),
    case(
        "mmlu.data_dir",
        lambda workshop: str(world(workshop).others),
        prompt,
        lambda it: "Tide" in it,
        lambda it: "Wind" in it,
        MMLU,
    ),
    case("mmlu.batch_size", 1, largest_batch, lambda most: most > 1, 1, MMLU),
    case("mmlu.apply_chat_template", False, lambda *of: "<|user|>" in prompt(*of), True, False, MMLU),
    case("mt.model", "other", asked("model"), {"student"}, {"other"}, MT),
    case("mt.endpoint", url(1), who_is_asked(), [True, False], [False, True], MT),
    case(
        "mt.api_key", "a-key", keys, ({""}, {""}), ({"Bearer a-key"}, {""}), MT | {"evaluate.mt.judge_endpoint": url(1)}
    ),
    case("mt.judge_model", "other", asked("model", judge=True), {"judge"}, {"other"}, MT),
    case("mt.judge_endpoint", url(1), who_is_asked(judge=True), [True, False], [False, True], MT),
    case(
        "mt.judge_api_key",
        "a-key",
        keys,
        ({""}, {""}),
        ({""}, {"Bearer a-key"}),
        MT | {"evaluate.mt.judge_endpoint": url(1)},
    ),
    case("mt.data_dir", str(EXAMPLES / "demo" / "mt_bench"), questions, 1, 11, MT),
    case(
        "mt.taxonomy_path",
        lambda workshop: str(world(workshop).taxonomies[1]),
        skills,
        {"compositional_skills/old", "compositional_skills/new"},
        {"compositional_skills/else"},
        MT_BRANCH,
    ),
    case("mt.taxonomy_base", "HEAD", skills, lambda found: len(found) == 2, {"compositional_skills/new"}, MT_BRANCH),
    case("mt.max_tokens", 32, asked("max_tokens"), {1024}, {32}, MT),
    case("mt.judge_max_tokens", 64, asked("max_tokens", judge=True), {2048}, {64}, MT),
    case("mt.max_concurrency", 1, calls_at_once, lambda most: most > 1, 1, MANY),
    case("mt.max_retries", 1, tries, 1, 2, MT),
    case("mt.request_timeout", 0.1, code_of_a_slow_model, 0, 1, MT),
]

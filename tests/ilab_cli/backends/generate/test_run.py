from __future__ import annotations

import os
import pty
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.evaluate.mmlu.selection import prepare
from ilab_cli.backends.generate import launch
from ilab_cli.runs.perform import perform
from ilab_profiles import Generate, resolve
from ilab_profiles.models.evaluate import Mmlu
from ilab_profiles.yaml.read import read
from tests.ilab_cli.backends.generate.conftest import Run, Teacher, content, generate_of, lines, mixed, pairs
from tests.ilab_cli.backends.generate.taxonomies import put
from tests.programs import Ilab

GENERATED = Path("generated")


def leaves(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(row["metadata"]["leaf"] for row in rows)


def test_a_taxonomy_becomes_data(ilab: Ilab, flags: list[str]) -> None:
    done = ilab("data", "generate", *flags)
    assert done.returncode == 0, done.stderr
    assert set(leaves(pairs()).values()) == {5}
    assert len(leaves(pairs())) == 4
    knowledge = lines(GENERATED / "train_knowledge.jsonl")
    assert {row["metadata"]["document"] for row in knowledge} == {"wren.md", "heron.md"}
    assert {row["metadata"]["pipeline"] for row in pairs()} == {
        *("simple/knowledge", "simple/grounded_skills", "simple/freeform_skills")
    }
    assert "knowledge/birds/wren: 5 of 5 pairs" in done.stderr, "a line for each leaf where there is no terminal"
    assert "accepted  wanted  rejected" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    *told, whole = lines(GENERATED / "metrics.jsonl")
    assert {row["leaf"]: row["accepted"] for row in told} == leaves(pairs())
    assert (whole["leaf"], whole["accepted"], whole["wanted"]) == (None, 20, 20)
    assert f"{whole['calls']} calls in" in done.stderr
    manifest = read(GENERATED / "run.yaml").data
    assert (manifest["section"], manifest["status"]) == ("generate", "complete")
    assert set(manifest["inputs"]) == {"taxonomy_path"}
    assert read(GENERATED / "mixed" / "run.yaml").data["section"] == "generate.mix"
    assert sum(len(lines(file)) for file in (GENERATED / "mixed").glob("*.jsonl")) == 20
    assert [task.few_shots for task in prepare(Mmlu(data_dir="generated")).tasks] == [5, 5]


def test_the_same_run_again_gives_the_same_files_and_asks_nothing(run: Run, teacher: Teacher) -> None:
    assert run() == 0
    before, asked = (content(), mixed()), len(teacher.asked)
    assert len(before[0]) == 10
    assert len(before[1]) == 2
    assert run() == 0
    assert (content(), mixed()) == before
    assert len(teacher.asked) == asked
    assert run(output_dir="elsewhere", max_concurrency=3) == 0
    assert (content(Path("elsewhere")), mixed()) == before, "in whatever order the answers came"


def test_more_pairs_go_on_from_those_that_are_there(run: Run, teacher: Teacher) -> None:
    assert run() == 0
    first, asked = pairs(), len(teacher.asked)
    assert run(num_instructions=40) == 0
    assert len(pairs()) == 40
    assert all(pair in pairs() for pair in first)
    assert len(teacher.asked) < 3 * asked


def test_changed_settings_take_no_stale_answers(run: Run, teacher: Teacher) -> None:
    assert run() == 0
    first, asked = pairs(), len(teacher.asked)
    assert run(seed=7) == 0
    assert len(teacher.asked) >= 2 * asked
    assert pairs() != first
    assert run() == 0
    assert pairs() == first


@pytest.mark.parametrize("number", range(2))
def test_a_killed_run_goes_on_and_gives_the_same_rows(
    number: int, run: Run, teacher: Teacher, settings: dict[str, Any]
) -> None:
    changes = {"num_instructions": 60, "max_concurrency": 4, "pipeline": "full"}
    assert run(**changes, output_dir="whole") == 0
    teacher.asked.clear()
    teacher.delay = 0.03
    draw = random.Random(number)
    command = launch.command(generate_of(settings | changes))
    for _ in range(3):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wanted = len(teacher.asked) + draw.randint(5, 30)
        while len(teacher.asked) < wanted:
            time.sleep(0.005)
        process.kill()
        process.wait()
        assert not list(GENERATED.glob("t*.jsonl")), "data are written when all are there"
    teacher.delay = 0
    assert run(**changes) == 0
    assert content() == content(Path("whole"))
    assert len(pairs()) == 60
    asked = Counter(str(body) for body in teacher.asked)
    assert asked.total() - len(asked) <= 3 * 4, "only what was under way is asked again"


def test_a_dry_run_writes_nothing_and_prints_a_command_that_does_the_same(ilab: Ilab, flags: list[str]) -> None:
    shown = ilab("data", "generate", *flags, "--api-key", "very-secret", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "very-secret" not in shown.stdout + shown.stderr
    assert "num_instructions: 20  # --num-instructions" in shown.stdout
    assert not GENERATED.exists()
    command = shlex.split(shown.stdout.strip().splitlines()[-1])
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    by_hand = content(), mixed()
    done = ilab("data", "generate", *flags, "--output-dir=real", "--mix-output-dir=real/mixed")
    assert done.returncode == 0, done.stderr
    assert (content(Path("real")), mixed(Path("real/mixed"))) == by_hand


def status() -> str:
    return str(read(GENERATED / "run.yaml").data["status"])


def test_a_second_run_leaves_the_first_alone(ilab: Ilab, flags: list[str], teacher: Teacher) -> None:
    teacher.delay = 0.5
    command = [sys.executable, "-m", "ilab_cli", "data", "generate", *flags, "--max-concurrency=1"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as first:
        while not teacher.asked:
            time.sleep(0.02)
        before = read(GENERATED / "run.yaml").data
        second = ilab("data", "generate", *flags, "--num-instructions=30")
        assert (second.returncode, "error[journal-in-use]" in second.stderr) == (2, True)
        assert read(GENERATED / "run.yaml").data == before
        assert first.poll() is None
        teacher.delay = 0
    assert (first.returncode, status()) == (0, "complete")


def test_a_run_that_cannot_be_is_not_said_to_be_running(ilab: Ilab, flags: list[str]) -> None:
    assert ilab("data", "generate", *flags, f"--mix-output-dir={'long' * 100}").returncode == 2
    assert not GENERATED.exists()
    assert ilab("data", "generate", *flags, "--mix-output-dir=/proc/below").returncode == 2
    assert status() == "failed"


@pytest.mark.parametrize(("error", "said"), [(KeyboardInterrupt, "interrupted"), (ZeroDivisionError, "failed")])
def test_whatever_ends_a_run_is_noted(
    error: type[BaseException], said: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(generate: Generate) -> int:
        assert status() == "running"
        raise error

    monkeypatch.setattr(launch, "run", fail)
    effective = resolve(environ={}, flags={f"generate.{name}": value for name, value in settings.items()})
    with pytest.raises(error):
        perform(launch, effective, "generate", effective.profile.generate)
    assert status() == said


def test_interrupted_it_says_how_to_go_on(teacher: Teacher, settings: dict[str, Any]) -> None:
    teacher.delay = 0.2
    command = launch.command(generate_of(settings | {"num_instructions": 500, "max_concurrency": 2}))
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        answered = len(teacher.asked)
        while len(teacher.asked) < answered + 4:
            time.sleep(0.02)
        process.send_signal(number)
        _, told = process.communicate(timeout=20)
        assert process.returncode == 128 + number
        assert told.splitlines()[-1] == "interrupted; the same command continues from the answers so far"
        assert "Traceback" not in told


def test_interrupted_while_documents_are_fetched(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = put(tmp_path / "bin", {"git": "#!/bin/sh\nsleep 60\n"}) / "git"
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(git.parent), prepend=":")
    command = launch.command(generate_of(settings | {"num_cpus": 2}))
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (GENERATED / "documents").exists():
        time.sleep(0.02)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, told = process.communicate(timeout=20)
    assert (process.returncode, told) == (130, "interrupted; the same command continues from the answers so far\n")


def test_an_endpoint_that_fails_ends_the_run_in_one_line(
    run: Run, teacher: Teacher, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher.status = 401
    assert run(api_key="very-secret") == 1
    told = capsys.readouterr().err
    assert told.startswith("generation failed: ")
    assert len(told.splitlines()) == 1
    assert "very-secret" not in told
    assert not list(GENERATED.glob("*.jsonl")) or not lines(GENERATED / "journal.jsonl")


def test_nobody_at_the_endpoint(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model_endpoint_url="127.0.0.1:9", max_retries=0) == 1
    told = capsys.readouterr().err
    assert "127.0.0.1:9" in told
    assert "hint: start a teacher there: `ilab model serve`" in told


def test_refused_answers_are_counted_and_shown(
    run: Run, teacher: Teacher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(
        tmp_path / "pipeline",
        {
            "freeform_skills.yaml": (
                'version: "1.0"\nblocks:\n  - {name: ask, type: LLMBlock, config: {config_path: prompt.yaml, '
                "output_cols: [question, response]}}\n  - {name: keep, type: FilterByValueBlock, config: "
                "{filter_column: response, filter_value: never, operation: eq}}\n"
            ),
            "prompt.yaml": (
                'system: ""\nintroduction: ""\nprinciples: ""\nexamples: ""\ngeneration: "<question> and </question>, '
                '<answer> and </answer> of {{seed_question}}"\nstart_tags: ["<question>", "<answer>"]\n'
                'end_tags: ["</question>", "</answer>"]\n'
            ),
        },
    )
    assert run(config=str(tmp_path / "pipeline"), num_instructions=12) == 0
    told = capsys.readouterr().err
    assert "compositional_skills/boxes: no new pairs after 0" in told
    assert "keep: " in told
    barren = next(row for row in lines(GENERATED / "metrics.jsonl") if row["leaf"] == "compositional_skills/boxes")
    assert (barren["accepted"], barren["gave_out"]) == (0, 1)
    assert any(reason.startswith("keep: ") for reason in barren["rejected"])
    assert leaves(pairs()) == dict.fromkeys(leaves(pairs()), 4), "the others took over its share"


def test_what_people_wrote_to_test_with_is_never_trained_on(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parrot = (
        'version: "1.0"\nblocks:\n  - {name: repeat, type: RenameColumnsBlock, config: '
        "{columns_map: {seed_question: question, seed_response: response}}}\n"
    )
    put(tmp_path / "pipeline", {"freeform_skills.yaml": parrot})
    assert run(config=str(tmp_path / "pipeline")) == 0
    tested = [row["messages"] for row in lines(GENERATED / "test_skills.jsonl")]
    assert len(tested) == 10
    assert not [pair for pair in pairs() if pair["messages"] in tested]
    assert "repeats a seed example" in capsys.readouterr().err


def test_all_that_is_wrong_is_told_before_anything_is_written(
    ilab: Ilab, flags: list[str], taxonomy: Path, teacher: Teacher
) -> None:
    put(taxonomy / "knowledge" / "birds" / "bad", {"qna.yaml": "version: 3\ncreated_by: x\n"})
    put(Path(), {"bad.yaml": "version: 1\nblocks: []\n", "recipe.yaml": "datasets: [{path: no.jsonl}]\n"})
    done = ilab(
        "data", "generate", *flags, "--config=bad.yaml", "--knowledge-recipes=recipe.yaml", "--endpoint-url=x y"
    )
    assert done.returncode == 2
    for said in ("qna.yaml:1:", "bad.yaml:2:", "recipe.yaml:1:", "error[endpoint-url]"):
        assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not GENERATED.exists()
    assert not teacher.asked
    checked = ilab("data", "validate", str(taxonomy))
    assert checked.returncode == 2
    assert "qna.yaml:1:" in checked.stderr


def test_documents_that_cannot_be_had(
    ilab: Ilab, flags: list[str], taxonomy: Path, teacher: Teacher, tmp_path: Path
) -> None:
    for file in taxonomy.rglob("birds/*/qna.yaml"):
        file.write_text(file.read_text().replace(str(tmp_path / "documents"), "/nowhere/at/all"))
    done = ilab("data", "generate", *flags)
    assert done.returncode == 2
    assert done.stderr.count("error[fetch-failed]") == 2
    assert not teacher.asked


def test_mixing_takes_the_generated_data_and_those_of_the_user(ilab: Ilab, flags: list[str]) -> None:
    row = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
    put(Path(), {"mine.jsonl": 4 * row, "recipe.yaml": "datasets: [{path: mine.jsonl, sampling_size: 2.0}]\n"})
    done = ilab("data", "generate", *flags, "--skill-recipes=recipe.yaml")
    assert done.returncode == 0, done.stderr
    before = mixed()
    assert len(before["skills_train.jsonl"].splitlines()) == 10 + 8
    again = ilab("data", "mix", "--skill-recipes=recipe.yaml")
    assert again.returncode == 0, again.stderr
    assert mixed() == before
    own = ilab("data", "mix")
    assert own.returncode == 0, own.stderr
    assert "warning[output-folder-in-use] generate.mix.output_dir: " in own.stderr
    assert "skill_recipes was" in own.stderr
    assert len(lines(Path("generated/mixed/skills_train.jsonl"))) == 10


def test_what_keeps_data_from_being_mixed_is_told_before_anything_is_asked(
    ilab: Ilab, flags: list[str], teacher: Teacher
) -> None:
    names = ("generated/train_knowledge.jsonl", "missing.jsonl")
    data_sets = ", ".join(f"{{path: {name}, sampling_size: 1.0}}" for name in names)
    put(Path(), {"recipe.yaml": f"datasets: [{data_sets}]\n", "mixed/other.jsonl": "{}\n"})
    done = ilab("data", "generate", *flags, "--knowledge-recipes=recipe.yaml", "--mix-output-dir=mixed")
    assert done.returncode == 2
    assert "missing.jsonl cannot be read" in done.stderr
    assert "other.jsonl is already there" in done.stderr
    done = ilab("data", "generate", *flags, "--mix-output-dir=generated/../generated")
    assert done.returncode == 2
    assert done.stderr.count("error[") == done.stderr.count("error[output-folder-in-use]") == 1
    assert not GENERATED.exists()
    assert not teacher.asked


@pytest.mark.parametrize("name", ["loop", "long" * 100, "file/below"])
def test_a_folder_for_mixed_data_that_cannot_be_is_refused(
    name: str, ilab: Ilab, flags: list[str], teacher: Teacher
) -> None:
    Path("loop").symlink_to("loop")
    put(Path(), {"file": ""})
    done = ilab("data", "generate", *flags, f"--mix-output-dir={name}")
    assert done.returncode == 2, done.stderr
    assert re.search(r"error\[(unwritable-\w+|not-a-folder|not-writable)\]", done.stderr)
    assert not teacher.asked


def test_recipes_may_name_what_is_still_to_be_made(ilab: Ilab, flags: list[str]) -> None:
    put(Path(), {"recipe.yaml": "datasets: [{path: generated/train_skills.jsonl, sampling_size: 2.0}]\n"})
    recipes = ["--knowledge-recipes=generated/recipe_knowledge.yaml", "--skill-recipes=recipe.yaml"]
    done = ilab("data", "generate", *flags, *recipes)
    assert done.returncode == 0, done.stderr
    assert {name: len(text.splitlines()) for name, text in mixed().items()} == {
        "knowledge_train.jsonl": 10,
        "skills_train.jsonl": 20,
    }


def test_another_run_leaves_the_mixed_data_of_the_first_alone(ilab: Ilab, flags: list[str]) -> None:
    for _ in range(2):
        done = ilab("data", "generate", *flags)
        assert (done.returncode, "warning" in done.stderr) == (0, False), done.stderr
    before = mixed()
    done = ilab("data", "generate", *flags, "--output-dir=second", "--seed=7")
    assert done.returncode == 0, done.stderr
    assert mixed() == before
    assert mixed(Path("second/mixed")).keys() == before.keys()
    done = ilab("data", "generate", *flags, "--output-dir=third", "--mix-output-dir=generated/mixed")
    assert (done.returncode, "generate.output_dir was generated, is third" in done.stderr) == (2, True)
    assert mixed() == before


def test_model_generate_is_data_generate(ilab: Ilab, flags: list[str]) -> None:
    assert ilab("model", "generate", *flags, "--dry-run").stdout == ilab("data", "generate", *flags, "--dry-run").stdout


def test_on_a_terminal_there_is_a_live_view(teacher: Teacher, settings: dict[str, Any]) -> None:
    teacher.delay = 0.2
    ours, theirs = pty.openpty()
    command = launch.command(generate_of(settings | {"max_concurrency": 2}))
    process = subprocess.Popen(command, stderr=theirs, stdout=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    told = b""
    while True:
        try:
            told += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait() == 0, told
    for said in (b"calls/s", b"in flight", b"pairs", b"leaves done", b"knowledge/birds/wren"):
        assert said in told
    assert b": 5 of 5 pairs from" not in told


def test_a_taxonomy_that_gives_out_gives_what_it_has(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    few = {"num_instructions": 100_000, "max_tokens": 400, "num_samples": 1}
    assert run(**few) == 1
    told = capsys.readouterr().err
    assert "of 100,000 pairs: no new pairs could be generated" in told
    assert "--allow-fewer" in told
    assert not Path("generated/mixed").exists()
    assert run(**few, allow_fewer=True) == 0
    assert mixed()


def test_a_run_without_a_pair_tells_where_the_answers_are(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(max_tokens=1, num_instructions=4) == 1
    assert "no pair was accepted\n    hint: see what the teacher answered in generated/journal.jsonl" in (
        capsys.readouterr().err
    )


def test_nothing_of_an_earlier_run_stays_beside_one_that_failed(run: Run, teacher: Teacher) -> None:
    assert run() == 0
    assert run(seed=7, max_tokens=1) == 1
    assert not list(GENERATED.glob("train_*"))
    assert lines(GENERATED / "metrics.jsonl")[-1]["accepted"] == 0
    assert run() == 0
    assert run(model_endpoint_url="127.0.0.1:9") == 1
    assert not (GENERATED / "metrics.jsonl").exists()


def test_starting_generation_loads_nothing_heavy() -> None:
    code = "import ilab_cli.backends.generate.launch, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "aiohttp", "jinja2", "numpy", "rich"} & set(loaded)

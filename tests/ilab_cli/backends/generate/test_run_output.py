from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ilab_cli.backends.evaluate.mmlu.selection import prepare
from ilab_cli.backends.generate import output, tasks
from ilab_cli.backends.generate.documents import Text
from ilab_cli.backends.generate.output import Pair
from ilab_cli.backends.generate.pipeline.losses import MOST, Losses
from ilab_cli.backends.generate.plan import LeafPlan, Row, RunPlan
from ilab_cli.backends.generate.qna import read_taxonomy
from ilab_cli.backends.generate.run import Job, ask, finish
from ilab_cli.backends.mix.recipes import read_recipes
from ilab_cli.backends.train.data.conversations import files_of, read
from ilab_profiles import Generate, Mix
from ilab_profiles.models.evaluate import Mmlu
from tests.ilab_cli.backends.generate.conftest import lines

KNOWN = Pair("Who?", "A wren.", "knowledge/birds", "knowledge", "simple/knowledge", document="wren.md")
SKILL = Pair("How many?", "Two.", "compositional_skills/boxes", "grounded", "simple/skills", context="Two nails.")


def test_knowledge_and_skills_lie_apart_as_conversations(tmp_path: Path, taxonomy: Path) -> None:
    tests = [pair for leaf in read_taxonomy(taxonomy, "empty") for pair in output.seed_pairs(leaf)]
    output.write(tmp_path, [KNOWN, SKILL], tests)
    assert lines(tmp_path / "train_knowledge.jsonl") == [
        {
            "messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "A wren."}],
            "metadata": {"leaf": "knowledge/birds", "document": "wren.md", "pipeline": "simple/knowledge"},
        }
    ]
    (skill,) = lines(tmp_path / "train_skills.jsonl")
    assert skill["messages"][0]["content"] == "Two nails.\n\nHow many?", "a grounded task is asked with its context"
    assert len(lines(tmp_path / "test_knowledge.jsonl")) == 30
    assert len(lines(tmp_path / "test_skills.jsonl")) == 10
    assert {file.name for file in files_of(str(tmp_path))} == {"train_knowledge.jsonl", "train_skills.jsonl"}
    assert read(files_of(str(tmp_path)))[1] == []


def test_recipes_name_all_of_the_data(tmp_path: Path) -> None:
    output.write(tmp_path, [KNOWN, SKILL], [])
    mix = Mix(
        knowledge_recipes=(str(output.recipe_file(tmp_path, "knowledge")),),
        skill_recipes=(str(output.recipe_file(tmp_path, "skills")),),
    )
    data_sets, findings = read_recipes(mix)
    assert [(item.kind, item.path, item.sampling_size) for item in data_sets] == [
        ("knowledge", "train_knowledge.jsonl", 1.0),
        ("skills", "train_skills.jsonl", 1.0),
    ]
    assert isinstance(data_sets[0].sampling_size, float)
    assert findings == []


def test_nothing_of_an_earlier_run_stays(tmp_path: Path) -> None:
    output.write(tmp_path, [KNOWN, SKILL], [])
    output.write(tmp_path, [SKILL], [])
    assert not (tmp_path / "train_knowledge.jsonl").exists()
    assert not (tmp_path / "recipe_knowledge.yaml").exists()
    assert (tmp_path / "train_skills.jsonl").exists()


class Careless:
    """A pipeline that leaves half of a surrogate pair in some of its texts, and whose file has an odd name."""

    source = os.fsdecode(b"caf\xe9.yaml")

    async def run(self, row: Row, ask: object) -> tuple[list[Row], Losses]:
        texts = ("Half \ud83d?", "Whole \U0001f600?")
        return [{"question": text, "response": "yes"} for text in texts], Losses()


def test_what_no_file_can_hold_is_rejected(tmp_path: Path) -> None:
    plan = RunPlan(1, [LeafPlan("mine/boxes", lambda _: iter([{"leaf": "mine/boxes", "kind": "freeform"}]), 1)])
    job = Job([], cast(Any, {"freeform": Careless()}), plan)
    generate = Generate(output_dir=str(tmp_path))
    asyncio.run(ask(job, generate, cast(Any, SimpleNamespace(ask=None)), lambda leaf: None))
    finish(job, generate)
    (row,) = lines(tmp_path / "train_skills.jsonl")
    assert row["messages"][0]["content"] == "Whole \U0001f600?"
    assert row["metadata"]["pipeline"] == "caf\\xe9.yaml"
    (reason,) = plan.rejected
    assert "half of a surrogate pair" in reason
    (lost,) = lines(tmp_path / "rejected.jsonl")
    assert lost == {
        "leaf": "mine/boxes",
        "reason": reason,
        "question": "Half \\ud83d?",
        "response": "yes",
        "document": "",
    }


def questions(leaf: str, number: int) -> list[Pair]:
    return [Pair(f"What is {n}?", f"It is\nthe {n}th of {leaf}.", leaf, "knowledge", "seed") for n in range(number)]


def test_tasks_are_what_evaluation_asks_by_default(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    asked = [*questions("knowledge/a/b_c", 12), *questions("knowledge/a_b/c", 7), *questions("knowledge/few", 3)]
    assert tasks.write(tmp_path, [*asked, SKILL], [], seed=1) == 22
    selection = prepare(Mmlu(data_dir=str(tmp_path)))
    assert [task.name for task in selection.tasks] == ["knowledge_a_b_c", "knowledge_a_b_c_2", "knowledge_few"]
    assert [task.few_shots for task in selection.tasks] == [5, 5, 0]
    for task in selection.tasks:
        for question in task.questions:
            assert len(set(question.choices)) == (4 if task.name != "knowledge_few" else 3)
            number = question.text.removeprefix("What is ").removesuffix("?")
            assert question.choices[question.answer].startswith(f"It is the {number}th of")
    answers = [question.answer for task in selection.tasks for question in task.questions]
    assert len(set(answers)) == 4, "the right answer may stand anywhere"


def test_tasks_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        tasks.write(tmp_path / name, questions("knowledge/a", 9), [], seed)
    one, two, three = (next((tmp_path / name).rglob("*.jsonl")).read_bytes() for name in ("one", "two", "three"))
    assert one == two != three


def test_wrong_choices_are_taken_from_generated_answers_where_there_are_too_few(tmp_path: Path) -> None:
    (asked,) = questions("knowledge/a", 1)
    same = Pair("Again?", asked.response.upper(), "knowledge/a", "knowledge", "x")
    elsewhere = Pair("Else?", "Not of this leaf.", "knowledge/b", "knowledge", "x")
    assert tasks.write(tmp_path, [asked], [same, elsewhere], 0) == 0
    wrong = [Pair(f"{n}?", f"No. {n}", "knowledge/a", "knowledge", "x") for n in range(3)]
    assert tasks.write(tmp_path, [asked], [same, elsewhere, *wrong], 0) == 1
    (question,) = lines(next(tmp_path.rglob("*.jsonl")))
    assert sorted(question["choices"]) == ["It is the 0th of knowledge/a.", "No. 0", "No. 1", "No. 2"]
    assert json.loads(json.dumps(question))["leaf"] == "knowledge/a"


def test_documents_and_a_few_of_the_rejected_can_be_looked_at(tmp_path: Path) -> None:
    row = {"question": "Why?", "response": "Because.", "document_name": "a.md", "document": "a long text"}
    whole, part = Losses({"other": 3}), Losses()
    for _ in range(MOST + 5):
        part.add("judge: no", row)
    whole.take_in(part)
    whole.take_in(part)
    assert whole == {"other": 3, "judge: no": 2 * (MOST + 5)}
    output.write_beside(
        tmp_path, {"k/a": [Text("a.md", "one"), Text("b.md", "x"), Text("a.md", "two")]}, {"k/a": whole}
    )
    example = {"leaf": "k/a", "reason": "judge: no", "question": "Why?", "response": "Because.", "document": "a.md"}
    assert lines(tmp_path / "rejected.jsonl") == [example] * MOST
    assert [(row["document"], row["text"]) for row in lines(tmp_path / "documents.jsonl")] == [
        ("a.md", "one\n\ntwo"),
        ("b.md", "x"),
    ]

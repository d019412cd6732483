"""Questions of a taxonomy to two models at an endpoint, judged against what the authors answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="needs the extra `evaluate`")

from ilab_cli.backends.evaluate import launch
from ilab_cli.backends.evaluate.branch import questions
from ilab_cli.backends.evaluate.branch.mt_bench import score, table
from ilab_cli.backends.evaluate.model import find_model
from ilab_profiles import Evaluate
from tests.ilab_cli.backends.endpoint import Body, Endpoint
from tests.ilab_cli.backends.generate.taxonomies import GROUNDED, SKILL, knowledge, put
from tests.programs import EXAMPLES

LEAVES = {
    "knowledge/birds/wrens/qna.yaml": knowledge(),
    "compositional_skills/names/qna.yaml": SKILL,
    "compositional_skills/numbers/qna.yaml": GROUNDED,
}
MODELS = ("before", "after", "judge")


@pytest.fixture
def settings(tmp_path: Path) -> Any:
    """Makes settings that ask an endpoint for both models."""
    put(tmp_path / "taxonomy", LEAVES)

    def build(endpoint: str, **mt: Any) -> Evaluate:
        mt = {
            "endpoint": endpoint,
            "model": "after",
            "judge_model": "judge",
            "data_dir": str(EXAMPLES / "demo" / "mt_bench"),
            "taxonomy_path": str(tmp_path / "taxonomy"),
            "taxonomy_base": "empty",
            **mt,
        }
        given = {"benchmarks": "mt_bench_branch", "base_model": "before", "output_dir": str(tmp_path / "out")}
        return Evaluate.model_validate({**given, "mt": mt})

    return build


def says(body: Body) -> str:
    """The model after training knows about wrens and has forgotten names."""
    asked = body["messages"][-1]["content"]
    if body["model"] != "judge":
        return f"{body['model']}: I know" if body["model"] == "after" and "wren" in asked else f"{body['model']}: hm"
    said = asked.rpartition("[The Start of Assistant's Answer]")[2]
    if "wren" in asked:
        return "[[9]]" if "I know" in said else "[[3]]"
    return "[[5]]"


def test_questions_are_those_of_the_authors(settings: Any) -> None:
    bench = questions.read(settings("http://x"))
    assert len(bench.questions) == 15 + 5 + 5
    by_leaf = {question.category: question for question in bench.questions}
    assert by_leaf["knowledge/birds/wrens"].turns == ("Which wren? c",)
    assert by_leaf["knowledge/birds/wrens"].references == ("Wren 4",)
    assert by_leaf["compositional_skills/numbers"].turns[0].startswith("All birds have numbers.\n\nWhich bird")
    assert by_leaf["compositional_skills/names"].turns == ("Which bird is number 4?",)
    assert {question.temperature for question in bench.questions} == {0}
    assert len({question.id for question in bench.questions}) == 25


def test_each_leaf_is_improved_regressed_or_unchanged(settings: Any, tmp_path: Path) -> None:
    with Endpoint(says, MODELS) as endpoint:
        evaluate = settings(endpoint.url)
        found = score(evaluate, find_model(evaluate), tmp_path / "out")
        asked = len(endpoint.asked)
        again = score(evaluate, find_model(evaluate), tmp_path / "out")
    assert {leaf: part["verdict"] for leaf, part in found["leaves"].items()} == {
        "compositional_skills/names": "unchanged",
        "compositional_skills/numbers": "unchanged",
        "knowledge/birds/wrens": "improved",
    }
    wrens = found["leaves"]["knowledge/birds/wrens"]
    assert (wrens["base"], wrens["model"], wrens["difference"]) == (3, 9, 6)
    assert found["all"]["verdict"] == "improved"
    assert (found["score"], found["base"]["score"]) == pytest.approx((7.4, 3.8))
    assert (found["base_model"], found["model"], found["trusted"]) == ("before", "after", True)
    assert asked == len(endpoint.asked) == 100
    assert again["leaves"] == found["leaves"]
    told = table(found)
    assert "1 improved, 0 regressed, 2 unchanged; compared with before" in told
    rated = [body for body in endpoint.asked if body["model"] == "judge"]
    assert all("[The Start of Reference Answer]" in body["messages"][-1]["content"] for body in rated)


def test_what_is_wrong_is_told_before_the_run(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "taxonomy" / "knowledge/birds/wrens/qna.yaml").write_text("version: 3\n")
    with Endpoint(says, MODELS) as endpoint:
        sound = settings(endpoint.url)
        found = launch.preflight(sound)
        assert all("qna.yaml" in str(each.position) for each in found)
        assert found
        (gone,) = launch.preflight(settings(endpoint.url, taxonomy_path=str(tmp_path / "gone")))
    assert (gone.rule, gone.path) == ("no-taxonomy", "evaluate.mt.taxonomy_path")

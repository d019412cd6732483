"""A whole run against real endpoints: what is asked of whom, what is kept, and what becomes of what goes wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="needs the extra `evaluate`")

from ilab_cli.backends.client.requests import EndpointFailed
from ilab_cli.backends.evaluate.model import find_model
from ilab_cli.backends.evaluate.mt_bench.ask import ANSWERS, JUDGED, JUDGEMENTS, score
from ilab_cli.backends.evaluate.mt_bench.questions import read
from ilab_profiles import Evaluate
from tests.ilab_cli.backends.endpoint import Body, Endpoint
from tests.ilab_cli.backends.evaluate.conftest import ROOT
from tests.ilab_cli.backends.evaluate.mt_bench.conftest import OURS, Settings, is_judge, rows, write_rows

BENCH = read(OURS)
TURNS = {turn: question for question in BENCH.questions for turn in question.turns}


def says(body: Body) -> str:
    """The judge gives a 7; the model says what it was asked last."""
    return "Well. Rating: [[7]]" if is_judge(body) else f"You asked: {body['messages'][-1]['content']}"


def evaluated(evaluate: Evaluate) -> dict[str, Any]:
    return score(evaluate, find_model(evaluate), Path(evaluate.output_dir))


def test_every_turn_is_answered_and_judged(settings: Settings, tmp_path: Path) -> None:
    with Endpoint(says, models=("student", "judge")) as endpoint:
        found = evaluated(settings(endpoint.url))
    model = [body for body in endpoint.asked if not is_judge(body)]
    judge = [body for body in endpoint.asked if is_judge(body)]
    assert (len(model), len(judge), found["calls"]) == (22, 22, 44)
    assert (found["score"], found["stderr"], found["errors"], found["trusted"]) == (7, 0, 0, True)
    assert (found["model"], found["judge_model"], found["questions"]) == ("student", "judge", 11)
    assert len(found["categories"]) == 8
    for body in model:
        first = body["messages"][0]["content"]
        asked = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}
        assert body["temperature"] == asked.get(TURNS[first].category, 0.0)
        assert body["max_tokens"] == 1024
        if len(body["messages"]) > 1:
            one, said, two = (message["content"] for message in body["messages"])
            assert (said, two) == (f"You asked: {one}", TURNS[one].turns[1])
    assert all(body["temperature"] == 0 for body in judge)
    kept = rows(tmp_path / "out" / JUDGEMENTS)
    assert [(row["question_id"], row["turn"]) for row in kept] == [(n, t) for n in range(1, 12) for t in (1, 2)]
    assert set(kept[0]) == set("question_id category turn question answer reference judgement score error".split())
    assert kept[6]["reference"] == BENCH.questions[3].references[0]
    assert kept[0]["reference"] is None


def test_answers_go_to_the_judge_while_others_are_asked(settings: Settings) -> None:
    order: list[bool] = []

    def watched(body: Body) -> str:
        order.append(is_judge(body))
        return says(body)

    with Endpoint(watched, seconds=0.02) as endpoint:
        evaluated(settings(endpoint.url, max_concurrency=2))
    assert order.index(True) < len(order) - 1 - order[::-1].index(False)
    assert order.index(True) < 10


def test_a_judgement_without_a_score_is_asked_for_again_otherwise(settings: Settings) -> None:
    tries: Counter[str] = Counter()

    def unsure(body: Body) -> str:
        if not is_judge(body):
            return says(body)
        tries[json.dumps(body["messages"])] += 1
        return "Hard to say." if tries[json.dumps(body["messages"])] < 3 else "Rating: [[4]]"

    with Endpoint(unsure) as endpoint:
        found = evaluated(settings(endpoint.url))
    assert (found["score"], found["errors"]) == (4, 0)
    assert set(tries.values()) == {3}
    asked = {(body["temperature"], body["seed"]) for body in endpoint.asked if is_judge(body)}
    assert asked == {(0.0, 0), (0.3, 1), (0.3, 2)}


def test_what_stays_without_a_score_is_an_error_and_makes_it_untrustworthy(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent(body: Body) -> str:
        hard = is_judge(body) and any(turn in body["messages"][-1]["content"] for turn in BENCH.questions[0].turns)
        return "[[12]]" if hard or (is_judge(body) and BENCH.questions[1].turns[0] in str(body)) else says(body)

    with Endpoint(silent) as endpoint:
        found = evaluated(settings(endpoint.url))
    assert (found["score"], found["errors"], found["trusted"]) == (7, 4, False)
    assert found["error_share"] == pytest.approx(4 / 22)
    assert "not to be trusted" in capsys.readouterr().err
    lost = rows(tmp_path / "out" / JUDGEMENTS)[0]
    assert (lost["score"], lost["judgement"]) == (None, "[[12]]")
    assert lost["error"] == "no score in the judgement: it holds no rating"


def test_an_answer_that_is_refused_is_an_error_of_this_turn_and_those_after(settings: Settings, tmp_path: Path) -> None:
    one, two = BENCH.questions[0].turns[0], BENCH.questions[1].turns[1]

    def picky(body: Body) -> str | tuple[int, str]:
        return (400, "too long") if not is_judge(body) and body["messages"][-1]["content"] in (one, two) else says(body)

    with Endpoint(picky) as endpoint:
        found = evaluated(settings(endpoint.url))
    kept = rows(tmp_path / "out" / JUDGEMENTS)
    assert [bool(row["error"]) for row in kept[:4]] == [True, True, False, True]
    assert kept[0]["error"] == "no answer: HTTP 400"
    assert found["errors"] == 3


def test_thoughts_are_no_answer(settings: Settings, tmp_path: Path) -> None:
    def thinking(body: Body) -> str:
        return says(body) if is_judge(body) else "<think>hm</think> Yes."

    with Endpoint(thinking) as endpoint:
        evaluated(settings(endpoint.url))
    assert {row["answer"] for row in rows(tmp_path / "out" / JUDGEMENTS)} == {"Yes."}


def test_a_run_that_was_killed_repeats_no_finished_call(settings: Settings, tmp_path: Path) -> None:
    """Killed in the middle, and once more: of what the endpoint saw, only what was under way is seen twice."""
    with Endpoint(says, seconds=0.05) as endpoint:
        evaluate = settings(endpoint.url, max_concurrency=3)
        text = json.dumps(evaluate.model_dump(mode="json", exclude_defaults=True))
        command = [sys.executable, "-m", "ilab_cli.backends.evaluate.worker", "--settings", text]
        for kept in (8, 24):
            process = subprocess.Popen(command, cwd=ROOT)
            while _lines(tmp_path / "out") < kept and process.poll() is None:
                pass
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())["benchmarks"]["mt_bench"]
    assert done.stdout.splitlines()[1].split()[:2] == ["mt_bench", "7.00"]
    assert len(endpoint.begun) == 44
    assert sum(endpoint.begun.values()) <= 44 + 2 * 6  # three to the model and three to the judge, each time
    assert scores["from_journal"] >= 24
    with Endpoint(says) as nobody:
        again = evaluated(settings(nobody.url, model="m"))
    assert (again["calls"], nobody.asked, again["score"]) == (0, [], 7)


def _lines(folder: Path) -> int:
    files = [folder / name for name in (ANSWERS, JUDGED)]
    return sum(file.read_bytes().count(b"\n") for file in files if file.exists())


def test_each_endpoint_gets_its_own_key(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILAB_EVALUATE__MT__API_KEY", "sk-model")
    monkeypatch.setenv("ILAB_EVALUATE__MT__JUDGE_API_KEY", "sk-judge")
    with Endpoint(says, key="sk-model") as model, Endpoint(says, ("judge",), key="sk-judge") as judge:
        evaluated(settings(model.url, judge_endpoint=judge.url))
    assert (len(model.asked), len(judge.asked)) == (22, 22)


def test_a_key_is_not_sent_to_an_endpoint_that_it_is_not_for(settings: Settings, monkeypatch: Any) -> None:
    monkeypatch.setenv("ILAB_EVALUATE__MT__API_KEY", "sk-model")
    with Endpoint(says, key="sk-model") as model, Endpoint(says, ("judge",), key="sk-model") as judge:
        with pytest.raises(EndpointFailed, match=r"refuses the key \(evaluate\.mt\.judge_api_key\)"):
            evaluated(settings(model.url, judge_endpoint=judge.url))
        assert evaluated(settings(model.url, judge_endpoint=f"{model.url}/v1"))["score"] == 7  # the same one


def test_a_judge_that_reasons_is_asked_as_it_wants(settings: Settings) -> None:
    def reasoning(body: Body) -> str | tuple[int, str]:
        if is_judge(body) and "max_tokens" in body:
            return 400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        if is_judge(body) and body["messages"][0]["role"] == "system":
            return 400, "System role not supported"
        return says(body)

    with Endpoint(reasoning) as endpoint:
        found = evaluated(settings(endpoint.url, max_concurrency=1))
    assert (found["score"], found["errors"], len(endpoint.refused)) == (7, 0, 2)
    assert len(found["endpoints"]) == 2
    assert all("max_tokens" in body for body in endpoint.asked if not is_judge(body))  # the model took it


def test_a_folder_is_served_for_the_run(settings: Settings, student: Path, data: Path) -> None:
    """The server of transformers answers one at a time, so one question of few tokens has to do."""
    write_rows(data / "question.jsonl", rows(data / "question.jsonl")[:1])
    with Endpoint(says, ("judge",)) as judge:
        evaluate = settings(None, model=str(student), judge_endpoint=judge.url, max_tokens=8)
        found = evaluated(evaluate)
    assert (found["score"], found["judgements"], found["errors"]) == (7, 2, 0)
    assert found["model"] == str(student)
    assert len(judge.asked) == 2

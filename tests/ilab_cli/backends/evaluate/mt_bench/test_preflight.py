"""What is wrong with a run of MT-Bench is said before it begins, all at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="needs the extra `evaluate`")

from ilab_cli.backends.evaluate import launch
from ilab_cli.backends.evaluate.mt_bench import preflight as module
from ilab_profiles import Evaluate
from tests.ilab_cli.backends.endpoint import Endpoint
from tests.ilab_cli.backends.evaluate.mt_bench.conftest import Settings, rows, write_rows
from tests.programs import ilab_in

AWAY = "http://127.0.0.1:9"  # discard: nothing listens there


def told(evaluate: Evaluate) -> list[tuple[str, str, str]]:
    return sorted((each.rule, each.path, each.severity) for each in launch.preflight(evaluate))


def endpoint(*models: str, key: str = "") -> Endpoint:
    return Endpoint(lambda _: "", models, key)


def test_sound_settings_pass_and_nothing_is_written(settings: Settings, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    with endpoint("student", "judge") as one:
        assert told(settings(one.url)) == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("mt", [{"model": "judge"}, {"judge_model": "student"}])
def test_a_judge_that_is_the_model_under_test_is_a_warning(settings: Settings, mt: dict[str, Any]) -> None:
    with endpoint("student", "judge") as one:
        assert told(settings(one.url, **mt)) == [("judge-is-the-model", "evaluate.mt.judge_model", "warning")]


def test_endpoints_that_are_away_or_serve_another_model(settings: Settings) -> None:
    assert told(settings(AWAY)) == [("endpoint-away", "evaluate.mt.endpoint", "error")]
    with endpoint("student") as one:
        assert told(settings(one.url, judge_endpoint=AWAY)) == [
            ("endpoint-away", "evaluate.mt.judge_endpoint", "error")
        ]
        assert told(settings(one.url, model="stud")) == [
            ("model-not-served", "evaluate.mt.judge_model", "error"),
            ("model-not-served", "evaluate.mt.model", "error"),
        ]


def test_keys_that_are_refused(settings: Settings) -> None:
    with endpoint("student", key="a") as one, endpoint("judge", key="b") as two:
        assert told(settings(one.url, judge_endpoint=two.url, api_key="b")) == [
            ("key-refused", "evaluate.mt.api_key", "error"),
            ("key-refused", "evaluate.mt.judge_api_key", "error"),
        ]
        assert told(settings(one.url, judge_endpoint=two.url, api_key="a", judge_api_key="b")) == []


def test_all_is_told_at_once(settings: Settings, data: Path, tmp_path: Path) -> None:
    content = rows(data / "question.jsonl")
    write_rows(data / "question.jsonl", [content[0], content[0]])
    prompts = rows(data / "judge_prompts.jsonl")
    write_rows(data / "judge_prompts.jsonl", [*prompts[:3], prompts[3] | {"prompt_template": "{question_1}"}])
    (tmp_path / "out").touch()
    found = {rule for rule, *_ in told(settings(AWAY))}
    assert found == {"bad-question", "bad-judge-prompt", "endpoint-away", "not-a-folder"}


def test_a_model_to_serve_must_be_a_whole_one(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with endpoint("judge") as judge:
        gone = settings(None, model=str(tmp_path / "gone"), judge_endpoint=judge.url)
        assert told(gone) == [("model-not-found", "evaluate.mt.model", "error")]
        hub = settings(None, model="some-org/some-model", judge_endpoint=judge.url)
        assert told(hub) == [("cannot-be-served", "evaluate.model", "error")]


def test_checkpoints_are_not_asked_at_an_endpoint(settings: Settings, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run" / "checkpoints" / "samples_0000016"
    checkpoint.mkdir(parents=True)
    (checkpoint / "training.json").write_text("{}")
    with endpoint("student", "judge") as one:
        evaluate = settings(one.url).model_copy(update={"input_dir": str(tmp_path / "run"), "checkpoints": "all"})
        assert told(evaluate) == [("endpoint-is-no-checkpoint", "evaluate.mt.endpoint", "error")]


def test_a_full_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_full", lambda _: True)
    with endpoint("student", "judge") as one:
        assert told(settings(one.url)) == [("disk-full", "evaluate.output_dir", "error")]


def test_keys_go_by_variables_that_nobody_is_shown(settings: Settings) -> None:
    evaluate = settings("http://x", api_key="hush", judge_api_key="hush-hush")
    assert "hush" not in json.dumps([launch.command(evaluate), launch.environment(evaluate)])
    assert "judge_model" in launch.command(evaluate)[-1]


def test_the_command_from_start_to_end(settings: Settings, data: Path, tmp_path: Path) -> None:
    """As one types it: the table on stdout, the rest on stderr, the key nowhere."""
    ilab = ilab_in(tmp_path)
    keys = {"ILAB_EVALUATE__MT__API_KEY": "sk-hush"}
    with Endpoint(lambda body: f"{len(str(body))}: [[6]]", ("student", "judge"), "sk-hush") as one:
        flags = ["--mt-endpoint", one.url, "--judge-model", "judge", "--mt-data-dir", str(data), "--output-dir", "out"]
        done = ilab("model", "evaluate", "--benchmarks", "mt", *flags, **keys)
        refused = ilab("model", "evaluate", "--benchmarks", "mt", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[:2] == ["mt_bench", "6.00"]
    assert "next: ilab model chat --endpoint-url" in done.stderr
    written = [file for file in tmp_path.rglob("*") if file.is_file() and not file.is_relative_to(data)]
    assert {"scores.json", "judgements.jsonl", "run.yaml"} <= {file.name for file in written}
    assert not any(b"sk-hush" in file.read_bytes() for file in written)
    assert "sk-hush" not in done.stdout + done.stderr
    assert (refused.returncode, "key-refused" in refused.stderr) == (2, True)

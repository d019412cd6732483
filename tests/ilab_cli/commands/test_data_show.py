"""``ilab data show``: a person sees which tokens are learned, and so does a program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ilab_cli.backends.train.conftest import model_dir, write_jsonl
from tests.programs import Ilab

__all__ = ["model_dir"]

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

TALK = [
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "Yes,\none."},
    {"role": "user", "content": "Two?"},
    {"role": "assistant", "content": "\x1b[31mNo."},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "data.jsonl", [{"messages": TALK}, {"messages": TALK[:2]}, {"messages": TALK}])


def test_learned_tokens_stand_between_marks(ilab: Ilab, data: Path, model_dir: Path) -> None:
    done = ilab("data", "show", str(data), "--model", str(model_dir), "-n", "2", PYTHONUTF8="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "between ⟦ and ⟧" in done.stdout.splitlines()[0]
    assert "<|assistant|>\n⟦Yes,\none.<|end|>\n⟧<|user|>\nTwo?" in done.stdout
    assert "⟦\\x1b[31mNo.<|end|>\n⟧" in done.stdout
    assert f"{data}:2: " in done.stdout
    assert f"{data}:3: " not in done.stdout
    assert done.stdout.splitlines()[-1].startswith("2 conversations, ")


def test_on_a_terminal_they_are_coloured(ilab: Ilab, data: Path, model_dir: Path) -> None:
    done = ilab("data", "show", str(data), "--model", str(model_dir), "--line", "2", FORCE_COLOR="1", PYTHONUTF8="1")
    assert "\x1b[1;32mYes,↵\x1b[0m\n\x1b[1;32mone.<|end|>↵\x1b[0m" in done.stdout
    assert "⟦" not in done.stdout
    assert f"{data}:1: " not in done.stdout
    assert f"{data}:3: " in done.stdout


def test_a_line_past_the_end_is_told(ilab: Ilab, data: Path, model_dir: Path) -> None:
    done = ilab("data", "show", str(data), "--model", str(model_dir), "--line", "4")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--line: error[no-such-line]" in done.stderr
    assert f"on line 3 of {data}" in done.stderr


def test_a_program_gets_tokens_with_their_ids(ilab: Ilab, data: Path, model_dir: Path) -> None:
    done = ilab("data", "show", str(data), "--model", str(model_dir), "--json")
    found = json.loads(done.stdout)
    assert [item["line"] for item in found["conversations"]] == [1, 2, 3]
    for item in found["conversations"]:
        assert len(item["tokens"]) == len(item["input_ids"]) == len(item["learned"])
    assert found["summary"]["learned"] == sum(sum(item["learned"]) for item in found["conversations"])
    assert [run["text"] for run in found["conversations"][1]["runs"] if run["learned"]] == ["Yes,\none.<|end|>\n"]
    assert found["findings"] == []


def test_model_and_template_are_those_of_the_profile(ilab: Ilab, data: Path, model_dir: Path, tmp_path: Path) -> None:
    template = tmp_path / "next.jinja"
    template.write_text("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}")
    settings = f"extends: cpu_only\ntrain: {{model_path: {model_dir}, chat_template: {template}}}\n"
    (tmp_path / "mine.yaml").write_text(settings)
    done = ilab("data", "show", str(data), "--profile", str(tmp_path / "mine.yaml"), "-n", "1", PYTHONUTF8="1")
    assert done.returncode == 0, done.stderr
    assert "<|assistant|>⟦Yes,\none.<|user|>⟧Two?" in done.stdout
    assert done.stdout.count("No.<|end|>⟧") == 1


def test_what_is_wrong_is_told_at_its_line_beside_the_rest(
    ilab: Ilab, data: Path, model_dir: Path, tmp_path: Path
) -> None:
    template = tmp_path / "counts.jinja"
    template.write_text("{% for m in messages %}<|{{ m.role }}|>{{ m.content | length }}{% endfor %}")
    data.write_text(data.read_text() + "{}\n")
    settings = f"extends: cpu_only\ntrain: {{model_path: {model_dir}, chat_template: {template}}}\n"
    (tmp_path / "mine.yaml").write_text(settings)
    for more in ((), ("--json",)):
        done = ilab("data", "show", str(data), "--profile", str(tmp_path / "mine.yaml"), "-n", "1", *more)
        assert done.returncode == 2
        assert f"{data}:1: error[template-turns] train.chat_template: " in done.stderr
        assert f"{data}:4: error[data-line] " in done.stderr
    assert [finding["rule"] for finding in json.loads(done.stdout)["findings"]] == ["data-line", "template-turns"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.jsonl"], "no such file or folder: nothing.jsonl"),
        (["data.jsonl", "--model", "./nothing"], "has no tokenizer"),
        (["data.jsonl", "--model", ""], "has no tokenizer"),
        (["data.jsonl", "-n", "0"], "--limit"),
        (["data.jsonl", "--line", "x"], "--line"),
        ([], "FILE"),
    ],
)
def test_bad_input_is_refused(ilab: Ilab, data: Path, arguments: list[str], message: str) -> None:
    done = ilab("data", "show", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr

"""What lies in a run folder may be damaged, and the folder may be full or no folder at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ilab_cli.backends.model_folder import broken, lacking
from ilab_cli.backends.train.files import remove_leftovers, temporary_name
from ilab_profiles import InputError, Train

pytest.importorskip("accelerate", reason="needs the train extra")
Settings = Callable[..., Train]


@pytest.mark.parametrize("odd", ['{"a": 1}', "not json", '{"step": null}', '{"step": 3', "[]", '{"step": 9}'])
def test_metrics_are_kept_up_to_the_first_row_that_is_not_whole(tmp_path: Path, odd: str) -> None:
    from ilab_cli.backends.train.report import rewind

    path = tmp_path / "metrics.jsonl"
    rows = [json.dumps({"step": step}) for step in (1, 2)]
    path.write_text("\n".join([*rows, odd, *rows]) + "\n")
    rewind(path, 5)
    assert path.read_text().splitlines() == rows


def test_a_place_where_nothing_can_be_written_is_a_finding(settings: Settings, tmp_path: Path) -> None:
    from ilab_cli.backends.train.data.dataset import prepare

    (tmp_path / "file").touch()
    for place in ("file", "file/run"):
        with pytest.raises(InputError, match="unwritable-file"):
            prepare(settings(output_dir=str(tmp_path / place)))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("text", ["{{ 1/0 }}", "{{ messages[9].content.x }}", "{{ 'a'.b.c }}"])
def test_a_template_that_fails_is_told_for_the_first_conversations(
    settings: Settings, tmp_path: Path, text: str
) -> None:
    from ilab_cli.backends.train.launch import preflight

    template = tmp_path / "odd.jinja"
    template.write_text(text)
    findings = preflight(settings(chat_template=str(template)))
    assert {finding.rule for finding in findings[:-1]} == {"template-refuses"}
    assert len(findings) == 21
    assert findings[-1].message.startswith("and 2 more")


def test_what_a_folder_lacks_of_its_weights(model_dir: Path, tmp_path: Path) -> None:
    assert lacking(model_dir) == []
    whole = (model_dir / "model.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(whole[:-1])
    (tmp_path / "b.safetensors").write_bytes(b"")
    (tmp_path / "c.safetensors").write_bytes(whole)
    assert broken(tmp_path) == ["a.safetensors", "b.safetensors"]
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "c.safetensors", "y": "d.safetensors"}}))
    assert lacking(tmp_path) == ["a whole a.safetensors", "a whole b.safetensors", "d.safetensors"]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "e.bin").write_bytes(b"weights")
    index.write_text(json.dumps({"weight_map": {"x": "c.safetensors", "y": "deep/e.bin"}}))
    assert lacking(tmp_path) == ["a whole a.safetensors", "a whole b.safetensors"]
    for odd in ("[]", "{", '{"weight_map": [1]}', '{"weight_map": {"x": 3}}'):
        index.write_text(odd)
        assert lacking(tmp_path)[-1] == f"a readable {index.name}"


def test_what_a_killed_writer_of_a_link_left_goes(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    temporary_name(tmp_path / "best").symlink_to("folder")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]

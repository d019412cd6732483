from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.ilab_cli.backends.report import made
from tests.programs import Ilab

pytest.importorskip("jinja2", reason="needs the extra `report`")


def test_a_single_run_has_its_page_in_its_folder(ilab: Ilab, tmp_path: Path) -> None:
    made.training(tmp_path / "trained")
    done = ilab("report", "trained")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "trained" / "report.html")
    assert "samples_0000160" in (tmp_path / "trained" / "report.html").read_text()


def test_several_runs_have_theirs_in_the_working_folder(ilab: Ilab, tmp_path: Path) -> None:
    made.training(tmp_path / "trained")
    made.evaluation(tmp_path / "scores")
    told = json.loads(ilab("report", "trained", "scores", "--json").stdout)
    assert told["report"] == "report.html"
    assert told["bytes"] == (tmp_path / "report.html").stat().st_size
    assert told["runs"] == [str(tmp_path / "trained"), str(tmp_path / "scores")]
    assert told["findings"] == []


def test_a_page_of_ours_is_replaced_and_nothing_else(ilab: Ilab, tmp_path: Path) -> None:
    made.training(tmp_path / "trained")
    assert ilab("report", "trained", "--output", "page.html").returncode == 0
    assert ilab("report", "trained", "--output", "page.html").returncode == 0
    refused = ilab("report", "trained", "--output", "trained/metrics.jsonl")
    assert refused.returncode == 2
    assert "no page that ilab report wrote" in refused.stderr
    assert (tmp_path / "trained" / "metrics.jsonl").read_text().startswith('{"step": 1')


def test_all_that_is_wrong_is_told_and_nothing_is_written(ilab: Ilab, tmp_path: Path) -> None:
    made.training(tmp_path / "trained")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.yaml").write_text("section: [train\n")
    refused = ilab("report", "trained", "missing", "broken", "--json")
    assert refused.returncode == 2
    told = json.loads(refused.stdout)
    assert [Path(finding["position"]["source"]).name for finding in told["findings"]] == ["missing", "run.yaml"]
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("output", ["trained", "trained/run.yaml/report.html"])
def test_a_page_that_cannot_be_written_is_refused(ilab: Ilab, tmp_path: Path, output: str) -> None:
    made.training(tmp_path / "trained")
    refused = ilab("report", "trained", "--output", output)
    assert refused.returncode == 2
    assert "unwritable-file" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_torn_line_is_a_warning(ilab: Ilab, tmp_path: Path) -> None:
    run = made.training(tmp_path / "trained")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step"')
    done = ilab("report", "trained")
    assert done.returncode == 0
    assert f"{os.path.join('trained', 'metrics.jsonl')}:61" in done.stderr
    assert "warning[damaged-file]" in done.stderr


def test_help_and_the_list_of_commands_name_it(ilab: Ilab) -> None:
    assert "Write one HTML page about runs" in " ".join(ilab("--help").stdout.split())
    assert "--output FILE" in ilab("report", "--help").stdout

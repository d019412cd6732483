"""The page as a parser reads it: what stands where, that nothing in a file becomes markup, and how large it gets."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.report.answers import read_choices, read_judgements
from ilab_cli.backends.report.embed import pack
from ilab_cli.backends.report.folders import read_runs
from ilab_cli.backends.report.page import page
from ilab_cli.backends.report.scores import read_evaluation
from ilab_cli.backends.report.tables import tables
from tests.ilab_cli.backends.report import made

pytest.importorskip("jinja2", reason="needs the extra `report`")
html = pytest.importorskip("lxml.html")


def text_of(*folders: Path) -> str:
    return page(read_runs(folders, lambda _: ""))[0]


def shown(*folders: Path) -> Any:
    return html.document_fromstring(text_of(*folders))


def table(document: Any, name: str) -> Any:
    (block,) = document.xpath(f"//script[@id='table-{name}']/text()")
    return json.loads(gzip.decompress(base64.b64decode(block)))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    here = tmp_path_factory.mktemp("runs")
    return [
        made.generation(here / "generated", text=made.HOSTILE),
        made.training(here / "trained", steps=80, spike=33),
        made.training(here / "slower", learning_rate=0.0005),
        made.evaluation(here / "before", 0.3, 4.0, text=made.HOSTILE),
        made.evaluation(here / "after", 0.8, 7.0, seed=2, text=made.HOSTILE),
        made.checkpoints(here / "checkpoints"),
    ]


def test_every_kind_of_run_has_its_place(folders: list[Path]) -> None:
    document = shown(*folders)
    headings = [heading.text_content() for heading in document.xpath("//h2")]
    assert headings == [
        *("Runs", "Scores", "Answers", "Judgements", "Training", "Generated data", "Settings", "How they were run")
    ]
    targets = [link.get("href").removeprefix("#") for link in document.xpath("//nav//a")]
    assert len(targets) > len(headings)
    assert {*targets} <= {*document.xpath("//@id")}
    charts = {chart["id"] for chart in json.loads(document.get_element_by_id("data").text)["charts"]}
    assert charts == {*document.xpath("//@data-chart")}
    assert {"loss", "learning_rate", "grad_norm", "checkpoints_all"} <= charts
    assert len(document.xpath("//article")) == 6


def test_what_was_predicted_stands_beside_what_was_measured(tmp_path: Path) -> None:
    run = made.training(tmp_path / "run")
    assert "Predicted and measured" not in text_of(run)
    with (run / "run.yaml").open("a") as file:
        file.write("predicted_and_measured:\n  memory: {predicted: 2147483648, measured: 1073741824}\n")
    (row,) = shown(run).xpath("//table[caption='Predicted and measured']/tbody/tr")
    assert [cell.text_content() for cell in row] == [
        *("A memory of a process, at most", "2.0 GiB", "1.0 GiB", "\N{MINUS SIGN}50%")
    ]


def test_a_page_holds_what_it_shows_and_asks_for_nothing(folders: list[Path]) -> None:
    document = shown(*folders)
    assert not document.xpath("//link | //img | //iframe | //script[@src] | //@onclick | //@onerror")
    assert not [href for href in document.xpath("//@href") if not href.startswith("#")]
    assert "default-src 'none'" in document.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    assert len([script for script in document.xpath("//script") if not script.get("type")]) == 1


def test_what_stands_in_files_stays_text(tmp_path: Path, folders: list[Path]) -> None:
    named = made.training(tmp_path / '"><script>alert(1)<', num_epochs=made.HOSTILE)
    (named / "failure.txt").write_text(made.HOSTILE)
    document = shown(*folders, named)
    assert not document.xpath("//b[text()='bold'] | //img | //*[@onerror]")
    assert made.HOSTILE in document.get_element_by_id("runs").text_content()
    assert '"><script>alert(1)<' in document.get_element_by_id("runs").text_content()
    assert len([script for script in document.xpath("//script") if not script.get("type")]) == 1
    assert made.HOSTILE in table(document, "choices")["rows"][0][1]
    assert made.HOSTILE in table(document, "judgements")["rows"][0][5][0][0]


def test_scores_stand_side_by_side_with_their_difference(folders: list[Path]) -> None:
    document = shown(*folders[3:5])
    (row,) = document.xpath("//section[@id='scores-mmlu']//tr[@class='overall']")
    cells = [" ".join(cell.text_content().split()) for cell in row]
    said = [json.loads((folder / "scores.json").read_text())["benchmarks"]["mmlu"] for folder in folders[3:5]]
    assert cells[:2] == ["overall", "60"]
    for cell, found in zip(cells[2:4], said, strict=True):
        assert cell.startswith(f"{found['score']:.1%} [")
    assert cells[5].startswith(f"▲ {100 * (said[1]['score'] - said[0]['score']):+.1f} [")
    assert "McNemar" in document.get_element_by_id("scores-mmlu").text_content()
    assert "knowledge/" in document.get_element_by_id("scores-mmlu_branch").text_content()


def test_each_run_has_a_bar_of_its_own_where_scores_are_equal(tmp_path: Path) -> None:
    document = shown(made.evaluation(tmp_path / "one"), made.evaluation(tmp_path / "two"))
    (row,) = document.xpath("//section[@id='scores-mmlu']//tr[@class='overall']")
    assert row.xpath(".//span[contains(@class, 'bar')]/@class") == ["bar run-0", "bar run-1"]


def test_settings_that_differ_are_shown_and_others_folded(folders: list[Path]) -> None:
    document = shown(*folders[1:3])
    settings = document.get_element_by_id("settings")
    open_ = settings.xpath(".//tbody[not(ancestor::details)]//th")
    assert [cell.text_content() for cell in open_] == ["output_dir", "learning_rate"]
    assert "--learning-rate" in settings.text_content()
    assert "seed" in [cell.text_content() for cell in settings.xpath(".//details//th")]


def test_a_training_s_figures_and_checkpoints_are_there_without_a_script(folders: list[Path]) -> None:
    document = shown(folders[1])
    training = document.get_element_by_id("training").text_content()
    assert "samples_0000160" in training
    assert "99" in training
    (label,) = document.xpath("//*[@data-chart='grad_norm']/@aria-label")
    assert "highest 99 at 264 conversations" in label


def test_pairs_stand_beside_documents_and_rejected_ones_have_a_reason(folders: list[Path]) -> None:
    document = shown(folders[0])
    assert "asked before in this leaf" in document.get_element_by_id("generated").text_content()
    pairs, documents = table(document, "pairs-0"), table(document, "documents-0")
    reasons = {pairs["names"][row[5]] for row in pairs["rows"]}
    assert reasons == {"", "judge: score is below 4"}
    assert pairs["names"][documents["rows"][0][1]] == "pets.md"
    assert "Slow7" in documents["rows"][0][2]


def test_an_unfinished_run_and_a_torn_line_are_said_on_the_page(tmp_path: Path) -> None:
    run = made.training(tmp_path / "run")
    made.manifest(run, "train", "running")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 61, "sam')
    told = shown(run).get_element_by_id("runs").text_content()
    assert "killed" in told
    assert "metrics.jsonl, line 61" in told


@pytest.mark.parametrize("section", ["generate", "generate.mix", "train", "evaluate"])
def test_a_run_that_left_nothing_has_a_page(tmp_path: Path, section: str) -> None:
    document = shown(made.manifest(tmp_path / "run", section, "failed"))
    assert "failed" in document.get_element_by_id("runs").text_content()


def test_rows_that_matter_stay_where_there_is_no_room_for_all(tmp_path: Path) -> None:
    rows: list[Any] = [[at, f"{at:x}" * 50] for at in range(2000)]
    packed = pack("rows", rows, {}, 2500, [at % 7 for at, _ in rows])
    kept = json.loads(gzip.decompress(base64.b64decode(packed.content)))["rows"]
    assert len(packed.content) <= 2500
    assert 10 < len(kept) == packed.shown < packed.total == 2000
    assert {at % 7 for at, _ in kept} == {0}
    assert kept == sorted(kept)
    assert "had no room" in packed.note


def test_wrong_answers_of_every_task_stay(tmp_path: Path) -> None:
    runs = read_runs([made.evaluation(tmp_path / "run", 0.7, questions=300)], lambda _: "")
    evaluations = [read_evaluation(run) for run in runs]
    choices = read_choices(evaluations)
    packed = tables(choices, read_judgements([]), [], room=3500)["choices"]
    rows = json.loads(gzip.decompress(base64.b64decode(packed.content)))["rows"]
    assert 20 < len(rows) < 270
    assert all(row[4][0][0] != row[3] for row in rows)
    assert {row[0] for row in rows} == {0, 1, 2}

"""The page in a real browser, which has to be installed: Chromium, of the system or of Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.report.launch import write
from tests.ilab_cli.backends.report import made

pytest.importorskip("jinja2", reason="needs the extra `report`")
playwright = pytest.importorskip("playwright.sync_api")

PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    with playwright.sync_playwright() as started:
        found = next(filter(None, map(shutil.which, names)), started.chromium.executable_path)
        if not os.path.exists(found):
            pytest.skip("no Chromium is installed")
        opened = started.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("runs")
    folders = [
        made.generation(here / "generated", text=made.HOSTILE),
        made.training(here / "trained", steps=3000, spike=777),
        made.training(here / "slower", learning_rate=0.0005),
        made.evaluation(here / "before", 0.3, 4.0, text=made.HOSTILE),
        made.evaluation(here / "after", 0.8, 7.0, seed=2, text=made.HOSTILE),
        made.checkpoints(here / "checkpoints"),
    ]
    return write(folders, here / "report.html", lambda _: "").file


class Opened:
    """A page that is looked at from top to bottom, and what it complained of."""

    def __init__(self, browser: Any, file: Path, size: dict[str, int], scheme: str = "light") -> None:
        self.page = browser.new_page(viewport=size, color_scheme=scheme)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())

    def read(self) -> None:
        for place in self.page.query_selector_all("[data-chart], [data-browser]"):
            place.scroll_into_view_if_needed()
            place.wait_for_selector(":scope canvas, :scope .row")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_it_reads_without_a_complaint(browser: Any, report: Path, size: dict[str, int], scheme: str) -> None:
    opened = Opened(browser, report, size, scheme)
    opened.read()
    assert opened.complaints == []
    assert opened.asked == [report.as_uri()]
    assert opened.page.title() != "taken"
    assert opened.page.evaluate("document.documentElement.scrollWidth") == size["width"]
    paper = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert opened.page.locator("canvas").count() == opened.page.locator("[data-chart]").count()


def test_answers_are_browsed(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, DESKTOP)
    opened.read()
    answers = opened.page.locator("#choices")
    assert answers.locator(".row").count() == 20
    assert made.HOSTILE.split("<", 1)[0] in answers.locator(".row").first.text_content()
    answers.get_by_label("Show").select_option("down:1")
    regressed = answers.locator(".row").first
    right, other = regressed.locator("li.right"), regressed.locator("li:not(.right)", has_text="✗")
    assert "D ✓" in right.text_content()
    assert "E ✗" in other.text_content()
    answers.get_by_label("Show").select_option("")
    answers.get_by_label("Search").fill("answer to 7 of 2")
    playwright.expect(answers.locator(".row")).to_have_count(1)
    answers.get_by_label("Search").fill("")
    playwright.expect(answers.locator(".row")).to_have_count(20)
    answers.get_by_role("button", name="next").click()
    playwright.expect(answers.locator(".pager")).to_contain_text("page 2 of 3")
    assert opened.complaints == []


def test_judgements_are_browsed_and_errors_found(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, DESKTOP)
    opened.read()
    judgements = opened.page.locator("#judgements")
    judgements.get_by_label("Show").select_option("error")
    playwright.expect(judgements.locator(".row")).to_have_count(1)
    playwright.expect(judgements.locator(".row")).to_contain_text("no rating was found")
    judgements.get_by_label("Show").select_option("")
    judgements.get_by_label("Sort").select_option("low")
    assert "of 10" in judgements.locator(".row .points").first.text_content()


def test_a_pair_stands_beside_the_sentence_that_it_came_from(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, DESKTOP)
    opened.read()
    pair = opened.page.locator("#generated .row").nth(5)
    playwright.expect(pair.locator("mark")).to_contain_text("Slow5")
    generated = opened.page.locator("#generated")
    generated.get_by_label("Show").select_option("lost")
    playwright.expect(generated.locator(".row")).to_have_count(1)
    playwright.expect(generated.locator(".row")).to_contain_text("rejected: judge: score is below 4")


def test_a_chart_is_read_by_keyboard_and_drawn_on_a_logarithmic_scale(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, DESKTOP)
    opened.read()
    chart = opened.page.locator("#chart-grad_norm")
    chart.locator(".plot").focus()
    opened.page.keyboard.press("Home")
    playwright.expect(chart.locator(".u-legend")).to_contain_text("8")
    opened.page.keyboard.press("End")
    playwright.expect(chart.locator(".u-legend")).to_contain_text("24,000")
    chart.get_by_label("logarithmic").check()
    assert chart.locator("canvas").count() == 1
    assert opened.complaints == []


def test_colours_are_switched_and_charts_with_them(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, DESKTOP)
    opened.read()
    paper = "getComputedStyle(document.body).backgroundColor"
    pixels = "document.querySelector('#chart-loss canvas').toDataURL()"
    light = opened.page.evaluate(paper), opened.page.evaluate(pixels)
    opened.page.get_by_label("Colours").select_option("dark")
    dark = opened.page.evaluate(paper), opened.page.evaluate(pixels)
    assert light[0] != dark[0]
    assert light[1] != dark[1]


def test_it_can_be_printed(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, DESKTOP, "dark")
    opened.page.emulate_media(media="print")
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(opened.page.pdf()) > 10_000
    assert opened.complaints == []

"""Recipes are read as the older ilab writes them; whatever is wrong with them is told at its place, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ilab_cli.backends.mix.recipes import read_recipes
from ilab_profiles import Mix
from tests.ilab_cli.backends.mix.recipes import row, write_recipe, write_rows

UPSTREAM = Path(__file__).parents[4].parent / "shared" / "upstream" / "recipes"


def refused(*recipes: Path) -> list[str]:
    _, findings = read_recipes(Mix(knowledge_recipes=tuple(map(str, recipes))))
    assert all(finding.severity == "error" for finding in findings if finding.rule != "data-set-repeated")
    return [f"{finding.position}: {finding.message}" for finding in findings]


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def test_everything_that_a_recipe_says(tmp_path: Path) -> None:
    text = "datasets:\n- path: a/b.jsonl\n  sampling_size: 0.5\n- {path: c.jsonl, sampling_size: 20}\n"
    recipe = write(tmp_path / "r.yaml", text + "metadata:\n  sys_prompt: Be kind.\n")
    (first, second), warnings = read_recipes(Mix(skill_recipes=(str(recipe),)))
    assert not warnings
    assert (first.kind, first.number, first.file) == ("skills", (0, 0), tmp_path / "a" / "b.jsonl")
    assert (first.sampling_size, second.sampling_size) == (0.5, 20)
    assert first.system_prompt == second.system_prompt == "Be kind."
    assert str(second.position) == f"{recipe}:4:10"


def test_a_system_prompt_at_the_top_counts_first(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", [("a", 1.0)], sys_prompt="Top.", metadata={"sys_prompt": "Inner."})
    assert read_recipes(Mix(knowledge_recipes=(str(recipe),)))[0][0].system_prompt == "Top."


def test_no_recipe_at_all() -> None:
    _, (finding,) = read_recipes(Mix())
    assert finding.rule == "mixing-needs-a-recipe"
    assert "--knowledge-recipes" in finding.hint


def test_every_mistake_of_every_recipe_in_one_go(tmp_path: Path) -> None:
    first = write(
        tmp_path / "first.yaml",
        "datasets:\n- path: ../out.jsonl\n  sampling_size: -1\n- path: 3\n  sampling_sise: 1.0\n- word\n"
        "- path: a.jsonl\n  sampling_size: true\n- path: a.jsonl\nmetadata: 3\nsys_prompt: [1]\nmore: 1\n",
    )
    second = write(tmp_path / "second.yaml", "datasets: []\n")
    third, fourth = write(tmp_path / "third.yaml", "datasets: [\n"), tmp_path / "no.yaml"
    found = refused(first, second, third, fourth)
    places = [line.removeprefix(f"{tmp_path}/").split(": ")[0] for line in found]
    assert places[:10] == [
        "first.yaml:2:9",
        "first.yaml:3:18",
        "first.yaml:4:9",
        "first.yaml:5:3",
        "first.yaml:6:3",
        "first.yaml:8:18",
        "first.yaml:9:3",
        "first.yaml:10:11",
        "first.yaml:11:13",
        "first.yaml:12:1",
    ]
    assert places[10] == "second.yaml:1:11"
    assert places[11].startswith("third.yaml")
    assert places[12] == "no.yaml"


@pytest.mark.parametrize("size", ["0", "-0.5", "0.0", ".nan", ".inf", "50%", "null", "[1]", "yes"])
def test_sizes_that_mean_nothing(tmp_path: Path, size: str) -> None:
    (line,) = refused(write(tmp_path / "r.yaml", f"datasets: [{{path: a.jsonl, sampling_size: {size}}}]\n"))
    assert line.startswith(f"{tmp_path}/r.yaml:1:43: must be")


@pytest.mark.parametrize("path", ["../a.jsonl", "x/../../a.jsonl", "/etc/passwd", "link/a.jsonl", "loop/a.jsonl"])
def test_no_path_leads_outside_the_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    (tmp_path / "in" / "loop").symlink_to("../loop")
    (tmp_path / "loop").symlink_to("in/loop")
    (line,) = refused(write_recipe(tmp_path / "in" / "r.yaml", [(path, 1.0)]))
    assert path in line


def test_an_absolute_path_inside_the_folder_is_one_like_others(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "deep" / "a.jsonl", [row(0)])
    recipe = write_recipe(tmp_path / "r.yaml", [(str(data), 1.0)])
    assert read_recipes(Mix(knowledge_recipes=(str(recipe),)))[0][0].file == data


def test_a_single_row_and_a_data_set_named_twice_are_warned_of(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", [("a.jsonl", 1), ("x/../a.jsonl", 2)])
    _, warnings = read_recipes(Mix(knowledge_recipes=(str(recipe),)))
    assert [(finding.rule, finding.severity) for finding in warnings] == [
        ("single-row", "warning"),
        ("data-set-repeated", "warning"),
    ]


@pytest.mark.skipif(not UPSTREAM.is_dir(), reason="no shared input here")
def test_recipes_of_the_older_program() -> None:
    mix = Mix(knowledge_recipes=(str(UPSTREAM / "knowledge.yaml"),), skill_recipes=(str(UPSTREAM / "skills.yaml"),))
    data_sets, warnings = read_recipes(mix)
    assert not warnings
    assert [(item.kind, item.path, item.sampling_size) for item in data_sets] == [
        ("knowledge", "test/knowledge.jsonl", 1.0),
        ("skills", "test/skills.jsonl", 1.0),
    ]

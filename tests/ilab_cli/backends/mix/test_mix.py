"""What is mixed: exact counts of the right rows, well shuffled, to the byte the same however the work is divided."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from ilab_cli.backends.mix import launch, plan
from ilab_cli.backends.mix import mix as mixing
from ilab_cli.backends.mix.sampling import rows_taken
from ilab_cli.backends.train.data.conversations import files_of, read
from ilab_profiles import Generate
from tests.conftest import examples
from tests.ilab_cli.backends.mix.recipes import counts, everything, mixed, row, settings, write_recipe, write_rows

SHARED = Path(__file__).parents[4].parent / "shared"
SIZES = st.one_of(st.integers(1, 60), st.sampled_from([0.25, 0.5, 1.0, 1.5, 3.0]))


def run_in_pieces(generate: Generate, chunk: int, bucket: int) -> int:
    """Mix with chunks and buckets of these sizes, in bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "MEMORY", 0)
        patch.setattr(plan, "_SMALLEST_CHUNK", chunk)
        patch.setattr(mixing, "MEMORY", 0)
        patch.setattr(mixing, "_SMALLEST_BUCKET", bucket)
        plan._examine.cache_clear()
        try:
            return launch.run(generate)
        finally:
            plan._examine.cache_clear()


@trials(max_examples=examples(60))
@given(
    st.lists(st.tuples(st.integers(1, 40), SIZES), min_size=1, max_size=3),
    st.integers(50, 2000),
    st.integers(50, 2000),
    st.integers(0, 3),
)
def test_the_right_rows_in_the_right_numbers_however_files_are_cut(
    shape: list[tuple[int, int | float]], chunk: int, bucket: int, seed: int
) -> None:
    expected = sum(rows_taken(size, number) for number, size in shape)
    with TemporaryDirectory() as name:
        folder = Path(name)
        for index, (number, _) in enumerate(shape):
            write_rows(folder / f"{index}.jsonl", [row(1000 * index + line, "ö" * line) for line in range(number)])
        recipe = write_recipe(folder / "r.yaml", [(f"{index}.jsonl", size) for index, (_, size) in enumerate(shape)])
        if not expected:
            found = launch.preflight(settings(folder / "out", [recipe]))
            assert [(item.rule, item.severity) for item in found] == [("mix-empty", "error")] * len(shape)
            return
        assert run_in_pieces(settings(folder / "whole", [recipe], seed=seed), 2**24, 2**24) == 0
        assert run_in_pieces(settings(folder / "cut", [recipe], seed=seed), chunk, bucket) == 0
        assert everything(folder / "whole") == everything(folder / "cut")
        times_found = counts(folder / "whole")
        for index, (number, size) in enumerate(shape):
            taken = rows_taken(size, number)
            times = [times_found.pop(row(1000 * index + line, "ö" * line), 0) for line in range(number)]
            assert sum(times) == taken
            assert set(times) <= {taken // number, -(-taken // number)}
        assert not times_found


def test_the_number_of_processes_changes_no_byte(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_rows(tmp_path / f"{name}.jsonl", [row(number, name * (number % 50)) for number in range(20_000)])
    knowledge = write_recipe(tmp_path / "k.yaml", [("a.jsonl", 1.5), ("b.jsonl", 777)])
    skills = write_recipe(tmp_path / "s.yaml", [("b.jsonl", 0.1)], sys_prompt="Be brief.")
    for processes in (1, 3):
        generate = settings(tmp_path / f"out{processes}", [knowledge], [skills], processes)
        assert run_in_pieces(generate, 2**17, 2**17) == 0
    assert everything(tmp_path / "out1") == everything(tmp_path / "out3")
    assert len(mixed(tmp_path / "out3")) == 30_777
    assert len(mixed(tmp_path / "out3", "skills")) == 2_000
    assert all(json.loads(line)["messages"][0]["content"] == "Be brief." for line in mixed(tmp_path / "out1", "skills"))


def test_the_order_is_random_and_another_seed_gives_another_sample(tmp_path: Path) -> None:
    number = 4000
    write_rows(tmp_path / "a.jsonl", [row(line) for line in range(number)])
    recipe = write_recipe(tmp_path / "r.yaml", [("a.jsonl", 0.5)])
    for seed in (1, 2):
        launch.run(settings(tmp_path / str(seed), [recipe], seed=seed))
    first, second = mixed(tmp_path / "1"), mixed(tmp_path / "2")
    assert first != second
    assert set(first) != set(second)
    lines = [int(json.loads(line)["messages"][1]["content"]) for line in first]
    assert abs(np.corrcoef(lines, range(len(lines)))[0, 1]) < 5 / len(lines) ** 0.5
    assert abs(np.corrcoef(lines[1:], lines[:-1])[0, 1]) < 5 / len(lines) ** 0.5


def test_recipes_of_a_kind_are_mixed_together_and_the_same_recipe_twice_is_not_taken_twice_alike(
    tmp_path: Path,
) -> None:
    write_rows(tmp_path / "a.jsonl", [row(line) for line in range(100)])
    recipe = write_recipe(tmp_path / "r.yaml", [("a.jsonl", 50)])
    assert launch.run(settings(tmp_path / "out", [recipe, recipe])) == 0
    assert set(counts(tmp_path / "out").values()) == {1, 2}


def test_many_repeats_of_few_rows_take_few_files(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", [row(line) for line in range(10)])
    recipe = write_recipe(tmp_path / "r.yaml", [("a.jsonl", 50_003)])
    assert launch.run(settings(tmp_path / "out", [recipe])) == 0
    assert Counter(counts(tmp_path / "out").values()) == {5000: 7, 5001: 3}


def test_training_reads_the_folder_and_nothing_twice(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", [row(line) for line in range(30)])
    write_rows(tmp_path / "b.jsonl", [row(line) for line in range(30, 50)])
    knowledge = write_recipe(tmp_path / "k.yaml", [("a.jsonl", 1.0)])
    skills = write_recipe(tmp_path / "s.yaml", [("b.jsonl", 1.0)])
    assert launch.run(settings(tmp_path / "out", [knowledge], [skills])) == 0
    conversations, findings = read(files_of(str(tmp_path / "out")))
    assert not findings
    said = [conversation.messages[0]["content"] for conversation in conversations]
    assert sorted(said) == sorted(f"Number {line}?" for line in range(50))

    assert launch.run(settings(tmp_path / "out", skills=[skills])) == 0
    assert len(read(files_of(str(tmp_path / "out")))[0]) == 20  # the knowledge of the earlier mix is gone
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["mix.yaml", "skills_train.jsonl"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared input here")
def test_real_recipes_with_real_data(tmp_path: Path) -> None:
    recipes = [tmp_path / name for name in ("knowledge.yaml", "skills.yaml")]
    for recipe, data in zip(recipes, ("train", "test"), strict=True):
        recipe.write_bytes((SHARED / "upstream" / "recipes" / recipe.name).read_bytes())
        rows = (SHARED / "data" / f"instructions_{data}.jsonl").read_bytes().splitlines()
        write_rows(tmp_path / "test" / f"{recipe.stem}.jsonl", rows)
    assert launch.run(settings(tmp_path / "out", recipes[:1], recipes[1:])) == 0
    for recipe in recipes:
        rows = (tmp_path / "test" / f"{recipe.stem}.jsonl").read_bytes().splitlines()
        assert counts(tmp_path / "out", recipe.stem) == Counter(rows)

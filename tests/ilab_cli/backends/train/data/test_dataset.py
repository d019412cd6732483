"""Samples are the same however the data are cut, tokenised, kept and mapped; what is wrong is told at its line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilab_profiles import Finding, InputError, Train
from tests.ilab_cli.backends.train.conftest import conversation, write_jsonl

pytest.importorskip("accelerate", reason="needs the train extra")
from ilab_cli.backends.lock import lock
from ilab_cli.backends.train.data import conversations, dataset, shards, tokenise
from ilab_cli.backends.train.launch import preflight

Settings = Callable[..., Train]
Patch = pytest.MonkeyPatch


@pytest.fixture
def at_once(monkeypatch: Patch) -> Callable[[int, int], None]:
    """Lets small data be cut into chunks and shards of so many bytes."""

    def cut(chunk: int, shard: int) -> None:
        monkeypatch.setattr(conversations, "_CHUNK", chunk)
        monkeypatch.setattr(shards, "_SHARD", shard)
        monkeypatch.setattr(dataset, "_made", {})

    return cut


@pytest.fixture
def large(monkeypatch: Patch) -> None:
    """Lets small data be tokenised as if they were large, by two processes."""
    monkeypatch.setattr(tokenise, "_LARGE", 0)
    monkeypatch.setattr(tokenise, "cores", lambda: 2)
    monkeypatch.setattr(dataset, "_made", {})


@pytest.fixture
def alone(monkeypatch: Patch, large: None) -> None:
    """The same with one process."""
    monkeypatch.setattr(tokenise, "cores", lambda: 1)


def contents(samples: shards.Samples) -> list[tuple[list[int], list[bool]]]:
    return [(ids.tolist(), learned.tolist()) for ids, learned in samples]  # type: ignore[attr-defined]


def refused(train: Train) -> tuple[Finding, ...]:
    with pytest.raises(InputError) as caught:
        dataset.examine(train)
    return tuple(caught.value.findings)


@pytest.mark.parametrize(("chunk", "shard"), [(1, 1), (100, 300), (1000, 10**6)])
def test_samples_do_not_depend_on_how_data_are_cut(
    settings: Settings, tmp_path: Path, at_once: Callable[[int, int], None], chunk: int, shard: int
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("train_b", "train_a"):
        write_jsonl(folder / f"{name}.jsonl", [conversation(number + len(name)) for number in range(30)])
    train = settings(data_path=str(folder))
    whole = contents(dataset.examine(train))
    at_once(chunk, shard)
    samples = dataset.load(dataset.prepare(train))
    assert contents(samples) == whole
    assert samples.lengths.tolist() == [len(ids) for ids, _ in whole]
    assert samples.highest == max(max(ids) for ids, _ in whole)
    assert len(samples.facts.shards) == {1: 60, 300: len(samples.facts.shards), 10**6: 1}[shard]
    assert samples[-1][0].tolist() == whole[-1][0]
    with pytest.raises(IndexError):
        samples[len(samples)]


def test_several_processes_make_the_same_samples_and_findings(
    settings: Settings, tmp_path: Path, at_once: Callable[[int, int], None], request: pytest.FixtureRequest
) -> None:
    rows: list[Any] = [conversation(number) for number in range(60)]
    data = write_jsonl(tmp_path / "train.jsonl", rows)
    whole = contents(dataset.examine(settings(data_path=str(data))))
    rows[50] = "no conversation"
    bad = write_jsonl(tmp_path / "bad.jsonl", rows)
    at_once(1500, 3000)
    request.getfixturevalue("large")
    (finding,) = refused(settings(data_path=str(bad)))
    assert str(finding).startswith(f"{bad}:51: error[data-line] ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "train.jsonl"]
    samples = dataset.load(dataset.prepare(settings(data_path=str(data))))
    assert contents(samples) == whole
    assert len(samples.facts.shards) > 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "run", "train.jsonl"]


def test_of_many_bad_lines_in_many_chunks_the_first_are_told(
    settings: Settings, tmp_path: Path, at_once: Callable[[int, int], None]
) -> None:
    good = json.dumps(conversation(1))
    template = tmp_path / "odd.jinja"
    template.write_text("{{ raise_exception('never') }}")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.jsonl").write_text(f"\n{good}\n\n" + "{bad\n" * 30)
    (folder / "b.jsonl").write_text(f"{good}\n" * 30 + "[]\n")
    at_once(64, 100)
    train = settings(data_path=str(folder), chat_template=str(template))
    found = refused(train)
    places = [(finding.rule, Path(str(finding.position)).name) for finding in found]
    assert places == [
        *(("data-line", f"a.jsonl:{line}:2") for line in range(4, 24)),
        ("data-line", "a.jsonl"),
        ("data-line", "b.jsonl:31"),
        ("template-refuses", "a.jsonl:2"),
        *(("template-refuses", f"b.jsonl:{line}") for line in range(1, 20)),
        ("template-refuses", "data"),
    ]
    assert found[20].message == "and 10 more findings like these"
    assert found[-1].message == "and 11 more findings like these"
    assert conversations.check(conversations.files_of(str(folder))) == list(found[:22])


@pytest.mark.parametrize("text", ["", "\n \n\r\n"])
def test_files_without_a_conversation_are_told(settings: Settings, tmp_path: Path, text: str) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text(text)
    (finding,) = refused(settings(data_path=str(file)))
    assert (finding.rule, str(finding.position)) == ("data-empty", str(file))
    assert conversations.check([file]) == [finding]


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_as_such_data_are_often_published_is_told_once(
    settings: Settings, tmp_path: Path, at_once: Callable[[int, int], None], indent: int | None
) -> None:
    file = tmp_path / "train.json"
    file.write_text(json.dumps([conversation(number) for number in range(40)], indent=indent))
    at_once(200, 200)
    (finding,) = refused(settings(data_path=str(file)))
    assert (finding.message, str(finding.position)) == ("it is one JSON array", str(file))
    assert finding.hint.startswith(f"jq -c '.[]' {file} ")


def test_a_conversation_that_is_too_long_is_left_out_or_truncated(settings: Settings, tmp_path: Path) -> None:
    rows = [conversation(number) for number in range(40)]
    rows[7]["messages"][0]["content"] = "very " * 50 + "long question"
    data = str(write_jsonl(tmp_path / "train.jsonl", rows))
    whole = contents(dataset.examine(settings(data_path=data)))
    limit = sorted(len(ids) for ids, _ in whole)[20]
    short = [item for item in whole if len(item[0]) <= limit]

    dropped = dataset.examine(settings(data_path=data, max_seq_len=limit))
    assert contents(dropped) == short
    assert (dropped.left_out, dropped.truncated) == (40 - len(short), 0)

    cut = [(ids[:limit], learned[:limit]) for ids, learned in whole]
    truncated = dataset.examine(settings(data_path=data, max_seq_len=limit, too_long="truncate"))
    assert contents(truncated) == [item for item in cut if any(item[1])]
    assert (truncated.left_out, truncated.truncated) == (1, 39 - len(short))
    assert truncated.fingerprint != dropped.fingerprint

    for too_long, words in (("drop", "they are left out"), ("truncate", "truncated to their beginning, 1 left out")):
        (finding,) = preflight(settings(data_path=data, max_seq_len=limit, too_long=too_long))
        assert finding.severity == "warning"
        assert f"{40 - len(short)} of 40 conversations" in finding.message
        assert words in finding.hint

    (finding,) = refused(settings(data_path=data, max_seq_len=3, too_long="truncate"))
    assert finding.rule == "all-too-long"
    found = re.search(r"set it to (\d+) or more", finding.hint)
    assert found
    assert dataset.examine(settings(data_path=data, max_seq_len=int(found[1]), too_long="truncate")).truncated
    assert refused(settings(data_path=data, max_seq_len=int(found[1]) - 1, too_long="truncate"))


def test_every_shape_of_a_line_gives_the_same_samples(settings: Settings, tmp_path: Path) -> None:
    rows = [conversation(number) for number in range(9)]
    said = [[message["content"] for message in row["messages"]] for row in rows]
    shapes = {
        "messages": rows,
        "sharegpt": [{"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]} for q, a in said],
        "alpaca": [{"instruction": q, "input": "", "output": a} for q, a in said],
    }
    shapes["mixed"] = [shapes[name][number] for number, name in enumerate(list(shapes) * 3)]
    files = {name: write_jsonl(tmp_path / f"{name}.jsonl", lines) for name, lines in shapes.items()}
    made = [contents(dataset.examine(settings(data_path=str(file)))) for file in files.values()]
    assert made == [made[0]] * 4
    assert preflight(settings(data_path=str(files["mixed"]), warmup_steps=0)) == []


def test_samples_that_are_damaged_are_made_again(settings: Settings, at_once: Callable[[int, int], None]) -> None:
    train = settings()
    folder = dataset.prepare(train)
    whole = contents(dataset.load(folder))
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["00000.tokens", "samples.json", "samples.lengths"]
    harms: list[Callable[[Path], object]] = [
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-4]),
        lambda path: path.write_bytes(b"{}"),
        lambda path: path.write_bytes(b"[]"),
        lambda path: path.write_bytes(os.urandom(300)),
    ]
    for name in names:
        for harm in harms:
            at_once(10**6, 10**6)  # as in another process
            harm(folder / name)
            assert contents(dataset.examine(train)) == whole
            assert dataset.prepare(train) == folder
            assert contents(dataset.load(folder)) == whole


def test_the_check_before_a_run_tokenises_for_the_run_and_writes_nothing_there(
    settings: Settings, tmp_path: Path, monkeypatch: Patch, alone: None
) -> None:
    made: list[Path] = []

    def counted(tokenizer: Any, train: Train, folder: Path, fingerprint: str) -> None:
        made.append(folder)
        tokenise.tokenise(tokenizer, train, folder, fingerprint)

    monkeypatch.setattr(dataset, "tokenise", counted)
    train = settings(phases=[{"num_epochs": 3}, {"learning_rate": 1e-3, "num_epochs": 4}])
    assert preflight(train) == []
    assert [path.parent for path in made] == [tmp_path], "large data are made where the run will be"
    assert [*tmp_path.iterdir()] == made
    runs = [run.model_copy(update={"model_path": train.model_path}) for run in train.runs()]
    folders = [dataset.prepare(run) for run in runs]
    assert len(made) == 1
    assert [*tmp_path.iterdir()] == [tmp_path / "run"]
    assert contents(dataset.load(folders[0])) == contents(dataset.load(folders[1]))


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_tokenising_that_ends_early_leaves_nothing(
    settings: Settings, tmp_path: Path, monkeypatch: Patch, alone: None, error: type[BaseException]
) -> None:
    def fail(self: shards.Writer, facts: shards.Facts) -> None:
        raise error("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(shards.Writer, "end", fail)
        with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else InputError):
            dataset.prepare(settings())
    assert [*tmp_path.iterdir()] == []
    assert len(dataset.load(dataset.prepare(settings()))) == 22


def test_what_a_killed_process_left_is_removed_by_the_next_one(settings: Settings, tmp_path: Path, alone: None) -> None:
    for name in ("dead", "alive", "new"):
        (tmp_path / f".ilab-tokens-{name}").mkdir()
    for name in ("dead", "alive"):
        (tmp_path / f".ilab-tokens-{name}" / "00000.tokens").write_bytes(b"half of them")
    handle = os.open(tmp_path / ".ilab-tokens-alive", os.O_RDONLY)
    assert lock(handle)
    dataset.prepare(settings())
    os.close(handle)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ilab-tokens-alive", ".ilab-tokens-new", "run"]


def test_another_launcher_may_be_faster(settings: Settings, monkeypatch: Patch) -> None:
    train = settings()
    examine = dataset.examine

    def slowly(train: Train) -> shards.Samples:
        samples = examine(train)
        monkeypatch.setattr(dataset, "examine", examine)
        made = dict(dataset._made)
        dataset.prepare(train)
        dataset._made.update(made)
        return samples

    monkeypatch.setattr(dataset, "_made", {})
    monkeypatch.setattr(dataset, "examine", slowly)
    folder = dataset.prepare(train)
    assert len(dataset.load(folder)) == 22
    assert [*folder.parent.iterdir()] == [folder]


def test_samples_stay_as_they_are_when_their_pages_are_given_back(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(shards, "_READS", 3)
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, 3000, 50).astype(np.int32)
    tokens = draw.integers(-5000, 5000, int(lengths.sum())).astype(np.int32)
    with shards.Writer(tmp_path) as writer:
        writer.add(tokens, lengths)
        writer.end(shards.Facts("x", 0, 0, 5000))
    samples = shards.load(tmp_path)
    read = [samples[number] for number in range(50)]
    assert (np.concatenate([shards.joined(ids, learned) for ids, learned in read]) == tokens).all()
    assert all((ids >= 0).all() for ids, _ in read)

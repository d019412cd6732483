"""How a mix begins and ends: refused with everything that is wrong, failed or interrupted, it leaves nothing half."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ilab_cli.backends.mix import launch
from ilab_cli.backends.mix.mix import mix
from ilab_cli.backends.mix.plan import make_plan
from ilab_cli.backends.mix.shuffle import DataChangedError
from ilab_profiles import Generate, InputError
from tests.ilab_cli.backends.mix.recipes import everything, mixed, row, settings, write_recipe, write_rows

ROOT = Path(__file__).parents[4]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    write_rows(tmp_path / "a.jsonl", [row(number) for number in range(100)])
    return write_recipe(tmp_path / "r.yaml", [("a.jsonl", 1.0)])


def start(generate: Generate, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        launch.command(generate),
        cwd=ROOT,
        env=os.environ | (environment or {}),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def test_the_command_does_the_same_mix(tmp_path: Path, recipe: Path) -> None:
    generate = settings(tmp_path / "here", [recipe], seed=9)
    assert launch.run(generate) == 0
    process = start(settings(tmp_path / "there", [recipe], seed=9))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out == f"{tmp_path}/there/knowledge_train.jsonl: 100 rows from 1 data set\n"
    assert everything(tmp_path / "here") == everything(tmp_path / "there")
    assert launch.environment(generate) == {}


def test_everything_wrong_with_the_data_before_anything_is_written(tmp_path: Path) -> None:
    lines = [row(number) for number in range(30_000)]
    lines[5:5], lines[20_000] = [b"", b"{bad"], b'{"messages": []}'
    write_rows(tmp_path / "a.jsonl", lines)
    write_rows(tmp_path / "b.jsonl", [b"3"] * 100)
    write_rows(tmp_path / "empty.jsonl", [b""])
    (tmp_path / "folder.jsonl").mkdir()
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("datasets: [{path: a.jsonl}]\n", encoding="utf-8")
    names = ["a.jsonl", "b.jsonl", "empty.jsonl", "folder.jsonl", "none.jsonl"]
    recipe = write_recipe(tmp_path / "r.yaml", [(name, 1.0) for name in names])
    before = everything(tmp_path)
    for processes in (1, 2):
        generate = settings(tmp_path / "out", [wrong, recipe], processes=processes)
        findings = launch.preflight(generate)
        with pytest.raises(InputError) as caught:
            launch.run(generate)
        assert list(caught.value.findings) == findings
        told = [str(finding).splitlines()[0].removeprefix(f"{tmp_path}/") for finding in findings]
        assert told.pop(0).startswith("wrong.yaml:1:12: error[missing-key] datasets[0].sampling_size")
        assert "folder.jsonl cannot be read: it is a folder" in told[0]
        assert "none.jsonl cannot be read: No such file or directory" in told[1]
        assert told[2].startswith("a.jsonl:7:2: error[data-line]")
        assert told[3].startswith("a.jsonl:20001: error[data-line] `messages` is ")
        assert told[4].startswith("b.jsonl:1: error[data-line] not a JSON object")
        assert told[24].startswith("b.jsonl: error[data-line] 100 lines in all cannot be used")
        assert told[25].startswith("empty.jsonl: error[data-empty]")
        assert len(told) == 26
    assert everything(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_outputs_that_would_do_harm_are_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "out" / "knowledge_train.jsonl", [row(0)])
    write_rows(tmp_path / "out" / "other.jsonl", [row(1)])
    recipe = write_recipe(tmp_path / "out" / "r.yaml", [("knowledge_train.jsonl", 1.0)])
    before = everything(tmp_path)
    rules = [finding.rule for finding in launch.preflight(settings(tmp_path / "out", [recipe]))]
    assert rules == ["output-is-input", "output-folder-in-use"]
    (finding,) = launch.preflight(settings(recipe, [recipe]))
    assert (finding.rule, finding.path) == ("not-a-folder", "generate.mix.output_dir")
    assert str(recipe) in finding.message
    assert everything(tmp_path) == before


def test_a_mix_that_no_disk_can_hold_is_refused(tmp_path: Path, recipe: Path) -> None:
    for size in (1e12, 10**14, 1e308):
        (finding,) = launch.preflight(settings(tmp_path / "out", [write_recipe(recipe, [("a.jsonl", size)])]))
        assert finding.rule == "disk-too-small"
    assert not (tmp_path / "out").exists()


def test_warnings_do_not_stop_it(tmp_path: Path, recipe: Path) -> None:
    write_recipe(recipe, [("a.jsonl", 1)])
    generate = settings(tmp_path / "out", [recipe])
    assert [finding.severity for finding in launch.preflight(generate)] == ["warning"]
    assert launch.run(generate) == 0
    assert len(mixed(tmp_path / "out")) == 1


def test_a_data_set_of_which_nothing_is_taken_is_warned_of(tmp_path: Path, recipe: Path) -> None:
    write_recipe(recipe, [("a.jsonl", 0.001), ("a.jsonl", 7)])
    generate = settings(tmp_path / "out", [recipe])
    finding = launch.preflight(generate)[-1]
    assert (finding.rule, finding.severity) == ("mix-empty", "warning")
    assert finding.message == "sampling_size 0.001 takes no row of a.jsonl, which has 100"
    assert launch.run(generate) == 0
    assert len(mixed(tmp_path / "out")) == 7


@pytest.mark.parametrize(
    ("head", "form"),
    [(gzip.compress(b"{}", mtime=0), "gzip"), (b"PAR1\x15\x04", "Parquet"), ("{}".encode("utf-16"), "UTF-16")],
)
def test_what_is_no_text_is_named_as_what_it_is(tmp_path: Path, recipe: Path, head: bytes, form: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(head + b"\n\xff" * 99)
    (finding,) = launch.preflight(settings(tmp_path / "out", [recipe]))
    assert finding.message == f"data set a.jsonl cannot be read: it is {form}"
    assert "JSONL" in finding.hint


def test_data_that_change_while_they_are_mixed_are_noticed(tmp_path: Path, recipe: Path) -> None:
    generate = settings(tmp_path / "out", [recipe])
    plan = make_plan(generate)
    write_rows(tmp_path / "a.jsonl", [row(number) for number in range(99)])
    with pytest.raises(DataChangedError, match=r"a\.jsonl"):
        mix(generate, plan)
    assert list((tmp_path / "out").iterdir()) == []
    assert launch.run(generate) == 0  # looks again
    assert len(mixed(tmp_path / "out")) == 99


@pytest.mark.parametrize("processes", [1, 2])
def test_a_full_disk_leaves_the_earlier_mix_and_one_line(
    small_disk: Path, tmp_path: Path, recipe: Path, processes: int, capfd: pytest.CaptureFixture[str]
) -> None:
    other = write_rows(tmp_path / "b.jsonl", [row(number) for number in range(100)])
    assert launch.run(settings(small_disk / "out", [recipe])) == 0
    before = everything(small_disk)
    write_recipe(recipe, [("a.jsonl", 1.0), (other.name, 1.0)], sys_prompt="long " * 5000)
    capfd.readouterr()
    assert launch.run(settings(small_disk / "out", [recipe], processes=processes)) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("mixing failed: no space is left")
    assert err.count("\n") == 1
    assert everything(small_disk) == before


def big(tmp_path: Path) -> Path:
    """A recipe that takes some seconds."""
    write_rows(tmp_path / "a.jsonl", [row(number, "word " * 20) for number in range(20_000)])
    return write_recipe(tmp_path / "r.yaml", [("a.jsonl", 60.0)])


def wait_for_spills(folder: Path) -> None:
    until = time.monotonic() + 60
    while not list(folder.glob(".mixing-*/*.spills/*")):
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_nothing_half(tmp_path: Path, stop: signal.Signals) -> None:
    process = start(settings(tmp_path / "out", [big(tmp_path)], processes=2))
    wait_for_spills(tmp_path / "out")
    if stop == signal.SIGINT:
        os.killpg(process.pid, stop)  # as a terminal does
    else:
        process.send_signal(stop)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + stop, "")
    assert err == "interrupted; nothing was written; run the same command again\n"
    assert list((tmp_path / "out").iterdir()) == []


def test_after_a_kill_no_process_is_left_and_the_next_mix_clears_up(tmp_path: Path) -> None:
    recipe = big(tmp_path)
    process = start(settings(tmp_path / "out", [recipe], processes=2))
    wait_for_spills(tmp_path / "out")
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert len(children) >= 2
    assert not alive
    assert list((tmp_path / "out").glob(".mixing-*"))
    assert not list((tmp_path / "out").glob("*.jsonl"))
    write_recipe(recipe, [("a.jsonl", 10)])
    assert launch.run(settings(tmp_path / "out", [recipe])) == 0
    assert sorted(everything(tmp_path / "out")) == ["knowledge_train.jsonl", "mix.yaml"]


def test_a_worker_that_is_killed_fails_the_mix(tmp_path: Path) -> None:
    process = start(settings(tmp_path / "out", [big(tmp_path)], processes=2))
    wait_for_spills(tmp_path / "out")
    workers = [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    workers[0].kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == "mixing failed: a process ended without an error message, maybe killed for lack of memory\n"
    assert list((tmp_path / "out").iterdir()) == []


def test_launching_imports_nothing_heavy() -> None:
    code = "import sys, ilab_cli.backends.mix.launch; print({'numpy', 'tqdm', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"

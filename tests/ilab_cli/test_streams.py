"""Streams and exit codes: results go to stdout, everything else to stderr; no traceback unless asked for."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ilab_profiles.yaml.read import parse
from tests.ilab_cli.terminal import talk
from tests.programs import Ilab

ROOT = Path(__file__).parents[2]
SAYING = [
    ["--help"],
    ["model", "train", "--help"],
    ["model", "train", "--dry-run"],
    ["model", "train", "--devide", "cuda"],
    ["model", "train", "--num-epochs"],
    ["profile", "list"],
    ["profile", "show", "multi_gpu"],
    ["profile", "show", "nothing"],
    ["nothing"],
]
BROKEN = """
import sys
import ilab_profiles.edit
from ilab_cli.app import main
ilab_profiles.edit.render_config = lambda *_: 1 / 0
main()
"""

STOPPED_WHILE_LOADING = """
import sys

class Stop:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Stop())
from ilab_cli.app import main
main()
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start ``ilab`` in an empty folder, its streams in pipes."""

    def run(*arguments: str, code: str = "from ilab_cli.app import main; main()") -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ILAB_")}
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": str(ROOT), "ILAB_PROFILE_DIR": str(tmp_path / "own")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def test_results_go_to_stdout_and_all_else_to_stderr(ilab: Ilab, tmp_path: Path) -> None:
    shown = ilab("profile", "show", "cpu_only")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert parse(shown.stdout).data["train"]["num_epochs"] == 2
    said = ilab("config", "init")
    assert (said.returncode, said.stdout) == (0, "")
    assert said.stderr.startswith("wrote config.yaml\nnext: ")
    refused = ilab("model", "train", "--num-epochs", "many")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--num-epochs" in refused.stderr


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, {"TERM": "xterm-256color"}])
def test_there_is_no_colour_in_a_pipe(ilab: Ilab, variables: dict[str, str]) -> None:
    for arguments in SAYING:
        done = ilab(*arguments, **variables)
        assert "\x1b" not in done.stdout + done.stderr, arguments


@pytest.mark.parametrize("arguments", [["--help"], ["model", "train", "--help"], ["profile", "list"], ["profile", "x"]])
def test_colour_can_be_asked_for_and_changes_no_word(ilab: Ilab, arguments: list[str]) -> None:
    plain, coloured = ilab(*arguments), ilab(*arguments, FORCE_COLOR="1")
    said = coloured.stdout + coloured.stderr
    assert "\x1b[1" in said
    assert re.sub(r"\x1b\[[0-9;]*m", "", said) == plain.stdout + plain.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("variables", "wanted"), [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False)])
def test_a_terminal_gets_colour_unless_it_has_none(tmp_path: Path, variables: dict[str, str], wanted: bool) -> None:
    done = talk(tmp_path, ["profile", "show", "nothing"], [], {"NO_COLOR": "", **variables})
    assert ("\x1b[" in done.shown) is wanted


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_tables_fit_and_cut_no_word(ilab: Ilab, width: int) -> None:
    whole = ilab("profile", "list", COLUMNS="1000").stdout
    table = ilab("profile", "list", COLUMNS=str(width)).stdout
    assert max(map(len, table.splitlines())) <= width
    assert set(table.split()) <= set(whole.split())
    assert "…" not in table


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_no_color_is_honoured_on_a_terminal(tmp_path: Path) -> None:
    import pty

    for arguments in SAYING:
        ours, theirs = pty.openpty()
        environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "TERM": "xterm-256color"}
        command = [sys.executable, "-m", "ilab_cli", *arguments]
        subprocess.run(command, cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, check=False)
        os.close(theirs)
        assert b"\x1b" not in os.read(ours, 65536), arguments
        os.close(ours)


def test_quiet_silences_notes_but_not_errors(ilab: Ilab) -> None:
    for arguments in (["--quiet", "config", "init", "--force"], ["config", "init", "--force", "--quiet"]):
        assert ilab(*arguments).stderr == ""
    assert "did you mean cpu_only?" in ilab("profile", "show", "cpu_onli", "--quiet").stderr
    assert ilab("profile", "show", "cpu_only", "--quiet").stdout == ilab("profile", "show", "cpu_only").stdout


def test_warnings_are_for_who_has_not_asked_for_quiet(ilab: Ilab, tmp_path: Path) -> None:
    command = ["model", "train", "--dry-run", "--lora-rank", "4"]
    assert "warning[lora-rank-needs-lora]" in ilab(*command).stderr
    assert "warning[" not in ilab(*command, "--quiet").stderr
    for log_level, warned in {"ERROR": False, "WARNING": True}.items():
        (tmp_path / "config.yaml").write_text(f"general: {{log_level: {log_level}}}\n")
        assert ("warning[lora-rank-needs-lora]" in ilab(*command).stderr) is warned


def test_verbose_changes_no_result(ilab: Ilab) -> None:
    for arguments in (["profile", "show", "cpu_only"], ["model", "train", "--dry-run"]):
        assert ilab(*arguments, "--verbose").stdout == ilab(*arguments).stdout


def test_a_fault_of_the_program_is_one_line_unless_debug_asks_for_more(start: Start, tmp_path: Path) -> None:
    short = start("config", "init", code=BROKEN)
    out, said = short.communicate(timeout=60)
    assert (short.returncode, out) == (1, "")
    assert said == "ilab failed: ZeroDivisionError: division by zero\n--debug shows where\n"
    long = start("config", "init", "--debug", code=BROKEN)
    assert "Traceback" in long.communicate(timeout=60)[1]
    assert long.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_no_traceback_for_bad_input(ilab: Ilab) -> None:
    done = ilab("profile", "show", "cpu_onli", "--debug")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [line for line in SAYING if line != ["nothing"]], ids=" ".join)
def test_who_has_read_enough_sees_no_traceback(start: Start, arguments: list[str]) -> None:
    process = start(*arguments)
    assert process.stdout is not None
    process.stdout.close()  # as `| head -1` does
    process.stdout = None
    said = process.communicate(timeout=60)[1]
    assert not {word for word in ("Traceback", "BrokenPipe", "ilab failed", "Exception ignored") if word in said}
    assert process.returncode in (0, 2, 141)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_and_is_a_failure(ilab: Ilab, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ilab_cli", "profile", "show", "cpu_only"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["profile", "validate", "cpu_only"], 0),
        (["profile", "validate", "nothing"], 2),
        (["nothing"], 2),
        (["model", "nothing"], 2),
        (["model", "train", "--num-epochs"], 2),
        (["model", "train", "surplus"], 2),
        (["profile", "diff"], 2),
    ],
)
def test_exit_codes(ilab: Ilab, arguments: list[str], code: int) -> None:
    done = ilab(*arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a named pipe to wait at")
@pytest.mark.parametrize("arguments", [["profile", "list"], ["config", "init"], ["system", "info"], ["model", "train"]])
def test_a_working_folder_that_is_gone_is_one_finding(tmp_path: Path, arguments: list[str]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = shlex.join([sys.executable, "-m", "ilab_cli", *arguments])
    command = ["sh", "-c", f"rmdir {shlex.quote(str(gone))}; exec {program}"]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=gone, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error[no-working-folder]")


def test_an_interrupted_command_ends_with_130(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ilab_cli", "model", "train", "--config", "/dev/stdin"]  # to which nobody writes
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        time.sleep(2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.stderr
        said = process.stderr.read()
        assert process.wait(30) == 130
    assert "interrupted" in said
    assert "Traceback" not in said


def test_quiet_reaches_the_work_itself(ilab: Ilab, tmp_path: Path) -> None:
    for needed in ("aiohttp", "jinja2", "numpy", "tqdm"):
        pytest.importorskip(needed, reason="needs the extra `generate`")
    messages = '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]'
    (tmp_path / "data.jsonl").write_text('{"messages": ' + messages + "}\n")
    (tmp_path / "recipe.yaml").write_text("datasets: [{path: data.jsonl, sampling_size: 1.0}]\n")
    done = ilab("--quiet", "data", "mix", "--skill-recipes", "recipe.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "skills_train.jsonl" in done.stdout


def test_quiet_keeps_what_is_refused(ilab: Ilab) -> None:
    done = ilab("--quiet", "model", "train", "--devide=cuda")
    assert done.returncode == 2
    assert "did you mean --device?" in done.stderr


def test_ctrl_c_while_modules_load_is_no_traceback(start: Start) -> None:
    process = start("profile", "list", code=STOPPED_WHILE_LOADING)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


def test_version(ilab: Ilab) -> None:
    done = ilab("--version", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ilab ")
    assert "--version" in ilab("--help").stdout


def test_names_that_cannot_be_written_are_written_otherwise(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "gemüse.yaml").write_text("extends: cpu_only\n")
    text = ilab("profile", "list", PYTHONIOENCODING="ascii")
    assert (text.returncode, text.stderr) == (0, "")
    assert "gem\\xfcse" in text.stdout
    rows = json.loads(ilab("profile", "list", "--json", PYTHONIOENCODING="ascii").stdout)
    assert "gemüse" in [row["name"] for row in rows]

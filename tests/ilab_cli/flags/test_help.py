"""``--help`` tells the truth: the values in force and who gives them, for whatever chooses them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.flags import table
from ilab_cli.flags.help import LEVELS
from ilab_cli.flags.make import make_flags
from ilab_profiles.catalog import built_in_files
from ilab_profiles.diagnostics import counted
from ilab_profiles.yaml.read import parse
from tests.programs import Ilab

ROOT = Path(__file__).parents[3]
COMMANDS = {"train": ["model", "train"], "evaluate": ["model", "evaluate", "--benchmarks", "mmlu"]}


def rows(page: str) -> dict[str, str]:
    """What a page of help says of each flag, lines joined."""
    joined = re.sub(r"\n {20,}", " ", page)
    found = (re.match(r"  --([\w-]+)(?: / --no-[\w-]+| \S+)?\s+(.*)", line) for line in joined.splitlines())
    return {row[1]: row[2] for row in found if row}


def in_force(page: str, section: str = "train") -> dict[str, tuple[str, str]]:
    """The value of each flag of a page, as text with its unit, and who gives it."""
    texts, found = rows(page), {}
    for flag in make_flags(section):
        if text := texts.get(flag.names[0]):
            assert text.startswith(f"{flag.help} "), text
            value, _, origin = text.removeprefix(flag.help).strip()[1:-1].rpartition(", ")
            found[flag.names[0]] = ("unset", "default") if origin == "unset" else (value, origin)
    return found


# --- who gives a value ------------------------------------------------------------------------------------------------


def test_without_any_choice_it_is_the_default_profile(ilab: Ilab) -> None:
    done = ilab("model", "train", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "In force: profile cpu_only." in done.stdout
    now = in_force(done.stdout)
    assert now["num-epochs"] == ("2 epochs", "profile cpu_only")
    assert now["learning-rate"] == ("2e-05", "default")
    assert now["model-path"] == ("unset", "default")


@pytest.mark.parametrize(
    ("arguments", "config", "variables", "profile", "epochs"),
    [
        (["--profile", "multi_gpu"], None, {}, "multi_gpu", ("8 epochs", "profile multi_gpu")),
        (["--profile=multi-gpu/l4-x8"], None, {}, "multi_gpu/l4_x8", ("8 epochs", "profile multi_gpu")),
        (["--profile", "mine"], None, {}, "mine", ("5 epochs", "own/mine.yaml:3:15")),
        (["--profile", "own/mine.yaml"], None, {}, "own/mine.yaml", ("5 epochs", "own/mine.yaml:3:15")),
        ([], None, {"ILAB_PROFILE": "multi_gpu"}, "multi_gpu", ("8 epochs", "profile multi_gpu")),
        (["--profile", "mine"], None, {"ILAB_PROFILE": "x"}, "mine", ("5 epochs", "own/mine.yaml:3:15")),
        ([], "profile: single-gpu", {}, "single_gpu", ("10 epochs", "profile single_gpu")),
        ([], "profile: mine", {}, "mine", ("5 epochs", "own/mine.yaml:3:15")),
        ([], "profile:\n  train: {num_epochs: 3}", {}, "settings of its own", ("3 epochs", "config.yaml:2:23")),
        ([], "profile: {extends: mine}", {}, "mine with other settings", ("5 epochs", "own/mine.yaml:3:15")),
        (
            [],
            "profile:\n  extends: single-gpu\n  train: {num-epochs: 3}",
            {},
            "single-gpu with other settings",
            ("3 epochs", "config.yaml:3:23"),
        ),
        ([], None, {"ILAB_TRAIN__NUM_EPOCHS": "4"}, "cpu_only", ("4 epochs", "ILAB_TRAIN__NUM_EPOCHS")),
        ([], None, {"ILAB_TRAIN__SEED": "4"}, "cpu_only", ("2 epochs", "profile cpu_only")),
        (["--config", "more.json"], None, {}, "cpu_only, and over it more.json", ("6 epochs", "more.json:1:16")),
        (["--epochs", "7"], "profile: mine", {}, "mine", ("7 epochs", "--num-epochs")),
        (["--num_epochs=7"], None, {"ILAB_TRAIN__NUM_EPOCHS": "4"}, "cpu_only", ("7 epochs", "--num-epochs")),
    ],
)
def test_it_says_who_gives_a_value(
    ilab: Ilab,
    tmp_path: Path,
    arguments: list[str],
    config: str | None,
    variables: dict[str, str],
    profile: str,
    epochs: tuple[str, str],
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.yaml").write_text("extends: single_gpu\ntrain:\n  num_epochs: 5\n")
    (tmp_path / "more.json").write_text('{"num_epochs": 6}')
    if config:
        (tmp_path / "config.yaml").write_text(config)
    page = ilab("model", "train", *arguments, "--help", **variables).stdout
    assert re.search(f"In force: (profile )?{profile}[.] ", page)
    value, origin = in_force(page)["num-epochs"]
    assert value == epochs[0]
    assert origin.endswith(epochs[1])


@pytest.mark.parametrize("section", COMMANDS)
@pytest.mark.parametrize("profile", built_in_files())
def test_help_and_a_dry_run_agree(ilab: Ilab, section: str, profile: str) -> None:
    command = [*COMMANDS[section], "--profile", profile]
    settings = ilab(*command, "--dry-run").stdout.partition("\n\n")[0]
    _agree(section, ilab(*command, "--help-all").stdout, parse(settings).data)


@pytest.mark.parametrize("section", COMMANDS)
def test_help_and_a_dry_run_agree_on_settings_of_ones_own(ilab: Ilab, tmp_path: Path, section: str) -> None:
    (tmp_path / "config.yaml").write_text(
        "profile:\n  extends: single_gpu\n  train: {gpus: [0, 2], lora: {target_modules: [q, k]}}\n"
    )
    command = COMMANDS[section]
    variables = {"ILAB_TRAIN__DATA_PATH": "a, b [c]", "ILAB_EVALUATE__OUTPUT_DIR": "yes"}
    settings = ilab(*command, "--dry-run", **variables).stdout.partition("\n\n")[0]
    _agree(section, ilab(*command, "--help-all", **variables).stdout, parse(settings).data)


@pytest.mark.parametrize(
    ("profile", "flags"),
    [
        ("cpu_only", ["--accelerator=deepspeed"]),
        ("single_gpu", ["--accelerator", "fsdp", "--no-lora", "--quantize-dtype="]),
        ("cpu_only", ["--accelerator", "fsdp", "--no-fsdp"]),
    ],
)
def test_help_and_a_dry_run_agree_on_what_an_accelerator_implies(ilab: Ilab, profile: str, flags: list[str]) -> None:
    command = ["model", "train", "--profile", profile, *flags]
    settings = ilab(*command, "--dry-run").stdout.partition("\n\n")[0]
    _agree("train", ilab(*command, "--help-all").stdout, parse(settings).data)


def _agree(section: str, page: str, settings: Any) -> None:
    shown = in_force(page, section)
    for flag in make_flags(section):
        value = settings
        for part in flag.path.split("."):
            value = value[part]
        text, _ = shown[flag.names[0]]
        text = text.removesuffix(f" {flag.unit}").removesuffix(counted(1, flag.unit).removeprefix("1"))
        told = None if text == "unset" else text if isinstance(value, str) else parse(f"told: {text}").data["told"]
        assert told == (None if value in ([], None) else value), flag.path


# --- what is refused, what is secret ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("profile: singel_gpu\n", "config.yaml:1:10: error[unknown-profile]"),
        ("profile: [\n", "config.yaml:"),
        ("profile: {train: {num_epochs: many}}\n", "config.yaml:1:31: error[bad-value]"),
        ('profile: ""\n', "config.yaml:1:10: error[unknown-profile]"),
        ("profile: single_gpu\nfoo: 1\n", "config.yaml:2:1: error[unknown-key]"),
        ("profile: single_gpu\nfoo: {}\n", "config.yaml:2:1: error[unknown-key]"),
        ("profile: single_gpu\ntrain: {seed: 1}\n", "config.yaml:2:1: error[unknown-key]"),
        ("profile: single_gpu\nserve.max_ctx_size: 1\n", "config.yaml:2:1: error[unknown-key]"),
        ("general: {log_level: LOUD}\n", "config.yaml:1:22: error[bad-value]"),
        ("serve: {max_ctx_size: 0}\n", "config.yaml:1:23: error[bad-value]"),
        ("profile: {extends: single_gpu, train: {num_epochs: 0}}\n", "config.yaml:1:52: error[bad-value]"),
        ("profile: {extends: single_gpu, train: {seed: 1, seeds: 1}}\n", "config.yaml:1:49: error[unknown-key]"),
        ("profile: {extends: cpu_only, train: {num-epochs: 1, num_epochs: 2}}\n", "error[duplicate-key]"),
        ("profile: {extends: single_gpu, train: {lora: {enabled: false}}}\n", "error[quantize-needs-lora]"),
    ],
)
def test_help_shows_although_the_settings_are_refused_and_says_so(
    ilab: Ilab, tmp_path: Path, config: str, said: str
) -> None:
    (tmp_path / "config.yaml").write_text(config)
    done = ilab("model", "train", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Your settings are invalid; showing defaults" in done.stdout
    assert said in " ".join(done.stdout.split())
    assert in_force(done.stdout)["num-epochs"] == ("2 epochs", "profile cpu_only")


@pytest.mark.parametrize(
    ("arguments", "config", "variables"),
    [
        ([], "profile: {extends: multi_gpu, evaluate: {mt: {api_key: sk-hidden}}}", {}),
        ([], "profile: cpu_only", {"ILAB_EVALUATE__MT__API_KEY": "sk-hidden"}),
        (["--api-key", "sk-hidden"], "profile: cpu_only", {}),
        ([], "profile: {evaluate: {mt: {api_key: [sk-hidden]}}}", {}),
    ],
)
def test_a_secret_never_shows(
    ilab: Ilab, tmp_path: Path, arguments: list[str], config: str, variables: dict[str, str]
) -> None:
    (tmp_path / "config.yaml").write_text(config)
    done = ilab("model", "evaluate", *arguments, "--help-all", **variables)
    assert done.returncode == 0
    assert "sk-hidden" not in done.stdout + done.stderr
    assert "[sk-hidden]" in config or "**********" in done.stdout


def test_a_secret_never_shows_where_the_settings_are_refused(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("profile: nothing")
    done = ilab("model", "evaluate", "--api-key=sk-hidden", "--help-all")
    assert (done.returncode, done.stderr) == (0, "")
    assert "sk-hidden" not in done.stdout


# --- which flags show -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("profile", "level"), [("cpu_only", 0), ("single_gpu", 1), ("multi_gpu", 2)])
def test_the_level_of_the_profile_says_which_flags_show(ilab: Ilab, profile: str, level: int) -> None:
    shown = rows(ilab("model", "train", "--profile", profile, "--help").stdout)
    for flag in make_flags("train"):
        if flag.path.count(".") == 1:
            assert (flag.names[0] in shown) == (LEVELS.index(flag.expertise) <= level), flag.names[0]


@pytest.mark.parametrize(
    ("arguments", "lora", "deepspeed"),
    [
        (["--profile", "cpu_only"], False, False),
        (["--profile", "single_gpu"], True, False),
        (["--profile", "single_gpu", "--no-lora"], False, False),
        (["--profile", "cpu_only", "--lora"], True, False),
        (["--profile", "multi_gpu"], False, True),
        (["--profile", "cpu_only", "--accelerator=deepspeed"], False, True),
        (["--profile", "multi_gpu", "--accelerator=fsdp"], False, False),
    ],
)
def test_the_numbers_of_a_section_show_where_it_is_on(
    ilab: Ilab, arguments: list[str], lora: bool, deepspeed: bool
) -> None:
    shown = rows(ilab("model", "train", *arguments, "--help").stdout)
    assert "lora" in shown
    assert ("lora-rank" in shown, "zero-stage" in shown) == (lora, deepspeed)


def test_a_list_may_be_repeated(ilab: Ilab) -> None:
    typed = ["--benchmarks", "mmlu", "--benchmarks", "mt", "--mt-endpoint", "localhost:1", "--mt-data-dir", "mt"]
    page = ilab("model", "evaluate", *typed, "--help").stdout
    assert in_force(page, "evaluate")["benchmarks"] == ("[mmlu, mt_bench]", "--benchmarks")
    assert {"few-shots", "mt-model"} <= {*rows(page)}


@pytest.mark.parametrize("section", ["train", "evaluate"])
def test_help_all_shows_every_flag_and_help_says_how_many_are_left(ilab: Ilab, section: str) -> None:
    every = ilab("model", section, "--help-all").stdout
    assert [flag.names[0] for flag in make_flags(section)] == list(in_force(every, section))
    some = ilab("model", section, "-h").stdout
    assert some == ilab("model", section, "--help").stdout
    left = len(in_force(every, section)) - len(in_force(some, section))
    assert f"Show {left} hidden flags" in some


def test_hidden_flags_work(ilab: Ilab) -> None:
    assert "--max-grad-norm" not in ilab("model", "train", "--help").stdout
    assert "max_grad_norm: 0.5  # --max-grad-norm" in ilab("model", "train", "--max-grad-norm=0.5", "--dry-run").stdout


@pytest.mark.parametrize("columns", ["20", "80", "300"])
def test_it_fits_the_terminal(ilab: Ilab, columns: str) -> None:
    page = ilab("model", "train", "--profile", "multi_gpu", "--help-all", COLUMNS=columns).stdout
    widest = max(len(line) for line in page.splitlines() if line.startswith(" " * 20))
    assert widest <= max(int(columns), 60)


# --- the table, and a new field ---------------------------------------------------------------------------------------


def test_the_generated_table_is_fresh() -> None:
    assert table.FILE.read_text() == table.text(), "run `nox -s generate`"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the source tree."""
    for name in ("ilab_profiles", "ilab_cli", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


def run_in(copy: Path, *arguments: str, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ILAB_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env=environment | {"PYTHONPATH": str(copy)} | variables,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_a_new_field_has_its_flag_help_completion_and_schema_at_once(copy: Path) -> None:
    models = copy / "ilab_profiles" / "models" / "train.py"
    field = '    handedness: Literal["left", "right"] = setting("left", "Which hand to write with")\n'
    before = "    num_epochs: int = setting("
    assert before in models.read_text()
    models.write_text(models.read_text().replace(before, field + before))
    page = run_in(copy, "-m", "ilab_cli", "model", "train", "--help")
    assert rows(page)["handedness"] == "Which hand to write with  [left, default]"
    assert "--handedness left|right" in page
    asked = {"_ILAB_COMPLETE": "complete_bash", "COMP_CWORD": "4"}
    assert run_in(copy, "-m", "ilab_cli", COMP_WORDS="ilab model train --handedness r", **asked) == "right\n"
    assert "--handedness\n" in run_in(copy, "-m", "ilab_cli", COMP_WORDS="ilab model train x --ha", **asked)
    schema = run_in(copy, "-c", "import ilab_profiles; print(ilab_profiles.json_schema())")
    assert "'enum': ['left', 'right']" in schema
    (copy / "config.yaml").write_text("profile: {train: {handedness: right}}\n")
    assert rows(run_in(copy, "-m", "ilab_cli", "model", "train", "--help"))["handedness"].endswith(
        "[right, config.yaml:1:31]"
    )


def test_a_profile_that_changed_after_the_table_was_made_is_read_anew(copy: Path) -> None:
    profile = copy / "profiles" / "cpu_only.yaml"
    profile.write_text(profile.read_text().replace("num_epochs: 2", "num_epochs: 9"))
    page = run_in(copy, "-m", "ilab_cli", "model", "train", "--help")
    assert in_force(page)["num-epochs"] == ("9 epochs", "profile cpu_only")


def test_library_code_that_changed_after_the_table_was_made_counts(copy: Path) -> None:
    layers = copy / "ilab_profiles" / "loading" / "layers.py"
    implied = '"train.deepspeed.enabled": True, "train.fsdp.enabled": False'
    assert implied in layers.read_text()
    layers.write_text(layers.read_text().replace(implied, '"train.deepspeed.enabled": True'))
    page = run_in(copy, "-m", "ilab_cli", "model", "train", "--accelerator=deepspeed", "--help-all")
    assert in_force(page)["fsdp"] == ("false", "default")


@pytest.mark.parametrize("content", ["", "{}", "[", '{"checksum": 0, "flags": {}, "profiles": {}}'])
def test_a_table_that_cannot_be_used_is_made_anew(copy: Path, content: str) -> None:
    (copy / "ilab_cli" / "flags" / "table.json").write_text(content)
    page = run_in(copy, "-m", "ilab_cli", "model", "train", "--help")
    assert in_force(page)["num-epochs"] == ("2 epochs", "profile cpu_only")


def test_settings_at_the_top_of_a_profile_may_come_from_the_environment(ilab: Ilab) -> None:
    assert "--packing" in ilab("model", "train", "--help", ILAB_EXPERTISE="expert").stdout


@pytest.mark.parametrize(
    ("typed", "refused"),
    [
        (["--epochs=abc"], "bad-value"),
        (["--epochs", "0"], "bad-value"),
        (["--device=gpu"], "bad-value"),
        (["--quantize-dtype", "nf4"], "quantize-needs-lora"),
        (["--gpus", "0-3"], ""),
        (["--epochs=3", "--lora"], ""),
    ],
)
def test_it_says_that_what_is_typed_is_refused(ilab: Ilab, typed: list[str], refused: str) -> None:
    page = ilab("model", "train", "--profile", "cpu_only", *typed, "--help").stdout
    assert ("Your settings are invalid" in page) is bool(refused)
    assert refused in page

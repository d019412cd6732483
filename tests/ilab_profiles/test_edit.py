from __future__ import annotations

import codecs
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ilab_profiles import InputError, load
from ilab_profiles.edit import fix, init, render_config, set_value, set_values
from ilab_profiles.loading.config_file import config_layers, config_settings
from ilab_profiles.loading.merge import merge
from ilab_profiles.rules.table import RULES
from ilab_profiles.rules.violations import violations
from ilab_profiles.yaml import files
from ilab_profiles.yaml.read import parse, read
from ilab_profiles.yaml.write import dump
from tests.ilab_profiles.rules.test_rules import CASES

PROFILE = """\
# my profile
description: 'mine'  # short
extends: single-gpu

train:
    num-epochs: 3   # enough
    learning_rate: 1e-4
"""


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(PROFILE)
    return path


def test_a_setting_is_set_in_any_spelling(profile: Path) -> None:
    set_value(profile, "train.epochs", "5")
    set_value(profile, "train.lora.lora-rank", 4)
    set_value(profile, "evaluate.benchmarks", ["mmlu"])
    new = PROFILE.replace("num-epochs: 3 ", "num-epochs: 5 ") + "    lora:\n        lora_rank: 4\n"
    assert profile.read_text() == new + "evaluate:\n    benchmarks: [mmlu]\n"
    assert load(str(profile)).train.num_epochs == 5
    set_value(profile, "extends", "cpu_only")
    assert load(str(profile)).train.lora.lora_rank == 4


def test_several_settings_are_set_at_once_or_not_at_all(profile: Path) -> None:
    with pytest.raises(InputError) as refused:
        set_values(profile, {"train.seed": 5, "train.sede": 1, "train.lora": 3})
    assert [finding.rule for finding in refused.value.findings] == ["unknown-setting", "not-a-setting"]
    with pytest.raises(InputError, match="quantize-needs-lora"):
        set_values(profile, {"train.num_epochs": 4, "train.lora.enabled": False})
    assert profile.read_text() == PROFILE
    both = {"train.lora.enabled": False, "train.deepspeed.quantize_dtype": None, "train.num_epochs": 4}
    set_values(profile, both)
    assert "num-epochs: 4   # enough" in profile.read_text()
    assert load(str(profile)) == load("single_gpu").replace(
        {**both, "description": "mine", "train.learning_rate": 1e-4}
    )


def test_what_python_has_for_a_value_is_written(profile: Path) -> None:
    set_value(profile, "extends", "cpu_only")
    set_value(profile, "train.output_dir", Path("runs/x"))
    set_value(profile, "train.gpus", (0, 1))
    assert profile.read_text().endswith("    output_dir: runs/x\n    gpus: [0, 1]\n")


def test_links_that_lead_in_a_circle_are_findings(tmp_path: Path) -> None:
    link = tmp_path / "loop.yaml"
    link.symlink_to(link)
    for act in (lambda: set_value(link, "train.num_epochs", 3), lambda: init(link, "cpu_only"), lambda: load(link)):
        with pytest.raises(InputError):
            act()
    assert link.is_symlink()


def test_a_value_that_is_no_yaml_is_told_by_the_setting_alone(profile: Path) -> None:
    with pytest.raises(InputError) as caught:
        set_value(profile, "train.num_epochs", "{")
    (finding,) = caught.value.findings
    assert (finding.path, finding.position) == ("train.num_epochs", None)


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("train.num_epochs", "many", "bad-value"),
        ("train.num_epoch", 3, "unknown-setting"),
        ("train.lora", 3, "not-a-setting"),
        ("train.lora.enabled", False, "quantize-needs-lora"),
        ("extends", "single_gpuu", "unknown-profile"),
        ("extends", "mine.yaml", "extends-circle"),
        ("chat.model", "x", "unknown-key"),
    ],
)
def test_what_would_be_refused_is_not_written(profile: Path, path: str, value: object, rule: str) -> None:
    before = profile.stat()
    with pytest.raises(InputError) as caught:
        set_value(profile, path, value)
    assert rule in {finding.rule for finding in caught.value.findings}
    assert profile.read_text() == PROFILE
    assert (profile.stat().st_ino, profile.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [path.name for path in profile.parent.iterdir()] == ["mine.yaml"]


def test_mode_and_link_stay(profile: Path, tmp_path: Path) -> None:
    profile.chmod(0o640)
    (tmp_path / "link.yaml").symlink_to("mine.yaml")
    set_value(tmp_path / "link.yaml", "train.seed", 7)
    assert (tmp_path / "link.yaml").is_symlink()
    assert profile.stat().st_mode & 0o777 == 0o640
    assert load(str(profile)).train.seed == 7
    init(tmp_path / "new.yaml", "cpu_only")
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "new.yaml").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")],
)
def test_the_encoding_stays(profile: Path, mark: bytes, encoding: str) -> None:
    text = PROFILE.replace("\n", "\r\n")
    profile.write_bytes(mark + text.encode(encoding))
    set_value(profile, "train.num_epochs", 4)
    assert profile.read_bytes() == mark + text.replace("num-epochs: 3", "num-epochs: 4").encode(encoding)


@pytest.mark.parametrize("path", ["gone.yaml", ".", "fifo"])
def test_what_is_no_file_is_refused(tmp_path: Path, path: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match=r"error\[unreadable-file\]"):
        set_value(tmp_path / path, "train.seed", 7)


def test_a_config_file_takes_settings_of_its_profile_and_its_own(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(render_config("single_gpu"))
    set_value(path, "serve.max_ctx_size", "512")
    set_value(path, "train.num_epochs", 2)
    set_value(path, "profile.train.seed", 3)
    set_value(path, "extends", "cpu_only")
    config, layers = config_settings(path)[0], config_layers(read(path), path)
    assert config.serve.max_ctx_size == 512
    assert config.profile == {"extends": "cpu_only", "train": {"num_epochs": 2, "seed": 3}}
    assert merge(layers).profile.train.num_epochs == 2
    assert len(path.read_text().splitlines()) == len(render_config().splitlines()) + 4
    with pytest.raises(InputError, match="profile-inside"):
        set_value(path, "profile", "multi_gpu")
    with pytest.raises(InputError, match="bad-value"):
        set_value(path, "serve.max_ctx_size", 0)


def test_an_empty_config_file_rests_on_the_default_profile(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.touch()
    set_value(path, "train.seed", 3)
    assert parse(path.read_text()).data == {"profile": {"extends": "cpu_only", "train": {"seed": 3}}}


# --- fixes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [rule.id for rule in RULES if rule.fix])
def test_fix_mends_every_rule_that_has_a_fix(profile: Path, rule: str) -> None:
    case = CASES[rule][0]
    data: dict[str, Any] = {}
    for path, value in case.items():
        *sections, name = path.split(".")
        here = data
        for section in sections:
            here = here.setdefault(section, {})
        here[name] = value
    text = dump(data, lambda path: f"about {path}")
    profile.write_text(text)
    assert rule in {finding.rule for finding in fix(profile, unsafe=True)}
    assert rule not in {violation.rule for violation in violations(load(str(profile)))}
    comments = [line.partition("#")[2] for line in text.splitlines()]
    assert [line.partition("#")[2] for line in profile.read_text().splitlines() if "#" in line] == [
        comment for comment in comments if comment
    ]
    before = profile.stat().st_ino
    assert fix(profile) == []
    assert profile.stat().st_ino == before


def test_what_no_fix_mends_is_raised(profile: Path) -> None:
    profile.write_text("train:\n  max_batch_len: 1\n  deepspeed: {quantize_dtype: nf4}  # one\n  seeed: 1\n")
    with pytest.raises(InputError) as caught:
        fix(profile)
    assert {finding.rule for finding in caught.value.findings} == {"batch-holds-a-sample", "unknown-key"}
    assert caught.value.__notes__ == ["fixed [quantize-needs-lora]: train.lora.enabled: true"]
    assert profile.read_text().endswith("{quantize_dtype: nf4}  # one\n  seeed: 1\n  lora:\n    enabled: true\n")


def test_fixes_that_would_undo_each_other_are_left(profile: Path) -> None:
    text = "train: {deepspeed: {enabled: true}, fsdp: {enabled: true, fsdp_cpu_offload: true}}\n"
    profile.write_text(text)
    with pytest.raises(InputError) as caught:
        fix(profile)
    assert [finding.rule for finding in caught.value.findings] == ["deepspeed-or-fsdp"]
    assert profile.read_text() == text


def test_fix_reaches_the_profile_of_a_config_file(tmp_path: Path, profile: Path) -> None:
    profile.write_text("train: {deepspeed: {quantize_dtype: nf4}}\n")
    path = tmp_path / "config.yaml"
    path.write_text("profile: ./mine.yaml  # mine\n")
    assert [finding.rule for finding in fix(path)] == ["quantize-needs-lora"]
    new = "profile:  # mine\n  extends: ./mine.yaml\n  train:\n    lora:\n      enabled: true\n"
    assert path.read_text() == new


# --- new profiles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["new.yaml", "deep/new.yml", "new.json"])
def test_a_new_profile_extends_its_base(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    init(path, "single_gpu", {"train.epochs": "2", "train.lora.lora-rank": 4, "description": "new"}, schema="s.json")
    profile = load(str(path))
    assert (profile.train.num_epochs, profile.train.lora.lora_rank, profile.description) == (2, 4, "new")
    assert profile.train.deepspeed.enabled
    first = "{\n" if path.suffix == ".json" else "# yaml-language-server: $schema=s.json\n"
    assert path.read_text().startswith(first)
    set_value(path, "train.seed", 9)
    assert load(str(path)).train.seed == 9
    before = path.read_text()
    with pytest.raises(InputError, match="file-exists"):
        init(path, "cpu_only")
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("base", "settings", "rules"),
    [
        ("single_gpuu", {}, {"unknown-profile"}),
        ("cpu_only", {"train.x": 1, "train.lora": 2}, {"unknown-setting", "not-a-setting"}),
        (
            "cpu_only",
            {"train.seed": "x", "train.deepspeed.quantize_dtype": "nf4"},
            {"bad-value", "quantize-needs-lora"},
        ),
    ],
)
def test_a_new_profile_that_would_be_refused_is_not_written(
    tmp_path: Path, base: str, settings: dict[str, Any], rules: set[str]
) -> None:
    with pytest.raises(InputError) as caught:
        init(tmp_path / "new" / "new.yaml", base, settings)
    assert rules <= {finding.rule for finding in caught.value.findings}
    assert list(tmp_path.iterdir()) == []


# --- several writers --------------------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from ilab_profiles import load
from ilab_profiles.edit import set_value
file, key, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
for number in range(1, count + 1):
    set_value(file, f"train.{key}", number)
    assert getattr(load(str(file)).train, key) == number, "lost"
"""


def writer(file: Path, key: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(file), key, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_writers_lose_nothing(profile: Path) -> None:
    pair = [writer(profile, key, 30) for key in ("seed", "warmup_steps")]
    assert [(process.communicate()[1], process.returncode) for process in pair] == [("", 0)] * 2
    train = load(str(profile)).train
    assert (train.seed, train.warmup_steps) == (30, 30)
    assert [path.name for path in profile.parent.iterdir()] == ["mine.yaml"]


REPLACER = """
import sys
from pathlib import Path
from ilab_profiles.yaml import files
file = Path(sys.argv[1])
one, other = (b"a: 1\\n" * 1_000_000, b"b: 2\\n" * 1_500_000)
files.replace(file, one, expected=file.read_bytes())
print("ready", flush=True)
while True:
    files.replace(file, other, expected=one)
    files.replace(file, one, expected=other)
"""


@pytest.mark.parametrize("delay", [0.01, 0.017, 0.023, 0.031, 0.04])
def test_a_killed_writer_leaves_a_whole_file(profile: Path, delay: float) -> None:
    command = [sys.executable, "-c", REPLACER, str(profile)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    assert profile.read_bytes() in (b"a: 1\n" * 1_000_000, b"b: 2\n" * 1_500_000)
    profile.write_text(PROFILE)
    set_value(profile, "train.seed", 5)
    assert load(str(profile)).train.seed == 5


def test_a_writer_that_asks_nobody_is_not_overwritten(profile: Path) -> None:
    old = profile.read_bytes()
    profile.write_text("description: other\n")
    with pytest.raises(InputError, match=r"error\[file-changed\]"):
        files.replace(profile, b"{}", expected=old)
    assert profile.read_text() == "description: other\n"

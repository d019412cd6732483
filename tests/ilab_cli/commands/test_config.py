from __future__ import annotations

import json
import stat
from importlib.util import find_spec
from pathlib import Path

import pytest

from ilab_profiles import check, load
from ilab_profiles.yaml.read import parse, read
from tests.ilab_cli.driver import NO_GPU, gpus
from tests.ilab_cli.terminal import CTRL_D, talk
from tests.programs import Ilab

OLD = """version: 1.0.0
generate: {num_instructions: -1}
serve: {vllm: {llm_family: granite}}
train:
  ckpt_output_dir: checkpoints
  nproc_per_node: 2
  device: cuda
  sed: 3
"""


# --- init -------------------------------------------------------------------------------------------------------------


def test_init_writes_a_commented_file_that_chooses_the_profile(ilab: Ilab, tmp_path: Path) -> None:
    done = ilab("config", "init", "--profile", "single-gpu")
    assert (done.returncode, done.stdout) == (0, "")
    text = (tmp_path / "config.yaml").read_text()
    assert parse(text).data["profile"] == "single-gpu"
    assert set(parse(text).data) == {"chat", "general", "profile", "serve"}
    assert text.count("#") > 10


def test_init_takes_cpu_only_where_no_profile_is_named(ilab: Ilab, tmp_path: Path) -> None:
    assert ilab("config", "init").returncode == 0
    assert read(tmp_path / "config.yaml").data["profile"] == "cpu_only"


def test_init_offers_the_profiles_at_a_terminal_the_fitting_one_first(tmp_path: Path) -> None:
    dialogue = [("Profile [cpu_only]: ", "singel_gpu\n"), ("Profile [cpu_only]: ", "single_gpu\n")]
    done = talk(tmp_path, ["config", "init"], dialogue, NO_GPU)
    assert done.returncode == 0
    assert done.shown.splitlines()[1].startswith("cpu_only ")
    assert "did you mean single_gpu?" in done.shown
    assert "next: " in done.shown
    assert parse((tmp_path / "config.yaml").read_text()).data["profile"] == "single_gpu"


@pytest.mark.parametrize(
    ("count", "offered", "said"),
    [
        (1, "single_gpu/l4", "(made for exactly this machine)"),
        (4, "single_gpu/l4", "4 x NVIDIA L4, 22.5 GiB; it uses 1 of 4 GPUs; "),
    ],
)
def test_init_offers_the_profile_of_the_machine_and_says_what_differs(
    tmp_path: Path, count: int, offered: str, said: str
) -> None:
    machine = gpus(tmp_path, "NVIDIA L4", 23034, count)
    done = talk(tmp_path, ["config", "init"], [(f"Profile [{offered}]: ", "\n")], machine | {"COLUMNS": "1000"})
    assert done.returncode == 0
    assert said in done.shown
    assert parse((tmp_path / "config.yaml").read_text()).data["profile"] == offered


def test_init_that_asks_nothing_says_what_it_passes_over(ilab: Ilab, tmp_path: Path) -> None:
    machine = gpus(tmp_path, "NVIDIA L4", 23034, 8)
    done = ilab("config", "init", **machine)
    assert read(tmp_path / "config.yaml").data["profile"] == "cpu_only"
    assert "took cpu_only, as no profile was named; for this machine there is multi_gpu/l4_x8: 8 x " in done.stderr
    assert "took" not in ilab("config", "init", "--force", "--profile", "cpu_only", **machine).stderr
    assert "took" not in ilab("config", "init", "--force", **NO_GPU).stderr


@pytest.mark.parametrize("flags", [["--profile", "multi_gpu"], ["--force"]])
def test_init_with_a_flag_asks_nothing(tmp_path: Path, flags: list[str]) -> None:
    done = talk(tmp_path, ["config", "init", *flags], [])
    assert (done.returncode, "Profile [" in done.shown) == (0, False)


def test_init_overwrites_only_when_told(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("profile: mine\n")
    refused = ilab("config", "init")
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert (tmp_path / "config.yaml").read_text() == "profile: mine\n"
    assert ilab("config", "init", "--force").returncode == 0
    assert read(tmp_path / "config.yaml").data["profile"] == "cpu_only"


@pytest.mark.parametrize(("answer", "code", "profile"), [("n\n", 2, "mine"), ("y\n", 0, "cpu_only"), ("\n", 2, "mine")])
def test_init_asks_at_a_terminal_before_it_overwrites(tmp_path: Path, answer: str, code: int, profile: str) -> None:
    (tmp_path / "config.yaml").write_text("profile: mine\n")
    more = [("Profile [cpu_only]: ", "\n")] if code == 0 else []
    done = talk(tmp_path, ["config", "init"], [("? [y/N]: ", answer), *more], NO_GPU)
    assert done.returncode == code
    assert read(tmp_path / "config.yaml").data["profile"] == profile


@pytest.mark.parametrize(
    ("profile", "said"), [("singel_gpu", "single_gpu"), ("missing.yaml", "missing.yaml"), ("bad.yaml", "bad.yaml:1:24")]
)
def test_init_refuses_a_profile_that_is_not_valid(ilab: Ilab, tmp_path: Path, profile: str, said: str) -> None:
    (tmp_path / "bad.yaml").write_text("train: {learning_rate: -1}\n")
    done = ilab("config", "init", "--profile", profile)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "config.yaml").exists()


def test_init_names_a_profile_so_that_it_is_found_from_the_folder_of_the_config_file(
    ilab: Ilab, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("train: {seed: 7}\n")
    assert ilab("config", "init", "--profile", "mine.yaml", ILAB_CONFIG="far/away/config.yaml").returncode == 0
    assert ilab("profile", "show", "-k", "train.seed", ILAB_CONFIG="far/away/config.yaml").stdout == "7\n"


def test_init_where_no_folder_can_be(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = ilab("config", "init", ILAB_CONFIG="file/config.yaml")
    assert done.returncode == 2
    assert "error[unwritable-file]" in done.stderr


# --- show, validate ---------------------------------------------------------------------------------------------------


def test_show_tells_everything_in_force_and_who_gives_it(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "chat: {vi-mode: true}\nprofile:\n  extends: single_gpu\n  train: {seed: 7}\n"
    )
    shown = ilab("config", "show", ILAB_TRAIN__WARMUP_STEPS="2").stdout
    data = parse(shown).data
    assert (data["chat"]["vi_mode"], data["serve"]["max_ctx_size"]) == (True, 4096)
    assert (data["profile"]["train"]["seed"], data["profile"]["train"]["warmup_steps"]) == (7, 2)
    said = {line.split(":")[0].strip(): line.partition("  # ")[2] for line in shown.splitlines()}
    assert said["vi_mode"] == "config.yaml:1:17"
    assert said["seed"] == "config.yaml:4:17"
    assert said["warmup_steps"] == "ILAB_TRAIN__WARMUP_STEPS"
    assert said["max_ctx_size"] == ""
    found = json.loads(ilab("config", "show", "--json").stdout)
    assert found["file"] == "config.yaml"
    assert found["chosen"] == {"name": "single_gpu with other settings", "from": "config.yaml"}
    assert found["origins"]["profile.train.seed"] == "config.yaml:4:17"
    assert found["settings"]["profile"]["train"]["seed"] == 7


def test_a_dry_run_of_serving_shows_what_the_file_says_of_it(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("serve:\n  host_port: 127.0.0.1:9000\n")
    settings, _, command = ilab("model", "serve", "--dry-run").stdout.partition("\n\n")
    assert list(parse(settings).data) == ["serve"]
    assert '  host_port: "127.0.0.1:9000"  # config.yaml:2:14\n' in settings
    assert "  max_ctx_size: 4096\n" in settings
    if find_spec("transformers"):  # else there is no server to start
        assert "9000" in command


def test_show_without_a_config_file_shows_the_defaults(ilab: Ilab) -> None:
    found = json.loads(ilab("config", "show", "--json").stdout)
    assert (found["file"], found["chosen"]) == (None, {"name": "cpu_only", "from": "default"})
    named = json.loads(ilab("config", "show", "--json", ILAB_PROFILE="multi_gpu").stdout)
    assert named["chosen"] == {"name": "multi_gpu", "from": "ILAB_PROFILE"}


def test_validate_takes_the_file_for_a_config_file(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("chatt: {}\ngenerel: {}\n")
    done = ilab("config", "validate", "other.yaml", "--format", "json")
    assert done.returncode == 2
    assert [finding["hint"] for finding in json.loads(done.stdout)] == ["did you mean chat?", "did you mean general?"]
    (tmp_path / "config.yaml").write_text("profile: {extends: single_gpu, train: {lora: {enabled: false}}}\n")
    assert ilab("config", "validate").returncode == 2
    fixed = ilab("config", "validate", "--unsafe-fixes")
    assert (fixed.returncode, fixed.stdout) == (0, "")
    assert "config.yaml: fixed [quantize-needs-lora]" in fixed.stderr
    assert check(str(tmp_path / "config.yaml")) == ()


@pytest.mark.parametrize("command", ["validate", "edit"])
def test_a_config_file_that_is_missing(ilab: Ilab, command: str) -> None:
    done = ilab("config", command)
    assert done.returncode == 2
    assert "config.yaml: error[no-config]" in done.stdout + done.stderr
    assert "ilab config init" in done.stdout + done.stderr


def test_what_cannot_be_read_is_a_finding_for_other_programs_too(ilab: Ilab, tmp_path: Path) -> None:
    for arguments in ([], ["missing.yaml"], [str(tmp_path)]):
        done = ilab("config", "validate", "--format", "json", *arguments)
        assert (done.returncode, done.stderr) == (2, "")
        assert len(json.loads(done.stdout)) == 1


@pytest.mark.parametrize("is_link", [False, True])
def test_a_config_file_that_is_no_file_is_not_passed_over(ilab: Ilab, tmp_path: Path, is_link: bool) -> None:
    path = tmp_path / "config.yaml"
    path.symlink_to("nowhere") if is_link else path.mkdir()
    for command in (["config", "show"], ["model", "train", "--dry-run"], ["profile", "show"]):
        done = ilab(*command)
        assert (done.returncode, done.stdout) == (2, "")
        assert "config.yaml: error[unreadable-file]" in done.stderr
    assert "showing defaults: config.yaml" in " ".join(ilab("model", "train", "--help").stdout.split())


def test_an_empty_variable_names_no_config_file(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("profile: single_gpu\n")
    found = json.loads(ilab("config", "show", "--json", ILAB_CONFIG="").stdout)
    assert found["chosen"] == {"name": "single_gpu", "from": "config.yaml"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["config", "init", "--profile", "{}"],
        ["config", "migrate", "{}"],
        ["model", "train", "--config", "{}", "--dry-run"],
        ["profile", "schema", "--output", "{}"],
        ["profile", "init", "{}", "--extends", "cpu_only"],
    ],
)
def test_the_home_of_nobody_is_a_folder_that_is_not_there(ilab: Ilab, arguments: list[str]) -> None:
    done = ilab(*[word.format("~no-such-user/a/b.yaml") for word in arguments])
    assert "failed" not in done.stderr
    assert done.returncode == (0 if "init" in arguments and "--extends" in arguments else 2)
    assert "~no-such-user/a/b.yaml" in done.stderr


# --- edit -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "here" / "config.yaml"
    path.parent.mkdir()
    path.write_text("# mine\nprofile: single_gpu\n")
    path.chmod(0o640)
    return path


def editor(folder: Path, *scripts: str) -> dict[str, str]:
    """An editor that does one thing with the file the first time, another the second time, and so on."""
    cases = "\n".join(f"{number}) {script} ;;" for number, script in enumerate(scripts, 1))
    program = folder.parent / "my editor"
    count = folder.parent / "count"
    program.write_text(f'#!/bin/sh\necho >>"{count}"\ncase $(wc -l <"{count}" | tr -d " ") in\n{cases}\nesac\n')
    program.chmod(0o755)
    return {"VISUAL": "", "EDITOR": f"'{program}'"}


WRONG = 'echo "profle: x" >>"$1"'
RIGHT = 'echo "profile: cpu_only" >"$1"'


def test_edit_replaces_the_file_by_what_is_valid(config: Path) -> None:
    done = talk(config.parent, ["config", "edit"], [], editor(config.parent, RIGHT))
    assert (done.returncode, done.stdout) == (0, "")
    assert config.read_text() == "profile: cpu_only\n"
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert list(config.parent.iterdir()) == [config]


def test_edit_goes_back_to_the_editor_with_the_text_as_it_is(config: Path) -> None:
    dialogue = [("Back to the editor? [Y/n]: ", "\n")]
    done = talk(
        config.parent, ["config", "edit"], dialogue, editor(config.parent, WRONG, 'sed -i 3d "$1"; echo >>"$1"')
    )
    assert "config.yaml:3:1: error[unknown-key]" in done.shown
    assert done.returncode == 0
    assert config.read_text() == "# mine\nprofile: single_gpu\n\n"


@pytest.mark.parametrize(("answer", "code"), [("n\n", 2), (CTRL_D, 130)])
def test_edit_keeps_the_text_of_whoever_gives_up(config: Path, answer: str, code: int) -> None:
    dialogue = [("Back to the editor? [Y/n]: ", answer)]
    done = talk(config.parent, ["config", "edit"], dialogue, editor(config.parent, WRONG))
    assert done.returncode == code
    assert config.read_text() == "# mine\nprofile: single_gpu\n"
    (copy,) = set(config.parent.iterdir()) - {config}
    assert str(copy.name) in done.shown
    assert copy.read_text() == "# mine\nprofile: single_gpu\nprofle: x\n"


def test_edit_does_not_undo_what_another_one_wrote_meanwhile(config: Path) -> None:
    done = talk(config.parent, ["config", "edit"], [], editor(config.parent, f'{RIGHT}; echo "# other" >>config.yaml'))
    assert done.returncode == 2
    assert "error[file-changed]" in done.shown
    assert config.read_text() == "# mine\nprofile: single_gpu\n# other\n"
    assert len(list(config.parent.glob("config.*.edit.yaml"))) == 1


@pytest.mark.parametrize("script", ["exit 3", "kill $$"])
def test_an_editor_that_fails_changes_nothing(config: Path, script: str) -> None:
    done = talk(config.parent, ["config", "edit"], [], editor(config.parent, script))
    assert done.returncode == 2
    assert "error[editor-failed]" in done.shown
    assert list(config.parent.iterdir()) == [config]


@pytest.mark.parametrize(
    ("name", "said"), [("", "error[no-editor]"), ("'open", "error[no-editor]"), ("no-such-program", "No such file")]
)
def test_an_editor_that_is_not_there(config: Path, name: str, said: str) -> None:
    done = talk(config.parent, ["config", "edit"], [], {"VISUAL": "", "EDITOR": name})
    assert done.returncode == 2
    assert said in done.shown
    assert list(config.parent.iterdir()) == [config]


def test_edit_without_a_terminal_says_what_to_do(ilab: Ilab, config: Path) -> None:
    done = ilab("config", "edit", VISUAL="true", ILAB_CONFIG=str(config))
    assert done.returncode == 2
    assert "error[no-terminal]" in done.stderr
    assert "ilab profile set" in done.stderr


# --- migrate ----------------------------------------------------------------------------------------------------------


def test_migrate_writes_what_loads_and_tells_what_became_of_each_setting(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(OLD)
    done = ilab("config", "migrate", "old.yaml", "--output-dir", "new")
    assert done.returncode == 0
    assert check(str(tmp_path / "new" / "config.yaml")) == ()
    assert load(str(tmp_path / "new" / "config.yaml")).train.output_dir == str(tmp_path / "new/checkpoints")
    rows = {row.split()[0]: row for row in done.stdout.splitlines() if row}
    assert "train.output_dir" in rows["train.ckpt_output_dir"]
    assert "serve has no such setting" in rows["serve.vllm.llm_family"]
    assert "older default" in rows["train.num_epochs"]
    assert "old.yaml:8:3: warning[unknown-key]" in done.stderr
    assert done.stdout.splitlines()[-1].endswith("findings")


def test_migrate_tells_the_same_as_json(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(OLD)
    found = json.loads(ilab("config", "migrate", "old.yaml", "--json").stdout)
    assert found["files"] == ["profile.yaml", "config.yaml"]
    assert {"train.ckpt_output_dir", "train.num_epochs"} <= {item["old"] for item in found["mapped"]}
    assert "serve.vllm.llm_family" in {item["old"] for item in found["dropped"]}
    assert [finding["rule"] for finding in found["findings"]] == ["unknown-key"]


def test_migrate_overwrites_only_when_told_and_never_what_it_reads(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(OLD)
    (tmp_path / "profile.yaml").write_text("# mine\n")
    done = ilab("config", "migrate", "config.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "profile.yaml: error[file-exists]" in done.stderr
    forced = ilab("config", "migrate", "config.yaml", "--force")
    assert forced.returncode == 2
    assert "config.yaml: error[file-exists] is the file to migrate" in forced.stderr
    assert (tmp_path / "config.yaml").read_text() == OLD
    assert (tmp_path / "profile.yaml").read_text() == "# mine\n"
    (tmp_path / "config.yaml").rename(tmp_path / "old.yaml")
    assert ilab("config", "migrate", "old.yaml", "--force").returncode == 0
    assert load(str(tmp_path / "profile.yaml")).train.num_gpus == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: [", "old.yaml:1:"),
        ("profile: cpu_only\n", "error[no-older-config]"),
        ("train: {num_epochs: 3}\n", "error[no-older-config]"),
        (None, "error[unreadable-file]"),
    ],
)
def test_migrate_refuses_what_is_no_older_configuration(
    ilab: Ilab, tmp_path: Path, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / "old.yaml").write_text(text)
    done = ilab("config", "migrate", "old.yaml", "--output-dir", "new")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()


def test_migrate_writes_both_files_or_none(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "config.yaml").mkdir()
    done = ilab("config", "migrate", "old.yaml", "--force")
    assert done.returncode == 2
    assert "config.yaml: error[unreadable-file]" in done.stderr
    assert not (tmp_path / "profile.yaml").exists()


UPSTREAM = Path(__file__).parents[4] / "shared" / "upstream"


@pytest.mark.skipif(not UPSTREAM.is_dir(), reason="the older program's files are not here")
def test_every_configuration_of_the_older_program_becomes_a_valid_one(ilab: Ilab, tmp_path: Path) -> None:
    olds = [UPSTREAM / "default_config.yaml", *sorted((UPSTREAM / "profiles").rglob("*.yaml"))]
    for number, old in enumerate(olds):
        assert ilab("config", "migrate", str(old), "--output-dir", f"new{number}").returncode == 0
    done = ilab("profile", "validate", "--strict", "new*")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{2 * len(olds)} files: valid\n")

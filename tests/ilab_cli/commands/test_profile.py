from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ilab_profiles import json_schema, load, names
from ilab_profiles.models.paths import fields
from ilab_profiles.yaml.read import parse
from tests.ilab_cli.driver import gpus
from tests.programs import Ilab

BROKEN = "extends: single_gpu\ntrain:\n  lora: {enabled: false}\n"
TYPO = "extends: single_gpu\ntrain:\n  epoch: 3  # not yet\n"


# --- list, show, schema -----------------------------------------------------------------------------------------------


def test_list_is_a_table_of_every_profile(ilab: Ilab) -> None:
    done = ilab("profile", "list")
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["NAME", "EXTENDS", "HARDWARE", "HERE", "ON", "DESCRIPTION"]
    assert [row.split()[0] for row in rows] == names()
    (l40s,) = [row for row in rows if row.startswith("multi_gpu/l40s_x4")]
    for column in ("  multi_gpu  ", "  4 x L40S, 48 GiB  ", "deepspeed, 2 phases, mmlu", "Four NVIDIA L40S"):
        assert column in l40s


def test_list_has_profiles_of_ones_own_and_those_that_are_refused(ilab: Ilab, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.yaml").write_text("extends: cpu_only\ndescription: mine\n")
    (own / "two lines.yaml").write_text('extends: cpu_only\ndescription: "one\\ntwo"\n')
    (own / "broken.yaml").write_text("train: [\n")
    (own / "broken too.yaml").write_text("train: [\n")
    done = ilab("profile", "list", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert (rows["mine"]["extends"], rows["mine"]["description"], rows["mine"]["valid"]) == ("cpu_only", "mine", True)
    assert not rows["broken"]["valid"]
    assert "ilab profile validate broken`" in rows["broken"]["description"]
    assert "ilab profile validate 'broken too'`" in rows["broken too"]["description"]
    assert len(ilab("profile", "list").stdout.splitlines()) == len(rows) + 1
    assert rows["single_gpu"]["on"] == ["lora", "deepspeed", "nf4", "mmlu"]
    assert rows["single_gpu/l4"]["hardware"] == {"gpu": "L4", "count": 1, "memory": 24}


def test_list_marks_what_is_made_for_this_machine(ilab: Ilab, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "small.yaml").write_text("extends: cpu_only\nhardware: {count: 2, memory: 16}\n")
    (own / "large.yaml").write_text("extends: cpu_only\nhardware: {count: 2, memory: 32}\n")
    (own / "broken.yaml").write_text("train: [\n")
    machine = gpus(tmp_path, "NVIDIA H100 80GB HBM3", 81559, 2)
    rows = {row["name"]: row for row in json.loads(ilab("profile", "list", "--json", **machine).stdout)}
    fitting = {name: row["fits_here"] for name, row in rows.items()}
    assert fitting["multi_gpu/h100_x2"] is fitting["small"] is fitting["cpu_only"] is True
    assert fitting["multi_gpu/a100_x8"] is fitting["single_gpu/h100"] is False
    assert fitting["broken"] is None
    shown = {line.split()[0]: line for line in ilab("profile", "list", **machine).stdout.splitlines()}
    marks = {"multi_gpu/h100_x2": "exact", "small": "enough", "cpu_only": "any", "single_gpu/h100": "no", "broken": "?"}
    assert all(f"  {mark}  " in shown[name] for name, mark in marks.items())
    smaller = gpus(tmp_path, "NVIDIA L4", 23034, 2)
    rows = {row["name"]: row["here"] for row in json.loads(ilab("profile", "list", "--json", **smaller).stdout)}
    assert (rows["small"], rows["large"]) == ("enough", "no")


def test_what_is_shown_is_commented_and_can_be_loaded(
    ilab: Ilab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = ilab("profile", "show", "single-gpu").stdout
    assert "lora_rank: 16  # Rank of each adapter\n" in shown
    (tmp_path / "mine.yaml").write_text(shown)
    assert load(str(tmp_path / "mine.yaml")) == load("single_gpu")
    assert json.loads(ilab("profile", "show", "single_gpu", "--json").stdout) == parse(shown).data


@pytest.mark.parametrize(
    ("key", "shown", "data"),
    [
        ("train.lora.lora-rank", "16\n", 16),
        ("train.output_dir", "runs/train\n", "runs/train"),
        ("evaluate.benchmarks", "[mmlu]\n", ["mmlu"]),
        ("hardware", "gpu: null  # Model", {"gpu": None, "count": 1, "memory": 16}),
    ],
)
def test_one_setting_or_section_can_be_shown(ilab: Ilab, key: str, shown: str, data: object) -> None:
    assert ilab("profile", "show", "single_gpu", "-k", key).stdout.startswith(shown)
    assert json.loads(ilab("profile", "show", "single_gpu", "--key", key, "--json").stdout) == data


def test_without_a_name_the_settings_in_force_are_shown(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("profile: {extends: cpu_only, train: {seed: 7}}\n")
    done = ilab("profile", "show", "--json", ILAB_TRAIN__WARMUP_STEPS="2")
    train = json.loads(done.stdout)["train"]
    assert (train["seed"], train["warmup_steps"]) == (7, 2)


@pytest.mark.parametrize("command", [["show", "-k", "generate.api_key"], ["show"], ["explain", "generate.api_key"]])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_secrets_are_masked(ilab: Ilab, tmp_path: Path, command: list[str], form: list[str]) -> None:
    (tmp_path / "config.yaml").write_text("profile: {generate: {api_key: hush-hush}}\n")
    done = ilab("profile", *command, *form)
    assert done.returncode == 0
    assert "hush" not in done.stdout + done.stderr
    assert "**********" in done.stdout


@pytest.mark.parametrize("kind", ["profile", "config"])
def test_the_schema_is_printed_or_written(ilab: Ilab, tmp_path: Path, kind: str) -> None:
    assert json.loads(ilab("profile", "schema", "--kind", kind).stdout) == json_schema(kind)  # type: ignore[arg-type]
    done = ilab("profile", "schema", "--kind", kind, "--output", "schema.json")
    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads((tmp_path / "schema.json").read_text()) == json_schema(kind)  # type: ignore[arg-type]


# --- validate ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Three files, one of them sound."""
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "broken.yaml").write_text(BROKEN)
    (tmp_path / "typo.yml").write_text(TYPO)
    (tmp_path / "good.yaml").write_text("profile: {extends: multi-gpu}\n")
    (tmp_path / "notes.txt").write_text("no settings\n")
    return tmp_path


@pytest.mark.parametrize(
    ("targets", "rules"),
    [
        (["good.yaml"], []),
        (["cpu_only", "multi-gpu/l40s_x4", "good.yaml"], []),
        (["typo.yml", "below/broken.yaml", "typo.yml"], ["unknown-key", "quantize-needs-lora"]),
        (["*.y*ml"], ["unknown-key"]),
        (["**/*.yaml"], ["quantize-needs-lora"]),
        (["."], ["quantize-needs-lora", "unknown-key"]),
        (["below"], ["quantize-needs-lora"]),
        (["none*.yaml", "nowhere.yaml", "cpu_onli"], ["no-such-file", "unknown-profile", "unknown-profile"]),
        (["notes.txt"], ["no-such-file"]),
        (["*"], ["quantize-needs-lora", "unknown-key"]),
    ],
)
def test_validate_takes_files_names_patterns_and_folders(
    ilab: Ilab, files: Path, targets: list[str], rules: list[str]
) -> None:
    done = ilab("profile", "validate", *targets, "--format", "json")
    assert done.returncode == (2 if rules else 0)
    findings = json.loads(done.stdout)
    assert sorted(finding["rule"] for finding in findings) == sorted(rules)
    assert all(finding["position"]["source"] for finding in findings)
    assert "Traceback" not in done.stderr


def test_validate_says_which_names_of_files_it_takes(ilab: Ilab, files: Path) -> None:
    assert "notes.txt: error[no-such-file]" in ilab("profile", "validate", "notes.txt").stdout
    (files / "below" / "typo.json").write_text('{"trian": {}}')
    assert "below/typo.json:1:2: error[unknown-key]" in ilab("profile", "validate", "below/*").stdout
    done = ilab("profile", "validate", "below")
    assert ("typo.json" in done.stdout, "left out 1 file" in done.stderr) == (False, True)


def test_findings_are_results_and_go_to_stdout(ilab: Ilab, files: Path) -> None:
    done = ilab("profile", "validate", "typo.yml", "below/broken.yaml", "--quiet")
    assert (done.returncode, done.stderr) == (2, "")
    assert "typo.yml:3:3: error[unknown-key]" in done.stdout
    assert "below/broken.yaml:3:19: error[quantize-needs-lora]" in done.stdout
    sound = ilab("profile", "validate", "good.yaml")
    assert (sound.returncode, sound.stdout, sound.stderr) == (0, "", "good.yaml: valid\n")


def test_other_programs_read_findings_in_their_own_form(ilab: Ilab, files: Path) -> None:
    github = ilab("profile", "validate", "typo.yml", "--format", "github")
    assert github.stdout.startswith("::error file=typo.yml,line=3,col=3,title=unknown-key::")
    sarif = json.loads(ilab("profile", "validate", "typo.yml", "--format", "sarif").stdout)
    assert sarif["runs"][0]["results"][0]["ruleId"] == "unknown-key"
    assert ilab("profile", "validate", "typo.yml", "--format", "xml").returncode == 2


@pytest.mark.parametrize(("text", "code"), [(BROKEN, 2), ("extends: cpu_only\n", 0), ("profile: cpu_only\n", 0)])
def test_validate_reads_standard_input(tmp_path: Path, text: str, code: int) -> None:
    command = [sys.executable, "-m", "ilab_cli", "profile", "validate", "-"]
    done = subprocess.run(command, cwd=tmp_path, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert ("<stdin>:3:19: error[quantize-needs-lora]" in done.stdout) == bool(code)


def test_standard_input_that_is_closed_is_refused(tmp_path: Path) -> None:
    command = shlex.join([sys.executable, "-m", "ilab_cli", "profile", "validate", "-"])
    done = subprocess.run(["sh", "-c", f"{command} <&-"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "<stdin>: error[unreadable-file] cannot be read: it is closed\n")


def test_without_a_target_the_settings_in_force_are_checked(ilab: Ilab, tmp_path: Path) -> None:
    assert ilab("profile", "validate").returncode == 0
    (tmp_path / "config.yaml").write_text("profile: {extends: single_gpu, train: {lora: {enabled: false}}}\n")
    assert "config.yaml:1:56: error[quantize-needs-lora]" in ilab("profile", "validate").stdout
    done = ilab("profile", "validate", ILAB_TRAIN__NUM_EPOCHS="many")
    assert done.returncode == 2
    assert "ILAB_TRAIN__NUM_EPOCHS: error[bad-value]" in done.stdout


def test_strict_refuses_warnings(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "idle.yaml").write_text("train: {lora: {lora_rank: 4}}\n")
    assert "warning[" in ilab("profile", "validate", "idle.yaml").stdout
    assert ilab("profile", "validate", "idle.yaml").returncode == 0
    assert ilab("profile", "validate", "idle.yaml", "--strict").returncode == 2


def test_fix_mends_what_rules_can_and_says_so(ilab: Ilab, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(BROKEN + "  seed: 3  # mine\n")
    done = ilab("profile", "validate", "--fix", "mine.yaml")
    assert (done.returncode, path.read_text()) == (2, BROKEN + "  seed: 3  # mine\n")
    told = "choose: set train.lora.enabled: true, or set train.deepspeed.quantize_dtype: null"
    assert told in done.stdout
    done = ilab("profile", "validate", "--unsafe-fixes", "mine.yaml")
    assert (done.returncode, done.stdout) == (0, "")
    assert "mine.yaml: fixed [quantize-needs-lora]: train.lora.enabled: true" in done.stderr
    assert path.read_text() == BROKEN.replace("false", "true") + "  seed: 3  # mine\n"


def test_fix_mends_what_it_can_and_tells_the_rest_once(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(BROKEN + "  epoch: 3\n")
    done = ilab("profile", "validate", "--unsafe-fixes", "./mine.yaml", "--format", "json")
    assert done.returncode == 2
    assert [finding["rule"] for finding in json.loads(done.stdout)] == ["unknown-key"]
    assert "fixed [quantize-needs-lora]" in done.stderr


@pytest.mark.parametrize("targets", [["-"], []])
def test_what_is_no_file_cannot_be_fixed(ilab: Ilab, targets: list[str]) -> None:
    done = ilab("profile", "validate", "--fix", *targets)
    assert done.returncode == 2
    assert "error[cannot-fix]" in done.stdout


def test_a_file_of_the_older_program_is_told_as_such(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("version: 1.0.0\ntrain: {nproc_per_node: 2}\n")
    assert "ilab config migrate old.yaml" in ilab("profile", "validate", "old.yaml").stderr


def test_the_hook_for_pre_commit_calls_the_command() -> None:
    root = Path(__file__).parents[3]
    (hook,) = _yaml_list(root / ".pre-commit-hooks.yaml")
    assert (hook["id"], hook["entry"], hook["language"]) == (
        "ilab-profile-validate",
        "ilab profile validate",
        "python",
    )


def _yaml_list(path: Path) -> list[dict[str, str]]:
    from ruamel.yaml import YAML

    found: list[dict[str, str]] = YAML(typ="safe").load(path)
    return found


# --- explain, diff ----------------------------------------------------------------------------------------------------


def test_explain_tells_who_gave_a_value_and_what_it_goes_before(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("profile:\n  extends: single_gpu\n  train: {epochs: 3}\n")
    said = ilab("profile", "explain", "train.epochs", ILAB_TRAIN__NUM_EPOCHS="4").stdout.splitlines()
    assert said[0] == "train.num_epochs: 4 epochs"
    assert [line.split(" from ")[0].strip() for line in said if line.startswith("  overrides ")] == [
        "overrides 3",
        "overrides 10",
        "overrides 1",
    ]
    assert any(line.endswith("from environment ILAB_TRAIN__NUM_EPOCHS") for line in said)
    assert any(line.endswith("overrides 3 from config config.yaml:3:19") for line in said)


def test_explain_tells_how_a_derived_value_follows(ilab: Ilab) -> None:
    said = ilab("profile", "explain", "train.tokens-per-batch", "--profile", "single_gpu").stdout
    assert "effective_batch_size * max_seq_len" in said
    needs = ilab("profile", "explain", "train.steps_per_epoch")
    assert (needs.returncode, "--samples" in needs.stderr) == (2, True)
    found = json.loads(ilab("profile", "explain", "train.steps_per_epoch", "--samples=100", "--json").stdout)
    assert found["numbers"] == "ceil(100 / 16)"


def test_what_phases_have_is_shown_and_explained_for_each_phase(ilab: Ilab) -> None:
    explain = ("profile", "explain", "--profile", "multi_gpu")
    assert "= 3840 * 4096 = 15728640" in ilab(*explain, "train.phases.1.tokens-per-batch").stdout
    refused = ilab(*explain, "train.tokens_per_batch")
    assert (refused.returncode, "train.phases.1.tokens_per_batch" in refused.stderr) == (2, True)
    rows = {row.split()[0]: row for row in ilab(*explain, "train.phases.1").stdout.splitlines()}
    assert rows["train.phases.1.num_epochs"].split()[1:3] == ["10", "epochs"]
    assert rows["train.phases.1.warmup_steps"].endswith("train.warmup_steps")
    assert "in the phases: 7, 10" in ilab(*explain, "train.num_epochs").stdout
    assert "may be: a list of {name, data_path, " in ilab(*explain, "train.phases").stdout
    assert ilab("profile", "show", "multi_gpu", "-k", "train.phases.1.learning-rate").stdout == "6e-06\n"
    assert "name: phase00" in ilab("profile", "show", "multi_gpu", "-k", "train.phases.0").stdout
    for command in (("show", "multi_gpu", "-k"), ("explain", "--profile", "multi_gpu")):
        beyond = ilab("profile", *command, "train.phases.2.num_epochs")
        assert (beyond.returncode, "there are 2" in beyond.stderr) == (2, True)


def test_explain_of_a_section_tells_each_of_its_settings_shortly(ilab: Ilab) -> None:
    rows = ilab("profile", "explain", "train.lora", "--profile", "single_gpu").stdout.splitlines()
    assert [row.split()[0] for row in rows[1:]] == [path for path in fields() if path.startswith("train.lora.")]
    assert rows[2].split()[1] == "16"
    assert "profile single_gpu (line " in rows[2]
    found = json.loads(ilab("profile", "explain", "train", "--json").stdout)
    assert {"train.lora.lora_rank", "train.world_size"} <= {item["path"] for item in found}


def test_every_setting_of_every_profile_can_be_explained_as_json(ilab: Ilab) -> None:
    for section in ("generate", "train", "evaluate", "hardware"):
        found = json.loads(ilab("profile", "explain", section, "--profile", "multi_gpu/l4_x8", "--json").stdout)
        assert {path for path in fields() if path.startswith(f"{section}.")} <= {item["path"] for item in found}


def test_explain_names_the_forms_of_gpus(ilab: Ilab) -> None:
    assert "may be: 0-3, 0:3, 1,3, a list of numbers, or -1" in ilab("profile", "explain", "train.gpus").stdout


def test_diff_is_a_table_with_units_and_derived_values(ilab: Ilab) -> None:
    done = ilab("profile", "diff", "single_gpu", "single-gpu/l4")
    assert done.returncode == 0
    rows = {row.split()[0]: row.split()[1:] for row in done.stdout.splitlines()}
    assert rows["train.max_batch_len"] == ["8192", "16384", "tokens"]
    assert rows["train.gradient_accumulation"] == ["(derived)", "16", "8", "microbatches"]
    found = json.loads(ilab("profile", "diff", "single_gpu", "single_gpu/l4", "--json").stdout)
    assert {item["path"]: item["right"] for item in found}["train.max_batch_len"] == 16384
    assert max(map(len, ilab("profile", "diff", "cpu_only", "multi_gpu", COLUMNS="140").stdout.splitlines())) <= 140


def test_equal_profiles_have_no_difference(ilab: Ilab) -> None:
    done = ilab("profile", "diff", "cpu_only", "cpu-only")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no differences\n")
    assert json.loads(ilab("profile", "diff", "cpu_only", "cpu_only", "--json").stdout) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "cpu_onli"], ["did you mean cpu_only?"]),
        (["show", "-k", "train.lora.rank"], ["did you mean train.lora"]),
        (["explain", "train.num_epoch"], ["did you mean train.num_epochs?"]),
        (["explain", "train.seed", "--profile", "multi-gpo"], ["--profile: error", "did you mean multi_gpu?"]),
        (["diff", "cpu_onli", "multi_gpo"], ["did you mean cpu_only?", "did you mean multi_gpu?"]),
        (["diff", "cpu_only"], ["NAME"]),
        (["schema", "--kind", "other"], ["--kind"]),
        (["schema", "--output", "no/such/folder.json"], ["no/such/folder.json: error[unwritable-file]"]),
        (["init"], ["NAME is missing", "--extends is missing"]),
        (["init", "mine", "--extends", "singel_gpu"], ["did you mean single_gpu?"]),
        (["init", "mine", "--extends", "cpu_only", "--set", "a", "--set", "b"], ["'a' has no value", "'b' has no"]),
        (["init", "mine", "--extends", "cpu_only", "--set", "a=1", "--set", "train.seed=x"], ["unknown-setting"]),
        (["init", "mine", "--extends", "single_gpu", "--set", "train.lora.enabled=false"], ["quantize-needs-lora"]),
        (["init", "cpu-only", "--extends", "cpu_only"], ["name-taken"]),
        (["init", "../mine", "--extends", "cpu_only"], ["bad-name"]),
        (["init", "mi\nne", "--extends", "cpu_only"], ["bad-name"]),
        (["set", "train.seed", "3"], ["config.yaml: error[no-config]", "ilab config init"]),
        (["set", "train.seed", "3", "--profile", "cpu-only"], ["ilab profile init NAME --extends cpu-only"]),
        (["set", "train.seed", "--profle"], ["No such option: --profle", "--profile"]),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(
    ilab: Ilab, tmp_path: Path, arguments: list[str], said: list[str]
) -> None:
    done = ilab("profile", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert [words for words in said if words not in done.stderr] == []
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []

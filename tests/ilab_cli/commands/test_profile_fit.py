"""`ilab profile fit`: what it shows, to people and programs, and what it writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ilab_profiles import fit, load
from ilab_profiles.estimate.anatomy.known import KNOWN
from ilab_profiles.yaml.read import read
from tests.programs import Ilab

FIT = ("profile", "fit")
SMALL = {**next(iter(KNOWN.values())), "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8}
T4 = ("--gpu", "T4")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A profile of one's own that does not fit a T4, with comments."""
    path = tmp_path / "own" / "mine.yaml"
    path.parent.mkdir()
    path.write_text("# mine\nextends: multi_gpu\ntrain: {seed: 3}  # here\n")
    return path


def change_of(found: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = found["change"]["settings"]
    return settings


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_a_training_that_fits_is_shown_with_a_bar_for_each_part(ilab: Ilab) -> None:
    done = ilab(*FIT, "single_gpu", "--gpu", "h100", COLUMNS="80")
    assert (done.returncode, done.stderr) == (0, "")
    found = fit("single_gpu", hardware="H100")
    said = " ".join(done.stdout.split())
    sizes = [f"{size / 2**30:.1f}" for size in (found.peak, found.low, found.high)]
    for part in (
        f"6.74 billion parameters, adapters of {found.trained / 1e6:.3g} million trained Runs on H100 80 GiB ",
        f"Takes {sizes[0]} GiB ({sizes[1]} to {sizes[2]}) There is 79.6 GiB ",
        "On disk 0.1 GiB for each checkpoint, ",
        " 25.1 for the model ",
    ):
        assert part in said
    assert "It fits: " in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    rows = re.findall(r"^(\S.*?) +(\d+\.\d\d)(?:  (#*))?$", done.stdout, re.MULTILINE)
    assert [(name, size) for name, size, _ in rows] == [
        (part.name, f"{part.bytes / 2**30:.2f}") for part in found.parts if part.where == "gpu"
    ]
    assert [len(bar) for *_, bar in rows] == [round(30 * float(size) / 79.6) for _, size, _ in rows]


def test_one_that_does_not_fit_ends_with_1_and_the_change_that_makes_it_fit(ilab: Ilab) -> None:
    done = ilab(*FIT, "multi_gpu", *T4)
    assert (done.returncode, done.stderr) == (1, "")
    change = fit("multi_gpu", hardware="T4").change
    assert change
    assert "It does not fit: it takes more memory than there is." in done.stdout
    assert f"  train.max_batch_len: {change.settings['train.max_batch_len']}\n" in done.stdout
    for price in change.price:
        assert f"\n  {price}\n" in done.stdout
    command = done.stdout.splitlines()[-1]
    assert command.startswith("Set by: ilab profile init NAME --extends multi_gpu --set ")
    assert f"--set train.max_batch_len={change.settings['train.max_batch_len']}" in command


def test_what_it_says_to_set_does_so(ilab: Ilab) -> None:
    line = ilab(*FIT, "multi_gpu", *T4).stdout.splitlines()[-1]
    words = line.removeprefix("Set by: ilab ").replace("NAME", "mine").split()
    assert ilab(*words).returncode == 0
    assert ilab(*FIT, "mine", *T4).returncode == 0


def test_the_high_end_counts(ilab: Ilab) -> None:
    found = fit("single_gpu")
    between = next(gib for gib in range(1, 100) if found.peak <= gib * 2**30)
    assert between * 2**30 < found.high
    done = ilab(*FIT, "single_gpu", "--memory", str(between))
    assert (done.returncode, "It may not fit: the high end of it takes more" in done.stdout) == (1, True)


def test_no_gpu_where_one_is_needed_is_told_for_what_it_is(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: multi_gpu\nhardware: {memory: null}\n")
    done = ilab(*FIT, "mine.yaml", CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, "8 processes need as many GPUs; there are none" in done.stdout) == (1, True)
    assert "--gpu NAME" in done.stdout


def test_a_size_that_is_not_known_refuses_nothing(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: single_gpu\nhardware: {gpu: Fastest 1, memory: null}\n")
    done = ilab(*FIT, "mine.yaml")
    assert (done.returncode, "Runs on  Fastest 1" in done.stdout) == (0, True)
    assert "Whether it fits is not known" in done.stdout
    assert ilab(*FIT, "mine.yaml", "--memory", "4").returncode == 1


def test_formulas_are_shown_with_verbose(ilab: Ilab) -> None:
    part = next(part for part in fit("single_gpu").parts if part.name == "optimizer state")
    done = ilab(*FIT, "single_gpu", "--gpu", "H100", "--verbose")
    number = part.numbers.split(" * ")[0]
    assert f"{number} parameters * 8 bytes each" in done.stdout
    assert part.source in done.stdout
    assert part.source not in ilab(*FIT, "single_gpu", "--gpu", "H100").stdout


def test_colour_is_for_terminals(ilab: Ilab) -> None:
    plain = ilab(*FIT, "single_gpu", "--gpu", "H100").stdout
    coloured = ilab(*FIT, "single_gpu", "--gpu", "H100", FORCE_COLOR="1").stdout
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    assert "\x1b[36m#" in coloured
    assert "\x1b[1;32mIt fits" in coloured


def test_json_is_what_python_gets(ilab: Ilab) -> None:
    for profile in ("cpu_only", "single_gpu/l4", "multi_gpu"):
        done = ilab(*FIT, profile, "--memory", "16", "--json", CUDA_VISIBLE_DEVICES="")
        found = json.loads(done.stdout)
        assert done.returncode == (1 if found["fits"] is False else 0)
        if found["where"] == "gpu":  # free main memory changes all the time
            assert found == json.loads(json.dumps(fit(profile, hardware=16).to_dict()))


def test_without_a_name_the_settings_in_force_count(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("profile: {extends: single_gpu, train: {max_batch_len: 4096}}\n")
    in_config = json.loads(ilab(*FIT, "--gpu", "H100", "--json").stdout)
    assert in_config["peak_gib"] < json.loads(ilab(*FIT, "single_gpu", "--gpu", "H100", "--json").stdout)["peak_gib"]
    in_variable = json.loads(ilab(*FIT, "--gpu", "H100", "--json", ILAB_TRAIN__MAX_BATCH_LEN="30000").stdout)
    assert in_variable["peak_gib"] > in_config["peak_gib"]


# --- the model, the hardware ------------------------------------------------------------------------------------------


def test_another_model_is_a_folder_or_its_config(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(SMALL))
    sizes = [
        json.loads(ilab(*FIT, "single_gpu", "--gpu", "H100", "--json", "--model", model).stdout)["parameters"]
        for model in ("model", "model/config.json")
    ]
    assert sizes[0] == sizes[1] < 200e6


def test_a_broken_config_is_told_with_its_line(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{\n  "model_type": "llama",\n  "hidden_size": "wide"\n}\n')
    done = ilab(*FIT, "single_gpu", "--model", "config.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "config.json:3:3: error[model-config] hidden_size must be a whole number" in done.stderr
    (tmp_path / "config.json").write_text('{"model_type" "llama"}')
    assert "config.json:1:15: error[model-config] not JSON" in ilab(*FIT, "single_gpu", "--model", "config.json").stderr
    assert "error[model-not-found]" in ilab(*FIT, "single_gpu", "--model", "no/such").stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--gpu", "H10"), "did you mean H"),
        (("--gpu", "A100"), "write A100-80 or A100-40"),
        (("--gpu", "T4", "--memory", "16"), "give one of them"),
        (("--memory", "0"), "error[usage]"),
        (("--memory", "-1"), "error[usage]"),
    ],
)
def test_hardware_that_cannot_be_is_refused(ilab: Ilab, flags: tuple[str, ...], said: str) -> None:
    done = ilab(*FIT, "single_gpu", *flags)
    assert (done.returncode, done.stdout, said in done.stderr) == (2, "", True)


def test_a_training_on_the_cpu_asks_for_no_gpu(ilab: Ilab) -> None:
    done = ilab(*FIT, "cpu_only", "--gpu", "H100")
    assert "--gpu: warning[no-effect] has no effect: the profile trains on the CPU" in done.stderr
    assert "Runs on  CPU\n" in done.stdout
    assert ilab(*FIT, "single_gpu", "--gpu", "H100").stderr == ""


# --- the change is applied --------------------------------------------------------------------------------------------


def test_apply_writes_into_a_profile_of_ones_own_and_keeps_its_comments(ilab: Ilab, own: Path) -> None:
    wanted = change_of(json.loads(ilab(*FIT, "mine", *T4, "--json").stdout))
    done = ilab(*FIT, "mine", *T4, "--apply")
    assert (done.returncode, f" in {own}\n" in done.stderr) == (0, True)
    text = own.read_text()
    assert text.startswith("# mine\nextends: multi_gpu\n")
    assert "# here" in text
    profile = load(str(own))
    assert profile == load("multi_gpu").replace({"train.seed": 3, **wanted})
    again = ilab(*FIT, "mine", *T4, "--apply")
    assert (again.returncode, own.read_text()) == (0, text)
    assert "it fits already: nothing is changed" in again.stderr


def test_apply_without_a_name_writes_where_the_profile_in_force_is(ilab: Ilab, tmp_path: Path, own: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("# first\nprofile: multi_gpu  # chosen\n")
    done = ilab(*FIT, *T4, "--apply", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["applied"]) == (0, "config.yaml")
    data = read(config).data["profile"]
    assert (data["extends"], data["train"]["max_batch_len"]) == (
        "multi_gpu",
        change_of(found)["train.max_batch_len"],
    )
    assert config.read_text().startswith("# first\n")
    assert ilab(*FIT, *T4).returncode == 0
    config.write_text("profile: mine\n")
    assert ilab(*FIT, *T4, "--apply").returncode == 0
    assert config.read_text() == "profile: mine\n"
    assert ilab(*FIT, "mine", *T4).returncode == 0


def test_apply_goes_to_the_profile_that_the_environment_chooses(ilab: Ilab, tmp_path: Path, own: Path) -> None:
    (tmp_path / "config.yaml").write_text("profile: multi_gpu\n")
    assert ilab(*FIT, *T4, "--apply", ILAB_PROFILE="mine").returncode == 0
    assert (tmp_path / "config.yaml").read_text() == "profile: multi_gpu\n"
    assert "max_batch_len" in own.read_text()


def test_apply_says_what_a_variable_overrules(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("profile: multi_gpu\n")
    done = ilab(*FIT, *T4, "--apply", ILAB_TRAIN__MAX_BATCH_LEN="59000")
    assert done.returncode == 0
    assert "train.max_batch_len is still as ILAB_TRAIN__MAX_BATCH_LEN says" in done.stderr


def test_apply_refuses_a_built_in_profile_with_the_way_to_ones_own(ilab: Ilab, tmp_path: Path) -> None:
    for named, variables in ((["multi_gpu"], {}), ([], {"ILAB_PROFILE": "multi_gpu"})):
        done = ilab(*FIT, *named, *T4, "--apply", **variables)
        assert (done.returncode, done.stdout) == (2, "")
        assert "error[built-in-profile] multi_gpu is built in" in done.stderr
        assert "ilab profile init NAME --extends multi_gpu --set train." in done.stderr
    assert [*tmp_path.iterdir()] == []


def test_nothing_makes_everything_fit(ilab: Ilab, own: Path) -> None:
    before = own.read_text()
    for flags in ([], ["--apply"]):
        done = ilab(*FIT, "mine", "--memory", "1", *flags)
        assert (done.returncode, "No change of settings was found" in done.stdout) == (1, True)
    assert own.read_text() == before


def test_a_shell_offers_gpus_in_one_word(ilab: Ilab) -> None:
    def offered(line: str) -> list[str]:
        words = {"_ILAB_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
        return ilab(**words).stdout.split()

    assert {"A100-80", "A100-40"} <= {*offered("ilab profile fit --gpu A1")}
    assert "rtx-4090" in offered("ilab profile fit --gpu rtx-4")
    assert "single_gpu" in offered("ilab profile fit sin")


def test_a_gpu_that_does_not_compute_in_bf16_is_told(ilab: Ilab) -> None:
    note = "train.precision is bf16, in which V100 16 GiB does not compute: set it to fp16"
    assert note in " ".join(ilab("profile", "fit", "single_gpu", "--gpu", "V100-16").stdout.split())
    assert json.loads(ilab("profile", "fit", "single_gpu", "--gpu", "V100-16", "--json").stdout)["notes"] == [note]
    assert "Note" not in ilab("profile", "fit", "single_gpu/t4").stdout
    assert "Note" not in ilab("profile", "fit", "single_gpu", "--gpu", "L4").stdout

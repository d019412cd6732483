"""Trainings as jobs: what is printed is what the schedulers take, and what is handed over is what was printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ilab_profiles import Train
from ilab_profiles.yaml.read import parse
from tests.programs import Ilab

ROW = '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}\n'

# What sbatch takes as `#SBATCH --NAME[=VALUE]`, of which a script of ours may use these: the form of each one's value,
# or nothing where it takes none.
SBATCH = {
    "account": r"\S+",
    "cpus-per-task": r"[1-9]\d*",
    "gpus-per-node": r"(\w+:)?[1-9]\d*",
    "job-name": r"[\w.-]+",
    "nodes": r"[1-9]\d*(-[1-9]\d*)?",
    "ntasks-per-node": r"[1-9]\d*",
    "open-mode": r"append|truncate",
    "partition": r"\S+",
    "requeue": None,
    "signal": r"([RB]+:)?(\d+|[A-Z0-9]+)(@\d{1,5})?",
    "time": r"\d+|(\d+-)?\d+(:\d+){0,2}",
}

# A TrainJob of trainer.kubeflow.org/v1alpha1, as far as a manifest of ours may use it: its server refuses other values,
# and drops keys that it does not know.
QUANTITY = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?([KMGTPE]i?|m)?$"}]
}
WORDS = {"type": "array", "items": {"type": "string", "maxLength": 65536}, "maxItems": 128}
TRAIN_JOB = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "trainer.kubeflow.org/v1alpha1"},
        "kind": {"const": "TrainJob"},
        "metadata": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {"name": {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}},
        },
        "spec": {
            "type": "object",
            "required": ["runtimeRef"],
            "additionalProperties": False,
            "properties": {
                "runtimeRef": {
                    "type": "object",
                    "required": ["name"],
                    "additionalProperties": False,
                    "properties": {name: {"type": "string", "maxLength": 253} for name in ("name", "kind", "apiGroup")},
                },
                "trainer": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "image": {"type": "string", "maxLength": 500},
                        "command": WORDS,
                        "args": WORDS,
                        "numNodes": {"type": "integer"},
                        "numProcPerNode": {"type": "integer"},
                        "resourcesPerNode": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                name: {"type": "object", "additionalProperties": QUANTITY}
                                for name in ("limits", "requests")
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "a file's data.jsonl"
    file.write_text(ROW)
    return file


def options(script: str) -> dict[str, str]:
    """The options of sbatch that a script holds; each one that it knows, with a value of the right form."""
    head = script.partition("\n\n")[0].splitlines()
    assert head[0] == "#!/bin/bash"
    found: dict[str, str] = {}
    for line in head:
        if line.startswith("#SBATCH"):
            name, _, value = line.removeprefix("#SBATCH --").partition("=")
            form = SBATCH[name]
            assert re.fullmatch(form, value) if form else value == "", line
            found[name] = value
    return found


def settings_of(command: list[str]) -> Train:
    """The settings that a job's command holds."""
    assert command[-4:-1] == ["-m", "ilab_cli.runs.train", "--settings"]
    return Train.model_validate_json(command[-1])


def command_in(script: str) -> list[str]:
    """The command of each machine in a script."""
    line = script.partition('exec "$@"\' - \\\n')[2].partition(" &\n")[0]
    return shlex.split(line)


def test_a_script_for_slurm(ilab: Ilab, data: Path, tmp_path: Path) -> None:
    done = ilab(*"model train --launcher slurm --nnodes 3 --gpus 4-7 --data-path".split(), data.name, "--num-epochs=7")
    assert done.returncode == 0, done.stderr
    assert subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=False).returncode == 0
    found = options(done.stdout)
    assert (found["nodes"], found["ntasks-per-node"], found["gpus-per-node"]) == ("3", "1", "4")
    assert "requeue" in found
    assert found["job-name"] == "ilab-train"
    command = command_in(done.stdout)
    train = settings_of(command)
    assert command[0] == sys.executable
    assert (train.num_epochs, train.num_gpus, train.gpus, train.device) == (7, 4, None, "cuda")
    assert (train.data_path, train.output_dir) == (str(data), str(tmp_path / "runs" / "train"))
    assert train.torchrun.nnodes == 1, "the scheduler says which machines there are"
    assert sorted(path.name for path in tmp_path.iterdir()) == [data.name]


def test_a_script_without_gpus(ilab: Ilab, data: Path) -> None:
    done = ilab("model", "train", "--launcher=slurm", "--gpus=-1", "--num-gpus=2", "--data-path", data.name)
    found = options(done.stdout)
    assert (found["nodes"], found["cpus-per-task"]) == ("1", "2")
    assert "gpus-per-node" not in found
    assert settings_of(command_in(done.stdout)).device == "cpu"


def test_what_a_script_does_on_each_machine(ilab: Ilab, data: Path, tmp_path: Path) -> None:
    """With programs in the place of Slurm's that do what those do, but for other machines."""
    programs = tmp_path / "bin"
    programs.mkdir()
    stand_in(programs / "scontrol", "echo first; echo second")
    stand_in(programs / "srun", 'shift 2; for SLURM_NODEID in 0 1; do export SLURM_NODEID; "$@"; done')
    stand_in(programs / "python", 'echo "$PET_NNODES $PET_NODE_RANK $PET_MASTER_ADDR $PET_MASTER_PORT"; echo "$4"')
    script = ilab("model", "train", "--launcher=slurm", "--nnodes=2", "--data-path", data.name, "--gpus=-1").stdout
    script = script.replace(shlex.quote(sys.executable), str(programs / "python"))
    variables = {"SLURM_JOB_ID": "12345", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "1"}
    done = subprocess.run(
        ["bash", "-eu"],
        input=script,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "x", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    first, settings, second, same = done.stdout.splitlines()
    assert (first, second) == ("2 0 first 22345", "2 1 first 22345")
    assert settings == same
    assert json.loads(settings)["data_path"] == str(data)


def test_a_manifest_for_kubernetes(ilab: Ilab, tmp_path: Path) -> None:
    odd = "a $(HOME) Ä_B/" + "long" * 20
    done = ilab(*"model train --launcher kubernetes --nnodes 2 --gpus 0,1 --output-dir".split(), odd)
    assert done.returncode == 0, done.stderr
    manifest: Any = parse(done.stdout).data
    jsonschema.validate(manifest, TRAIN_JOB)
    trainer = manifest["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 2)
    assert trainer["resourcesPerNode"] == {"limits": {"nvidia.com/gpu": 2}}
    settings = settings_of([word.replace("$$(", "$(") for word in trainer["command"]])
    assert settings.output_dir == str(tmp_path / odd)
    assert "$(" not in trainer["command"][-1].replace("$$(", "")
    on_cpu: Any = parse(ilab("model", "train", "--launcher=kubernetes", "--gpus=-1").stdout).data
    jsonschema.validate(on_cpu, TRAIN_JOB)
    assert "resourcesPerNode" not in on_cpu["spec"]["trainer"]


@pytest.mark.parametrize(("launcher", "program"), [("slurm", "sbatch"), ("kubernetes", "kubectl apply -f -")])
def test_what_is_submitted_is_what_is_printed(
    ilab: Ilab, data: Path, tmp_path: Path, launcher: str, program: str
) -> None:
    programs, (name, *words) = tmp_path / "bin", program.split()
    programs.mkdir()
    line = ["model", "train", "--launcher", launcher, "--data-path", data.name]
    printed = ilab(*line).stdout
    missing = ilab(*line, "--submit", PATH=str(programs))
    assert missing.returncode == 2
    assert f"{name}, which submits the job, is not here" in missing.stderr
    stand_in(programs / program.split()[0], f'[ "$*" = "{" ".join(words)}" ] && cat > given && echo job 7')
    path = f"{programs}:{os.environ['PATH']}"
    assert ilab(*line, "--submit", "--dry-run", PATH=path).stdout == printed
    assert not (tmp_path / "given").exists()
    done = ilab(*line, "--submit", PATH=path)
    assert (done.returncode, done.stdout) == (0, "job 7\n")
    assert (tmp_path / "given").read_text() == printed
    stand_in(programs / name, "echo no such partition >&2; exit 4")
    done = ilab(*line, "--submit", PATH=path)
    assert (done.returncode, done.stderr) == (1, "no such partition\n")


def stand_in(path: Path, text: str) -> None:
    """A program of the shell."""
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_what_is_known_to_be_wrong_is_told_here(ilab: Ilab, data: Path, tmp_path: Path) -> None:
    done = ilab("model", "train", "--launcher=slurm", "--model-path=nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "error[data-not-found]" in done.stderr
    assert "error[model-not-found]" in done.stderr
    done = ilab("model", "train", "--launcher=kubernetes")
    assert done.returncode == 0, "the files of its machines are not seen here"
    line = ["model", "train", "--launcher=slurm", "--device=cuda", "--gpus=0-7", "--data-path", data.name]
    assert ilab(*line).returncode == 0, "the GPUs are elsewhere"
    assert ilab("model", "train", "--submit").returncode == 2
    assert ilab(*line, "--overwrite").returncode == 2
    (tmp_path / "runs" / "train").mkdir(parents=True)
    shutil.copy(data, tmp_path / "runs" / "train" / "mine.txt")
    assert "error[output-folder-in-use]" in ilab(*line).stderr

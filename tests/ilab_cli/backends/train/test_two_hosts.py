"""A training on two hosts with a network of their own each, joined by a cable, as two machines are.

The name of both stands for a loopback address, as on many machines.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from ilab_cli.backends.base import as_arguments
from ilab_cli.backends.train.launch import on_these_machines
from ilab_cli.backends.train.network import variables
from ilab_profiles import Train
from ilab_profiles.models.engines import Torchrun
from ilab_profiles.yaml.read import read
from tests.ilab_cli.backends.train.conftest import ROOT, losses, python
from tests.ilab_cli.backends.train.test_training import plain_loop

pytest.importorskip("accelerate", reason="needs the train extra")
Settings = Callable[..., Train]
MEETING = "10.213.77.1"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """The names of two network namespaces; the first has the address at which they meet."""
    if not shutil.which("ip") or not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs root and iproute2")
    one, two = names = (f"ilab-{os.getpid()}-a", f"ilab-{os.getpid()}-b")
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "cable0", "netns", one, "type", "veth", "peer", "name", "cable1", "netns", two)
        for number, name in enumerate(names):
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "address", "add", f"10.213.77.{number + 1}/24", "dev", f"cable{number}")
            ip("-n", name, "link", "set", f"cable{number}", "up")
        yield names
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def train_on(hosts: tuple[str, str], commands: list[list[str]], more: list[Mapping[str, str]]) -> None:
    """Run a command on each host, with further variables, to a good end."""
    usual = {name: value for name, value in os.environ.items() if not name.startswith("PET_")}
    processes = [
        subprocess.Popen(
            ["ip", "netns", "exec", host, *command],
            env={**usual, "PYTHONPATH": str(ROOT), **variables},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for host, command, variables in zip(hosts, commands, more, strict=True)
    ]
    told = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told


def test_two_hosts_with_a_rendezvous(settings: Settings, hosts: tuple[str, str]) -> None:
    meeting = {"nnodes": 2, "rdzv_endpoint": f"{MEETING}:29500", "rdzv_id": "test"}
    train = settings(torchrun=meeting)
    launcher = "ilab_cli.backends.train.launch"
    commands = [python(*as_arguments(launcher, settings(torchrun={**meeting, "node_rank": rank}))) for rank in (0, 1)]
    train_on(hosts, commands, [{}, {}])
    assert losses(train) == pytest.approx(plain_loop(train), rel=1e-4)


def test_two_hosts_that_a_scheduler_starts(settings: Settings, hosts: tuple[str, str]) -> None:
    train = settings()
    meeting = {"PET_NNODES": "2", "PET_MASTER_ADDR": MEETING, "PET_MASTER_PORT": "29500"}
    command = python(*as_arguments("ilab_cli.runs.train", train))
    train_on(hosts, [command, command], [{**meeting, "PET_NODE_RANK": rank} for rank in ("0", "1")])
    assert losses(train) == pytest.approx(plain_loop(train), rel=1e-4)
    assert read(Path(train.output_dir) / "run.yaml").data["status"] == "complete"


def test_the_machines_that_a_scheduler_names(settings: Settings) -> None:
    train, own = settings(), settings(torchrun={"nnodes": 3, "master_addr": "here", "node_rank": 2})
    named = {"PET_NNODES": "4", "PET_NODE_RANK": "1", "PET_MASTER_ADDR": "first", "PET_MASTER_PORT": "29400"}
    found = on_these_machines(train, named).torchrun
    assert found == Torchrun(nnodes=4, node_rank=1, master_addr="first", master_port=29400)
    assert on_these_machines(own, named) == own, "what the settings say goes before"
    assert on_these_machines(train, {}) == train
    assert on_these_machines(train, {**named, "PET_NNODES": "1"}).torchrun == Torchrun()
    assert on_these_machines(train, {**named, "PET_NNODES": "1:4"}) == train


def test_nothing_is_said_of_the_network_where_nothing_is_known() -> None:
    assert variables(Torchrun(nnodes=2, rdzv_endpoint="127.0.0.1:29500")) == {}
    assert variables(Torchrun(nnodes=2, master_addr="no-such-host.invalid")) == {}

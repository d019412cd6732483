"""Every shipped profile works as it stands: each dry run says what it would run, without a warning.

This machine has no GPU, so torch is made to say that it sees as many as the profile is for; all else is as it is here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from ilab_cli.session import Typed
from ilab_profiles import load
from ilab_profiles.catalog import built_in_files
from tests.alive.workshop import Workshop

NAMES = list(built_in_files())


@pytest.fixture(scope="module")
def project(shared: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a taxonomy, and data as a generation leaves them."""
    from examples.demo import make_taxonomy

    folder = tmp_path_factory.mktemp("project")
    row = {"messages": [{"role": "user", "content": "count"}, {"role": "assistant", "content": "one two"}]}
    mixed = folder / "generated" / "mixed"
    mixed.mkdir(parents=True)
    for name in ("knowledge_train.jsonl", "skills_train.jsonl"):
        (mixed / name).write_text((json.dumps(row) + "\n") * 8000)
    return folder


@pytest.fixture(params=NAMES)
def profile(request: pytest.FixtureRequest, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A profile, in the project, on a machine that seems to have its GPUs."""
    monkeypatch.chdir(project)
    count = load(request.param).hardware.count
    with patch("torch.cuda.is_available", return_value=count > 0), patch("torch.cuda.device_count", return_value=count):
        yield request.param


@pytest.mark.filterwarnings("ignore")
def test_a_dry_run_of_a_training(profile: str, shared: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    from ilab_cli.commands.model import train

    train(Typed({"train.model_path": shared.student}, {}, "train"), profile=profile, dry_run=True)
    out, err = capsys.readouterr()
    assert err == ""
    assert "torch.distributed.run" in out or "ilab_cli.backends" in out

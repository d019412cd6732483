"""Cases of what a profile says of itself: ``description``, ``expertise`` and ``hardware``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ilab_profiles import Profile
from tests.alive.case import Case
from tests.alive.workshop import Workshop
from tests.programs import ilab_in


def run(profile: Profile, workshop: Workshop, *arguments: str) -> str:
    """What ``ilab`` prints where the profile is there as ``mine``."""
    own = workshop.folder / "own"
    own.mkdir(exist_ok=True)
    (own / "mine.yaml").write_text(profile.to_yaml(), encoding="utf-8")
    done = ilab_in(workshop.folder, ILAB_PROFILE_DIR=str(own))(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def listed(profile: Profile, workshop: Workshop) -> str:
    """How ``ilab profile list`` describes the profile."""
    rows = json.loads(run(profile, workshop, "profile", "list", "--json"))
    return next(str(row["description"]) for row in rows if row["name"] == "mine")


def shown(flag: str) -> Callable[[Profile, Workshop], bool]:
    """Whether ``--help`` shows a flag."""
    return lambda profile, workshop: flag in run(profile, workshop, "model", "train", "--help", "--profile", "mine")


def suits_two_l4(profile: Profile, workshop: Workshop) -> Any:
    """Whether, and how, the profile is found to suit a machine of two L4."""
    from ilab_profiles.hardware.machine import Gpu, Machine
    from ilab_profiles.matching import suits

    gpus = tuple(Gpu("NVIDIA L4", 23034 << 20, 23034 << 20, "nvidia", number, None, ()) for number in range(2))
    return suits(profile.hardware, Machine(gpus, "", 8, 64 << 30, 64 << 30, "Linux"))


CASES = [
    Case("description", "For a test", listed, "", "For a test"),
    Case("expertise", "expert", shown("--weight-decay"), False, True),
    Case("hardware.gpu", "L4", suits_two_l4, "enough", "exact", {"hardware.count": 2}),
    Case("hardware.count", 4, suits_two_l4, "any", "no"),
    Case("hardware.memory", 48, suits_two_l4, "enough", "no", {"hardware.count": 2}),
]

"""Cases of the settings below ``train``."""

from __future__ import annotations

from ilab_profiles import Profile
from tests.alive.case import Case
from tests.alive.workshop import Workshop


def options(profile: Profile, workshop: Workshop) -> list[str]:
    """The launched command without the settings that it hands on."""
    from ilab_cli.backends.train.launch import command

    return command(profile.train)[:-2]


def option(name: str, number: int = 1):  # type: ignore[no-untyped-def]
    def look(profile: Profile, workshop: Workshop) -> str | None:
        parts = options(profile, workshop)
        return parts[parts.index(name) + 1] if name in parts else None
    return look


CASES = [
    Case("train.num_gpus", 4, option("--nproc-per-node"), "1", "4", {"train.device": "cpu", "train.oversubscribe": True}),
]

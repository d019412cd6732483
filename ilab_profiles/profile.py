"""A whole profile: every setting of a workflow under one name."""

from __future__ import annotations

from typing import Literal

from ilab_profiles.evaluate import Evaluate
from ilab_profiles.fields import Section, section, setting
from ilab_profiles.generate import Generate
from ilab_profiles.train import Train

__all__ = ["Hardware", "Profile"]


class Hardware(Section):
    """The machine that a profile is meant for; a profile without a GPU name fits any machine."""

    gpu: str | None = setting(None, "Model of the GPUs, for example L40S")
    count: int = setting(0, "Number of GPUs", unit="GPUs", ge=0)
    memory: int | None = setting(None, "Memory of each GPU", unit="GiB", ge=1)


class Profile(Section):
    """Every setting of a workflow: generate and mix data, train, evaluate."""

    description: str = setting("", "What the profile is for, in one line")
    expertise: Literal["basic", "advanced", "expert"] = setting("basic", "How much `--help` shows")
    hardware: Hardware = section(Hardware, "The machine that the profile is meant for")
    generate: Generate = section(Generate, "Data generation")
    train: Train = section(Train, "Training")
    evaluate: Evaluate = section(Evaluate, "Evaluation")

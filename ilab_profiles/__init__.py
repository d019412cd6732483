"""Typed, checked profiles for generating data for, training and evaluating language models.

>>> import ilab_profiles
>>> profile = ilab_profiles.load("cpu_only")
>>> profile.train.lora.enabled
False
"""

from __future__ import annotations

from ilab_profiles.catalog import names
from ilab_profiles.diagnostics import Finding, InputError, Position
from ilab_profiles.evaluate import Evaluate
from ilab_profiles.generate import Generate
from ilab_profiles.merge import Effective
from ilab_profiles.mix import Mix
from ilab_profiles.profile import Profile
from ilab_profiles.resolve import check, load, resolve
from ilab_profiles.train import Train

__all__ = [
    "Effective",
    "Evaluate",
    "Finding",
    "Generate",
    "InputError",
    "Mix",
    "Position",
    "Profile",
    "Train",
    "check",
    "load",
    "names",
    "resolve",
]

"""A whole profile: every setting of a workflow under one name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

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
    """Every setting of a workflow: generate and mix data, train, evaluate.

    The constructor checks each value by itself; :func:`ilab_profiles.load`, :meth:`from_dict` and :meth:`replace` check
    the rules between them too.
    """

    description: str = setting("", "What the profile is for, in one line")
    expertise: Literal["basic", "advanced", "expert"] = setting("basic", "How much `--help` shows")
    hardware: Hardware = section(Hardware, "The machine that the profile is meant for")
    generate: Generate = section(Generate, "Data generation")
    train: Train = section(Train, "Training")
    evaluate: Evaluate = section(Evaluate, "Evaluation")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """A profile from nested data as a profile file holds them, in any accepted spelling, checked as a whole.

        Raises:
            InputError: with everything that is wrong with it.
        """
        from ilab_profiles.revision import from_data

        return cls.model_validate(from_data(data))

    def replace(self, **changes: Any) -> Self:
        """A new profile with other values, checked as a whole: ``profile.replace(**{"train.num_epochs": 3})``.

        Args:
            changes: values by dotted path, in any accepted spelling.

        Raises:
            InputError: with everything that is wrong with the result.
        """
        from ilab_profiles.revision import revise

        return type(self).model_validate(revise(self, changes))

    def to_dict(self) -> dict[str, Any]:
        """Every setting as nested, JSON-ready data that :meth:`from_dict` reads back; secrets are left out."""
        from ilab_profiles.revision import without_secrets

        return without_secrets(self)

    def to_yaml(self) -> str:
        """Every setting as commented YAML that :func:`ilab_profiles.load` reads back; secrets are left out."""
        from ilab_profiles.revision import as_yaml

        return as_yaml(self)

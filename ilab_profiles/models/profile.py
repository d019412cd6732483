"""A whole profile: every setting of a workflow under one name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal, Self

from ilab_profiles.models.evaluate import Evaluate
from ilab_profiles.models.fields import Section, section, setting
from ilab_profiles.models.generate import Generate
from ilab_profiles.models.train import Train

__all__ = ["Hardware", "Profile"]


class Hardware(Section):
    """The machine that a profile is meant for.

    One that names a model of GPU is for that model. One that names none is for any GPUs of at least that memory, in
    exactly that number; and one that says nothing, for any machine.
    """

    gpu: str | None = setting(
        None, "Model of the GPUs, for example L40S", acts="which profile is offered for this machine"
    )
    count: int = setting(0, "Number of GPUs", acts="which profile is offered for this machine", unit="GPUs", ge=0)
    memory: int | None = setting(
        None,
        "Memory of each GPU",
        acts="which profile is offered for this machine, and the room in the estimate of memory",
        unit="GiB",
        ge=1,
    )


class Profile(Section):
    """Every setting of a workflow: generate and mix data, train, evaluate.

    However it is made, values and rules are checked: the constructor and ``model_validate`` raise pydantic's
    ``ValidationError``, :func:`ilab_profiles.load`, :meth:`from_dict` and :meth:`replace` raise
    :class:`ilab_profiles.InputError` with all findings at once.
    """

    place = ""

    description: str = setting(
        "", "What the profile is for, in one line", acts="what `profile list` and `config init` say of the profile"
    )
    expertise: Literal["basic", "advanced", "expert"] = setting(
        "basic", "How much `--help` shows", acts="which flags `--help` shows"
    )
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
        return cls.model_validate(_loading("from_data")(data))

    def replace(self, changes: Mapping[str, Any] = MappingProxyType({}), /, **more: Any) -> Self:
        """A new profile with other values, checked as a whole: ``profile.replace({"train.num_epochs": 3})``.

        Args:
            changes: values by dotted path, in any accepted spelling.
            more: the same, as keywords.

        Raises:
            InputError: with everything that is wrong with the result.
        """
        return type(self).model_validate(_loading("revise")(self, {**changes, **more}))

    def to_dict(self) -> dict[str, Any]:
        """Every setting as nested, JSON-ready data that :meth:`from_dict` reads back; secrets are left out."""
        return dict(_loading("without_secrets")(self))

    def to_yaml(self) -> str:
        """Every setting as commented YAML that :func:`ilab_profiles.load` reads back; secrets are left out."""
        return str(_loading("as_yaml")(self))


def _loading(name: str) -> Any:
    """A function of the room that makes profiles of data: it builds on the models, so it is looked up when called."""
    return getattr(import_module("ilab_profiles.loading.data"), name)

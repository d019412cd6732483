"""A training as a job of Kubernetes: the manifest of a ``TrainJob`` of Kubeflow Trainer, made of the settings.

The runtime that it names sets torchrun's own variables, ``PET_…``, that tell the machines where they meet; it also
brings the image, in which this program is installed, and the volumes with model, data and run folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ilab_profiles import Train
from ilab_profiles.yaml.write import dump

__all__ = ["PROGRAM", "manifest", "text"]

PROGRAM = ("kubectl", "apply", "-f", "-")
"""The command that takes the manifest on its standard input."""
_NOTES = """\
# A TrainJob of Kubeflow Trainer, for kubectl. The runtime's image must have ilab-profiles[train], or name another one
# as spec.trainer.image; model, data and run folder must lie on volumes of the runtime, at the paths of the command.
"""


def manifest(train: Train, name: str, command: Sequence[str]) -> dict[str, Any]:
    """The ``TrainJob``.

    Args:
        train: the settings, which say how many machines, processes and GPUs.
        name: name of the job: a DNS label.
        command: what each machine runs.
    """
    trainer: dict[str, Any] = {
        "numNodes": train.torchrun.nnodes,
        "numProcPerNode": train.num_processes,
        "command": [word.replace("$(", "$$(") for word in command],  # Kubernetes puts variables in place of $(NAME)
    }
    if train.device != "cpu":
        trainer["resourcesPerNode"] = {"limits": {"nvidia.com/gpu": train.num_processes}}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name},
        "spec": {"runtimeRef": {"name": "torch-distributed"}, "trainer": trainer},
    }


def text(train: Train, name: str, command: Sequence[str]) -> str:
    """The manifest as YAML, with what it takes for granted as comments."""
    return _NOTES + dump(manifest(train, name, command))

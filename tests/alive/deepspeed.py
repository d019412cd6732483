"""Cases of ``train.deepspeed``: the configuration that DeepSpeed gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ilab_profiles import Profile
from tests.alive.case import Case
from tests.alive.workshop import Workshop


def configured(*keys: str) -> Callable[[Profile, Workshop], Any]:
    """Something of DeepSpeed's configuration."""

    def look(profile: Profile, workshop: Workshop) -> Any:
        from ilab_profiles.zero import configuration

        found: Any = configuration(profile.train)
        for key in keys:
            found = found.get(key) if found else None
        return found

    return look


def file(workshop: Workshop) -> str:
    path = workshop.folder / "deepspeed.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": 1}}))
    return str(path)


def zero(*keys: str) -> Callable[[Profile, Workshop], Any]:
    return configured("zero_optimization", *keys)


ON = {"train.deepspeed.enabled": True, "train.deepspeed.zero_stage": 3}
TO_MEMORY = ON | {"train.deepspeed.ds_offload_strat": "cpu"}
OPTIMIZER = ON | {"train.deepspeed.cpu_offload_optimizer": True}
NVME = {"train.deepspeed.ds_offload_strat": "nvme", "train.deepspeed.nvme_path": "/fast"}
TO_DISK = {"device": "nvme", "nvme_path": "/fast"}

CASES = [
    Case("train.deepspeed.zero_stage", 1, zero("stage"), 2, 1, {"train.deepspeed.enabled": True}),
    Case("train.deepspeed.deepspeed_config", file, zero("stage"), 3, 1, ON),
    Case("train.deepspeed.cpu_offload_optimizer", True, zero("offload_optimizer"), None, {"device": "cpu"}, TO_MEMORY),
    Case("train.deepspeed.cpu_offload_params", True, zero("offload_param"), None, {"device": "cpu"}, ON),
    Case(
        "train.deepspeed.ds_offload_strat",
        "nvme",
        zero("offload_optimizer"),
        {"device": "cpu"},
        TO_DISK,
        OPTIMIZER | {"train.deepspeed.nvme_path": "/fast"},
    ),
    Case(
        "train.deepspeed.nvme_path",
        "/other",
        zero("offload_optimizer", "nvme_path"),
        "/fast",
        "/other",
        OPTIMIZER | NVME,
    ),
]

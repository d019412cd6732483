"""What is trained, and how processes share it: every combination, run by the recipe itself; the table of which run.

Started by torchrun with a folder and settings as JSON, each process does every cell that no rule refuses: it trains, is
asked to stop after a few steps, and trains on from the checkpoint in a second start. So a cell costs seconds. What each
start told in ``metrics.jsonl`` is what the test looks at.
"""

from __future__ import annotations

import json
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ilab_profiles import Train

WHAT: dict[str, dict[str, Any]] = {
    "full": {},
    "LoRA": {"lora": {"enabled": True, "lora_dropout": 0.0}},
    "LoRA on nf4": {"lora": {"enabled": True, "lora_dropout": 0.0}, "deepspeed": {"quantize_dtype": "nf4"}},
    "LoRA on fp8": {"lora": {"enabled": True, "lora_dropout": 0.0}, "deepspeed": {"quantize_dtype": "fp8"}},
}
OFFLOAD = {"cpu_offload_optimizer": True, "cpu_offload_params": True}
HOW: dict[str, dict[str, Any]] = {
    "DDP": {},
    "ZeRO 1": {"deepspeed": {"enabled": True, "zero_stage": 1}},
    "ZeRO 2": {"deepspeed": {"enabled": True, "zero_stage": 2}},
    "ZeRO 3": {"deepspeed": {"enabled": True, "zero_stage": 3}},
    "ZeRO 3, offload": {"deepspeed": {"enabled": True, "zero_stage": 3, **OFFLOAD}},
    "FSDP": {"fsdp": {"enabled": True}},
    "FSDP, offload": {"fsdp": {"enabled": True, "fsdp_cpu_offload": True}},
}
STOP_AT = 2


def settings(base: dict[str, Any], what: str, how: str) -> Train:
    """The settings of a cell.

    Raises:
        ValidationError: if a rule refuses it.
    """
    both = {**WHAT[what], **HOW[how]}
    deepspeed = {**WHAT[what].get("deepspeed", {}), **HOW[how].get("deepspeed", {})}
    folder = Path(base["output_dir"]) / what.replace(" ", "-") / how.replace(" ", "-").replace(",", "")
    return Train.model_validate({**base, **both, "deepspeed": deepspeed, "output_dir": str(folder)})


def refusal(base: dict[str, Any], what: str, how: str) -> str:
    """The rule that refuses a cell; empty if none does."""
    try:
        settings(base, what, how)
    except ValidationError as error:
        return ", ".join(re.findall(r"\[([a-z0-9-]+)\] ", str(error)))
    return ""


def cells(base: dict[str, Any]) -> list[tuple[str, str]]:
    """The cells that no rule refuses."""
    return [(what, how) for what in WHAT for how in HOW if not refusal(base, what, how)]


class StopsAt:
    """Asks for a stop in a step, as a scheduler might."""

    def __init__(self, step: int) -> None:
        self.left = step
        self._agreed = False

    @property
    def asked(self) -> bool:
        self.left -= 1
        return self.left == 0

    @property
    def agreed(self) -> bool:
        return self._agreed

    @agreed.setter
    def agreed(self, value: bool) -> None:
        self._agreed = self._agreed or value


def main() -> int:
    """Do all cells that are asked for."""
    from accelerate.state import AcceleratorState, PartialState

    from ilab_cli.backends.train.worker import train_model

    PartialState.destroy_process_group = lambda *_: None  # one group serves all cells
    base, chosen = json.loads(sys.argv[1]), json.loads(sys.argv[2])
    for what, how in chosen:
        train = settings(base, what, how)
        try:
            stop: Any
            for stop in (StopsAt(STOP_AT), StopsAt(0)):
                train_model(train, stop)
                AcceleratorState._reset_state(reset_partial_state=True)
        except Exception:
            traceback.print_exc()
            Path(train.output_dir, "failed.txt").write_text(traceback.format_exc(), encoding="utf-8")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

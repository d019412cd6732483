"""The memory that a training takes against the memory that is there: before it starts, and when it ran out.

The estimate is the library's; here it is asked for this machine, and put into words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ilab_cli.backends.base import memory_in_words
from ilab_cli.backends.train import forecast
from ilab_profiles import Finding, Profile, Train
from ilab_profiles.yaml.write import scalar

if TYPE_CHECKING:
    from ilab_profiles.estimate.fit import Fit
    from ilab_profiles.hardware.machine import Machine

__all__ = ["as_data", "compared", "estimate", "findings"]

_RULE = "memory-will-not-fit"
_TOLD = 3
"""Parts of an estimate that are named, the largest ones."""
_LEAST = "lower train.max_batch_len, or set train.gradient_checkpointing or train.lora.enabled"


def estimate(train: Train, longest: int = 0, machine: Machine | None = None) -> Fit | None:
    """The estimate for a machine; ``None`` where there is none.

    Args:
        train: the settings.
        longest: tokens of the longest sample, where the data are known; 0 where they are not.
        machine: where it runs; by default this machine.
    """
    from ilab_profiles.estimate.fit import fit
    from ilab_profiles.hardware.machine import here

    try:
        machine, shorter = machine or here(), _of_length(train, longest)
        found = fit(Profile(train=shorter), hardware=machine)
        if found.change and shorter is not train:  # which is to hold for the settings as they are
            return replace(found, change=fit(Profile(train=train), hardware=machine).change)
        return found
    except Exception:  # a training must not fail for its estimate; what is wrong with the model is told elsewhere
        return None


def _of_length(train: Train, longest: int) -> Train:
    """The settings, the longest sample no longer than it is: batches of few samples then hold fewer tokens."""
    if not longest or longest >= train.max_seq_len or train.packing == "full":
        return train
    return train.model_copy(update={"max_seq_len": longest})


def findings(train: Train, longest: int = 0) -> Iterator[Finding]:
    """A warning about a training that will not fit, or may not, into the memory of this machine.

    Args:
        train: the settings.
        longest: tokens of the longest sample, where the data are known.
    """
    from ilab_profiles.hardware.machine import here

    machine = here()
    found = estimate(train, longest, machine)
    if found is None or found.fits is not False:
        return
    said = as_data(found)
    settings = (said["change"] or {}).get("settings", {})
    if found.room is not None and found.high > found.room:
        takes = "takes" if found.peak > found.room else "may take"
        message = f"a process {takes} {_figures(said)} of memory; {_room(found.device, found.room)}"
    elif found.main_memory > machine.memory:
        takes, there = memory_in_words(found.main_memory), memory_in_words(machine.memory)
        message = f"all processes take about {takes} of main memory; this machine has {there}"
    else:
        return  # there are fewer GPUs than processes, which is told elsewhere
    yield Finding(
        _RULE,
        message,
        next(iter(settings), "train.max_batch_len"),
        why=f"most of it: {_parts(said)}",
        hint=_change(said) or _LEAST,
        fix=tuple((path, scalar(value)) for path, value in settings.items()),
        severity="warning",
    )


def as_data(found: Fit) -> dict[str, Any]:
    """An estimate as it is kept in the run folder."""
    sizes = {"predicted": found.peak, "low": found.low, "high": found.high, "room": found.room}
    parts = [(part.name, round(part.bytes)) for part in found.parts]
    change = found.change and {
        "settings": found.change.settings,
        "price": list(found.change.price),
        "peak": found.change.peak,
    }
    return {"device": found.device, **sizes, "parts": parts, "change": change or None}


def compared(folder: Path, now: str = "") -> str:
    """What was in use when the memory of a training ran out, beside the estimate, and what would fit.

    Args:
        folder: its folder, or that of a phase.
        now: what the process itself tells; else it is what the rows of metrics tell.

    Returns:
        lines to stand below the reason.
    """
    rows = forecast.rows(folder)
    when = f"in step {rows[-1]['step'] + 1:,}" if rows else "before the end of the first step"
    held = max((row["memory"] for row in rows), default=0)
    now = now or (f"{memory_in_words(held)} of a process at most until step {rows[-1]['step']:,}" if held else "")
    said: dict[str, Any] = forecast.read(folder).get("memory") or {}
    lines = [f"measured: it ended {when}{now and f'; {now}'}"]
    if said:
        lines.append(f"estimated: {_figures(said)} of a process, most of it {_parts(said)}")
    lines.append(f"fix: {_change(said) or _LEAST}")
    return "".join(f"\n    {line}" for line in lines)


def _figures(said: Mapping[str, Any]) -> str:
    low, high = memory_in_words(said["low"]), memory_in_words(said["high"])
    return f"about {memory_in_words(said['predicted'])} ({low} to {high})"


def _parts(said: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {memory_in_words(size)}" for name, size in said["parts"][:_TOLD])


def _change(said: Mapping[str, Any]) -> str:
    """The smallest change that would fit, and what it costs; empty if there is none."""
    change = said.get("change")
    if not change:
        return ""
    settings = ", ".join(f"{path}: {scalar(value)}" for path, value in change["settings"].items())
    return f"{settings} takes {memory_in_words(change['peak'])}: {'; '.join(change['price'])}"


def _room(device: str, room: int) -> str:
    there = memory_in_words(room)
    return f"this machine has {there} for it" if device == "CPU" else f"{there} are free on the GPU ({device})"

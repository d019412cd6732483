"""What ``ilab profile fit`` shows: a bar for each part, what they come to, the verdict, and what would make it fit."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ilab_cli import output, style
from ilab_profiles.diagnostics import counted

if TYPE_CHECKING:
    from ilab_profiles import Fit
    from ilab_profiles.estimate.change import Change
    from ilab_profiles.estimate.parts import Part

__all__ = ["shown"]

_WIDTH = 30
"""Of a bar that takes all the memory that there is."""
_TONES = {True: "green", None: "yellow", False: "red"}


def shown(found: Fit, model: str, way: str) -> str:
    """All of it as text for stdout.

    Args:
        found: what was worked out.
        model: the model, as it was named.
        way: the command that makes it fit; empty if there is none.
    """
    parts = [_pairs(_about(found, model)), _bars(found), _pairs(_sums(found)), _verdict(found)]
    if output.level() > 1:
        parts.insert(2, _formulas(found))
    if found.change:
        parts.append(_change(found.change, way))
    elif found.lacks:
        parts.append("--gpu NAME or --memory GIB asks about another machine.")
    elif found.fits is False:
        parts.append("No change of settings was found that makes it fit: it takes a smaller model, or more memory.")
    return "\n\n".join(parts)


def _pairs(rows: Iterator[tuple[str, str]]) -> str:
    return output.columns(("", ""), rows).strip()


# --- what is trained, and what that takes -----------------------------------------------------------------------------


def _about(found: Fit, model: str) -> Iterator[tuple[str, str]]:
    trained = "all trained"
    if found.trained != found.parameters:
        trained = f"adapters of {_number(found.trained)} trained"
    yield "Model", f"{model}, {_number(found.parameters)} parameters, {trained}"
    processes = f", {counted(found.processes, 'processes')}" if found.processes > 1 else ""
    yield "Runs on", f"{found.device}{processes}"
    if found.phase:
        yield "Phase", f"{found.phase}, which takes most"


def _number(count: int) -> str:
    """A number as people say it."""
    for size, word in ((10**9, "billion"), (10**6, "million")):
        if count >= size:
            return f"{count / size:.3g} {word}"
    return f"{count:,}"


def _bars(found: Fit) -> str:
    """A row for each part of what a process takes, with its share of the room, or of the peak if that is more."""
    whole = max(found.room or 0, found.peak)
    scale = f"SHARE OF {whole / 2**30:.1f} GIB"
    rows = [(part.name, _gib(part.bytes), _bar(part.bytes / whole)) for part in _here(found)]
    text = output.columns(("PART", f"{'GIB':>6}", scale), rows)
    return re.sub(r"#+$", lambda bar: style.paint(bar[0], "cyan"), text, flags=re.MULTILINE) if _colour() else text


def _here(found: Fit) -> list[Part]:
    return [part for part in found.parts if part.where == found.where]


def _bar(share: float) -> str:
    return "#" * round(share * _WIDTH)


def _gib(size: float) -> str:
    return f"{size / 2**30:6.2f}"


def _formulas(found: Fit) -> str:
    rows = ((part.name, _formula(part), part.source) for part in found.parts)
    return output.columns(("PART", "IS", "BECAUSE OF"), rows)


def _formula(part: Part) -> str:
    """The numbers that are multiplied, each with its name; those in main memory say so."""
    named = zip(part.numbers.split(" * "), part.formula.split(" * "), strict=True)
    text = " * ".join(f"{number} {name}" for number, name in named)
    return f"{text}, in main memory" if part.where == "main" else text


# --- what it comes to -------------------------------------------------------------------------------------------------


def _sums(found: Fit) -> Iterator[tuple[str, str]]:
    each = " for each process" if found.processes > 1 else ""
    yield "Takes", f"{_range(found)}{each}"
    if found.room is not None:
        yield "There is", f"{found.room / 2**30:.1f} GiB{each}"
    if found.where == "gpu" and found.main_memory:
        yield "Main memory", f"{found.main_memory / 2**30:.1f} GiB for all processes of a machine"
    yield "On disk", ", ".join(_on_disk(found))
    for said in found.unknown:
        yield "Not known", f"{said}; so the range is wider"
    for said in found.notes:
        yield "Note", said


def _on_disk(found: Fit) -> Iterator[str]:
    """What a training writes; a full training's last checkpoint is its model."""
    yield f"{found.disk.checkpoint / 2**30:.1f} GiB for each checkpoint"
    yield f"{found.disk.optimizer / 2**30:.1f} for the newest one's optimizer"
    if found.disk.model:
        yield f"{found.disk.model / 2**30:.1f} for the model"


def _range(found: Fit | Change) -> str:
    low, high = (f"{size / 2**30:.1f}" for size in (found.low, found.high))
    return f"{found.peak / 2**30:.1f} GiB ({low} to {high})"


def _verdict(found: Fit) -> str:
    verdict = _in_words(found)
    return style.paint(verdict, "bold", _TONES[found.fits]) if _colour() else verdict


def _in_words(found: Fit) -> str:
    if found.fits is None:
        return "Whether it fits is not known: --gpu NAME or --memory GIB says how much memory there is."
    if found.fits:
        return "It fits: there is room for the high end of it too."
    reasons = list(found.lacks)
    if found.room is not None and found.high > found.room:
        least = found.peak > found.room
        reasons.append(f"{'it takes' if least else 'the high end of it takes'} more memory than there is")
    sure = found.lacks or found.peak > (found.room or 0)
    return f"It {'does' if sure else 'may'} not fit: {'; '.join(reasons)}."


def _change(change: Change, way: str) -> str:
    """The settings that make it fit, what they cost, and the command that sets them."""
    lines = [f"It fits in {_range(change)} with"]
    lines += [f"  {path}: {output.cell(value)}" for path, value in change.settings.items()]
    lines += ["which costs", *(f"  {price}" for price in change.price)]
    return "\n".join([*lines, *(["", f"Set by: {way}"] if way else [])])


def _colour() -> bool:
    return style.coloured(sys.stdout)

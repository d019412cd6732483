"""How much memory a training takes: what each process holds at the moment when it holds most, part by part."""

from __future__ import annotations

from ilab_profiles.estimate.anatomy.shapes import Architecture
from ilab_profiles.estimate.moments import moments
from ilab_profiles.estimate.parts import Part, peak
from ilab_profiles.estimate.setup import Setup
from ilab_profiles.estimate.standing import around, state, weights

__all__ = ["memory"]


def memory(model: Architecture, setup: Setup) -> tuple[Part, ...]:
    """What a process holds when it holds most.

    Args:
        model: the model.
        setup: what the process does.

    Returns:
        the parts, on the GPU and in main memory, the largest first; their sum is the estimate.
    """
    always = [*weights(model, setup), *state(model, setup)]
    most = max(moments(model, setup), key=lambda parts: peak(parts, setup))
    parts = [*always, *most, *around(model, peak(always, setup), peak(most, setup), setup)]
    return tuple(sorted((part for part in parts if part.bytes), key=lambda part: -part.bytes))

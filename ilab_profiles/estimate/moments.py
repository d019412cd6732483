"""The moments at which a training may hold most: the head's forward and backward pass, that of layers, and the step."""

from __future__ import annotations

from collections.abc import Iterator

from ilab_profiles.estimate import activations
from ilab_profiles.estimate.anatomy.shapes import Architecture
from ilab_profiles.estimate.parts import Maker, Part
from ilab_profiles.estimate.setup import Setup
from ilab_profiles.estimate.standing import ZERO, learned, portion

__all__ = ["moments", "piece_of_head"]

_LOGITS = 2**26
"""Logits that may exist at one time: 256 MiB in fp32, or half as many as the head has weights where that is more."""
_PACKED = "what each operation saves, see ilab_profiles/estimate/activations.py; compared with traces of the real code"


def moments(model: Architecture, setup: Setup) -> Iterator[list[Part]]:
    """What a process holds at each of them, beside what it holds all the time."""
    begun = [*_gradients(model, setup, setup.gradients_stay), *_stored(model, setup)]
    before_head = _before_head(model, setup)
    yield [*begun, before_head, *_head_forward(model, setup)]
    yield [*begun, before_head, *_head_backward(model, setup)]
    yield [*begun, *_layer_backward(model, setup)]
    yield [*_gradients(model, setup, True), *_last_layer(model, setup), *_layer_backward(model, setup)]
    yield [*_gradients(model, setup, True), *_ends_backward(model, setup)]
    yield [*_gradients(model, setup, True), *_step(model, setup)]


def _gradients(model: Architecture, setup: Setup, there: bool) -> Iterator[Part]:
    share = portion(setup.gradients_shared, setup)
    away = setup.state_offloaded and setup.weights_shared
    trained = learned(model, setup) if there else 0
    yield Maker(setup)("gradients", ZERO, parameters=trained, bytes_each=setup.gradient, share=share, away=away)


def _stored(model: Architecture, setup: Setup) -> Iterator[Part]:
    """Activations of all layers, or what goes from one to the next where they are made anew; copies of the weights."""
    part, away = Maker(setup), setup.activations_offloaded
    each = [activations.kept(model, layer, setup) for layer in model.layers]
    if setup.recompute:
        each = [activations.passed_on(model, setup) for _ in model.layers]
    mean = sum(each) / len(each)
    yield part(
        "activations",
        _PACKED,
        spread=_spread(setup),
        away=away,
        tokens=setup.tokens,
        layers=len(each),
        bytes_each=mean,
    )
    if not setup.recompute:
        yield _copies(model, setup)


def _spread(setup: Setup) -> tuple[float, float]:
    """How far off activations may be: what is kept differs little, how many tokens there are may differ much."""
    return 0.97 * setup.filled, 1.03


def _before_head(model: Architecture, setup: Setup) -> Part:
    ends = activations.at_end(model, setup)
    part = Maker(setup)
    return part("activations before the head", _PACKED, tokens=setup.tokens, bytes_each=ends, spread=_spread(setup))


def _copies(model: Architecture, setup: Setup) -> Part:
    """Autocast makes a copy of each trained matrix, and keeps it for the backward pass."""
    matrices = sum(matrix.parameters for layer in model.layers for matrix in layer.matrices)
    copied = matrices if _are_copied(setup) else 0
    name = "copies of the weights to compute with"
    return Maker(setup)(name, "torch.autocast caches casts", parameters=copied, bytes_each=setup.arithmetic)


def _are_copied(setup: Setup) -> bool:
    """Whether autocast makes copies of weights: of trained ones, unless what is gathered has the type already."""
    return setup.autocast and not setup.rank and setup.trained != setup.arithmetic and not setup.weights_shared


def piece_of_head(vocabulary: int, hidden: int) -> int:
    """Tokens for which the head is run at a time.

    Args:
        vocabulary: tokens that the model knows.
        hidden: its width.
    """
    return max(1, _LOGITS // vocabulary, hidden // 2)


def _piece(model: Architecture, setup: Setup) -> int:
    return min(piece_of_head(model.vocabulary, model.hidden), setup.tokens) if setup.pieces else setup.tokens


def _head_forward(model: Architecture, setup: Setup) -> Iterator[Part]:
    part = Maker(setup)
    if setup.recompute:
        yield _copies(model, setup)
    yield part(
        "logits",
        "as computed, in fp32, and their softmax",
        tokens=_piece(model, setup),
        vocabulary=model.vocabulary,
        bytes_each=max(setup.logit - 2, 0),
    )
    yield from _gathered(model, setup, layers=setup.gathered_ahead)


def _head_backward(model: Architecture, setup: Setup) -> Iterator[Part]:
    part = Maker(setup)
    yield part(
        "logits",
        "in fp32, their softmax, and its gradient",
        tokens=_piece(model, setup),
        vocabulary=model.vocabulary,
        bytes_each=setup.logit,
    )
    copies = 0 if setup.rank else 1 + setup.autocast
    yield part(
        "head at work",
        "its gradient, and under autocast a copy of its weights",
        vocabulary=model.vocabulary,
        width=model.hidden,
        bytes_each=setup.arithmetic,
        copies=copies,
    )
    yield from _gathered(model, setup, layers=setup.gathered_ahead)


def _layer_backward(model: Architecture, setup: Setup) -> Iterator[Part]:
    """The widest layer at work: its activations if they are made anew, and gradients on their way through it."""
    part = Maker(setup)
    layer = max(model.layers, key=lambda layer: activations.kept(model, layer, setup))
    if setup.recompute:
        kept = activations.kept(model, layer, setup) - activations.passed_on(model, setup)  # what went in is there
        yield part(
            "activations of a layer, made anew", _PACKED, tokens=setup.tokens, bytes_each=kept, spread=_spread(setup)
        )
        matrices = sum(matrix.parameters for matrix in layer.matrices) if _are_copied(setup) else 0
        yield part("copies of a layer's weights", "torch.autocast", parameters=matrices, bytes_each=setup.arithmetic)
    work = activations.at_work(model, layer, setup)
    yield part(
        "gradients of activations", _PACKED, tokens=setup.tokens, bytes_each=work, spread=(0.9 * setup.filled, 1.1)
    )
    if setup.base < setup.arithmetic and setup.rank:
        largest = max(matrix.parameters // matrix.count for matrix in layer.matrices)
        yield part("a matrix of the base, unpacked", "bitsandbytes", parameters=largest, bytes_each=setup.arithmetic)
    yield from _gathered(model, setup, layers=setup.gathered_layers)


def _last_layer(model: Architecture, setup: Setup) -> Iterator[Part]:
    """What is stored when the backward pass comes to its last layer."""
    part = Maker(setup)
    each = activations.passed_on(model, setup) if setup.recompute else activations.kept(model, model.layers[0], setup)
    yield part("activations of a layer", _PACKED, tokens=setup.tokens, bytes_each=each, spread=_spread(setup))


def _gathered(model: Architecture, setup: Setup, layers: int) -> Iterator[Part]:
    """What is whole for a while of weights that are shared out, and gradients before they are."""
    if not setup.weights_shared or setup.processes == 1:
        return
    part, longest = Maker(setup), model.longest_layer.parameters
    ends = model.embedding + model.head + model.other
    live = min(setup.live, model.parameters)
    if setup.live:
        yield part(
            "weights that are gathered",
            "DeepSpeed: stage3_max_live_parameters",
            spread=(0.3, 1.0),
            parameters=live + longest,
            bytes_each=setup.gathered,
        )
        return
    yield part("ends that are gathered", "FSDP keeps its root whole", parameters=ends, bytes_each=setup.gathered)
    yield part(
        "layers that are gathered",
        "FSDP: one at work, one on its way",
        layers=layers,
        parameters=longest,
        bytes_each=setup.gathered,
    )
    if layers and not setup.rank:
        yield part(
            "gradients of a layer that travel", "FSDP adds them in fp32", parameters=longest, bytes_each=setup.reduced
        )


def _ends_backward(model: Architecture, setup: Setup) -> Iterator[Part]:
    """What the last gradients take: those of embeddings and head, which FSDP sends together."""
    ends = 0 if setup.rank or setup.processes == 1 else model.embedding + model.head + model.other
    source = "FSDP adds them in fp32"
    yield Maker(setup)("gradients of the ends that travel", source, parameters=ends, bytes_each=setup.reduced)


def _step(model: Architecture, setup: Setup) -> Iterator[Part]:
    part, share = Maker(setup), portion(setup.state_shared, setup)
    if not setup.state_offloaded:
        trained = learned(model, setup)
        yield part("step of the optimizer", "torch.optim", parameters=trained, bytes_each=setup.step, share=share)
        largest = max(_sizes(model, setup), default=0)
        yield part(
            "largest matrix, at its step", "torch.optim", parameters=largest, bytes_each=setup.largest, share=share
        )


def _sizes(model: Architecture, setup: Setup) -> Iterator[int]:
    """Numbers of the matrices that are trained."""
    if setup.rank:
        for _, matrix, times in model.adapted(setup.targets):
            yield times * setup.rank * max(matrix.inputs, matrix.outputs)
        return
    yield from (matrix.parameters for layer in model.layers for matrix in layer.matrices)
    yield max(model.embedding, model.head)

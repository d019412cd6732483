"""The shapes of a language model: its matrices, its layers, and what can be counted from them. Nothing is read here.

A matrix is what multiplies: weights with an input and an output side, and perhaps a bias. All else a model learns, such
as norms and the sinks of its attention, is a number of parameters beside them. Parameters that two places share count
once, as they are in memory once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Architecture", "Layer", "Matrix"]

_ALL = "all-linear"


@dataclass(frozen=True, slots=True)
class Matrix:
    """Weights that multiply.

    Args:
        name: the last part of the module's name, ``q_proj``.
        inputs: numbers that go in.
        outputs: numbers that come out.
        bias: whether a bias is added, one number for each that comes out.
        count: how many of them there are in one place, for example experts.
        linear: whether it is a linear layer of its own, which can get an adapter and be quantized. Experts that are
            stacked in one tensor, routers and embeddings are not.
        inside: the module that it is in, as named within its layer, ``self_attn``.
    """

    name: str
    inputs: int
    outputs: int
    bias: bool = False
    count: int = 1
    linear: bool = True
    inside: str = ""

    @property
    def parameters(self) -> int:
        """Parameters of all ``count`` of them, biases included."""
        return self.count * (self.inputs + self.bias) * self.outputs

    @property
    def path(self) -> str:
        """The module's name within its layer, ``self_attn.q_proj``."""
        return f"{self.inside}.{self.name}" if self.inside else self.name


@dataclass(frozen=True, slots=True)
class Layer:
    """One of the layers that a token goes through: attention, and an MLP or experts.

    Args:
        matrices: its matrices.
        other: parameters beside them: norms and such.
        heads: heads of its attention.
        kv_heads: heads of keys and values, which several heads may share.
        head_dim: width of a head's queries and keys.
        inner: width of the MLP that one token goes through: all its experts together, shared ones included.
        gated: whether the MLP has a gate beside its way up, so that it is there twice.
        active: experts that one token goes through.
        window: tokens that its attention looks back at most; ``None`` if at all.
    """

    matrices: tuple[Matrix, ...]
    other: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    gated: bool
    active: int = 1
    window: int | None = None

    @property
    def parameters(self) -> int:
        """All its parameters."""
        return sum(matrix.parameters for matrix in self.matrices) + self.other


@dataclass(frozen=True, slots=True)
class Architecture:
    """A language model, as its ``config.json`` describes it.

    Args:
        model_type: the family's name.
        hidden: width of what goes from layer to layer.
        vocabulary: tokens that it knows.
        positions: tokens of its longest context; ``None`` if that is not told.
        layers: its layers, in their order.
        embedding: parameters of all embeddings: of tokens, and of positions where these are learned.
        head: parameters of the head; 0 if it shares its weights with the embedding and has no bias.
        other: parameters beside: the last norm and such.
        unknown: what is not known of it, a sentence each; empty if all is.
        outside: matrices outside layers, with their names in the model: embeddings, head, and what else there is.
        stack: what the layers' list is called in the model, ``model.layers``.
        renamed: what parts of its stacked experts were called when they were modules, and the stacks that they are in.
    """

    model_type: str
    hidden: int
    vocabulary: int
    positions: int | None
    layers: tuple[Layer, ...]
    embedding: int
    head: int
    other: int
    unknown: tuple[str, ...] = ()
    outside: tuple[Matrix, ...] = ()
    stack: str = "model.layers"
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def parameters(self) -> int:
        """All parameters; those that embedding and head share count once."""
        return self.embedding + sum(layer.parameters for layer in self.layers) + self.head + self.other

    @property
    def longest_layer(self) -> Layer:
        """The layer with the most parameters; the first of them, where several have as many."""
        return max(self.layers, key=lambda layer: layer.parameters)

    def linears(self) -> Iterator[tuple[str, Matrix]]:
        """The linear layers between embedding and head, each with its name in the model."""
        return ((name, matrix) for name, matrix in self._inside() if matrix.linear)

    def adapted(self, targets: Iterable[str] | None = None) -> Iterator[tuple[str, Matrix, int]]:
        """The matrices that get a LoRA adapter, as peft chooses them.

        Where experts were modules of their own once, peft goes by those names still: it gives adapters to the stacks
        instead, and then to no other module of these names.

        Args:
            targets: names of modules, in whole or by the end of their dotted names; ``None`` or ``all-linear`` for all
                linear layers except the head.

        Yields:
            each one's name in the model, the matrix, and how many times the rank its adapter has: once for each
            expert, and for each matrix that is one of several in a stack.
        """
        renamed, wanted = dict(self.renamed), set(targets or ()) or {_ALL}
        if wanted == {_ALL}:
            wanted = {matrix.name for _, matrix in self.linears()} | set(renamed)
        ends = {target: target.rpartition(".")[2] for target in wanted}
        stacks = Counter(renamed[end] for end in {*ends.values()} & set(renamed))
        modules = {target for target, end in ends.items() if end not in renamed}
        outer = ((matrix.path, matrix) for matrix in self.outside if not matrix.linear)
        for name, matrix in (*self._inside(), *outer):
            if matrix.name in stacks and not matrix.linear:
                yield name, matrix, stacks[matrix.name] * matrix.count
            elif (matrix.linear or matrix in self.outside) and _among(name, modules):
                yield name, matrix, 1

    def adapters(self, rank: int, targets: Iterable[str] | None = None) -> int:
        """Parameters that LoRA adds: two matrices for each adapted one, of the rank and a side (Hu et al. 2021, 4.1).

        Args:
            rank: ``lora_rank``.
            targets: see :meth:`adapted`.
        """
        return sum(times * rank * (matrix.inputs + matrix.outputs) for _, matrix, times in self.adapted(targets))

    def _inside(self) -> Iterator[tuple[str, Matrix]]:
        """What stands between embedding and head, with its names."""
        for number, layer in enumerate(self.layers):
            for matrix in layer.matrices:
                yield f"{self.stack}.{number}.{matrix.path}", matrix
        yield from ((matrix.path, matrix) for matrix in self.outside if matrix.linear)


def _among(name: str, targets: set[str]) -> bool:
    """Whether a module is meant: by its whole name, or by the end of it."""
    parts = name.split(".")
    return any(".".join(parts[start:]) in targets for start in range(len(parts)))

"""Operations and the tensors between them, while a program is built: what `Builder` collects and the passes rewrite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nncore.graph import Shape
    from nncore.state import Parameter

OPERANDS = 6  # of an operation, at most

#: Which operands an operation writes; it reads the others (`both`: it reads these as well).
WRITES: dict[str, tuple[int, ...]] = {
    "gather": (0,), "dense_forward": (3, 4), "dense_backward_input": (3,), "dense_backward_weights": (2, 3),
    "activate": (1,), "activate_backward": (2,), "softmax": (1,), "softmax_backward": (2,), "dropout": (1,),
    "rescale": (1,), "add": (2,), "multiply": (2,), "copy": (1,), "loss": (3, 4), "metric": (), "penalty": (1,),
    "norms": (1,), "update": (0, 1, 2, 3, 4),
}  # fmt: skip
BOTH = {"penalty": (1,), "update": (0, 1, 2, 3, 4)}
READS = {kind: tuple(i for i in range(OPERANDS) if i not in set(written) - set(BOTH.get(kind, ())))
         for kind, written in WRITES.items()}  # fmt: skip


@dataclass(eq=False)
class Tensor:
    """A batch of arrays while a program is built: `shape` per sample, in some buffer.

    Attributes
    ----------
    differentiable : bool
        Whether anything that learns comes before it.
    buffer : str
        Where it lives: "workspace", or a buffer of the batch.
    alias_of : Tensor, optional
        What it is a part of; given an alias, this becomes the tensor that owns the memory.
    offset : int
        Of an alias: its first element in what it is a part of. Otherwise its first byte, once it is placed.
    """

    shape: Shape
    differentiable: bool = False
    buffer: str = "workspace"
    alias_of: Tensor | None = None
    labels: bool = False
    offset: int = 0

    def __post_init__(self) -> None:
        if self.alias_of is not None and self.alias_of.alias_of is not None:
            self.offset += self.alias_of.offset
            self.alias_of = self.alias_of.alias_of

    @property
    def root(self) -> Tensor:
        """Whose memory this is: its own, or that of the tensor it is a reshape of."""
        return self if self.alias_of is None else self.alias_of

    @property
    def size(self) -> int:
        """Elements per sample."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Whole:
    """The whole of a buffer that is laid out as the parameters, or one parameter's part of a buffer."""

    buffer: str
    parameter: Parameter | None = None
    offset: int | None = None  # bytes, where the buffer is not laid out as the parameters


Operand = Tensor | Whole | None


@dataclass(eq=False)
class Op:
    """One operation, as nn_op of program.h holds it, with operands not yet placed."""

    kind: str
    operands: list[Operand]
    variant: int = 0
    slot: int = 0
    factor: int = 1
    precision: int = 0
    n: int = 0
    k: int = 0
    ld: int = 0
    cost: int = 0  # FLOPs per sample
    param: tuple[float, float] = (0.0, 0.0)
    barrier: bool = False

    def writes(self) -> Iterator[Operand]:
        """Operands it writes."""
        return (self.operands[i] for i in WRITES[self.kind] if i < len(self.operands))

    def reads(self) -> Iterator[Operand]:
        """Operands it reads."""
        return (self.operands[i] for i in READS[self.kind] if i < len(self.operands))

    def roots(self) -> dict[int, Tensor]:
        """The tensors whose memory it reads or writes, by id."""
        return {id(o.root): o.root for o in self.operands if isinstance(o, Tensor)}

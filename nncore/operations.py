"""Operations and the tensors between them, while a program is built: what `Builder` collects and the passes rewrite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nncore.graph import Shape
    from nncore.state import Parameter

#: Which operands an operation writes; it reads the others (`both`: it reads these as well).
WRITES: dict[str, tuple[int, ...]] = {
    "gather": (0,), "dense_forward": (3, 4), "dense_backward_input": (3,), "dense_backward_weights": (2, 3),
    "activate": (1,), "activate_backward": (2,), "softmax": (1,), "softmax_backward": (2,), "dropout": (1,),
    "rescale": (1,), "add": (2,), "multiply": (2,), "copy": (1,), "loss": (3, 4), "metric": (), "penalty": (1,),
    "norms": (1,), "update": (0, 2, 3, 4),
}  # fmt: skip
BOTH = {"penalty": (1,), "update": (0, 2, 3, 4)}


@dataclass(eq=False)
class Tensor:
    """A batch of arrays while a program is built: `shape` per sample, in some buffer.

    Attributes
    ----------
    differentiable : bool
        Whether anything that learns comes before it.
    buffer : str
        Where it lives: "workspace", or a buffer of the batch.
    """

    shape: Shape
    differentiable: bool = False
    buffer: str = "workspace"
    alias_of: Tensor | None = None
    labels: bool = False
    offset: int = 0

    @property
    def root(self) -> Tensor:
        """Whose memory this is: its own, or that of the tensor it is a reshape of."""
        return self.alias_of.root if self.alias_of else self

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
        hidden = set(WRITES[self.kind]) - set(BOTH.get(self.kind, ()))
        return (o for i, o in enumerate(self.operands) if i not in hidden)

    def touches(self, tensor: Operand) -> bool:
        """Whether it reads or writes the memory of `tensor`."""
        assert isinstance(tensor, Tensor)
        return any(isinstance(o, Tensor) and o.root is tensor.root for o in self.operands)

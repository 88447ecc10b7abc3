"""The arrays of a batch: rows of what is bound, gathered by number and converted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncore.compiler.operation import GATHER_BYTES, Op, Tensor

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.graph import Shape


def batch(b: Builder, binding: int, shape: Shape, integer: bool = False) -> Tensor:
    """The batch's rows of a binding: `shape` reals per sample, or int32."""
    x = b.bind(Tensor(shape, integer=integer), binding)
    b.emit(Op("gather", X=x, binding=binding, n=x.size, block=max(1, GATHER_BYTES // max(1, 4 * x.size))))
    return x


def real(b: Builder, x: Tensor) -> Tensor:
    """`x`, or if it is of int32 the same numbers as reals."""
    if not x.integer:
        return x
    y = Tensor(x.shape)
    b.emit(Op("convert", X=x, Y=y))
    return y

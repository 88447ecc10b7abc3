"""The arrays of a batch: rows of the data set, gathered by number and converted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncore.compiler.operation import GATHER_BYTES, Op, Tensor

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.graph import Shape

SOURCES = ("input", "target", "weight")  # the buffers of a batch, by the number of their source


def batch(b: Builder, buffer: str, shape: Shape, labels: bool = False) -> Tensor:
    """The batch's "input", "target" or "weight": `shape` reals per sample, or int32 labels."""
    x = Tensor(shape, buffer=buffer, labels=labels)
    b.emit(Op("gather", X=x, source=SOURCES.index(buffer), n=x.size, block=max(1, GATHER_BYTES // max(1, 4 * x.size))))
    return x

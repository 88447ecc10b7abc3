"""What Python computes within a step, on arrays of the batch: a section of its own, to which the engine comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nncore.compiler.operation import PythonCall, Tensor

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.graph import Shape


def call(
    b: Builder, x: Tensor, shape: Shape, forward: Callable[..., None], backward: Callable[..., None] | None = None
) -> Tensor:
    """Y of `shape` by ``forward(X, Y)``, which fills Y; backward: dX by ``backward(X, Y, dY, dX)``."""
    y = Tensor(shape, x.differentiable and backward is not None)

    def emit(to: Builder, dy: Tensor) -> None:
        assert backward is not None
        to.send(x, lambda dx: PythonCall(backward, [x, y, dy], [dx]))

    b.record(y, PythonCall(forward, [x], [y]), emit)
    return y

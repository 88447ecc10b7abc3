"""What Python computes within a step, on arrays of the batch: a section of its own, to which the engine comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nncore.compiler.operation import PythonCall, Tensor

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.graph import Shape
    from nncore.parameter import Parameter


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


def layer(
    b: Builder,
    inputs: list[Tensor],
    shape: Shape,
    weights: Sequence[Parameter],
    forward: Callable[..., None],
    backward: Callable[..., None],
) -> Tensor:
    """Y of `shape` by ``forward(*X, Y)``; backward: dX, dW by ``backward(*X, Y, dY, *dX, *dW)``, which fills all."""
    trained = any(p in b.trained for p in weights)
    y = Tensor(shape, trained or any(x.differentiable for x in inputs))

    def emit(to: Builder, dy: Tensor) -> None:
        dxs = [Tensor(x.shape) for x in inputs]
        places, additions = to.gradient_places(weights)
        to.backward += [PythonCall(backward, [*inputs, y, dy], [*dxs, *places]), *additions]
        for x, dx in zip(inputs, dxs, strict=True):
            if x.differentiable:
                to.add_gradient(x, dx)

    b.record(y, PythonCall(forward, list(inputs), [y]), emit)
    return y

"""Rows brought to mean 0 and variance 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore.compiler.operation import Op, Tensor, Whole
from nncore.operations.parameters import send_column_sums

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.graph import Shape
    from nncore.state import Parameter


def layer_norm(
    b: Builder, x: Tensor, axes: Shape, epsilon: float, gamma: Parameter | None, beta: Parameter | None
) -> Tensor:
    """Y = γ ⊙ (X − μ) / √(σ² + ε) + β over the last axes, of shape `axes`; backward: dX, dγ = Σ dY ⊙ x̂, dβ = Σ dY."""
    n = math.prod(axes)
    rows = x.size // n
    learns = any(p in b.trained for p in (gamma, beta) if p)
    y = Tensor(x.shape, x.differentiable or learns)
    mean, inverse = Tensor((rows,)), Tensor((rows,))
    g, c = (Whole("parameters", p) if p else None for p in (gamma, beta))
    sizes: dict[str, Any] = {"per_sample": rows, "n": n}

    def backward(to: Builder, dy: Tensor) -> None:
        scaled = Tensor(x.shape) if gamma and gamma in to.trained else None
        dx = Tensor(x.shape) if x.differentiable else None
        operands: dict[str, Any] = {"X": x, "mean": mean, "inverse": inverse, "dY": dy, "gamma": g}
        if dx or scaled:
            to.send_made(x, dx, Op("layer_norm_backward", **operands, dX=dx, dY_scaled=scaled, **sizes))
        if gamma and scaled is not None:
            send_column_sums(to, gamma, scaled)
        if beta:
            send_column_sums(to, beta, dy)

    saved: dict[str, Any] = {"mean": mean, "inverse": inverse} if y.differentiable and b.training else {}
    b.record(y, Op("layer_norm", X=x, gamma=g, beta=c, Y=y, epsilon=epsilon, **saved, **sizes), backward)
    return y

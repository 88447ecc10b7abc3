"""Rows, or columns, brought to mean 0 and variance 1; rows of length 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import SUM_CHAINS, SUM_ROWS
from nncore.compiler.operation import SPAN_ELEMENTS, Op, Tensor, Whole
from nncore.operations.parameters import moving_average, send_with_sums

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.graph import Shape
    from nncore.parameter import Parameter


COLUMNS = 64  # whose parts one thread joins


def layer_norm(
    b: Builder,
    x: Tensor,
    axes: Shape,
    epsilon: float,
    gamma: Parameter | None,
    beta: Parameter | None,
    about_zero: bool = False,
) -> Tensor:
    """Y = γ ⊙ (X − μ) / √(σ² + ε) + β over the last axes, of shape `axes`; backward: dX, dγ = Σ dY ⊙ x̂, dβ = Σ dY.

    `about_zero`: μ is 0, and σ² the mean square.
    """
    n = math.prod(axes)
    rows = x.size // n
    learns = any(p in b.trained for p in (gamma, beta) if p)
    y = Tensor(x.shape, x.differentiable or learns)
    mean, inverse = Tensor((rows,)), Tensor((rows,))
    g, c = (Whole("parameters", p) if p else None for p in (gamma, beta))
    sizes: dict[str, Any] = {"per_sample": rows, "n": n, "about_zero": int(about_zero)}

    def backward(to: Builder, dy: Tensor) -> None:
        known: dict[str, Any] = {"mean": mean, "inverse": inverse, "dY": dy, "gamma": g, "about_zero": int(about_zero)}
        send_with_sums(to, "layer_norm_backward", x, n, {"dgamma": gamma, "dbeta": beta}, **known)

    saved: dict[str, Any] = {"mean": mean, "inverse": inverse} if y.differentiable and b.training else {}
    b.record(y, Op("layer_norm", X=x, gamma=g, beta=c, Y=y, epsilon=epsilon, **saved, **sizes), backward)
    return y


def batch_norm(
    b: Builder,
    x: Tensor,
    epsilon: float,
    momentum: float,
    gamma: Parameter | None,
    beta: Parameter | None,
    means: Parameter,
    variances: Parameter,
    mask: Tensor | None = None,
) -> Tensor:
    """Y = γ ⊙ (X − μ) / √(σ² + ε) + β by the moments of each element of the last axis over the batch's other axes.

    Of these axes a mask, which has them all, says what counts for the moments; Y is made of the rest, too. The
    statistics `means` and `variances` follow the moments by `momentum`. Backward: dX, dγ, dβ.
    """
    n = x.shape[-1]
    rows = x.size // n
    y = Tensor(x.shape, x.differentiable or any(p in b.trained for p in (gamma, beta) if p))
    mean, variance, inverse = (Tensor((n,), per_sample=False) for _ in range(3))
    g, c = (Whole("parameters", p) if p else None for p in (gamma, beta))
    each_row: dict[str, Any] = {"n": n, "per_sample": rows}
    in_parts = each_row | {"block": max(SUM_ROWS, SPAN_ELEMENTS // n // SUM_ROWS * SUM_ROWS)}
    all_rows: dict[str, Any] = {"rows": rows, "n": n, "fixed": n}
    count = total(b, mask, rows) if mask is not None and b.training else None

    def backward(to: Builder, dy: Tensor) -> None:
        known: dict[str, Any] = {"X": x, "mean": mean, "inverse": inverse, "dY": dy, "gamma": g, "beta": c}
        places, additions = to.gradient_places([gamma, beta], (n,))
        parts = [Tensor((SUM_CHAINS, n), sum_rows=rows) for _ in places]
        to.backward.append(Op("batch_norm_sums", dgamma=parts[0], dbeta=parts[1], **known, **in_parts))
        for part, place in zip(parts, places, strict=True):
            to.backward.append(Op("sum_parts", parts=part, dW=place, rows=rows, apart=part.size, fixed=n))
        to.backward += additions
        known |= {"dgamma": places[0], "dbeta": places[1], "rows": rows, "mask": mask, "count": count}
        to.send(x, lambda dx: Op("batch_norm_backward", dX=dx, **known, **each_row))

    parts = Tensor((2, n), sum_rows=rows)
    moments: dict[str, Any] = {"mean": mean, "variance": variance, "inverse": inverse}
    b.emit(Op("column_moments", X=x, mask=mask, parts=parts, **in_parts))
    b.emit(Op("join_moments", parts=parts, mask=mask, epsilon=epsilon, block=COLUMNS, **moments, **all_rows))
    known: dict[str, Any] = {"X": x, "mean": mean, "variance": variance, "gamma": g, "beta": c, "epsilon": epsilon}
    b.record(y, Op("standardize", Y=y, **known, **each_row), backward)
    moving_average(b, means, mean, momentum)
    moving_average(b, variances, variance, momentum)
    return y


def total(b: Builder, mask: Tensor, rows: int) -> Tensor:
    """How many of so many rows of each sample count, over the batch."""
    y = Tensor((1,), per_sample=False)
    b.emit(Op("weight_sum", weight=mask, weights=mask.size, rows=rows, Y=y, fixed=1, cost=rows))
    return y


def standardize(
    b: Builder,
    x: Tensor,
    epsilon: float = 0.0,
    mean: Parameter | None = None,
    variance: Parameter | None = None,
    gamma: Parameter | None = None,
    beta: Parameter | None = None,
) -> Tensor:
    """Y = γ ⊙ (X − mean) / √(variance + ε) + β along the last axis, by arrays; backward: dX, dγ, dβ.

    Those that are absent count as 0, 1, 1 and 0. γ is trained only where mean and variance are absent.
    """
    y = Tensor(x.shape, x.differentiable or any(p in b.trained for p in (gamma, beta) if p))
    m, v, g, c = (Whole("parameters", p) if p else None for p in (mean, variance, gamma, beta))
    sizes = rows_of(x)

    def backward(to: Builder, dy: Tensor) -> None:
        if variance is None:
            assert mean is None
            send_with_sums(to, "scale_backward", x, sizes["n"], {"dgamma": gamma, "dbeta": beta}, dY=dy, gamma=g)
        else:
            to.send(x, lambda dx: Op("standardize", X=dy, variance=v, gamma=g, Y=dx, epsilon=epsilon, **sizes))

    b.record(y, Op("standardize", X=x, mean=m, variance=v, gamma=g, beta=c, Y=y, epsilon=epsilon, **sizes), backward)
    return y


def scale_columns(b: Builder, x: Tensor, factors: Sequence[float], offsets: Sequence[float]) -> Tensor:
    """Y = factors ⊙ X + offsets, a number for each element of the last axis; backward: dX = factors ⊙ dY."""
    y = Tensor(x.shape, x.differentiable)
    f, sizes = b.constant(factors), rows_of(x)
    b.record(
        y,
        Op("standardize", X=x, gamma=f, beta=b.constant(offsets), Y=y, **sizes),
        lambda to, dy: to.send(x, lambda dx: Op("standardize", X=dy, gamma=f, Y=dx, **sizes)),
    )
    return y


def unit_norm(b: Builder, x: Tensor, epsilon: float) -> Tensor:
    """Y = X / √max(Σ x², ε), each row of the last axis; backward: dX."""
    y = Tensor(x.shape, x.differentiable)
    sizes = rows_of(x)
    inverse = Tensor((sizes["per_sample"],)) if b.training and y.differentiable else None

    def backward(to: Builder, dy: Tensor) -> None:
        to.send(x, lambda dx: Op("unit_norm_backward", Y=y, inverse=inverse, dY=dy, dX=dx, epsilon=epsilon, **sizes))

    b.record(y, Op("unit_norm", X=x, Y=y, inverse=inverse, epsilon=epsilon, **sizes), backward)
    return y


def rows_of(x: Tensor) -> dict[str, Any]:
    """Sizes of an operation on rows along the last axis of `x`."""
    n = x.shape[-1]
    return {"per_sample": x.size // n, "n": n}

"""Two tensors of one shape element by element, powers, and products of two matrices of each sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore.compiler.operation import SPAN_ELEMENTS, Op, Tensor
from nncore.operations.data import real
from nncore.operations.elementwise import rescale, same_shape

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder


def subtract(b: Builder, a: Tensor, c: Tensor) -> Tensor:
    """Y = A − C; backward: dA = dY, dC = −dY."""
    y = Tensor(same_shape("subtract", a, c), a.differentiable or c.differentiable)

    def backward(to: Builder, dy: Tensor) -> None:
        to.send(a, lambda da: Op("rescale", X=dy, Y=da, scale=1.0))
        to.send(c, lambda dc: Op("rescale", X=dy, Y=dc, scale=-1.0))

    b.record(y, Op("subtract", A=a, B=c, Y=y), backward)
    return y


def divide(b: Builder, a: Tensor, c: Tensor) -> Tensor:
    """Y = A / C; backward: dA = dY / C, dC = −dY ⊙ Y / C."""
    y = Tensor(same_shape("divide", a, c), a.differentiable or c.differentiable)

    def backward(to: Builder, dy: Tensor) -> None:
        to.send(a, lambda da: Op("divide", A=dy, B=c, Y=da))
        to.send(c, lambda dc: Op("divide_backward", dY=dy, Y=y, B=c, dB=dc))

    b.record(y, Op("divide", A=a, B=c, Y=y), backward)
    return y


def maximum(b: Builder, a: Tensor, c: Tensor) -> Tensor:
    """Y = max(A, C); backward: dY to the larger one, half of it to each where they are equal."""
    y = Tensor(same_shape("maximum", a, c), a.differentiable or c.differentiable)

    def backward(to: Builder, dy: Tensor) -> None:
        to.send(a, lambda da: Op("larger_backward", A=a, B=c, dY=dy, dA=da))
        to.send(c, lambda dc: Op("larger_backward", A=c, B=a, dY=dy, dA=dc))

    b.record(y, Op("maximum", A=a, B=c, Y=y), backward)
    return y


def minimum(b: Builder, a: Tensor, c: Tensor) -> Tensor:
    """Y = min(A, C); backward: dY to the smaller one, half of it to each where they are equal."""
    y = Tensor(same_shape("minimum", a, c), a.differentiable or c.differentiable)

    def backward(to: Builder, dy: Tensor) -> None:
        to.send(a, lambda da: Op("larger_backward", A=c, B=a, dY=dy, dA=da))
        to.send(c, lambda dc: Op("larger_backward", A=a, B=c, dY=dy, dA=dc))

    b.record(y, Op("minimum", A=a, B=c, Y=y), backward)
    return y


def power(b: Builder, x: Tensor, exponent: float) -> Tensor:
    """Y = X to a power; backward: dX = dY ⊙ exponent X^(exponent − 1)."""
    x = real(b, x)
    y = Tensor(x.shape, x.differentiable)
    b.record(
        y,
        Op("power", X=x, Y=y, exponent=exponent),
        lambda to, dy: to.send(x, lambda dx: Op("power_backward", X=x, dY=dy, dX=dx, exponent=exponent)),
    )
    return y


def absolute(b: Builder, x: Tensor) -> Tensor:
    """Y = |X| = max(X, −X); backward: dX = dY ⊙ sign X, 0 at 0."""
    x = real(b, x)
    return maximum(b, x, rescale(b, x, -1.0, 0.0))


def dot(b: Builder, a: Tensor, c: Tensor) -> Tensor:
    """Y = A Cᵀ of each sample, A (m,k), C (n,k): products of rows; backward: dA = dY C, dC = dYᵀ A."""
    (m, k), n = a.shape, c.shape[0]
    y = Tensor((m, n), a.differentiable or c.differentiable)

    def backward(to: Builder, dy: Tensor) -> None:
        ahead: dict[str, Any] = {"m": n, "n": k, "s_row": n, "s_column": 1}
        across: dict[str, Any] = {"m": m, "n": k, "s_row": 1, "s_column": n}
        to.send(a, lambda da: Op("pair_sums", S=dy, C=c, Y=da, **ahead, **of_pairs(m, k, n)))
        to.send(c, lambda dc: Op("pair_sums", S=dy, C=a, Y=dc, **across, **of_pairs(n, k, m)))

    b.record(y, Op("pair_dots", A=a, C=c, Y=y, m=n, n=k, **of_pairs(m, n, k)), backward)
    return y


def of_pairs(rows: int, columns: int, terms: int) -> dict[str, Any]:
    """Sizes of an operation that makes rows of a sample, each of so many columns, of which each is a sum of terms."""
    block = max(1, SPAN_ELEMENTS // (columns * terms))
    return {"rows": rows, "per_sample": rows, "block": block, "cost": 2 * rows * columns * terms}

"""Activations, dropout, and arithmetic of tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import ACTIVATION_SAVED, ACTIVATIONS, ROWWISE, ROWWISE_SAVED
from nncore.compiler.operation import Op, Tensor, Whole
from nncore.operations.arrangement import transpose
from nncore.operations.data import real
from nncore.operations.parameters import send_with_sums
from nncore.operations.python import call

if TYPE_CHECKING:
    from nncore.activations import Activation
    from nncore.compiler.builder import Builder
    from nncore.graph import Shape
    from nncore.parameter import Parameter


def activate(b: Builder, z: Tensor, activation: Activation) -> Tensor:
    """Y = f(Z); backward: dZ = dY ⊙ f′, from Y or Z as kernels.def says."""
    if activation.kernel == "linear":
        return z
    if activation.kernel == "python":
        return call(b, z, z.shape, activation.forward, activation.backward)  # type: ignore[attr-defined]
    if activation.kernel in ROWWISE:
        return activate_rows(b, z, activation)
    y = Tensor(z.shape, z.differentiable)
    saved = y if ACTIVATION_SAVED[activation.kernel] == "Y" else z
    settings: dict[str, Any] = {"function": ACTIVATIONS[activation.kernel], "parameters": activation.parameters}
    b.record(
        y,
        Op("activate", Z=z, Y=y, **settings),
        lambda to, dy: to.send(z, lambda dz: Op("activate_backward", saved=saved, dY=dy, dZ=dz, **settings)),
        deferred=activation.kernel == "sigmoid",
    )
    return y


def activate_rows(b: Builder, z: Tensor, activation: Any) -> Tensor:
    """Y = f(Z) along axes, which are the last ones, or made so and put back."""
    axes = activation.sample_axes(z.shape)
    shape = activation.output_shape(z.shape)
    if math.prod(shape) != z.size:  # of halves: the rows from the axis on, whatever comes behind it
        return rowwise(b, z, activation.kernel, math.prod(z.shape[axes[0] :]), shape)
    order = [i for i in range(len(shape)) if i not in axes] + axes
    moved = transpose(b, z, order)
    y = rowwise(b, moved, activation.kernel, math.prod(shape[i] for i in axes), moved.shape)
    return transpose(b, y, [order.index(i) for i in range(len(order))])


def rowwise(b: Builder, z: Tensor, kernel: str, n: int, shape: Shape) -> Tensor:
    """Y of `shape`, of rows of n of Z, by a ROWWISE kernel; backward: dZ, from Y or Z as kernels.def says."""
    y = Tensor(shape, z.differentiable)
    from_z = ROWWISE_SAVED[kernel] == "Z"
    rows = z.size // n
    sizes = {"function": ROWWISE[kernel], "n": n, "m": y.size // rows, "per_sample": rows}

    def backward(to: Builder, dy: Tensor) -> None:
        saved = z if from_z else y
        to.send(z, lambda dz: Op("rowwise_backward", saved=saved, dY=dy, dZ=dz, saved_z=int(from_z), **sizes))

    b.record(y, Op("rowwise", Z=z, Y=y, **sizes), backward, deferred=kernel == "softmax")
    return y


def prelu(b: Builder, x: Tensor, slope: Parameter) -> Tensor:
    """Y = X where X > 0, else slope ⊙ X, for each row of the slope's size; backward: dX, dslope = Σ dY ⊙ min(X, 0)."""
    n = slope.size
    y = Tensor(x.shape, x.differentiable or slope in b.trained)
    weights = Whole("parameters", slope)

    def backward(to: Builder, dy: Tensor) -> None:
        send_with_sums(to, "prelu_backward", x, n, {"dslope": slope}, slope=weights, dY=dy)

    b.record(y, Op("prelu", X=x, slope=weights, Y=y, n=n, per_sample=x.size // n), backward)
    return y


def activate_partly(b: Builder, x: Tensor, activation: Activation, alpha: Parameter) -> Tensor:
    """Y = X + α ⊙ (f(X) − X), each row of α's size, f element by element; backward: dX, dα = Σ dY ⊙ (f(X) − X)."""
    n = alpha.size
    y = Tensor(x.shape, x.differentiable or alpha in b.trained)
    f = Tensor(x.shape) if y.differentiable and b.training else None
    factors = Whole("parameters", alpha)
    settings: dict[str, Any] = {"function": ACTIVATIONS[activation.kernel], "parameters": activation.parameters}
    saved_x = int(ACTIVATION_SAVED[activation.kernel] == "Z")

    def backward(to: Builder, dy: Tensor) -> None:
        known: dict[str, Any] = {"F": f, "alpha": factors, "dY": dy, "saved_x": saved_x, **settings}
        send_with_sums(to, "activate_partly_backward", x, n, {"dalpha": alpha}, **known)

    b.record(y, Op("activate_partly", X=x, alpha=factors, Y=y, F=f, n=n, per_sample=x.size // n, **settings), backward)
    return y


def rescale(b: Builder, x: Tensor, scale: float, offset: float) -> Tensor:
    """Y = scale X + offset; backward: dX = scale dY."""
    y = Tensor(x.shape, x.differentiable)
    b.record(
        y,
        Op("rescale", X=x, Y=y, scale=scale, offset=offset),
        lambda to, dy: to.send(x, lambda dx: Op("rescale", X=dy, Y=dx, scale=scale)),
    )
    return y


def add(b: Builder, a: Tensor, c: Tensor) -> Tensor:
    """Y = A + C; backward: dA = dC = dY."""
    y = Tensor(same_shape("add", a, c), a.differentiable or c.differentiable)

    def backward(to: Builder, dy: Tensor) -> None:
        for x in (a, c):
            to.send(x, lambda dx: Op("rescale", X=dy, Y=dx, scale=1.0))

    b.record(y, Op("add", A=a, B=c, Y=y), backward)
    return y


def multiply(b: Builder, a: Tensor, c: Tensor) -> Tensor:
    """Y = A ⊙ C; backward: dA = dY ⊙ C, dC = dY ⊙ A."""
    y = Tensor(same_shape("multiply", a, c), a.differentiable or c.differentiable)

    def backward(to: Builder, dy: Tensor) -> None:
        to.send(a, lambda da: Op("multiply", A=dy, B=c, Y=da))
        to.send(c, lambda dc: Op("multiply", A=dy, B=a, Y=dc))

    b.record(y, Op("multiply", A=a, B=c, Y=y), backward)
    return y


def concatenate(b: Builder, parts: list[Tensor], axis: int, shape: Shape) -> Tensor:
    """Y = parts side by side along per-sample axis `axis`; backward: each part's columns of dY."""
    y = Tensor(shape, any(p.differentiable for p in parts))
    rows = math.prod(shape[:axis])
    width, first = y.size // rows, 0
    for part in parts:
        n = part.size // rows
        whole = Tensor((y.size - first,), alias_of=y, offset=first)  # y from its column `first` on

        def backward(to: Builder, dy: Tensor, part: Tensor = part, first: int = first, n: int = n) -> None:
            columns = Tensor((y.size - first,), alias_of=dy, offset=first)
            to.send(part, lambda dx: Op("copy", X=columns, Y=dx, per_sample=rows, n=n, x_row=width, y_row=n))

        b.record(y, Op("copy", X=part, Y=whole, per_sample=rows, n=n, x_row=n, y_row=width), backward)
        first += n
    return y


def zeros(shape: Shape) -> tuple[Tensor, Op]:
    """A tensor of zeros, and what makes it."""
    y = Tensor(shape)
    return y, Op("fill", Y=y)


def same_shape(name: str, a: Tensor, c: Tensor) -> Shape:
    """The shape of both."""
    if a.shape != c.shape:
        raise ValueError(f"{name}: expected two tensors of one shape, got {a.shape} and {c.shape}")
    return a.shape


def copied(b: Builder, x: Tensor) -> Tensor:
    """A copy of `x`, as reals: for an output that is an input."""
    return real(b, x) if x.integer else rescale(b, x, 1.0, 0.0)

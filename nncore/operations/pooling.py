"""Maxima, sums and means of windows of images and series, and images made larger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nncore.compiler.operation import SPAN_ELEMENTS, Op, Tensor
from nncore.operations.data import real
from nncore.operations.windows import windows_over

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.layers.windows import Axis


def spans(rows: int, elements: int, flops: int) -> dict[str, int]:
    """What is counted of an operation that goes over so many elements in so many rows a sample, and its FLOPs."""
    return {"per_sample": rows, "block": max(1, SPAN_ELEMENTS * rows // elements), "cost": flops * elements}


class Windows:
    """Windows over X (B,…,n), and the attributes of operations forward and backward."""

    def __init__(self, x: Tensor, axes: Sequence[Axis]) -> None:
        n = x.shape[-1]
        sizes = windows_over(axes) | {"n": n}
        self.made = (*(a.out for a in axes), n)
        rows, elements = sizes["out_h"], max(x.size, n * math.prod(a.size * a.out for a in axes))
        bands = 1 if len(axes) == 2 and axes[0].shared else rows
        add = any(axis.shared for axis in axes)
        self.forward: dict[str, Any] = sizes | spans(rows, elements, 1)
        self.backward: dict[str, Any] = sizes | spans(bands, elements, 2)
        self.backward |= {"bands": bands, "add": int(add), "clear": int(add or not all(axis.covered for axis in axes))}


def max_pool(b: Builder, x: Tensor, axes: Sequence[Axis]) -> Tensor:
    """Y: the largest of each window of X (B,…,n); backward: dY to the first place in a window that holds it."""
    x = real(b, x)
    windows = Windows(x, axes)
    y = Tensor(windows.made, x.differentiable)
    b.record(
        y,
        Op("max_pool", X=x, Y=y, **windows.forward),
        lambda to, dy: to.send(x, lambda dx: Op("max_pool_backward", X=x, Y=y, dY=dy, dX=dx, **windows.backward)),
    )
    return y


def average_pool(b: Builder, x: Tensor, axes: Sequence[Axis]) -> Tensor:
    """Y: the mean of each window of X (B,…,n); backward: to each of its places as large a part of dY."""
    x = real(b, x)
    windows = Windows(x, axes)
    y = Tensor(windows.made, x.differentiable)
    b.record(
        y,
        Op("sum_pool", X=x, Y=y, mean=1, **windows.forward),
        lambda to, dy: to.send(x, lambda dx: Op("sum_pool_backward", dY=dy, dX=dx, mean=1, **windows.backward)),
    )
    return y


def enlarge(b: Builder, x: Tensor, axes: Sequence[Axis]) -> Tensor:
    """Y: each place of X (B,…,n) as a window of it, of which `axes` are those of Y; backward: sums of windows.

    That is the pass of `average_pool` with sums in place of means, the other way round.
    """
    x = real(b, x)
    y = Tensor((*(a.length for a in axes), x.shape[-1]), x.differentiable)
    windows = Windows(y, axes)
    b.record(
        y,
        Op("sum_pool_backward", dY=x, dX=y, **windows.backward),
        lambda to, dy: to.send(x, lambda dx: Op("sum_pool", X=dy, Y=dx, **windows.forward)),
    )
    return y


def interpolate(b: Builder, x: Tensor, factors: Sequence[int]) -> Tensor:
    """Y: images X (B,height,width,n) with axes so many times as long, linear between the middles of places.

    What lies beyond the middle of the first place, or of the last, is as these are. Backward: the transpose.
    """
    x = real(b, x)
    (height, width, n), (y_factor, x_factor) = x.shape, factors
    y = Tensor((y_factor * height, x_factor * width, n), x.differentiable)
    sizes = {"n": n, "height": height, "width": width, "y_factor": y_factor, "x_factor": x_factor}
    forward, backward = (sizes | spans(rows, y.size, 6) for rows in (y_factor * height, height))
    b.record(
        y,
        Op("interpolate", X=x, Y=y, **forward),
        lambda to, dy: to.send(x, lambda dx: Op("interpolate_backward", dY=dy, dX=dx, **backward)),
    )
    return y

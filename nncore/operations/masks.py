"""Masks: of each place of a sample's first axes whether it counts, 1 or 0; and what is computed of those that do."""

from __future__ import annotations

from functools import partial, reduce
from typing import TYPE_CHECKING

from nncore.compiler.operation import Op, Tensor
from nncore.operations.arithmetic import maximum, of_pairs
from nncore.operations.arrangement import broadcast, reshape
from nncore.operations.elementwise import add, multiply, rescale
from nncore.operations.normalization import unit_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncore.compiler.builder import Builder
    from nncore.graph import Shape

LOW = 1e30  # far below all that a network makes, and finite in float32: no nan where a row has nothing else


def differs(b: Builder, x: Tensor, value: float, rows: bool = False) -> Tensor:
    """Y: 1 where an element of X is not `value`, else 0; computed where something reads it.

    `rows`: where one of a row along the last axis is not, without that axis.
    """
    n = x.shape[-1] if rows else 1
    y = Tensor(x.shape[:-1] if rows else x.shape)
    op = Op("differs", X=x, Y=y, value=value, n=n, integers=int(x.integer), per_sample=x.size // n)
    b.record(y, op, lambda to, dy: None, deferred=True)
    return y


def either(b: Builder, masks: Sequence[Tensor], shape: Shape) -> Tensor:
    """What counts in one of these, all broadcast to one shape."""
    different = {id(m): broadcast(b, m, shape) for m in masks}
    return reduce(partial(maximum, b), different.values())


def ones(b: Builder, shape: Shape) -> Tensor:
    """A mask by which all of a shape counts."""
    y = Tensor(shape)
    b.emit(Op("fill", Y=y, value=1.0))
    return y


def spread(b: Builder, mask: Tensor, shape: Shape) -> Tensor:
    """The same for what has more axes behind those of the mask."""
    behind = (1,) * (len(shape) - len(mask.shape))
    return broadcast(b, reshape(b, mask, mask.shape + behind) if behind else mask, shape)


def keep(b: Builder, x: Tensor, mask: Tensor) -> Tensor:
    """X where it counts, else 0; backward likewise."""
    return multiply(b, x, spread(b, mask, x.shape))


def lowered(b: Builder, x: Tensor, mask: Tensor) -> Tensor:
    """X where it counts, else so low that a softmax makes 0 of it; backward: dY where it counts, else 0."""
    there = spread(b, mask, x.shape)
    return add(b, multiply(b, x, there), rescale(b, there, LOW, -LOW))


def choose(b: Builder, mask: Tensor, x: Tensor, other: Tensor) -> Tensor:
    """X where it counts, else `other`, of its shape; backward likewise."""
    there = spread(b, mask, x.shape)
    return add(b, multiply(b, x, there), multiply(b, other, rescale(b, there, -1.0, 1.0)))


def weights(b: Builder, weight: Tensor | None, mask: Tensor) -> Tensor:
    """Weights of a sample, one for each row or more, 0 where it does not count; `weight` has them, or one for all."""
    counts = reshape(b, mask, (mask.size,))
    if weight is None:
        return counts
    rows = max(counts.size, weight.size)
    return multiply(b, for_each_row(b, weight, rows), for_each_row(b, counts, rows))


def for_each_row(b: Builder, weight: Tensor, rows: int) -> Tensor:
    """Weights of a sample, each as often as there are rows to it."""
    n = weight.size
    return reshape(b, weight if n == rows else broadcast(b, reshape(b, weight, (n, 1)), (n, rows // n)), (rows,))


def mean_where(b: Builder, x: Tensor, mask: Tensor) -> Tensor:
    """Y (n): the mean of those rows of X (m,n) that count, 0 where none does; backward: to each as large a part of dY.

    It is S X with S = mask / count, which is the square of the mask brought to length 1.
    """
    if not mask.shape:
        mask = spread(b, mask, x.shape[:1])
    if mask.shape != x.shape[:1]:
        raise ValueError(f"expected a mask of the steps of inputs (batch, steps, channels), got {mask.shape} a sample")
    m, n = x.shape
    root = unit_norm(b, mask, 0.5)  # between no step and one, so that none gives 0
    share, y = multiply(b, root, root), Tensor((n,), x.differentiable)
    b.record(
        y,
        Op("pair_sums", S=share, C=x, Y=y, m=m, n=n, s_row=m, s_column=1, **of_pairs(1, n, m)),
        lambda to, dy: to.send(
            x, lambda dx: Op("pair_sums", S=share, C=dy, Y=dx, m=1, n=n, s_row=1, s_column=1, **of_pairs(m, n, 1))
        ),
    )
    return y

"""Elements in another order, some of them, or several times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nncore.compiler.operation import Op, Tensor
from nncore.operations.data import real

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.graph import Shape

DIMENSIONS = 4  # of copy_strided


def strides(shape: Sequence[int]) -> list[int]:
    """Elements between neighbours along each axis of an array in row-major order."""
    return [math.prod(shape[i + 1 :]) for i in range(len(shape))]


def strided(
    x: Tensor,
    y: Tensor,
    sizes: Sequence[int],
    x_strides: Sequence[int],
    y_strides: Sequence[int],
    offset: int,
    into: bool,
) -> Op:
    """The copy of an array of these sizes, at most `DIMENSIONS`, from X to Y, so many elements apart in X and Y.

    `offset` is its first element: in Y, where it is copied `into` that, else in X.
    """
    # Axes of length 1 say nothing; without them the last one, along which C copies, is as long as can be.
    axes = [axis for axis in zip(sizes, x_strides, y_strides, strict=True) if axis[0] != 1]
    missing: list[tuple[int, int, int]] = [(1, 0, 0)] * (DIMENSIONS - len(axes))
    (rows, x_row, y_row), (n1, x1, y1), (n2, x2, y2), (n3, x3, y3) = missing + axes
    whole = y if into else x
    part = Tensor((whole.size - offset,), alias_of=whole, offset=offset) if offset else whole
    return Op(
        "copy_strided",
        X=x if into else part,
        Y=part if into else y,
        per_sample=rows,
        rows=rows,
        n=n1 * n2 * n3,
        n2=n2,
        n3=n3,
        x_sample=x.size,
        x_row=x_row,
        x1=x1,
        x2=x2,
        x3=x3,
        y_sample=y.size,
        y_row=y_row,
        y1=y1,
        y2=y2,
        y3=y3,
    )


def transpose(b: Builder, x: Tensor, order: Sequence[int]) -> Tensor:
    """Y with the axes of a sample of X in another order, as `numpy.transpose`; backward: in their own order."""
    groups: list[list[int]] = []  # axes that stay side by side are one; those of length 1 do not count
    for axis in order:
        if x.shape[axis] == 1:
            continue
        if groups and groups[-1][-1] == max((a for a in order if a < axis and x.shape[a] > 1), default=-1):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    shape = tuple(x.shape[axis] for axis in order)
    if len(groups) <= 1:
        return x if shape == x.shape else reshape(b, x, shape)
    by_place = sorted(range(len(groups)), key=lambda i: groups[i][0])
    sizes = [math.prod(x.shape[a] for a in groups[i]) for i in by_place]  # of X, in its order
    wanted = [by_place.index(i) for i in range(len(groups))]
    y = x
    if len(sizes) <= DIMENSIONS:
        y = permuted(b, y, sizes, wanted)
    else:
        for i, axis in enumerate(wanted):  # one after another to its place: (before, between, it, behind)
            done, between = math.prod(sizes[a] for a in wanted[:i]), [a for a in range(axis) if a not in wanted[:i]]
            n, width = math.prod(sizes[a] for a in between), sizes[axis]
            if n > 1:
                y = permuted(b, y, [done, n, width, x.size // (done * n * width)], [0, 2, 1, 3])
    return y if shape == y.shape else reshape(b, y, shape)


def permuted(b: Builder, x: Tensor, sizes: Sequence[int], order: Sequence[int]) -> Tensor:
    """Y, X seen as an array of at most `DIMENSIONS` axes of these sizes with them in another order."""
    x = real(b, x)
    y = Tensor(tuple(sizes[axis] for axis in order), x.differentiable)
    of_x, of_y = [strides(sizes)[axis] for axis in order], strides(y.shape)
    b.record(
        y,
        strided(x, y, y.shape, of_x, of_y, 0, False),
        lambda to, dy: to.send(x, lambda dx: strided(dy, dx, y.shape, of_y, of_x, 0, True)),
    )
    return y


def moved_last(b: Builder, x: Tensor, axes: Sequence[int], work: Callable[[Tensor], Tensor]) -> Tensor:
    """``work`` on X with these axes of a sample behind the others; its result, of as many axes, in X's order."""
    order = [a for a in range(len(x.shape)) if a not in axes] + list(axes)
    y = work(transpose(b, x, order))
    return transpose(b, y, [order.index(a) for a in range(len(order))])


def repeat(b: Builder, x: Tensor, axis: int, times: int) -> Tensor:
    """Y, X along an axis of length 1 so many times; backward: their sums."""
    x = real(b, x)
    shape = (*x.shape[:axis], times, *x.shape[axis + 1 :])
    y = Tensor(shape, x.differentiable)
    before, behind = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    sizes = (before, times, behind)
    b.record(
        y,
        strided(x, y, sizes, [behind, 0, 1], strides(sizes), 0, False),
        lambda to, dy: to.send(x, lambda dx: Op("sum_axis", X=dy, Y=dx, n=times * behind, m=behind, per_sample=before)),
    )
    return y


def broadcast(b: Builder, x: Tensor, shape: Shape) -> Tensor:
    """X, or Y of this shape: repeated along axes of length 1, which may be missing in front."""
    y = reshape(b, x, (1,) * (len(shape) - len(x.shape)) + x.shape) if len(x.shape) < len(shape) else x
    for axis, n in enumerate(shape):
        if y.shape[axis] != n:
            y = repeat(b, y, axis, n)
    return y


def take(b: Builder, x: Tensor, slices: Sequence[slice]) -> Tensor:
    """Y = X[:, slices], one for each axis of a sample; backward: dY in its place among zeros."""
    x = real(b, x)
    ranges = [range(*s.indices(n)) for s, n in zip(slices, x.shape, strict=True)]
    cut = [axis for axis, r in enumerate(ranges) if r != range(x.shape[axis])]
    y = x
    while cut:  # as many axes at once as a copy has dimensions for, with the whole ones between them
        first = cut[0]
        last = cut[1] if len(cut) > 1 and cut[1] == first + 1 else first
        y = take_axes(b, y, ranges, first, last)
        cut = [axis for axis in cut if axis > last]
    return y


def take_axes(b: Builder, x: Tensor, ranges: Sequence[range], first: int, last: int) -> Tensor:
    """The ranges of the axes `first` to `last`, one or two, of X."""
    axes = range(first, last + 1)
    of_axes = [ranges[axis] if axis in axes else range(n) for axis, n in enumerate(x.shape)]
    sizes, from_x, offset = part(x.shape, of_axes)
    y = Tensor(tuple(map(len, of_axes)), x.differentiable)

    def backward(to: Builder, dy: Tensor) -> None:
        if all(r.step == 1 for r in of_axes):
            to.send(x, lambda dx: padded(dy, dx, [r.start for r in of_axes]))
        elif x.differentiable:
            dx = Tensor(x.shape)
            to.backward.append(Op("fill", Y=dx))
            to.send_made(x, dx, strided(dy, dx, sizes, strides(sizes), from_x, offset, True))

    b.record(y, strided(x, y, sizes, from_x, strides(sizes), offset, False), backward)
    return y


def pad(b: Builder, x: Tensor, margins: Sequence[tuple[int, int]]) -> Tensor:
    """Y = X with so many zeros before and behind it along each axis of a sample; backward: dY without them.

    One axis has some, or two that are neighbours.
    """
    if not any(map(any, margins)):
        return x
    x = real(b, x)
    y = Tensor(tuple(before + n + behind for n, (before, behind) in zip(x.shape, margins, strict=True)))
    y.differentiable = x.differentiable
    inner = [range(before, before + n) for n, (before, _) in zip(x.shape, margins, strict=True)]
    sizes, from_y, offset = part(y.shape, inner)
    b.record(
        y,
        padded(x, y, [before for before, _ in margins]),
        lambda to, dy: to.send(x, lambda dx: strided(dy, dx, sizes, from_y, strides(sizes), offset, False)),
    )
    return y


def padded(x: Tensor, y: Tensor, starts: Sequence[int]) -> Op:
    """X within Y, which is longer along one axis, or along two that are neighbours, from these places on."""
    longer = [axis for axis, (n, m) in enumerate(zip(x.shape, y.shape, strict=True)) if n != m]
    if not longer or longer[-1] > longer[0] + 1:
        raise ValueError(f"pad: expected one or two neighbouring axes to grow, got {x.shape} and {y.shape}")
    last = longer[-1]
    behind, rows = math.prod(x.shape[last + 1 :]), len(longer) > 1
    before, height, top = math.prod(x.shape[: longer[0]]), 1, 0
    out_height = y.shape[longer[0]] if rows else 1
    if rows:
        height, top = x.shape[longer[0]], starts[longer[0]]
    return Op(
        "pad",
        X=x,
        Y=y,
        per_sample=before * out_height,
        n=y.shape[last] * behind,
        out_height=out_height,
        height=height,
        width=x.shape[last] * behind,
        top=top,
        left=starts[last] * behind,
    )


def part(shape: Shape, ranges: Sequence[range]) -> tuple[list[int], list[int], int]:
    """These ranges of the axes of an array of `shape`: sizes, elements between neighbours, the first element.

    Axes that lie side by side as in an array of these sizes are one; the first are those before any that is cut.
    """
    sizes, apart = [1], [math.prod(shape)]
    for n, r, between in zip(shape, ranges, strides(shape), strict=True):
        if len(r) == n and r.step == 1 and apart[-1] == n * between:
            sizes[-1], apart[-1] = sizes[-1] * n, between
        elif len(r) != 1:
            sizes.append(len(r))
            apart.append(between * r.step)
    missing = max(0, DIMENSIONS - len(sizes))
    sizes[1:1], apart[1:1] = [1] * missing, [0] * missing
    return sizes, apart, sum(r.start * between for r, between in zip(ranges, strides(shape), strict=True))


def reshape(b: Builder, x: Tensor, shape: Shape) -> Tensor:
    """The same elements in another shape: no operation."""
    if math.prod(shape) != x.size:
        raise ValueError(f"reshape: expected a shape of the {x.size} elements of {x.shape}, got {shape}")
    y = Tensor(shape, x.differentiable, x.buffer, alias_of=x)
    b.record_view(y, x, lambda to, dx: to.send(x, lambda out: Op("rescale", X=dx, Y=out, scale=1.0)))
    return y

"""Convolutions with fewer multiplications, see winograd.h in src_c: where they pay, and how filters get there and back.

A tile is POINTS places across, which windows of so many places beside one another share; what is multiplied are values
at as many points. Filters at points, U, are (POINTS, …, C, N) for filters (…, size, C, N).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nncore._kernels.table import BAND_REALS, POINTS, SIDE_REALS
from nncore.compiler.operation import Op, Operand, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncore.layers.windows import Axis

SIZES = (3, 5)  # of windows across: others are rare
LEAST_CHANNELS = 8  # and filters: fewer leave too much of a vector idle
LEAST_WINDOWS = 32  # of a sample: for fewer, filters would not be worth their way to points
LEAST_DEPTH = 16  # of the products: less does not pay for going to points and back
BLOCK_FILTERS = 1 << 13  # numbers of filters that a thread takes at a time


def windows_of_tile(across: Axis) -> int:
    """How many windows lie in a tile."""
    return POINTS + 1 - across.size


def multiplications(axes: Sequence[Axis]) -> int:
    """By how many numbers each filter is multiplied, for each channel; a direct sum takes one for each place."""
    *down, across = axes
    return POINTS * -(-across.out // windows_of_tile(across)) * math.prod(a.out * a.size for a in down)


def tiles_of_line(axes: Sequence[Axis], channels: int, n: int) -> int:
    """How many tiles side by side are computed at a time: rows are cut evenly into lines whose numbers share L2."""
    *down, across = axes
    tiles = -(-across.out // windows_of_tile(across))
    most = max(1, SIDE_REALS // (POINTS * (math.prod(a.reach for a in down) * channels + n)))
    return -(-tiles // -(-tiles // most))


def pays(axes: Sequence[Axis], channels: int, n: int) -> bool:
    """Whether windows along `axes` are convolved so: by the sizes alone, or a row's bits would depend on its batch."""
    *down, across = axes
    if across.size not in SIZES or across.stride > 1 or across.dilation > 1 or min(channels, n) < LEAST_CHANNELS:
        return False
    if math.prod(a.out for a in axes) < LEAST_WINDOWS:
        return False
    depth = channels * math.prod(a.size for a in down)
    side = POINTS * tiles_of_line(axes, channels, n) * max(channels * math.prod(a.reach for a in down), n)
    fewer = multiplications(axes) <= 0.75 * math.prod(a.out * a.size for a in axes)
    return depth >= LEAST_DEPTH and fewer and side <= BAND_REALS


def sizes_of_filters(axes: Sequence[Axis], channels: int, n: int) -> dict[str, int]:
    """The attributes of operations on filters."""
    *down, across = axes
    rows = channels * math.prod(a.size for a in down)
    return {
        "rows": rows, "size_w": across.size, "channels": channels, "n": n,
        "fixed": rows, "block": max(1, BLOCK_FILTERS // n),
    }  # fmt: skip


def filters_at_points(W: Operand, axes: Sequence[Axis], channels: int, n: int) -> tuple[Op, Tensor]:
    """What makes U of filters W, and U."""
    sizes = sizes_of_filters(axes, channels, n)
    U = Tensor((POINTS * sizes["rows"], n), per_sample=False)
    return Op("filters_at_points", W=W, U=U, **sizes), U


def filters_from_points(dU: Tensor, dW: Operand, axes: Sequence[Axis], channels: int, n: int) -> Op:
    """What makes the gradient of filters of that at points."""
    return Op("filters_from_points", dU=dU, dW=dW, **sizes_of_filters(axes, channels, n))

"""Windows over images and series in plain float64 NumPy: poolings, images made larger, and their backward passes.

Each is a matrix or a choice of places, found window by window: nothing is vectorized but over batch and channels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Places = list[range]  # of each window along an axis


def sliding(length: int, size: int, stride: int, padding: str) -> Places:
    """The places of each window along an axis, by Keras's rules, without those outside."""
    if padding == "valid":
        return [range(start, start + size) for start in range(0, length - size + 1, stride)]
    out = -(-length // stride)
    before = max((out - 1) * stride + size - length, 0) // 2
    starts = [o * stride - before for o in range(out)]
    return [range(max(start, 0), min(start + size, length)) for start in starts]


def adaptive(length: int, out: int) -> Places:
    """As many windows as wanted, by PyTorch's rule."""
    ends = [(o * length / out, (o + 1) * length / out) for o in range(out)]
    return [range(int(np.floor(first)), int(np.ceil(end))) for first, end in ends]


def each_window(axes: Sequence[Places]) -> Any:
    """(place of Y, the places of X in order) for each window."""
    for at in itertools.product(*(range(len(places)) for places in axes)):
        yield at, list(itertools.product(*(places[o] for places, o in zip(axes, at, strict=True))))


def made(x: Array, axes: Sequence[Places]) -> Array:
    return np.zeros((len(x), *map(len, axes), x.shape[-1]))


def max_pool(x: Array, axes: Sequence[Places]) -> Array:
    """X (B,…,channels)."""
    y = made(x, axes)
    for at, places in each_window(axes):
        y[:, *at] = np.max([x[:, *p] for p in places], axis=0)
    return y


def max_pool_backward(x: Array, dy: Array, axes: Sequence[Places]) -> Array:
    """To the first of the largest of each window."""
    dx = np.zeros(x.shape)
    for at, places in each_window(axes):
        first = np.argmax([x[:, *p] for p in places], axis=0)
        for k, p in enumerate(places):
            dx[:, *p] += np.where(first == k, dy[:, *at], 0)
    return dx


def average_pool(x: Array, axes: Sequence[Places]) -> Array:
    """Of the places that the image has."""
    y = made(x, axes)
    for at, places in each_window(axes):
        y[:, *at] = np.mean([x[:, *p] for p in places], axis=0, dtype="float64")
    return y


def average_pool_backward(shape: tuple[int, ...], dy: Array, axes: Sequence[Places]) -> Array:
    dx = np.zeros(shape)
    for at, places in each_window(axes):
        for p in places:
            dx[:, *p] += dy[:, *at] / len(places)
    return dx


def interpolation(length: int, factor: int) -> Array:
    """The matrix (factor length, length) that makes an axis longer, linear between the middles of its places."""
    m = np.zeros((factor * length, length))
    for o in range(factor * length):
        at = min(max((o + 0.5) / factor - 0.5, 0), length - 1)
        for i in range(length):
            m[o, i] = max(0, 1 - abs(at - i))
    return m


def counted(distance: float, interpolation: str) -> float:
    """What a place at a distance counts for in the mean that is another one."""
    d = abs(distance)
    reach = {"bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}[interpolation]
    if d >= reach:
        return 0.0
    if interpolation == "bilinear":
        return 1 - d
    if interpolation == "bicubic":
        a = -0.5
        return (a + 2) * d**3 - (a + 3) * d**2 + 1 if d < 1 else a * (d**3 - 5 * d**2 + 8 * d - 4)
    return 1.0 if d == 0 else reach * math.sin(math.pi * d) * math.sin(math.pi * d / reach) / (math.pi * d) ** 2


def means(old: int, new: int, interpolation: str, antialias: bool = False) -> Array:
    """The matrix (new, old) that makes an axis longer or shorter, of means of places; of more of them if smoothed."""
    wider = max(1.0, old / new) if antialias else 1.0
    m = np.zeros((new, old))
    for o in range(new):
        at = (o + 0.5) * old / new - 0.5
        for i in range(old):
            m[o, i] = counted((at - i) / wider, interpolation)
    return m / m.sum(1, keepdims=True)

"""Convolutions in float64, one window after another, by their formula; any number of axes, channels last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def paddings(length: int, size: int, stride: int, dilation: int, padding: str) -> tuple[int, int]:
    """Zeros before and behind an axis, as TensorFlow documents them."""
    reach = (size - 1) * dilation + 1
    if padding == "causal":
        return reach - 1, 0
    if padding == "valid":
        return 0, 0
    total = max(reach - stride if length % stride == 0 else reach - length % stride, 0)
    return total // 2, total - total // 2


def windows(
    padded: Sequence[int], sizes: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> Iterator[Any]:
    """Of each window its number along each axis, and the slices of its places."""
    reach = [(k - 1) * d + 1 for k, d in zip(sizes, dilation, strict=True)]
    counts = [(n - r) // s + 1 for n, r, s in zip(padded, reach, strides, strict=True)]
    for at in product(*map(range, counts)):
        yield at, tuple(slice(p * s, p * s + r, d) for p, s, r, d in zip(at, strides, reach, dilation, strict=True))


def padded(x: Array, pads: Sequence[tuple[int, int]]) -> Array:
    return np.pad(np.asarray(x, np.float64), [(0, 0), *pads, (0, 0)])


def convolve(
    x: Array,
    w: Array,
    b: Any,
    strides: Sequence[int],
    dilation: Sequence[int],
    pads: Sequence[tuple[int, int]],
    groups: int = 1,
) -> Array:
    """Y[p] = b + Σ X[p s + k d − pad] W[k] of each group; X (B, …, C), W (…, C / groups, N)."""
    x, w = padded(x, pads), np.asarray(w, np.float64)
    *sizes, depth, n = w.shape
    found = list(windows(x.shape[1:-1], sizes, strides, dilation))
    y = np.zeros((len(x), *np.add(found[-1][0], 1), n))
    each = n // groups
    for at, places in found:
        for g in range(groups):
            seen = x[(slice(None), *places, slice(g * depth, (g + 1) * depth))]
            kernel = w[..., g * each : (g + 1) * each]
            y[(slice(None), *at, slice(g * each, (g + 1) * each))] = seen.reshape(len(x), -1) @ kernel.reshape(-1, each)
    return y + (0 if b is None else np.asarray(b, np.float64))


def convolve_backward(
    x: Array,
    w: Array,
    dy: Array,
    strides: Sequence[int],
    dilation: Sequence[int],
    pads: Sequence[tuple[int, int]],
    groups: int = 1,
) -> tuple[Array, Array, Array]:
    """dX, dW, db."""
    wide, w, dy = padded(x, pads), np.asarray(w, np.float64), np.asarray(dy, np.float64)
    *sizes, depth, n = w.shape
    dx, dw, each = np.zeros_like(wide), np.zeros_like(w), n // groups
    for at, places in windows(wide.shape[1:-1], sizes, strides, dilation):
        for g in range(groups):
            here = (slice(None), *places, slice(g * depth, (g + 1) * depth))
            out = slice(g * each, (g + 1) * each)
            d, kernel = dy[(slice(None), *at, out)], w[..., out]
            dx[here] += (d @ kernel.reshape(-1, each).T).reshape(dx[here].shape)
            dw[..., out] += (wide[here].reshape(len(x), -1).T @ d).reshape(kernel.shape)
    inside = tuple(slice(p, p + n) for (p, _), n in zip(pads, x.shape[1:-1], strict=True))
    return dx[(slice(None), *inside)], dw, dy.sum(tuple(range(dy.ndim - 1)))

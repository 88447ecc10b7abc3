"""Images in plain float64 NumPy: what is drawn for a sample of a batch, and what comes of it.

Beyond an image `numpy.pad` says what there is; angles, areas and places are by the formulas of the layers' docstrings.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import reference as ref
from numpy.typing import NDArray

Array = NDArray[Any]
Key = tuple[int, int]

MARGIN = 64  # more than any place that is read lies outside
PADDED = {"constant": "constant", "nearest": "edge", "wrap": "wrap", "reflect": "symmetric"}


@functools.cache
def word(sample: int, which: int, key: Key) -> float:
    """A random number in [0, 1) of a sample."""
    return ref.uniform(64 * sample + which, key)


def between(u: float, low: float, high: float) -> float:
    return low + u * (high - low)


def seen(x: Array, matrix: Any, offset: Any, size: tuple[int, int], *, linear: bool, mode: str, fill: float) -> Array:
    """The image (h, w, c) read at matrix @ (row, column) + offset for each place of an image of a size."""
    given = {"constant_values": fill} if mode == "constant" else {}
    around = np.pad(ref.float64(x), ((MARGIN,) * 2, (MARGIN,) * 2, (0, 0)), mode=PADDED[mode], **given)  # type: ignore
    y = np.empty((*size, x.shape[2]))
    for place in np.ndindex(*size):
        at = np.asarray(matrix) @ place + offset
        if linear:
            row, column = np.floor(at).astype(int)
            down, right = at - (row, column)
            corner = around[row + MARGIN : row + MARGIN + 2, column + MARGIN : column + MARGIN + 2]
            weights = np.outer([1 - down, down], [1 - right, right])
            y[place] = np.tensordot(weights, corner, 2)
        else:
            row, column = (int(math.copysign(math.floor(abs(v) + 0.5), v)) for v in at)
            y[place] = around[row + MARGIN, column + MARGIN]
    return y


def about(matrix: Any, old: tuple[int, int], new: tuple[int, int]) -> Array:
    """The offset with which a matrix leaves the centers of images of two sizes where they are."""
    return (np.array(old) - 1) / 2 - np.asarray(matrix) @ ((np.array(new) - 1) / 2)


def rotation(turns: float) -> Array:
    """Where a counter-clockwise rotation reads, for rows that go down."""
    c, s = math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns)
    return np.array([[c, s], [-s, c]])


def adjusted(x: Array, contrast: float, brightness: float, low: float, high: float) -> Array:
    mean = ref.float64(x).mean((0, 1), keepdims=True)
    return np.clip((x - mean) * contrast + mean + brightness, low, high)


def rectangle(height: int, width: int, sides: tuple[float, float], at: tuple[float, float]) -> Array:
    """Where (h, w) a rectangle is, of sides and at places that are parts of the image's and of what it leaves."""
    rows, columns = np.arange(height)[:, None], np.arange(width)
    top, left = at[0] * (1 - sides[0]) * height, at[1] * (1 - sides[1]) * width
    return (rows >= top) & (rows < top + sides[0] * height) & (columns >= left) & (columns < left + sides[1] * width)


def erased(sample: int, size: tuple[int, int], probability: Any, area: Any, key: Key) -> Array:
    """Where an image is erased."""
    u = [word(sample, i, key) for i in range(6)]
    sides = math.sqrt(between(u[1], *area)), math.sqrt(between(u[0], *area))
    return rectangle(*size, sides, (u[3], u[2])) & (u[5] < between(u[4], *probability))


def kept(sample: int, alpha: float, key: Key) -> float:
    """λ of Beta(α, α), by Jöhnk's method from powers of uniform numbers; α > 1: by Ulrich's from a point in a disc."""
    if alpha > 1:
        radius = math.sqrt(1 - word(sample, 2, key) ** (1 / (alpha - 0.5)))
        return (1 + radius * math.cos(math.tau * word(sample, 3, key))) / 2
    for i in range(2, 64, 2):
        x, y = ((word(sample, i + j, key) + 2.0**-25) ** (1 / alpha) for j in range(2))
        if x + y <= 1:
            return x / (x + y)
    raise AssertionError("31 pairs were refused")


def mixed_by(sample: int, size: tuple[int, int], alpha: float, key: Key) -> tuple[float, Array]:
    """How much of a sample stays, and the rectangle that does not."""
    stays = kept(sample, alpha, key)
    side = math.sqrt(1 - stays)
    return stays, rectangle(*size, (side, side), (word(sample, 0, key), word(sample, 1, key)))


def cut_by(sample: int, size: tuple[int, int], alpha: float, key: Key) -> tuple[float, Array]:
    """The same of a rectangle of whole pixels."""
    _, where = mixed_by(sample, size, alpha, key)
    return 1 - where.mean(), where

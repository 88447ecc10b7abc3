"""Axes of images at other lengths, as weighted sums of many pixels: two products with matrices that are fixed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.operations.arrangement import moved_last
from nncore.operations.data import real
from nncore.operations.dense import fixed_product

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor
    from nncore.state import Array


def triangle(d: Array) -> Array:
    """1 − d up to 1."""
    return np.maximum(1 - d, 0)


def cubic(d: Array) -> Array:
    """Keys's cubic convolution, IEEE Transactions on Acoustics 29 (1981), equation 15: a = −½."""
    near, far = (1.5 * d - 2.5) * d * d + 1, ((2.5 - 0.5 * d) * d - 4) * d + 2
    return np.where(d < 1, near, np.where(d < 2, far, 0))


def lanczos(lobes: int) -> Callable[[Array], Array]:
    """sinc(d) sinc(d / lobes) up to as many."""
    return lambda d: np.where(d < lobes, np.sinc(d) * np.sinc(d / lobes), 0)


#: What a pixel weighs, by its distance in pixels.
FILTERS = {"bilinear": triangle, "bicubic": cubic, "lanczos3": lanczos(3), "lanczos5": lanczos(5)}

SMOOTH = ("bicubic", "lanczos3", "lanczos5")  # that no operation of its own computes


def weights(old: int, new: int, interpolation: str, antialias: bool) -> Array:
    """R (old,new): what each pixel of an axis weighs in each of as many new ones; a column adds up to 1.

    `antialias`: where pixels become fewer, the filter becomes as much wider.
    """
    width = max(old / new, 1.0) if antialias else 1.0
    centers = (np.arange(new) + 0.5) * (old / new) - 0.5
    found: Any = FILTERS[interpolation](np.abs(np.arange(old)[:, None] - centers) / width)
    return found / found.sum(axis=0)


def resample(b: Builder, x: Tensor, size: tuple[int, int], interpolation: str, antialias: bool = False) -> Tensor:
    """Y: images X (height,width,n) at another size, one axis after the other; backward: the transposes."""
    x = real(b, x)
    for axis in (1, 0):
        if x.shape[axis] != size[axis]:
            matrix = weights(x.shape[axis], size[axis], interpolation, antialias)
            x = moved_last(b, x, [axis], partial(fixed_product, b, matrix=matrix))
    return x

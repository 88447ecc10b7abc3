"""Numbers of the reference: float64, what float32 and bfloat16 make of them, and functions that NumPy lacks."""
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

erf: Function = np.vectorize(math.erf, otypes=[np.float64])
erfc: Function = np.vectorize(math.erfc, otypes=[np.float64])


def float64(x: ArrayLike) -> Array:
    return np.asarray(x, dtype=np.float64)


def flush(x: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """x, but 0 of the same sign where it is smaller than the smallest normal number of `dtype`."""
    return np.where(np.abs(x) < np.finfo(dtype).tiny, np.copysign(0, x), x)


def bfloat16(x: ArrayLike) -> Array:
    """x rounded to 8 bits, to nearest, ties to even: inf beyond the largest number, 0 below the least normal one."""
    x = float64(x)
    fraction, exponent = np.frexp(x)
    y = np.ldexp(np.rint(fraction * 2**8), exponent - 8)
    y = np.where(np.abs(y) >= 2.0**128, np.copysign(np.inf, y), y)
    return np.where(np.abs(x) < 2.0**-126, 0, y)


def split_bfloat16(x: ArrayLike) -> Array:
    """x as the sum of two bfloat16, 16 bits; where the first would be inf it is cut to 8 bits instead."""
    x = float64(x)
    fraction, exponent = np.frexp(x)
    hi = bfloat16(x)
    hi = np.where(np.isinf(hi) & np.isfinite(x), np.ldexp(np.trunc(fraction * 2**8), exponent - 8), hi)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(x), hi + bfloat16(x - hi), x)

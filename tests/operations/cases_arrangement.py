"""Cases of `test_operations`: elements in another order, and sums along an axis."""

from __future__ import annotations

import numpy as np
import reference as ref
from cases import SAMPLES, Case
from kernels import Array


def copy_strided(c: Case) -> dict[str, Array]:
    """Samples (2,3,4,5), axes in the order (0, 3, 1, 2)."""
    x = c.reals(SAMPLES, 2, 3, 4, 5)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 2, 5, 3, 4), "n": 60, "n2": 3, "n3": 4, "rows": 2, "per_sample": 2}
    c.fields |= {"x_sample": 120, "x_row": 60, "x1": 1, "x2": 20, "x3": 5, "block": 4}
    c.fields |= {"y_sample": 120, "y_row": 60, "y1": 12, "y2": 4, "y3": 1}
    return {"Y": x.transpose(0, 1, 4, 2, 3)}


def copy_strided__transposed(c: Case, n2: int = 21, n3: int = 37) -> dict[str, Array]:
    """Samples (2,37,21), the last two axes of which change their places."""
    x = c.reals(SAMPLES, 2, n3, n2)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 2, n2, n3), "n": 2 * n2 * n3, "n2": n2, "n3": n3, "rows": 1}
    c.fields |= {"x_sample": 2 * n2 * n3, "x1": n2 * n3, "x2": 1, "x3": n2, "per_sample": 1, "block": 3}
    c.fields |= {"y_sample": 2 * n2 * n3, "y1": n2 * n3, "y2": n3, "y3": 1}
    return {"Y": x.transpose(0, 1, 3, 2)}


def copy_strided__of_few_columns(c: Case) -> dict[str, Array]:
    return copy_strided__transposed(c, 2, 35)


def copy_strided__to_few_columns(c: Case) -> dict[str, Array]:
    return copy_strided__transposed(c, 35, 3)


def copy_strided__between(c: Case) -> dict[str, Array]:
    """Samples (3,2) to the first two columns of (3,7): what is beside them stays."""
    x, y = c.reals(SAMPLES, 3, 2), c.reals(SAMPLES, 3, 7)
    c.fields = {"X": x, "Y": y, "n": 6, "n2": 3, "n3": 2, "rows": 1, "per_sample": 1, "block": 4}
    c.fields |= {"x_sample": 6, "x2": 2, "x3": 1, "y_sample": 21, "y2": 7, "y3": 1}
    expected = y.copy()
    expected[:, :, :2] = x
    return {"Y": expected}


def copy_strided__repeated(c: Case) -> dict[str, Array]:
    """Samples (3,), each element 11 times."""
    x = c.reals(SAMPLES, 3)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 3, 11), "n": 33, "n2": 3, "n3": 11, "rows": 1, "per_sample": 1}
    c.fields |= {"x_sample": 3, "x2": 1, "x3": 0, "y_sample": 33, "y2": 11, "y3": 1, "block": 4}
    return {"Y": np.repeat(x[:, :, np.newaxis], 11, 2)}


def copy_strided__repeated_between(c: Case) -> dict[str, Array]:
    """Samples (3,2), the first of each pair 11 times."""
    x = c.reals(SAMPLES, 3, 2)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 3, 11), "n": 33, "n2": 3, "n3": 11, "rows": 1, "per_sample": 1}
    c.fields |= {"x_sample": 6, "x2": 2, "x3": 0, "y_sample": 33, "y2": 11, "y3": 1, "block": 4}
    return {"Y": np.repeat(x[:, :, :1], 11, 2)}


def pad(c: Case) -> dict[str, Array]:
    """Two arrays (3,10) a sample within (6,17)."""
    x = c.reals(SAMPLES, 2, 3, 10)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 2, 6, 17), "n": 17, "out_height": 6, "height": 3, "width": 10}
    c.fields |= {"top": 1, "left": 5, "per_sample": 12, "block": 5}
    return {"Y": np.pad(x, ((0, 0), (0, 0), (1, 2), (5, 2)))}


def sum_axis(c: Case) -> dict[str, Array]:
    x = c.reals(SAMPLES, 2, 9, 5)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 2, 5), "n": 45, "m": 5, "per_sample": 2, "block": 4}
    return {"Y": ref.float64(x).sum(2)}


def sum_axis__of_columns(c: Case) -> dict[str, Array]:
    x = c.reals(SAMPLES, 2, 9)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 2), "n": 9, "m": 1, "per_sample": 2, "block": 4}
    return {"Y": ref.float64(x).sum(2)}


ARRANGEMENT = [
    copy_strided,
    copy_strided__transposed,
    copy_strided__of_few_columns,
    copy_strided__to_few_columns,
    copy_strided__between,
    copy_strided__repeated,
    copy_strided__repeated_between,
    pad,
    sum_axis,
    sum_axis__of_columns,
]

"""Cases of `test_operations`: two arrays element by element, powers, products of the rows of a sample."""

from __future__ import annotations

import numpy as np
import reference as ref
from cases import SAMPLES, Case
from kernels import Array


def pair(c: Case) -> tuple[Array, Array]:
    """Two arrays, some of whose numbers are equal."""
    a, b = c.reals(SAMPLES, 7), c.reals(SAMPLES, 7)
    b[::3] = a[::3]
    c.fields = {"A": a, "B": b, "Y": c.poisoned(SAMPLES, 7), "block": 64}
    return ref.float64(a), ref.float64(b)


def subtract(c: Case) -> dict[str, Array]:
    a, b = pair(c)
    return {"Y": a - b}


def divide(c: Case) -> dict[str, Array]:
    a, b = pair(c)
    return {"Y": a / b}


def maximum(c: Case) -> dict[str, Array]:
    a, b = pair(c)
    return {"Y": np.maximum(a, b)}


def minimum(c: Case) -> dict[str, Array]:
    a, b = pair(c)
    return {"Y": np.minimum(a, b)}


def maximum__nan(c: Case) -> dict[str, Array]:
    return with_nan(c, np.maximum(*pair(c)))


def minimum__nan(c: Case) -> dict[str, Array]:
    return with_nan(c, np.minimum(*pair(c)))


def with_nan(c: Case, y: Array) -> dict[str, Array]:
    """nan where either is."""
    c.fields["A"][1, 2] = c.fields["B"][4, 3] = y[1, 2] = y[4, 3] = np.nan
    return {"Y": y}


def divide_backward(c: Case) -> dict[str, Array]:
    dy, a, b = c.reals(SAMPLES, 7), c.reals(SAMPLES, 7), c.reals(SAMPLES, 7)
    c.fields = {"dY": dy, "Y": a / b, "B": b, "dB": c.poisoned(SAMPLES, 7), "block": 64}
    return {"dB": -dy * ref.float64(a) / ref.float64(b) ** 2}


def larger_backward(c: Case) -> dict[str, Array]:
    a, b = pair(c)
    dy = c.reals(SAMPLES, 7)
    del c.fields["Y"]
    c.fields |= {"dY": dy, "dA": c.poisoned(SAMPLES, 7)}
    return {"dA": dy * (1 + np.sign(a - b)) / 2}


def power(c: Case, exponent: float = 3.0) -> dict[str, Array]:
    x = c.reals(SAMPLES, 7)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 7), "exponent": exponent, "block": 64}
    return {"Y": ref.float64(x) ** exponent}


def power__inverse(c: Case) -> dict[str, Array]:
    return power(c, -2.0)


def power__root(c: Case) -> dict[str, Array]:
    x = abs(c.reals(SAMPLES, 7))
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 7), "exponent": 0.5, "block": 64}
    return {"Y": np.sqrt(ref.float64(x))}


def power_backward(c: Case, exponent: float = 3.0) -> dict[str, Array]:
    x, dy = abs(c.reals(SAMPLES, 7)), c.reals(SAMPLES, 7)
    c.fields = {"X": x, "dY": dy, "dX": c.poisoned(SAMPLES, 7), "exponent": exponent, "block": 64}
    return {"dX": dy * exponent * ref.float64(x) ** (exponent - 1)}


def power_backward__real(c: Case) -> dict[str, Array]:
    return power_backward(c, 1.7)


def power_backward__nothing(c: Case) -> dict[str, Array]:
    expected = power_backward(c, 0.0)
    c.fields["X"][0, 0] = 0  # not 0 × inf
    return expected


def pair_dots(c: Case) -> dict[str, Array]:
    a, b = c.reals(SAMPLES, 3, 11), c.reals(SAMPLES, 5, 11)
    c.fields = {"A": a, "C": b, "Y": c.poisoned(SAMPLES, 3, 5), "rows": 3, "m": 5, "n": 11, "per_sample": 3, "block": 4}
    return {"Y": np.einsum("bik,bjk->bij", ref.float64(a), ref.float64(b))}


def pair_sums(c: Case) -> dict[str, Array]:
    s, b = c.reals(SAMPLES, 3, 5), c.reals(SAMPLES, 5, 11)
    c.fields = {"S": s, "C": b, "Y": c.poisoned(SAMPLES, 3, 11), "rows": 3, "m": 5, "n": 11, "per_sample": 3}
    c.fields |= {"s_row": 5, "s_column": 1, "block": 4}
    return {"Y": np.einsum("bij,bjk->bik", ref.float64(s), ref.float64(b))}


def pair_sums__transposed(c: Case) -> dict[str, Array]:
    s, b = c.reals(SAMPLES, 5, 3), c.reals(SAMPLES, 5, 11)
    c.fields = {"S": s, "C": b, "Y": c.poisoned(SAMPLES, 3, 11), "rows": 3, "m": 5, "n": 11, "per_sample": 3}
    c.fields |= {"s_row": 1, "s_column": 3, "block": 4}
    return {"Y": np.einsum("bji,bjk->bik", ref.float64(s), ref.float64(b))}


ARITHMETIC = [
    subtract, divide, maximum, minimum, maximum__nan, minimum__nan, divide_backward, larger_backward, power,
    power__inverse, power__root, power_backward, power_backward__real, power_backward__nothing, pair_dots, pair_sums,
    pair_sums__transposed,
]  # fmt: skip

"""Vector math against functions of higher precision, in units of the last place (ULP) of the result.

float32 is compared with float64 NumPy at millions of bit patterns spread evenly over all of them; float64 with
long double, where that is wider, else with libm, whose own error is then allowed for.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
import pytest
import reference as ref
from kernels import Array, assert_same_bits, each_name, each_table, generator, lengths, normal, output

from nncore._kernels import elementwise
from nncore._kernels.table import FUNCTIONS, Table

RANGE = {"exp": (0.0, np.inf), "expm1": (-1.0, np.inf), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "erf": (-1.0, 1.0)}
STRIDE = 1021  # a prime: every exponent and every pattern of low bits comes up
BOUND = {"erf": 4.0}  # ULP; 2 for all others
WIDE = np.finfo(np.longdouble).nmant >= 63  # long double beyond float64, as on x86


def wide_sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def apply(table: Table, name: str, x: Array) -> Array:
    y = output(table, x.size)
    elementwise.apply_function(table, name, x, y.flat)
    return y.written()[0]


def special(dtype: str) -> Array:
    """Signed zeros, denormals, which are zeros, ends of ranges, arguments where a function changes its formula."""
    info = np.finfo(dtype)
    turns = [0.25, 0.35, 0.5, np.log(2) / 2, np.sqrt(0.5), np.sqrt(2), 1.0, 2.0, 5.0, 7.0, 17.0, 18.0, 37.0, 38.0]
    overflow = [np.log(float(info.max)), np.log(float(info.tiny)), np.log(float(info.smallest_subnormal))]
    ends = [info.max, info.tiny, info.smallest_subnormal, info.eps, info.eps / 2, info.eps / 4, 3 * info.tiny / 4]
    values = np.array([0.0, np.inf, *ends, *turns, *overflow, np.log(float(info.eps)), 1 - float(info.eps)], dtype)
    near = [values]
    for direction in (-np.inf, np.inf):
        moved = values
        for _ in range(20):
            with np.errstate(over="ignore"):
                moved = np.nextafter(moved, np.dtype(dtype).type(direction))
            near.append(moved)
    found = np.concatenate(near)
    return np.concatenate([found, -found, np.array([np.nan], dtype)])


@cache
def arguments(dtype: str) -> Array:
    if dtype == "float32":
        return np.concatenate([special(dtype), np.arange(7, 2**32, STRIDE, dtype=np.uint64).astype("u4").view("f4")])
    rng = generator("vecmath")
    every = rng.integers(0, 2**64, 50_000, dtype=np.uint64).view("f8")  # every exponent
    usual = rng.uniform(-1, 1, 250_000) * 2.0 ** rng.integers(-56, 11, 250_000)
    near_one = 1 + rng.uniform(-1, 1, 20_000) * 2.0 ** -rng.integers(1, 53, 20_000)
    return np.concatenate([special(dtype), every, usual, near_one])


@lru_cache(maxsize=2)  # both types of one function: they are large
def expected(name: str, dtype: str) -> tuple[Array, float]:
    """f(x), more precisely than in `dtype`, and its own error in ULP."""
    x = ref.flush(arguments(dtype), dtype)
    with np.errstate(all="ignore"):
        if dtype == "float32":
            return ref.FUNCTIONS[name](ref.float64(x)), 0.0
        if WIDE and name != "erf":
            function = wide_sigmoid if name == "sigmoid" else getattr(np, name)
            return function(x.astype(np.longdouble)), 0.001
        return ref.FUNCTIONS[name](x), 1.0


def ulps(got: Array, want: Array) -> Array:
    """|got − want| in units of the last place that `want` has in the type of `got`."""
    info = np.finfo(got.dtype)
    beyond = want.dtype.type(info.max) * (1 + want.dtype.type(info.eps) / 2)  # what follows the largest number
    got, want = (np.clip(v.astype(want.dtype), -beyond, beyond) for v in (got, want))
    _, exponent = np.frexp(np.where(want == 0, 1, want))
    exponent = np.where(want == 0, info.minexp, np.minimum(exponent - 1, info.maxexp - 1))
    unit = np.ldexp(want.dtype.type(1), np.maximum(exponent, info.minexp) - info.nmant)
    return np.abs(got - want) / unit


@each_table
@each_name(FUNCTIONS)
def test_error(table: Table, name: str) -> None:
    x = arguments(table.dtype)
    want, own = expected(name, table.dtype)
    got = apply(table, name, x)
    assert np.array_equal(np.isnan(got), np.isnan(want))
    number = ~np.isnan(want)
    bound = BOUND.get(name, 2.0) + own
    error = ulps(got[number], want[number])
    least, spacing = np.finfo(table.dtype).tiny, np.finfo(table.dtype).eps
    error[(got[number] == 0) & (np.abs(want[number]) < least * (1 + bound * spacing))] = 0
    worst = int(error.argmax())
    assert error[worst] <= bound, (float(error[worst]), float(x[number][worst]))
    signs = np.signbit(got[number]) == np.signbit(want[number])
    assert signs.all(), ("sign", x[number][~signs][:5])


@each_table
@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("exp", 0.0, 1.0), ("exp", -0.0, 1.0), ("exp", -np.inf, 0.0), ("exp", np.inf, np.inf), ("exp", -1e5, 0.0),
        ("log", 1.0, 0.0), ("log", 0.0, -np.inf), ("log", -0.0, -np.inf), ("log", -1.0, np.nan),
        ("log", np.inf, np.inf), ("log", -np.inf, np.nan),
        ("tanh", -0.0, -0.0), ("tanh", np.inf, 1.0), ("tanh", -np.inf, -1.0), ("tanh", 50.0, 1.0),
        ("erf", -0.0, -0.0), ("erf", np.inf, 1.0), ("erf", -np.inf, -1.0), ("erf", 50.0, 1.0),
        ("log1p", 0.0, 0.0), ("log1p", -0.0, -0.0), ("log1p", -1.0, -np.inf), ("log1p", -2.0, np.nan),
        ("log1p", np.inf, np.inf),
        ("expm1", 0.0, 0.0), ("expm1", -0.0, -0.0), ("expm1", -np.inf, -1.0), ("expm1", np.inf, np.inf),
        ("expm1", -1e5, -1.0),
        ("sigmoid", 0.0, 0.5), ("sigmoid", -0.0, 0.5), ("sigmoid", np.inf, 1.0), ("sigmoid", -np.inf, 0.0),
        ("sigmoid", 1e30, 1.0), ("sigmoid", -1e30, 0.0),
        *((name, np.nan, np.nan) for name in FUNCTIONS),
    ],
)  # fmt: skip
def test_special_value(table: Table, name: str, x: float, y: float) -> None:
    """At every position of a vector, and in a ragged end."""
    n = 2 * table.lanes + 1
    assert_same_bits(apply(table, name, np.full(n, x, table.dtype)), np.full(n, y, table.dtype))


@each_table
@each_name(FUNCTIONS)
def test_range(table: Table, name: str) -> None:
    """Results stay in the range of the function, to the last bit."""
    x = arguments(table.dtype)
    y = apply(table, name, x[~np.isnan(x)])
    y = y[~np.isnan(y)]
    lowest, highest = RANGE.get(name, (-np.inf, np.inf))
    assert y.min() >= lowest
    assert y.max() <= highest


@each_table
@each_name(FUNCTIONS)
def test_lengths_and_bits(table: Table, name: str) -> None:
    """Every length; an element's bits depend on neither its position nor its neighbours; y may be x."""
    x = np.abs(normal(table, max(lengths(table)), scale=3))
    alone = np.concatenate([apply(table, name, x[i : i + 1]) for i in range(x.size)])
    for n in lengths(table):
        assert_same_bits(apply(table, name, x[:n]), alone[:n], n)
        in_place = x[:n].copy()
        elementwise.apply_function(table, name, in_place, in_place)
        assert_same_bits(in_place, alone[:n], n)

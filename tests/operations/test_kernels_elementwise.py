"""Activations, their derivatives, those of rows, and arithmetic, against float64 NumPy."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import reference as ref
from kernels import (
    Array,
    assert_close,
    assert_same_bits,
    each_name,
    each_table,
    edges,
    eps,
    generator,
    lengths,
    normal,
    output,
)

from nncore._kernels import elementwise
from nncore._kernels.table import ACTIVATION_SAVED, ACTIVATIONS, ROWWISE, ROWWISE_SAVED, Table


def numbers(name: str) -> tuple[float, ...]:
    return ref.settings_of(name)[0]


def activate(table: Table, name: str, z: Array, *given: float) -> Array:
    y = output(table, z.size)
    elementwise.apply_activation(table, name, z, y.flat, given or numbers(name))
    return y.written()[0]


def backward(table: Table, name: str, kept: Array, dy: Array, *given: float) -> Array:
    dz = output(table, kept.size)
    elementwise.apply_activation_backward(table, name, kept, dy, dz.flat, given or numbers(name))
    return dz.written()[0]


def overflowing(table: Table, y: Array) -> Array:
    """y, but inf where that is too large for a table's type."""
    return np.where(np.abs(y) > np.finfo(table.dtype).max, np.copysign(np.inf, y), y)


def arguments(table: Table) -> Array:
    """Both sides of 0 over all magnitudes where an activation does something, and far beyond."""
    magnitudes = np.concatenate([2.0 ** np.linspace(-40, 7, 1500), np.linspace(0.01, 30, 1500), [0.0, 1e3, 1e10]])
    return np.concatenate([-magnitudes, magnitudes]).astype(table.dtype)


@each_table
@each_name(ACTIVATIONS)
def test_activation(table: Table, name: str) -> None:
    """As exact as f at an argument that is a few roundings off."""
    z = arguments(table)
    with np.errstate(over="ignore", invalid="ignore"):
        y = overflowing(table, ref.activate(name, z, *numbers(name)))
        sensitivity = np.nan_to_num(np.abs(z * ref.activate_prime(name, z, *numbers(name))), nan=0.0)
    flushed = (2 + np.abs(z)) * float(np.finfo(table.dtype).tiny)  # a factor may have been
    tolerance = 4 * eps(table) * (np.abs(y) + sensitivity) + flushed
    assert_close(activate(table, name, z), y, tolerance)


@each_table
@pytest.mark.parametrize(("name", "given"), [(n, s) for n in ACTIVATIONS for s in ref.settings_of(n)])
def test_numbers(table: Table, name: str, given: tuple[float, ...]) -> None:
    """With other numbers, away from kinks and at them."""
    z = 3 * normal(table, 400)
    z[:20] = np.arange(-2.5, 2.5, 0.25)
    y, slope = ref.activate(name, z, *given), ref.activate_prime(name, z, *given)
    assert_close(activate(table, name, z, *given), y, 8 * eps(table) * (1 + np.abs(y)))
    kept = z if ACTIVATION_SAVED[name] == "Z" else y.astype(table.dtype)
    tolerance = 8 * eps(table) * (1 + np.abs(slope))
    if name == "gelu":  # a slope of 0 is met by terms of which each is as large as z
        tolerance = tolerance * (1 + np.abs(z))
    assert_close(backward(table, name, kept, np.ones_like(kept), *given), slope, tolerance)


@each_table
@each_name(ACTIVATIONS)
def test_derivative(table: Table, name: str) -> None:
    """From what is kept, which is rounded; so an error of some eps beside slopes of about 1 is right.

    From Z, 1 − σ may lose its digits while its factor, which grows like z², does not yet meet a zero.
    """
    z = arguments(table)
    z = z[np.abs(z) > 2.0**-20]  # f′ jumps at 0, and elu's rounded Y may be 0 near it
    dy = normal(table, z.size, key="dy")
    with np.errstate(over="ignore", invalid="ignore"):
        kept = z if ACTIVATION_SAVED[name] == "Z" else ref.activate(name, z, *numbers(name)).astype(table.dtype)
        slope = overflowing(table, ref.activate_prime(name, z, *numbers(name)))
        roundings = 8 + (np.minimum(z**2, 64) if ACTIVATION_SAVED[name] == "Z" else 0)
        tolerance = roundings * eps(table) * np.abs(dy) * np.maximum(1, np.abs(slope))
        assert_close(backward(table, name, kept, dy), overflowing(table, dy * slope), tolerance)


@each_table
@each_name(ACTIVATIONS)
def test_derivative_at_zero(table: Table, name: str) -> None:
    """At a kink it is that of the left side, also for −0."""
    z = np.array([0.0, -0.0], table.dtype)
    kept = z if ACTIVATION_SAVED[name] == "Z" else activate(table, name, z)
    slope = ref.activate_prime(name, [0.0, 0.0], *numbers(name))
    assert_close(backward(table, name, kept, np.ones_like(z)), slope, 2 * eps(table))


@each_table
@each_name(ACTIVATIONS)
def test_limits(table: Table, name: str) -> None:
    """At ±inf and the largest numbers stands the limit, never 0 × inf; nan stays."""
    ends = np.array([-1.0, 1.0])
    with np.errstate(over="ignore"):
        far, slopes = (f(name, 1e100 * ends, *numbers(name)) for f in (ref.activate, ref.activate_prime))
    far[np.abs(far) > 100] *= np.inf
    far[np.abs(far) < 1e-90] = 0
    tiny = float(np.finfo(table.dtype).tiny)
    kept_y = ACTIVATION_SAVED[name] == "Y"
    for value in (np.inf, float(np.finfo(table.dtype).max)):
        z = (value * ends).astype(table.dtype)
        y = activate(table, name, z)
        if name == "cospi" and value == np.inf:  # the one that has no limit
            assert np.isnan(y).all()
            continue
        limit = np.where(np.isinf(far) & np.isfinite(z), y, far)  # finite but large: test_activation's business
        assert_close(y, limit, 4 * eps(table) * np.abs(np.nan_to_num(limit)) + tiny, value)
        if value != np.inf:
            assert not np.isnan(y).any()
        slope = backward(table, name, y if kept_y else z, np.ones_like(z))
        assert_close(slope, slopes, 8 * eps(table), value)
    nan = np.full(2 * table.lanes + 1, np.nan, table.dtype)
    assert np.isnan(activate(table, name, nan)).all()
    assert np.isnan(backward(table, name, np.zeros_like(nan), nan)).all()


@each_table
@each_name(ACTIVATIONS)
def test_rows_apart(table: Table, name: str) -> None:
    """Every number of columns, rows `ld` apart; bits as of each element alone; y may be z, dz may be dy or kept."""
    most = max(lengths(table))
    z = normal(table, 3, most, scale=3)
    dy = normal(table, 3 * most, key="dy")
    alone = np.array([[activate(table, name, z[i, j : j + 1])[0] for j in range(most)] for i in range(3)])
    slopes = backward(table, name, z.ravel(), dy).reshape(3, most)
    for cols, gap in product(lengths(table)[1:], [0, 3]):
        ld = cols + gap
        source = output(table, 3, cols, ld=ld, fill=z[:, :cols])
        y = output(table, 3, cols, ld=ld)
        span = slice(0, 2 * ld + cols)
        elementwise.apply_activation(table, name, source.flat[span], y.flat[span], numbers(name), cols, ld)
        assert_same_bits(y.written(), alone[:, :cols], (cols, ld))
        elementwise.apply_activation(table, name, source.flat[span], source.flat[span], numbers(name), cols, ld)
        assert_same_bits(source.written(), alone[:, :cols], ("in place", cols, ld))
    for n in lengths(table):
        kept, gradient, expected = z[0, :n].copy(), dy[:n].copy(), slopes[:1, :n]
        assert_same_bits(backward(table, name, kept, gradient)[None], expected, n)
        in_kept, in_dy = kept.copy(), gradient.copy()
        elementwise.apply_activation_backward(table, name, in_kept, gradient, in_kept, numbers(name))
        elementwise.apply_activation_backward(table, name, kept, in_dy, in_dy, numbers(name))
        assert_same_bits(in_kept[None], expected, ("in place of kept", n))
        assert_same_bits(in_dy[None], expected, ("in place of dy", n))
    one_by_one = [backward(table, name, z[0, j : j + 1].copy(), dy[j : j + 1])[0] for j in range(most)]
    assert_same_bits(np.array(one_by_one), slopes[0])


# --- rows -------------------------------------------------------------------------------------------------


def widths(table: Table) -> list[int]:
    return sorted({*range(1, 2 * table.lanes + 2), *edges(4 * table.lanes), 100, 1000})


def sizes(table: Table, name: str) -> list[tuple[int, int]]:
    """n and m: of a row, and of what is made of it."""
    return [(2 * m, m) if name == "glu" else (m, m) for m in widths(table)]


def apply(table: Table, name: str, z: Array, m: int) -> Array:
    y = output(table, len(z), m)
    elementwise.apply_rowwise(table, name, z, y.flat, len(z))
    return y.written()


def apply_backward(table: Table, name: str, saved: Array, dy: Array, n: int) -> Array:
    dz = output(table, len(dy), n)
    elementwise.apply_rowwise_backward(table, name, saved, dy, dz.flat, len(dy))
    return dz.written()


def rowwise_tolerance(table: Table, name: str, z: Array, y: Array) -> Array:
    """Some roundings, those of the exponents' difference from the largest, and those of the sum."""
    away = ref.float64(z).max(axis=1, keepdims=True) - z
    roundings = 6 + z.shape[1] / table.lanes / 2
    if name == "softmax":
        scale = (roundings + away) * y
    elif name == "log_softmax":
        scale = roundings * (1 + np.log(z.shape[1])) + 2 * np.abs(y)
    elif name == "sparsemax":
        scale = np.full(y.shape, roundings * (1 + z.shape[1] / table.lanes / 8))
    elif name == "ascending":
        scale = roundings * (np.abs(z[:, :1]) + ref.softplus(z).cumsum(axis=1))
    else:
        scale = roundings * np.abs(y)
    factor = 1 + np.abs(z).max(axis=1, keepdims=True) if name == "glu" else 1.0  # of what may have been flushed
    return eps(table) * scale + np.finfo(table.dtype).tiny * factor


@each_table
@each_name(ROWWISE)
def test_rowwise(table: Table, name: str) -> None:
    for (n, m), scale in product(sizes(table, name), [1, 30]):
        for rows in (0, 1, 2, 3, 17, 33) if n < 40 else (2,):
            z = normal(table, rows, n, scale=scale)
            y = ref.ROWWISE[name][0](z)
            assert_close(apply(table, name, z, m), y, rowwise_tolerance(table, name, z, y), (rows, n, scale))


@each_table
@each_name(ROWWISE)
def test_rowwise_backward(table: Table, name: str) -> None:
    for n, m in sizes(table, name):
        for rows in (0, 1, 2, 3, 17, 33) if n < 40 else (2,):
            z, dy = normal(table, rows, n), normal(table, rows, m, key="dy")
            saved = z if ROWWISE_SAVED[name] == "Z" else ref.ROWWISE[name][0](z).astype(table.dtype)
            total = np.abs(dy).sum(axis=1, keepdims=True)
            share = ref.softmax(z) if name in ("softmax", "log_softmax") else 1.0
            if name == "sparsemax":
                total = total / np.maximum(1, (saved > 0).sum(axis=1, keepdims=True))
            direct = np.tile(np.abs(dy), n // m) * (1 + np.abs(z) if name == "glu" else 1)
            tolerance = eps(table) * (4 * direct + (4 + n / table.lanes / 2) * total * share)
            got = apply_backward(table, name, saved, dy, n)
            assert_close(got, ref.ROWWISE[name][1](saved, dy), tolerance, (rows, n))


@each_table
def test_softmax_of_extremes(table: Table) -> None:
    """Nothing overflows: only differences count. −inf has no share; nan and +inf make their own row nan alone."""
    largest = float(np.finfo(table.dtype).max)
    for n in widths(table):
        for value in (1e30, -1e30, largest, -largest):
            equal = np.full((3, n), value, table.dtype)
            for name in ("softmax", "sparsemax"):
                assert_close(apply(table, name, equal, n), np.full((3, n), 1 / n), 4 * eps(table) / n, (n, value))
            logs = np.full((3, n), -np.log(n))
            assert_close(apply(table, "log_softmax", equal, n), logs, 4 * eps(table) * np.log(n), (n, value))
        z = normal(table, 5, n)
        z[:, 0] = 0
        if n > 1:
            z[1, 0], z[2, -1], z[3, n // 2], z[4, -1] = -np.inf, np.nan, np.inf, 1e30
        for name in ("softmax", "log_softmax", "sparsemax"):
            with np.errstate(invalid="ignore", divide="ignore"):
                expected = ref.ROWWISE[name][0](z)
                if name == "sparsemax":
                    expected[2:4] = np.nan if n > 1 else 1.0
                    expected[4] = np.eye(n)[-1]
                tolerance = np.nan_to_num(rowwise_tolerance(table, name, z, expected), nan=0, posinf=0)
            assert_close(apply(table, name, z, n), expected, tolerance, (name, n))


@each_table
def test_sparsemax_sums_to_one(table: Table) -> None:
    """Of any number of equal ones, and where all but one are far below."""
    for n in widths(table):
        z = normal(table, 9, n, scale=0.2)
        z[1], z[2, 0], z[3, : n // 2] = 0.125, 100, 100
        y = apply(table, "sparsemax", z, n)
        assert (y >= 0).all()
        np.testing.assert_allclose(ref.float64(y).sum(axis=1), 1, atol=(4 + n / 8) * eps(table))


@each_table
@each_name(ROWWISE)
def test_rowwise_bits(table: Table, name: str) -> None:
    """A row's bits do not depend on the rows beside it; where m = n, y may be z, and dz dy or saved."""
    for n, m in sizes(table, name):
        z, dy = normal(table, 19, n), normal(table, 19, m, key="dy")
        y = apply(table, name, z, m)
        saved = z if ROWWISE_SAVED[name] == "Z" else y
        dz = apply_backward(table, name, saved, dy, n)
        for i in range(19):
            one = slice(i, i + 1)
            assert_same_bits(apply(table, name, z[one], m), y[one], (n, i))
            assert_same_bits(apply_backward(table, name, saved[one], dy[one], n), dz[one], (n, i))
        if m != n:
            continue
        saved = saved.copy()
        elementwise.apply_rowwise(table, name, z, z, 19)
        assert_same_bits(z, y, ("in place", n))
        elementwise.apply_rowwise_backward(table, name, saved, dy, dy, 19)
        assert_same_bits(dy, dz, ("in place of dy", n))
        dy = normal(table, 19, n, key="dy")
        elementwise.apply_rowwise_backward(table, name, saved, dy, saved, 19)
        assert_same_bits(saved, dz, ("in place of what is saved", n))


# --- arithmetic -----------------------------------------------------------------------------------------------


@each_table
@pytest.mark.parametrize(
    ("kernel", "exact"), [(elementwise.apply_add, np.add), (elementwise.apply_multiply, np.multiply)]
)
def test_arithmetic(
    table: Table, kernel: Callable[[Table, Array, Array, Array], None], exact: Callable[[Array, Array], Array]
) -> None:
    """One rounding, hence NumPy's bits; inf and nan as IEEE 754 says; y may be either operand, or both."""
    for n in lengths(table):
        a, b = normal(table, n), normal(table, n, key="b")
        ends = [np.inf, -np.inf, np.nan, 0.0, -0.0, float(np.finfo(table.dtype).max)]
        if n >= 36:
            a[:36], b[:36] = np.repeat(ends, 6), np.tile(ends, 6)
        with np.errstate(over="ignore", invalid="ignore"):
            expected, square = exact(a, b), exact(a, a)
        y = output(table, n)
        kernel(table, a, b, y.flat)
        assert_same_bits(y.written()[0], expected, n)
        in_a, in_b = a.copy(), b.copy()
        kernel(table, in_a, b, in_a)
        kernel(table, a, in_b, in_b)
        assert_same_bits(in_a, expected, n)
        assert_same_bits(in_b, expected, n)
        kernel(table, a, a, a)
        assert_same_bits(a, square, n)


@each_table
def test_rescale(table: Table) -> None:
    rng = generator("rescale")
    for n in lengths(table):
        x = normal(table, n)
        x[rng.integers(n, size=3) if n else []] = [np.inf, -np.inf, np.nan][: 3 if n else 0]
        for scale, offset in [(1 / 255, 0.0), (2.0, -1.0), (-0.5, 3.25), (0.0, 1.0)]:
            y = output(table, n)
            elementwise.apply_rescale(table, x, y.flat, scale, offset)
            with np.errstate(invalid="ignore"):
                expected = scale * ref.float64(x) + offset
                tolerance = 2 * eps(table) * (np.abs(scale * ref.float64(x)) + abs(offset))
            got = y.written()[0]
            assert_close(got, expected, tolerance, (n, scale))
            in_place = x.copy()
            elementwise.apply_rescale(table, in_place, in_place, scale, offset)
            assert_same_bits(in_place, got, n)


@each_table
def test_cosines_are_exact_in_their_periods(table: Table) -> None:
    """Zeros and ends of all sizes of arguments; beyond the mantissa all numbers are even."""
    big = 2.0 ** np.arange(0, 60, 3)
    found = activate(
        table, "cospi", np.concatenate([[0.5, -2.5, 1e4 + 0.5], big, -3.0 * big, big[:5] + 1]).astype(table.dtype)
    )
    assert (np.abs(found[:3]) < 1e-7).all()
    even = np.ones(len(big))
    even[0] = -1
    np.testing.assert_array_equal(found[3:], [*even, *even, 1, *[-1] * 4])

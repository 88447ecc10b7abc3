"""Activations, their derivatives, softmax and arithmetic, against float64 NumPy."""

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
from nncore._kernels.table import ACTIVATION_SAVED, ACTIVATIONS, Table

ALPHA = 0.3


def activate(table: Table, name: str, z: Array, alpha: float = ALPHA) -> Array:
    y = output(table, z.size)
    elementwise.apply_activation(table, name, z, y.flat, (alpha,))
    return y.written()[0]


def backward(table: Table, name: str, kept: Array, dy: Array, alpha: float = ALPHA) -> Array:
    dz = output(table, kept.size)
    elementwise.apply_activation_backward(table, name, kept, dy, dz.flat, (alpha,))
    return dz.written()[0]


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
        y = ref.activate(name, z, ALPHA)
        sensitivity = np.nan_to_num(np.abs(z * ref.activate_prime(name, z, ALPHA)), nan=0.0)
    flushed = (2 + np.abs(z)) * float(np.finfo(table.dtype).tiny)  # a factor may have been
    tolerance = 4 * eps(table) * (np.abs(y) + sensitivity) + flushed
    assert_close(activate(table, name, z), y, tolerance)


@each_table
@each_name(ACTIVATIONS)
@pytest.mark.parametrize("alpha", [0.0, 0.01, 1.0, 2.5])
def test_alpha(table: Table, name: str, alpha: float) -> None:
    z = normal(table, 200)
    y, slope = ref.activate(name, z, alpha), ref.activate_prime(name, z, alpha)
    assert_close(activate(table, name, z, alpha), y, 8 * eps(table) * (1 + np.abs(y)))
    if alpha == 0 and ACTIVATION_SAVED[name] == "Y":
        z, slope = z[z > 0], slope[z > 0]  # Y = 0 for all others
    kept = z if ACTIVATION_SAVED[name] == "Z" else ref.activate(name, z, alpha).astype(table.dtype)
    assert_close(backward(table, name, kept, np.ones_like(kept), alpha), slope, 8 * eps(table) * (1 + alpha))


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
        kept = z if ACTIVATION_SAVED[name] == "Z" else ref.activate(name, z, ALPHA).astype(table.dtype)
        slope = ref.activate_prime(name, np.clip(z, -1e3, 1e3), ALPHA)
    roundings = 8 + (np.minimum(z**2, 64) if ACTIVATION_SAVED[name] == "Z" else 0)
    assert_close(backward(table, name, kept, dy), dy * slope, roundings * eps(table) * np.abs(dy))


@each_table
@each_name(ACTIVATIONS)
def test_derivative_at_zero(table: Table, name: str) -> None:
    """At a kink it is that of the left side, also for −0."""
    z = np.array([0.0, -0.0], table.dtype)
    kept = z if ACTIVATION_SAVED[name] == "Z" else activate(table, name, z)
    slope = ref.activate_prime(name, [0.0, 0.0], ALPHA)
    assert_close(backward(table, name, kept, np.ones_like(z)), slope, 2 * eps(table))


@each_table
@each_name(ACTIVATIONS)
def test_limits(table: Table, name: str) -> None:
    """At ±inf and the largest numbers stands the limit, never 0 × inf; nan stays."""
    ends = np.array([-1.0, 1.0])
    far = ref.activate(name, 1e4 * ends, ALPHA)
    far[np.abs(far) > 100] *= np.inf
    kept_y = ACTIVATION_SAVED[name] == "Y"
    for value in (np.inf, float(np.finfo(table.dtype).max)):
        z = (value * ends).astype(table.dtype)
        y = activate(table, name, z)
        limit = np.where(np.isinf(far) & np.isfinite(z), y, far)  # finite but large: test_activation's business
        assert_close(y, limit, 4 * eps(table) * np.abs(np.nan_to_num(limit)), value)
        if value != np.inf:
            assert not np.isnan(y).any()
        slope = backward(table, name, y if kept_y else z, np.ones_like(z))
        assert_close(slope, ref.activate_prime(name, 1e3 * ends, ALPHA), 8 * eps(table), value)
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
        elementwise.apply_activation(table, name, source.flat[span], y.flat[span], (ALPHA,), cols, ld)
        assert_same_bits(y.written(), alone[:, :cols], (cols, ld))
        elementwise.apply_activation(table, name, source.flat[span], source.flat[span], (ALPHA,), cols, ld)
        assert_same_bits(source.written(), alone[:, :cols], ("in place", cols, ld))
    for n in lengths(table):
        kept, gradient, expected = z[0, :n].copy(), dy[:n].copy(), slopes[:1, :n]
        assert_same_bits(backward(table, name, kept, gradient)[None], expected, n)
        in_kept, in_dy = kept.copy(), gradient.copy()
        elementwise.apply_activation_backward(table, name, in_kept, gradient, in_kept, (ALPHA,))
        elementwise.apply_activation_backward(table, name, kept, in_dy, in_dy, (ALPHA,))
        assert_same_bits(in_kept[None], expected, ("in place of kept", n))
        assert_same_bits(in_dy[None], expected, ("in place of dy", n))
    one_by_one = [backward(table, name, z[0, j : j + 1].copy(), dy[j : j + 1])[0] for j in range(most)]
    assert_same_bits(np.array(one_by_one), slopes[0])


# --- softmax ------------------------------------------------------------------------------------------------


def widths(table: Table) -> list[int]:
    return sorted({*range(1, 2 * table.lanes + 2), *edges(4 * table.lanes), 100, 1000})


def softmax(table: Table, z: Array) -> Array:
    y = output(table, *z.shape)
    elementwise.apply_softmax(table, z, y.flat, *z.shape)
    return y.written()


def softmax_backward(table: Table, y: Array, dy: Array) -> Array:
    dz = output(table, *y.shape)
    elementwise.apply_softmax_backward(table, y, dy, dz.flat, *y.shape)
    return dz.written()


def softmax_tolerance(table: Table, z: Array) -> Array:
    """Relative: some roundings, those of the exponents' difference from the largest, and those of the sum."""
    y, away = ref.softmax(z), ref.float64(z).max(axis=1, keepdims=True) - z
    return eps(table) * (6 + away + z.shape[1] / table.lanes / 2) * y + np.finfo(table.dtype).tiny


@each_table
def test_softmax(table: Table) -> None:
    for n, scale in product(widths(table), [1, 30]):
        for rows in (0, 1, 2, 3, 17, 33) if n < 40 else (2,):
            z = normal(table, rows, n, scale=scale)
            assert_close(softmax(table, z), ref.softmax(z), softmax_tolerance(table, z), (rows, n, scale))


@each_table
def test_softmax_backward(table: Table) -> None:
    for n in widths(table):
        for rows in (0, 1, 2, 3, 17, 33) if n < 40 else (2,):
            y, dy = ref.softmax(normal(table, rows, n)).astype(table.dtype), normal(table, rows, n, key="dy")
            total = np.abs(ref.float64(y) * dy).sum(axis=1, keepdims=True)
            tolerance = eps(table) * ref.float64(y) * (2 * np.abs(dy) + (4 + n / table.lanes / 2) * total)
            assert_close(softmax_backward(table, y, dy), ref.softmax_backward(y, dy), tolerance, (rows, n))


@each_table
def test_softmax_of_extremes(table: Table) -> None:
    """Nothing overflows: only differences count. −inf has no share; nan and +inf make their own row nan alone."""
    largest = float(np.finfo(table.dtype).max)
    for n in widths(table):
        for value in (1e30, -1e30, largest, -largest):
            equal = np.full((3, n), value, table.dtype)
            assert_close(softmax(table, equal), np.full((3, n), 1 / n), 4 * eps(table) / n, (n, value))
        z = normal(table, 5, n)
        z[:, 0] = 0
        if n > 1:
            z[1, 0], z[2, -1], z[3, n // 2], z[4, -1] = -np.inf, np.nan, np.inf, 1e30
        with np.errstate(invalid="ignore"):
            expected, tolerance = ref.softmax(z), np.nan_to_num(softmax_tolerance(table, z), nan=0, posinf=0)
        assert_close(softmax(table, z), expected, tolerance, n)


@each_table
def test_softmax_bits(table: Table) -> None:
    """A row's bits do not depend on the rows beside it; y may be z; dz may be dy or y."""
    for n in widths(table):
        z, dy = normal(table, 19, n), normal(table, 19, n, key="dy")
        y = softmax(table, z)
        dz = softmax_backward(table, y, dy)
        for i in range(19):
            assert_same_bits(softmax(table, z[i : i + 1]), y[i : i + 1], (n, i))
            assert_same_bits(softmax_backward(table, y[i : i + 1], dy[i : i + 1]), dz[i : i + 1], (n, i))
        elementwise.apply_softmax(table, z, z, 19, n)
        assert_same_bits(z, y, ("in place", n))
        elementwise.apply_softmax_backward(table, y, dy, dy, 19, n)
        assert_same_bits(dy, dz, ("in place of dy", n))
        dy = normal(table, 19, n, key="dy")
        elementwise.apply_softmax_backward(table, y, dy, y, 19, n)
        assert_same_bits(y, dz, ("in place of y", n))


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

"""Products C = f(bias + A B) and C = (A B) ⊙ f′(saved), against float64 NumPy.

Small whole numbers make every sum exact, whatever its order: then nothing but a wrong element can differ. Random
reals then show the error of the sums, and that an element's bits depend on K alone, or where X meets few columns
also on that.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import reference as ref
from kernels import (
    LAYOUTS,
    TABLES,
    Array,
    assert_close,
    assert_same_bits,
    each_name,
    each_table,
    edges,
    eps,
    generator,
    multiply,
    normal,
    output,
    whole,
)

from nncore._kernels import dense, elementwise
from nncore._kernels.table import ACTIVATION_SAVED, ACTIVATIONS, Table

DEPTHS = [0, 1, 2, 3, 17, 255, 256, 257, 383, 384, 385, 511, 512, 513, 1024, 1025]


def bound(table: Table, a: Array, b: Array, bias: Array | float = 0.0) -> Array:
    """(K + 1) roundings of half an eps each; float64 NumPy has its own."""
    K = a.shape[1]
    magnitude = np.abs(ref.float64(a)) @ np.abs(ref.float64(b)) + np.abs(bias)
    return (K + 1) * (eps(table) + np.finfo(float).eps) / 2 * magnitude


def tile_sizes(table: Table) -> tuple[list[int], list[int]]:
    mr, nr = table.tile
    rows = sorted({*edges(1, mr, 2 * mr), 3, 3 * mr + 5})
    return rows, sorted({*edges(1, table.lanes, nr, 2 * nr, 4 * nr), 3})


def narrow(table: Table) -> list[tuple[int, int, int]]:
    """Few columns beside rows and depth, which leave lanes idle and so may go another way."""
    lanes = table.lanes
    few = sorted({1, 2, lanes // 2 - 1, lanes // 2, lanes // 2 + 1, 10, 12, 13, 2 * lanes + 1, lanes + 10} - {0})
    return [(M, N, 17 * N + 3) for M, N in product([table.lanes, 2 * table.lanes + 1, 127, 129, 300], few)]


@each_table
def test_every_tile(table: Table) -> None:
    rows, cols = tile_sizes(table)
    for M, N, K, layout in product(rows, cols, [0, 19], LAYOUTS):
        a, b = whole(table, M, K), whole(table, K, N)
        assert_close(multiply(table, a, b, layout, ldc=N + 3), ref.float64(a) @ b, 0, (M, N, K, layout))


@each_table
def test_one_row_of_every_width(table: Table) -> None:
    """It goes through B at one go, up to eight vectors, with the bits that it has among others."""
    for N, layout in product(range(4, 9 * table.lanes + 2), LAYOUTS):
        a, b, bias = normal(table, 2, 37), normal(table, 37, N), normal(table, N, key="bias")
        expected = multiply(table, a, b, layout, bias=bias)
        assert_close(expected, ref.dense(a, b, bias), bound(table, a, b, bias), (N, layout))
        assert_same_bits(multiply(table, a[:1], b, layout, bias=bias, ldc=N + 1), expected[:1], (N, layout))


@each_table
def test_every_depth(table: Table) -> None:
    mr, nr = table.tile
    for K, (M, N), layout in product(DEPTHS, [(1, 1), (2 * mr + 1, nr + 1), (mr, 5 * nr - 1)], LAYOUTS):
        a, b = whole(table, M, K), whole(table, K, N)
        assert_close(multiply(table, a, b, layout), ref.float64(a) @ b, 0, (M, N, K, layout))


@each_table
def test_every_height_of_short_products(table: Table) -> None:
    """Short sums go through other tiles, up to some depth and width; their bits are those of a narrow block."""
    for K, M, N, layout in product([1, 2, 8, 9], range(1, 12), [4 * table.lanes, 127, 130], LAYOUTS):
        a, b = whole(table, M, K), whole(table, K, N)
        assert_close(multiply(table, a, b, layout, ldc=N + 1), ref.float64(a) @ b, 0, (M, N, K, layout))
        a, b = normal(table, M, K), normal(table, K, N)
        expected = multiply(table, a, b[:, :5], layout, part=True)
        c = np.ascontiguousarray(multiply(table, a, b, layout)[:, :5])
        assert_same_bits(c, expected, (M, N, K, layout))


@each_table
@pytest.mark.parametrize("layout", LAYOUTS)
def test_many_blocks(table: Table, layout: tuple[bool, bool]) -> None:
    """Past every block of rows, columns and depth, and with operands that are copied first."""
    for M, N, K in [(257, 1031, 1024), (127, 129, 2049), (515, 70, 300), (515, 300, 60), *narrow(table)]:
        a, b = whole(table, M, K), whole(table, K, N)
        c = multiply(table, a, b, layout, ldc=N + 1)
        assert_close(c, ref.float64(a) @ b, 0, (M, N, K))


@each_table
def test_few_columns(table: Table) -> None:
    """Exact at any depth and width, whether the columns are all there are or part of a wider product."""
    depths = sorted({0, 1, *edges(table.lanes, 3 * table.lanes), 16384, 16385, 33000})
    heights = [1, 3, 4, 9, 2 * table.lanes + 1]
    for K, M, N, layout, part in product(depths, heights, [1, 2, 3, 4], LAYOUTS, [False, True]):
        if K < 1000 or M == 3:
            a, b, bias = whole(table, M, K), whole(table, K, N), whole(table, N)
            for ldc in (N, N + 2):
                c = multiply(table, a, b, layout, bias=bias, ldc=ldc, part=part)
                assert_close(c, ref.dense(a, b, bias), 0, (M, N, K, layout, part))


@each_table
def test_few_columns_have_bits_of_their_own(table: Table) -> None:
    """Those of a row alone, wherever it stands in a batch, and whichever way W lies."""
    for N, K in product([1, 2, 3], [19, 300]):
        M = 11
        a, b, bias = normal(table, M, K), normal(table, K, N), normal(table, N, key="bias")
        expected = multiply(table, a, b, bias=bias)
        assert_close(expected, ref.dense(a, b, bias), bound(table, a, b, bias), (N, K))
        for i, layout in product(range(M), LAYOUTS[:2]):
            for part in (slice(i, i + 1), slice(i, i + 5), slice(0, i + 1)):
                assert_same_bits(multiply(table, a[part], b, layout, bias=bias), expected[part], (N, K, part, layout))
        c = multiply(table, a, b, bias=bias, z=output(table, M, N).flat, ldc=N + 1)
        assert_same_bits(c, expected, ("rows apart", N, K))


@each_table
def test_error_of_sums(table: Table) -> None:
    mr, nr = table.tile
    for K, layout in product(DEPTHS, LAYOUTS):
        M, N = 2 * mr + 1, 2 * nr + 1
        a, b, bias = normal(table, M, K), normal(table, K, N), normal(table, N, key="bias")
        c = multiply(table, a, b, layout, bias=bias)
        assert_close(c, ref.dense(a, b, bias), bound(table, a, b, bias), (K, layout))


@each_table
def test_bits_depend_on_depth_alone(table: Table) -> None:
    """A row alone, a block of rows, any columns, any layout: the same bits as in the whole product."""
    mr, nr = table.tile
    for K in [19, 257, 1025]:
        M, N = 3 * mr + 4, 5 * nr + 3
        a, b, bias = normal(table, M, K), normal(table, K, N), normal(table, N, key="bias")
        expected = multiply(table, a, b, bias=bias)
        for layout in LAYOUTS:
            assert_same_bits(multiply(table, a, b, layout, bias=bias), expected, ("layout", K, layout))
            for i in range(M):
                alone = multiply(table, a[i : i + 1], b, layout, bias=bias)
                assert_same_bits(alone, expected[i : i + 1], ("row", i, K, layout))
            for i, j in [(2, 2 * mr + 1), (0, 2), (1, 4), (mr, 2 * mr)]:
                part = multiply(table, a[i:j], b, layout, bias=bias)
                assert_same_bits(part, expected[i:j], ("rows", i, j, K, layout))
            for i, j in [(0, 1), (1, nr), (3, 3 + nr), (nr - 1, 4 * nr + 2), (N - 2, N)]:
                part = multiply(table, a, b[:, i:j], layout, bias=bias[i:j], part=True)
                assert_same_bits(part, expected[:, i:j], ("columns", i, j, K, layout))


@each_table
def test_bits_of_large_products(table: Table) -> None:
    """Whether an operand is copied first, which depends on sizes and layout, never shows."""
    M, N, K = 260, 1030, 1024
    a, b = normal(table, M, K), normal(table, K, N)
    expected = multiply(table, a, b)
    for layout in LAYOUTS[1:]:
        assert_same_bits(multiply(table, a, b, layout), expected, layout)
    for layout in LAYOUTS:
        assert_same_bits(multiply(table, a[:5], b, layout), expected[:5], ("rows", layout))
        assert_same_bits(multiply(table, a[-1:], b, layout), expected[-1:], ("row", layout))
        for part in (slice(500, 530), slice(500, 502), slice(7, 8)):
            c = multiply(table, a, b[:, part], layout, part=True)
            assert_same_bits(c, expected[:, part], ("columns", part, layout))


@each_table
@each_name(ACTIVATIONS)
def test_activation(table: Table, name: str) -> None:
    """C is f of the rounded sums, which Z receives; with or without Z the bits are the same."""
    numbers = ref.settings_of(name)[0]
    mr, nr = table.tile
    shapes = [(1, 1), (mr + 1, nr + 1), (2 * mr, 4 * nr + 3), (5 * mr + 3, 4 * nr + 3), (133, 3)]
    for (M, N), K, layout in product(shapes, [0, 5, 300], LAYOUTS[::3]):
        a, b, bias = normal(table, M, K, scale=K**-0.5 if K else 1), normal(table, K, N), normal(table, N, key="bias")
        options: dict[str, Any] = {
            "bias": bias,
            "activation": name,
            "parameters": numbers,
            "ldc": N + 2,
        }
        z = output(table, M, N)
        c = multiply(table, a, b, layout, z=z.flat, **options)
        sums = z.written()
        assert_close(sums, ref.dense(a, b, bias), bound(table, a, b, bias), ("Z", M, N, K, layout))
        derivative = np.abs(ref.activate_prime(name, sums, *numbers) * sums)
        y = ref.activate(name, sums, *numbers)
        assert_close(c, y, 4 * eps(table) * (np.abs(y) + derivative), ("C", M, N, K, layout))
        for check in (True, False):
            alone = multiply(table, a, b, layout, **options, check=check)
            assert_same_bits(alone, c, ("without Z", check, M, N, K, layout))


@each_table
@each_name(ACTIVATIONS)
def test_derivative(table: Table, name: str) -> None:
    numbers = ref.settings_of(name)[0]
    mr, nr = table.tile
    shapes = [(1, 1), (mr + 1, nr + 1), (2 * mr, 4 * nr + 3), (5 * mr + 3, 4 * nr + 3), (133, 3)]
    for (M, N), K, layout in product(shapes, [0, 5, 300], LAYOUTS[::3]):
        a, b, z = normal(table, M, K), normal(table, K, N), normal(table, M, N, key="z")
        z[np.abs(z) < 0.01] = 1  # away from kinks
        saved = z if ACTIVATION_SAVED[name] == "Z" else ref.activate(name, z, *numbers).astype(table.dtype)
        c = multiply(table, a, b, layout, saved=saved, activation=name, parameters=numbers, ldc=N + 5)
        sums, slope = ref.dense(a, b), ref.activate_prime(name, z, *numbers)
        tolerance = np.abs(slope) * bound(table, a, b) + 8 * eps(table) * np.abs(sums)
        assert_close(c, sums * slope, tolerance, (M, N, K, layout))


@each_table
def test_empty(table: Table) -> None:
    """Without rows or columns nothing is written; a sum of nothing is the bias, or 0."""
    bias = normal(table, 9, key="bias")
    for M, N, K in [(0, 9, 4), (3, 0, 4), (0, 0, 0), (3, 9, 0)]:
        a, b = normal(table, M, K), normal(table, K, N)
        for layout in LAYOUTS:
            assert_same_bits(multiply(table, a, b, layout), np.zeros((M, N), table.dtype))
            expected = np.broadcast_to(bias[:N], (M, N)) if N else np.zeros((M, N), table.dtype)
            assert_same_bits(multiply(table, a, b, layout, bias=bias), np.ascontiguousarray(expected))


@each_table
def test_infinities_and_nan(table: Table) -> None:
    """0 × inf, inf − inf and nan make nan, anything else with inf makes inf: as IEEE 754 says, element by element."""
    mr, nr = table.tile
    M, N = mr + 2, nr + 3
    for K, layout in product([1, 7, 300], LAYOUTS):
        rng = generator(K, layout)
        a, b = whole(table, M, K), whole(table, K, N)
        for x in (a, b):
            for value in (np.inf, -np.inf, np.nan):
                x[rng.integers(x.shape[0], size=2), rng.integers(x.shape[1], size=2)] = value
        with np.errstate(invalid="ignore"):
            expected = (ref.float64(a)[:, :, None] * ref.float64(b)).sum(axis=1)
        assert_close(multiply(table, a, b, layout), expected, 0, (K, layout))


@each_table
def test_flag_of_nonfinite(table: Table) -> None:
    """The flag is about every column of C, and not about what was there before."""
    N, K = 2 * table.tile[1] + 3, 5
    a, c = np.ones((1, K), table.dtype), np.full(N, np.nan, table.dtype)
    assert dense.gemm(table, a, whole(table, K, N), c, 1, N, K)
    for j, value in product(range(N), [np.inf, -np.inf, np.nan]):
        b = whole(table, K, N)
        b[j % K, j] = value
        assert not dense.gemm(table, a, b, c, 1, N, K), (j, value)


@each_table
def test_flag_finds_one_element(table: Table) -> None:
    """A single overflow anywhere, whatever else is in its row and column, alone or in the last of several blocks."""
    mr, nr = table.tile
    big = np.finfo(table.dtype).max
    cases = [(2 * mr + 1, nr + 3, 1, False, False), (mr + 1, 2 * nr, 3, True, True), (3, 5, 700, True, False)]
    cases += [(131, table.lanes // 2, 80, False, False)]
    for ragged in {1, table.lanes // 2}:  # beside whole vectors of columns
        cases += [(2 * table.lanes + 1, 2 * table.lanes + ragged, 8 * ragged, at, False) for at in (False, True)]
    for M, N, K, at, bt in cases:
        for i, j in product(range(M), range(N)):
            a, b = np.zeros((M, K), table.dtype), np.zeros((K, N), table.dtype)
            a[i, -1], b[-1, j] = big, 2
            operands = [np.ascontiguousarray(x.T if t else x) for x, t in ((a, at), (b, bt))]
            c = output(table, M, N)
            finite = dense.gemm(table, *operands, c.flat, M, N, K, a_transposed=at, b_transposed=bt)
            assert not finite, (M, N, K, i, j)
            expected = np.zeros((M, N))
            expected[i, j] = np.inf
            assert_close(c.written(), expected, 0)


@each_table
def test_flag_looks_at_the_result(table: Table) -> None:
    """What the activation makes finite is not flagged; what a derivative multiplies is."""
    a, b = np.ones((1, 1), table.dtype), np.full((1, 1), -np.inf, table.dtype)
    c = np.empty(1, table.dtype)
    assert dense.gemm(table, a, b, c, 1, 1, 1, activation="relu")
    assert c[0] == 0
    assert not dense.gemm(table, a, b, c, 1, 1, 1, activation="relu", saved=np.ones(1, table.dtype))


@each_table
def test_epilogue_is_the_elementwise_kernel(table: Table) -> None:
    """A fused activation gives the bits of a separate one, so that fusion is no change of result."""
    mr, nr = table.tile
    M, N, K = 3 * mr + 1, 3 * nr + 1, 40
    a, b = normal(table, M, K), normal(table, K, N)
    sums = multiply(table, a, b)
    for name in ACTIVATIONS:
        numbers = ref.settings_of(name)[0]
        separate = output(table, M, N)
        elementwise.apply_activation(table, name, sums, separate.flat, numbers)
        assert_same_bits(multiply(table, a, b, activation=name, parameters=numbers), separate.written(), name)


def test_small_arrays_are_refused() -> None:
    x = np.zeros(6, TABLES[0].dtype)
    for arguments in [(x[:5], x, x), (x, x[:5], x), (x, x, x[:3])]:
        with pytest.raises(ValueError, match="too small"):
            dense.gemm(TABLES[0], *arguments, 2, 2, 3)

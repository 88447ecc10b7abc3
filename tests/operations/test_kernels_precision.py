"""Products of the lower precisions, against float64 NumPy on operands that NumPy rounded.

Every table has a product per precision; where it has no arithmetic of its own for one, it repeats the product that
test_kernels_products.py is about. NNCORE_EMULATE_AMX builds the level "amx" on CPUs that lack it.
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
    edges,
    eps,
    generator,
    label,
    multiply,
    normal,
    output,
    whole,
)

from nncore._kernels import dense
from nncore._kernels.table import ACTIVATION_SAVED, ACTIVATIONS, Table


def cases(own: bool) -> list[Any]:
    """Tables and the precisions for which they have, or lack, an arithmetic of their own."""
    return [
        pytest.param(table, precision, id=f"{label(table)}-{precision}")
        for table, precision in product(TABLES, ("high", "medium"))
        if (table.arithmetic(precision) != table.arithmetic("highest")) == own
    ]


each_product = pytest.mark.parametrize(("table", "precision"), cases(own=True))
SMALLEST = 2.0**-126  # normal float32: what is below it may be flushed, operand or sum
DROPPED = {"bfloat16": 0.0, "split bfloat16": 2.0**-16}  # of a product of rounded operands: lo lo


def taken(table: Table, precision: str, x: Array) -> Array:
    """An operand as products take it."""
    return {"bfloat16": ref.bfloat16, "split bfloat16": ref.split_bfloat16}[table.arithmetic(precision)](x)


def error_of_sum(table: Table, precision: str, K: int) -> float:
    """Of a sum of K products of rounded operands, relative to that of their magnitudes.

    A rounding of half an eps for each term, of which a product of split operands makes three.
    """
    arithmetic = table.arithmetic(precision)
    terms = (3 if arithmetic == "split bfloat16" else 1) * K + 3
    return terms * (eps(table) + float(np.finfo(float).eps)) / 2 + DROPPED[arithmetic]


def bound(table: Table, precision: str, a: Array, b: Array, bias: Array | float = 0.0) -> Array:
    return error_of_sum(table, precision, a.shape[1]) * (np.abs(a) @ np.abs(b) + np.abs(bias))


def packed_copy(table: Table, precision: str, b: Array, transposed: bool, rows: int = 0) -> Array | None:
    """B (K,N) packed, transposed: from W = Bᵀ, into poisoned memory; None where products read W itself."""
    w = np.ascontiguousarray(b.T if transposed else b)
    size = table.packed_bytes(precision, transposed, *w.shape, rows)
    if not size:
        return None
    packed = np.full(size, 0xFF, np.uint8)
    dense.pack(table, precision, transposed, *w.shape, w, packed, 0, rows)
    return packed


def from_packed(
    table: Table, precision: str, a: Array, b: Array, transposed: bool, columns: slice = slice(0, None), **options: Any
) -> Array | None:
    """The product with the packed form of b, or with columns of it; b itself must not be read."""
    packed = packed_copy(table, precision, b, transposed)
    if packed is None:
        return None
    unread = np.full_like(b[:, columns], np.nan)
    return multiply(table, a, unread, precision=precision, packed=packed, column=columns.start, **options)


#: x, and what it is rounded to; worked out by hand
ROUNDED = {
    "bfloat16": {1 + 2**-7: 1 + 2**-7, 1 + 2**-8: 1, 1 + 3 * 2**-8: 1 + 2**-6, 1 + 2**-8 + 2**-16: 1 + 2**-7},
    "split bfloat16": {1 + 2**-16: 1 + 2**-16, 1 + 2**-9 + 2**-18: 1 + 2**-9, 2 - 2**-9: 2 - 2**-9},
}


@pytest.mark.parametrize("arithmetic", ROUNDED)
def test_arithmetic(arithmetic: str) -> None:
    """Times 1, a number shows what an operand is rounded to."""
    found = [case.values for case in cases(own=True) if case.values[0].arithmetic(case.values[1]) == arithmetic]
    if not found:
        pytest.skip(f"no table of this build and CPU multiplies in {arithmetic}: nothing here says that it works")
    for (table, precision), (x, rounded) in product(found, ROUNDED[arithmetic].items()):
        one, number = np.ones((1, 1), table.dtype), np.full((1, 1), x, table.dtype)
        assert multiply(table, number, one, precision=precision) == rounded, x
        assert multiply(table, one, number, precision=precision) == rounded, x
        assert table.dtype == "float32"


@pytest.mark.parametrize(("table", "precision"), cases(own=False))
def test_repeated_arithmetic(table: Table, precision: str) -> None:
    """Nothing is lost where nothing would be won."""
    for M, N, K in [(0, 3, 2), (1, 1, 1), (3, 2, 0), (33, 49, 1030)]:
        a, b, bias = normal(table, M, K), normal(table, K, N), normal(table, N, key="bias")
        if a.size:
            a[0, 0] = np.inf
        for layout in LAYOUTS:
            c = multiply(table, a, b, layout, bias=bias, activation="tanh")
            assert_same_bits(multiply(table, a, b, layout, bias=bias, activation="tanh", precision=precision), c)


@each_product
def test_exact_products(table: Table, precision: str) -> None:
    """Small whole numbers lose nothing, whatever the order of the sums: around tiles, steps, panels and blocks."""
    empty = product([0, 1, 15], [0, 1, 33], [0, 1, 33], LAYOUTS)
    small = product([1, 13, 14, 15, 17, 31, 33], [1, *edges(16, 32)], [33], LAYOUTS)
    rows = product([16, 28, 29, 32, 48, 64, 65, *edges(128)], [17, 31], [40], LAYOUTS)
    depths = product([3, 33], [15, 33], [*edges(32, 64), 1023, 1024, 1025, 2049], LAYOUTS)
    columns = product([5], [64, *edges(256), 300], [33], LAYOUTS)
    blocks = product([257], [289], [1030], LAYOUTS)
    beyond_l2 = product([5, 257], [660], [1030], LAYOUTS[::3])  # packed B
    for M, N, K, layout in (*empty, *small, *rows, *depths, *columns, *blocks, *beyond_l2):
        a, b, bias = whole(table, M, K), whole(table, K, N), whole(table, N)
        what, expected = (M, N, K, layout), a.astype(np.float32) @ b.astype(np.float32) + bias
        c = multiply(table, a, b, layout, precision=precision, bias=bias, ldc=N + 3)
        assert_close(c, expected.astype(float), 0, what)
        c2 = from_packed(table, precision, a, b, layout[1], bias=bias, ldc=N + 1)
        assert c2 is None or np.array_equal(c2, expected), ("packed", what)


@each_product
def test_rounding_of_operands(table: Table, precision: str) -> None:
    """Times I / 2 every number is itself, rounded as NumPy rounds it: ties, either sign, up to the largest."""
    bits = generator("bits").integers(0, 1 << 32, (40, 64), dtype=np.uint64).astype(np.uint32)
    bits[::4] &= 0xFFFF8000  # half of these lie between two bfloat16
    bits[1::4] &= 0xFFFFFF80
    bits[range(8), 3] = [0x7F7F0000, 0x7F7F7FFF, 0x7F7F8000, 0x7F7FFFFF, 0xFF7F0000, 0xFF7F7FFF, 0xFF7F8000, 0xFF7FFFFF]
    x = bits.view(np.float32)
    x = np.where(np.isfinite(x) & (np.abs(x) > 1e-30), x, np.float32(1.5)).astype(table.dtype)
    half = np.eye(64, dtype=table.dtype) / 2
    with np.errstate(invalid="ignore"):
        expected = taken(table, precision, x)
        rows = np.where(np.isinf(expected).any(1)[:, None] & ~np.isinf(expected), np.nan, expected / 2)  # inf × 0
    for at, bt in LAYOUTS:
        assert_close(multiply(table, x, half, (at, bt), precision=precision), rows, 0, "A")
        c = multiply(table, half, np.ascontiguousarray(x.T), (at, bt), precision=precision)
        assert_close(c, np.ascontiguousarray(rows.T), 0, "B")
        c2 = from_packed(table, precision, half, np.ascontiguousarray(x.T), bt)
        if c2 is not None:
            assert_close(c2, np.ascontiguousarray(rows.T), 0, "packed")


@each_product
def test_error_of_sums(table: Table, precision: str) -> None:
    """Against the rounded operands, and against the true ones: by the worst case, and what random ones make of it."""
    worst, usual, norm = {"high": (2**-15, 1e-5, 5e-6), "medium": (2**-7 + 2**-16, 4e-3, 2.6e-3)}[precision]
    M, N = 37, 45
    for K in (1, 2, 31, 32, 33, 100, 1024, 1025, 2049):
        a, b, bias = normal(table, M, K), normal(table, K, N), normal(table, N, key="bias")
        x, w = taken(table, precision, a), taken(table, precision, b)
        expected, tolerance = x @ w + bias, bound(table, precision, x, w, bias)
        magnitude, exact = np.abs(ref.float64(a)) @ np.abs(b), ref.dense(a, b)
        for layout in LAYOUTS:
            c = multiply(table, a, b, layout, precision=precision, bias=bias)
            assert_close(c, expected, tolerance, (K, layout))
            error = multiply(table, a, b, layout, precision=precision) - exact
            assert (np.abs(error) <= (usual if K > 30 else worst) * magnitude + K * eps(table) * magnitude).all(), K
            assert np.linalg.norm(error) <= norm * np.linalg.norm(exact), (K, layout)


@each_product
def test_small_numbers(table: Table, precision: str) -> None:
    """Of exponents from far below the least normal number on: products that underflow lose SMALLEST at most."""
    M, N, K = 34, 40, 70
    a, b = (
        np.ldexp(normal(table, *shape), generator(shape).integers(-145, 20, shape)).astype(table.dtype)
        for shape in ((M, K), (K, N))
    )
    x, w = taken(table, precision, a), taken(table, precision, b)
    lost = SMALLEST * (np.abs(x).sum(axis=1)[:, None] + np.abs(w).sum(axis=0) + 3 * K)
    for layout in LAYOUTS:
        c = multiply(table, a, b, layout, precision=precision)
        assert_close(c, x @ w, bound(table, precision, x, w) + lost, layout)
    tiny, huge = np.full((2, K), 1e-40, table.dtype), np.full((K, 3), 1e35, table.dtype)
    assert_close(multiply(table, tiny, huge, precision=precision), np.zeros((2, 3)), 0, "denormal A")
    assert_close(multiply(table, huge.T, tiny.T, precision=precision), np.zeros((3, 2)), 0, "denormal B")
    tiny[:] = np.uint32(0x007F8000).view(np.float32)  # rounded up, it would be a normal number
    tiny[:, 0], huge[0] = 3.4e38, 0  # beside one that rounds to infinity
    found = multiply(table, tiny, huge, precision=precision)
    assert_close(found[np.isfinite(found)], np.zeros(np.isfinite(found).sum()), 0, "denormal beside a huge number")
    zero = np.full((2, K), -0.0, table.dtype)
    assert_close(multiply(table, zero, b, precision=precision), np.zeros((2, N)), 0, "-0")


@each_product
def test_bits_depend_on_depth_alone(table: Table, precision: str) -> None:
    """A row alone, a block of rows, any columns, any layout, packed or not: the same bits as in the whole product."""
    M, N, panel = 133, 300, table.tile[1]
    for K in (1, 33, 257, 1025):
        a, b, bias = normal(table, M, K), normal(table, K, N), normal(table, N, key="bias")
        options: dict[str, Any] = {"precision": precision}
        expected = multiply(table, a, b, bias=bias, **options)
        for layout in LAYOUTS:
            assert_same_bits(multiply(table, a, b, layout, bias=bias, **options), expected, ("layout", K, layout))
            for i, j in [*((i, i + 1) for i in range(0, M, 11)), (0, 2), (1, 15), (14, 46), (3, 132)]:
                part = multiply(table, a[i:j], b, layout, bias=bias, **options)
                assert_same_bits(part, expected[i:j], ("rows", i, j, K, layout))
            for i, j in [(0, 1), (1, 18), (31, 64), (255, 257), (N - 2, N)]:
                part = multiply(table, a, b[:, i:j], layout, bias=bias[i:j], **options)
                assert_same_bits(part, expected[:, i:j], ("columns", i, j, K, layout))
        for transposed in (False, True):
            for i, j in [(0, M), (0, 1), (M - 1, M), (5, 33)]:
                packed = from_packed(table, precision, a[i:j], b, transposed, bias=bias)
                assert packed is None or K >= 32
                if packed is not None:
                    assert_same_bits(packed, expected[i:j], ("packed", transposed, i, j, K))
            for i, j in [(0, panel), (panel, 3 * panel), (8 * panel, N), (2 * panel, 2 * panel + 1)]:
                columns = slice(i, j)
                packed = from_packed(table, precision, a, b, transposed, columns, bias=bias[i:j])
                if packed is not None:
                    assert_same_bits(packed, expected[:, i:j], ("packed columns", transposed, i, j, K))


@each_product
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_follows_the_sums(table: Table, precision: str, name: str) -> None:
    """Z receives the sums, C is f of them, or the sums times f′; with or without Z the bits are the same."""
    numbers = ref.settings_of(name)[0]
    for (M, N, K), layout in product([(1, 1, 5), (1, 113, 40), (15, 33, 40), (131, 17, 300)], LAYOUTS[::3]):
        a, b, bias = normal(table, M, K, scale=K**-0.5), normal(table, K, N), normal(table, N, key="bias")
        x, w = taken(table, precision, a), taken(table, precision, b)
        options: dict[str, Any] = {
            "activation": name,
            "parameters": numbers,
            "ldc": N + 2,
            "precision": precision,
        }
        z = output(table, M, N)
        c = multiply(table, a, b, layout, bias=bias, z=z.flat, **options)
        sums = z.written()
        assert_close(sums, x @ w + bias, bound(table, precision, x, w, bias), ("Z", M, N, K, layout))
        slope = ref.activate_prime(name, sums, *numbers)
        y = ref.activate(name, sums, *numbers)
        assert_close(c, y, 4 * eps(table) * (np.abs(y) + np.abs(slope * sums)), ("C", M, N, K, layout))
        for check in (True, False):
            alone = multiply(table, a, b, layout, bias=bias, **options, check=check)
            assert_same_bits(alone, c, ("without Z", check, M, N, K, layout))
        unlooked = multiply(table, a, b, layout, bias=bias, z=output(table, M, N).flat, **options, check=False)
        assert_same_bits(unlooked, c, ("Z, not looked at", M, N, K, layout))
        kept_z = np.where(np.abs(sums) < 0.01, 1, sums).astype(table.dtype)  # away from kinks
        saved = kept_z if ACTIVATION_SAVED[name] == "Z" else ref.activate(name, kept_z, *numbers).astype(table.dtype)
        slope = ref.activate_prime(name, kept_z, *numbers)
        tolerance = np.abs(slope) * bound(table, precision, x, w) + 8 * eps(table) * np.abs(x @ w)
        c = multiply(table, a, b, layout, saved=saved, **options)
        assert_close(c, (x @ w) * slope, tolerance, ("derivative", M, N, K, layout))


@each_product
def test_infinities_and_nan_stay_where_they_are(table: Table, precision: str) -> None:
    """They make their rows and columns of C inf or nan; all other elements keep their bits."""
    for (M, N, K), layout in product([(3, 5, 1), (33, 49, 35), (130, 270, 1030)], LAYOUTS):
        a, b = normal(table, M, K), normal(table, K, N)
        clean = multiply(table, a, b, layout, precision=precision)
        rng = generator(M, layout)
        for side, value in product((0, 1), (np.inf, -np.inf, np.nan)):
            dirty = [a.copy(), b.copy()]
            x = dirty[side]
            x[rng.integers(x.shape[0]), rng.integers(x.shape[1])] = value
            x[-1, -1] = value
            struck = ~np.isfinite(dirty[0]).all(1)[:, None] | ~np.isfinite(dirty[1]).all(0)
            found = [multiply(table, *dirty, layout, precision=precision)]
            if not layout[0] and (packed := from_packed(table, precision, *dirty, layout[1])) is not None:
                found.append(packed)
            for c in found:
                assert not np.isfinite(c[struck]).any(), (side, value, M, N, K, layout)
                assert_same_bits(c[~struck], clean[~struck], (side, value, M, N, K, layout))


@each_product
def test_flag_of_nonfinite(table: Table, precision: str) -> None:
    """One element anywhere, inf from the start or by rounding or in the sum, is found."""
    M, N, K = 35, 50, 40
    a, b = whole(table, M, K), whole(table, K, N)
    big = np.finfo(table.dtype).max
    assert dense.gemm(table, a, b, np.zeros(M * N, table.dtype), M, N, K, precision=precision)
    for i, j in product((0, 1, 15, 16, 31, 34), (0, 15, 16, 31, 32, 49)):
        x, w = np.zeros_like(a), np.zeros_like(b)
        x[i, -1], w[-1, j] = big, 2
        c = output(table, M, N)
        assert not dense.gemm(table, x, w, c.flat, M, N, K, precision=precision), (i, j)
        found = c.written()
        assert not np.isfinite(found[i, j])
        if table.arithmetic(precision) == "bfloat16":  # rounded to inf, whose row is nan: inf × 0
            found[i] = 0
        found[i, j] = 0
        assert not found.any()
    x = np.full((1, K), big / 4, table.dtype)
    tall = np.ones((K, 1), table.dtype)
    assert not dense.gemm(table, x, tall, np.zeros(1, table.dtype), 1, 1, K, precision=precision)


#: isa, arithmetic → terms, columns and weights, at least, of a product by packed weights that is taken; else 32 and 16
LEAST = {("amx", "bfloat16"): (128, 16, 8192), ("amx", "split bfloat16"): (128, 48, 16384)}


@pytest.mark.parametrize(("table", "precision"), cases(own=True) + cases(own=False))
def test_no_copies_where_none_are_read(table: Table, precision: str) -> None:
    own = table.arithmetic(precision) != table.arithmetic("highest")
    terms, columns, weights = LEAST.get((table.isa, table.arithmetic(precision)), (32, 16, 0))
    for inputs, outputs in product([0, 1, 31, 32, 127, 128, 341, 1000], [0, 15, 16, 31, 32, 47, 48, 64, 130]):
        w = np.zeros(inputs * outputs, table.dtype)
        for transposed in (False, True):
            depth, width = (outputs, inputs) if transposed else (inputs, outputs)
            size = table.packed_bytes(precision, transposed, inputs, outputs)
            accepted = own and depth >= terms and width >= columns and depth * width >= weights
            assert bool(size) == accepted, (inputs, outputs, transposed)
            assert not table.packed_bytes("highest", transposed, inputs, outputs)
            with pytest.raises(ValueError, match="too small" if size else "as they are"):
                dense.pack(table, precision, transposed, inputs, outputs, w, np.zeros(size, np.uint8), 1)

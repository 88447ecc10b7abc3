"""Rows of a data set gathered and converted, to reals or to labels."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import reference as ref
from kernels import TABLES, Array, Output, assert_same_bits, each_name, each_table, generator, label, lengths

from nncore._kernels.loss import apply_gather
from nncore._kernels.table import SOURCES, Table

LABELS = "int32"


def extremes(source: str, rows: int, n: int) -> Array:
    """Values of all magnitudes, the smallest and largest among them, but none too large for float32."""
    dtype, rng = np.dtype(source), generator(source, rows, n)
    if dtype.kind == "f":
        x = rng.standard_normal((rows, n)) * 10.0 ** rng.integers(-30, 31, (rows, n))
        special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-42, float(np.finfo("float32").max)]
    else:
        info = np.iinfo(dtype)
        x = rng.integers(info.min, info.max, (rows, n), dtype=dtype, endpoint=True)
        x //= (2 ** rng.integers(0, dtype.itemsize * 8 - 1, (rows, n))).astype(dtype)
        special = [info.min, info.max, 0, info.max // 2 + 1]
    x = x.astype(dtype)
    where = rng.random((rows, n)) < 0.2
    x[where] = rng.choice(np.array(special, dtype), where.sum())
    return x


def rounded(x: Array, table: Table) -> Array:
    """Each value to the nearest real: from Python's integers, which are exact, or from NumPy's reals.

    What is not converted is copied as it is, denormals too, which whoever reads them takes as 0.
    """
    if x.dtype == table.dtype:
        return x
    if x.dtype.kind == "f":
        return ref.flush(ref.flush(x, x.dtype).astype(table.dtype), table.dtype)
    nearest = [float(v) for v in x.ravel().tolist()]
    if table.dtype == "float32":  # float64 on the way could round twice; below 2⁵³ it is exact
        nearest = [v if abs(i) < 2**53 else round_once(i) for v, i in zip(nearest, x.ravel().tolist(), strict=True)]
    return np.array(nearest, table.dtype).reshape(x.shape)


def round_once(i: int) -> float:
    """An integer to 24 significant bits, ties to even."""
    shift = max(0, abs(i).bit_length() - 24)
    quotient, rest = divmod(abs(i), 1 << shift)
    half = (1 << shift) >> 1
    quotient += rest > half or (rest == half and shift > 0 and quotient % 2 == 1)
    return float(quotient << shift) * (-1 if i < 0 else 1)


class Rows:
    """A data set laid out in memory with `stride` bytes from row to row, maybe misaligned, maybe backwards."""

    def __init__(self, x: Array, stride: int, offset: int = 0) -> None:
        rows, n = x.shape
        used = n * x.itemsize
        memory = np.full(offset + max(0, rows - 1) * abs(stride) + used, 0xA5, "u1")
        starts = [offset + abs(stride) * (i if stride >= 0 else rows - 1 - i) for i in range(rows)]
        for start, row in zip(starts, x, strict=True):
            memory[start : start + used] = np.frombuffer(row.tobytes(), "u1")
        self.data = memory[starts[0] if rows else offset :]  # begins at row 0
        self.stride = stride


def gather(
    table: Table, source: str, data: Rows, rows: int, n: int, order: Array | None = None, classes: int = 0
) -> tuple[int, Array]:
    y = Output(LABELS if classes else table.dtype, rows, n)
    bad = apply_gather(table, source, data.data, data.stride, rows, n, y.flat, order=order, high=classes)
    return bad, y.written(computed=source != table.dtype)


def strides(n: int, itemsize: int) -> list[int]:
    used = n * itemsize
    return [used, used + itemsize, used + 1, used + 64, -used, -(used + 3)]


@each_table
@each_name(SOURCES)
def test_conversion(table: Table, name: str) -> None:
    """Every length, distance and alignment of rows; in order, and by number with repetitions."""
    itemsize = np.dtype(name).itemsize
    for n in lengths(table):
        for rows in (0, 1, 7):
            x = extremes(name, rows, n)
            expected = rounded(x, table)
            order = generator("order", rows).integers(0, rows, 2 * rows) if rows else np.zeros(0, "int64")
            for stride, offset in product(strides(n, itemsize), [0, 1]):
                data = Rows(x, stride, offset)
                bad, y = gather(table, name, data, rows, n)
                assert bad == -1, (n, rows, stride)
                assert_same_bits(y, expected, (n, rows, stride, offset))
                bad, y = gather(table, name, data, 2 * rows, n, order)
                assert bad == -1, (n, rows, stride)
                assert_same_bits(y, expected[order], ("order", n, rows, stride, offset))


@each_table
@each_name(SOURCES)
def test_many_rows(table: Table, name: str) -> None:
    """Far more than are fetched ahead, and one row over and over (a stride of 0)."""
    for rows, n in [(5000, 1), (700, 13), (3, 9000)]:
        x = (generator(rows, n).integers(0, 100, (rows, n))).astype(name)
        order = generator("shuffle", rows).permutation(rows)
        bad, y = gather(table, name, Rows(x, n * x.itemsize), rows, n, order)
        assert bad == -1
        assert_same_bits(y, x[order].astype(table.dtype))
        bad, y = gather(table, name, Rows(x[:1], 0), rows, n)
        assert bad == -1
        assert_same_bits(y, np.repeat(x[:1], rows, axis=0).astype(table.dtype))


@each_table
def test_overflow(table: Table) -> None:
    """A finite float64 too large for float32 is reported by its place in the batch; inf and nan pass."""
    largest = float(np.finfo("float32").max)
    above = largest + 2.0**103  # half a unit more: the first number that rounds to inf
    for rows, n in [(1, 1), (9, 1), (9, 5), (40, 200), (5, 3000)]:
        x = generator(rows, n).standard_normal((rows, n))
        x[:, 0] = np.resize([np.inf, -np.inf, np.nan, np.nextafter(above, 0), -largest], rows)
        order = generator("shuffle", rows).permutation(rows)
        bad, y = gather(table, "float64", Rows(x, 8 * n), rows, n, order)
        assert bad == -1
        assert_same_bits(y, x[order].astype(table.dtype))
        for r, j, value in product({0, rows // 2, rows - 1}, {0, n // 2, n - 1}, [above, -above, 1e300]):
            wrong = x.copy()
            wrong[r:, j] = value  # and so in all later rows
            for index in (None, np.arange(rows)):
                bad, _ = gather(table, "float64", Rows(wrong, 8 * n), rows, n, index)
                assert bad == (r if table.dtype == "float32" else -1), (rows, n, r, j, value)
            last = np.append(np.zeros(r, "int64"), r) if r else np.array([r])
            bad, _ = gather(table, "float64", Rows(wrong, 8 * n), r + 1, n, last)
            assert bad == (r if table.dtype == "float32" else -1), ("order", rows, n, r, j, value)


VIEWS = {  # of a (9, 4, 5, 6) array, as (rows, …): shape and strides of each row are what matters
    "exchanged": lambda x: x.transpose(0, 2, 3, 1),
    "every second": lambda x: x[:, :, :, ::2],
    "backwards": lambda x: x[:, ::-1, :, ::-1],
    "repeated": lambda x: np.broadcast_to(x[:, :, :1, :1], (9, 4, 3, 2)),
    "columns first": lambda x: np.asfortranarray(x[:, 0, 0]),
    "a corner": lambda x: x[:, 1:3, 1:4, 2:4],
    "one element": lambda x: x[:, 2, 3, 4],
}


@each_table
@each_name(SOURCES)
@pytest.mark.parametrize("view", VIEWS)
def test_rows_that_are_views(table: Table, name: str, view: str) -> None:
    rows = VIEWS[view](extremes(name, 9, 120).reshape(9, 4, 5, 6))
    expected = rounded(np.ascontiguousarray(rows), table).reshape(9, -1)
    axes = list(zip(rows.shape[1:], rows.strides[1:], strict=True))
    held = rows
    while held.base is not None:
        held = held.base
    memory = np.frombuffer(held.tobytes(order="A"), "u1")
    start = rows.__array_interface__["data"][0] - held.__array_interface__["data"][0]
    for order in (None, np.array([8, 0, 3, 3, 1])):
        count = 9 if order is None else len(order)
        y = Output(table.dtype, count, expected.shape[1])
        settings = {"order": order, "axes": axes}
        bad = apply_gather(table, name, memory[start:], rows.strides[0], count, expected.shape[1], y.flat, **settings)
        assert bad == -1
        assert_same_bits(y.written(computed=name != table.dtype), expected if order is None else expected[order], view)


@each_table
def test_overflow_in_a_view(table: Table) -> None:
    """An element that is no part of the view may be anything."""
    x = np.ones((6, 8))
    x[:, 1::2] = 1e300
    x[4, 6] = -1e300
    y = Output(table.dtype, 6, 4)
    bad = apply_gather(table, "float64", x.view("u1").ravel(), 64, 6, 4, y.flat, axes=[(4, 16)])
    assert bad == (4 if table.dtype == "float32" else -1)


@each_table
def test_labels_in_a_view(table: Table) -> None:
    x = np.arange(24, dtype="int64").reshape(6, 4)
    y = Output(LABELS, 6, 2)
    assert apply_gather(table, "int64", x.view("u1").ravel(), 32, 6, 2, y.flat, high=24, axes=[(2, 16)]) == -1
    assert_same_bits(y.written(), x[:, ::2].astype(LABELS))
    assert apply_gather(table, "int64", x.view("u1").ravel(), 32, 6, 2, y.flat, high=19, axes=[(2, 16)]) == 5
    assert apply_gather(table, "int64", x.view("u1").ravel(), 32, 6, 2, y.flat, high=18, axes=[(2, 16)]) == 4


# --- labels -------------------------------------------------------------------------------------------------------


@each_table
@each_name(SOURCES)
def test_labels(table: Table, name: str) -> None:
    for n, classes in product([1, 2, 5], [1, 2, 10, 128, 2**31 - 1, 2**31, 2**40]):
        info = np.iinfo(name) if np.dtype(name).kind != "f" else np.iinfo("int32")
        most = min(classes - 1, int(info.max), 2**31 - 1, 2**24 if name == "float32" else 2**53)
        x = generator(n, classes).integers(0, most, (9, n), endpoint=True).astype(name)
        x[0], x[8] = 0, most
        order = np.array([8, 0, 3, 3, 1])
        for stride, offset in product(strides(n, x.itemsize), [0, 1]):
            bad, y = gather(table, name, Rows(x, stride, offset), 9, n, classes=classes)
            assert bad == -1, (n, classes, stride)
            assert_same_bits(y, x.astype(LABELS), (n, classes, stride))
            bad, y = gather(table, name, Rows(x, stride, offset), 5, n, order, classes)
            assert bad == -1, (n, classes, stride)
            assert_same_bits(y, x[order].astype(LABELS), (n, classes, stride))


def no_labels(source: str, classes: int) -> list[float]:
    """What this type can hold and no label may be."""
    powers = [2**31 - 1, 2**31, 2**32, 2**32 + 1, 2**53 + 2, 2**63, 2**64 - 1, -(2**63)]
    wrong = [classes, classes + 1, -1, -classes, *powers]
    if np.dtype(source).kind == "f":
        return [*map(float, wrong), 0.5, 1.5, classes - 0.5, 1e-30, -1e-30, np.nan, np.inf, -np.inf, 1e30]
    info = np.iinfo(source)
    return [v for v in wrong if info.min <= v <= info.max]


@each_table
@each_name(SOURCES)
def test_wrong_labels(table: Table, name: str) -> None:
    """The first row with a label that is out of range, negative, fractional or nan is reported by its place."""
    classes = 100
    for value, n in product(no_labels(name, classes), [1, 3]):
        x = generator(n).integers(0, classes, (6, n)).astype(name)
        for r in range(6):
            wrong = x.copy()
            wrong[r:, n - 1] = value
            bad, _ = gather(table, name, Rows(wrong, n * x.itemsize), 6, n, classes=classes)
            assert bad == r, (value, n, r)
            order = np.array([5 - i for i in range(6)])
            bad, _ = gather(table, name, Rows(wrong[::-1].copy(), n * x.itemsize), 6, n, order, classes)
            assert bad == r, (value, n, r)


@each_table
@pytest.mark.parametrize(("low", "high"), [(-3, 5), (-(2**31), 2**31), (7, 8), (-(2**40), 2**40)])
def test_integers_of_an_interval(table: Table, low: int, high: int) -> None:
    """Those in [low, high) and in int32 are taken as they are; the first row with another one is reported."""
    least, most = max(low, -(2**31)), min(high, 2**31) - 1
    for name in ("int64", "float64"):
        good = np.array([[least], [most], [max(least, min(most, 0))]], name)
        y = Output(LABELS, 3, 1)
        sizes: dict[str, Any] = {"low": low, "high": high}
        assert apply_gather(table, name, good.view("u1").ravel(), 8, 3, 1, y.flat, **sizes) == -1
        assert_same_bits(y.written(), good.astype(LABELS))
        for wrong in (least - 1, most + 1, *([least + 0.5, np.nan] if name == "float64" else [])):
            bad = np.array([[most], [wrong]], name)
            assert apply_gather(table, name, bad.view("u1").ravel(), 8, 2, 1, Output(LABELS, 2, 1).flat, **sizes) == 1


@each_table
def test_negative_zero_is_a_label(table: Table) -> None:
    for name in ("float32", "float64"):
        bad, y = gather(table, name, Rows(np.array([[-0.0]], name), 8), 1, 1, classes=1)
        assert (bad, y[0, 0]) == (-1, 0)


@pytest.mark.parametrize("classes", [2**31, 2**40])
def test_labels_end_where_int32_ends(classes: int) -> None:
    for table, (value, expected) in product(TABLES, [(2**31 - 1, -1), (2**31, 0), (2**40 - 1, 0)]):
        for name in ("int64", "uint64", "float64"):
            bad, _ = gather(table, name, Rows(np.array([[value]], name), 8), 1, 1, classes=classes)
            assert bad == expected, (label(table), name, value)

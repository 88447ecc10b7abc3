"""What the tests of the kernels share: the tables, sizes that meet every edge, guarded outputs, comparisons."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, DTypeLike, NDArray

from nncore._kernels import dense
from nncore._kernels.table import Table, available

Array = NDArray[Any]

LAYOUTS = [(False, False), (False, True), (True, False), (True, True)]  # A, B transposed
ISAS = [forced] if (forced := os.environ.get("NNCORE_ISA")) else list(available())
TABLES = [Table(isa, dtype) for isa in ISAS for dtype in ("float32", "float64")]
BAND = 64  # elements: no vector that begins inside an output reaches beyond its band


def label(table: Table) -> str:
    return f"{table.isa}-{table.dtype}"


each_table = pytest.mark.parametrize("table", TABLES, ids=label)  # every available instruction set, either type


def each_name(names: Iterable[str]) -> pytest.MarkDecorator:
    """Run a test with every entry of a registry, so that a kernel is tested by being registered."""
    return pytest.mark.parametrize("name", list(names))


def eps(table: Table) -> float:
    """Distance from 1 to the next real; a rounding errs by at most half of it."""
    return float(np.finfo(table.dtype).eps)


def edges(*sizes: int) -> list[int]:
    """Each size, one less and one more."""
    return sorted({max(0, size + d) for size in sizes for d in (-1, 0, 1)})


def lengths(table: Table) -> list[int]:
    """Lengths of rows: none, one, and around whole vectors."""
    lanes = table.lanes
    return sorted({0, 1, 3, *edges(lanes, 2 * lanes, 4 * lanes), 131})


def generator(*key: object) -> np.random.Generator:
    """Random numbers that are the same in every run, and others for other keys."""
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def normal(table: Table, *shape: int, scale: float = 1.0, key: object = None) -> Array:
    return (scale * generator(shape, key).standard_normal(shape)).astype(table.dtype)


def whole(table: Table, *shape: int) -> Array:
    return generator(shape).integers(-3, 4, shape).astype(table.dtype)


def is_denormal(x: Array) -> Array:
    """Whether an element is one that arithmetic takes as 0; told by its bits, as a caller's mode may trap on a NaN."""
    if x.dtype.kind != "f":
        return np.zeros(x.shape, bool)
    kind = f"u{x.dtype.itemsize}"
    bits = np.ascontiguousarray(x).view(kind) << np.array(1, kind)  # without the sign
    return (bits != 0) & (bits < np.array(np.finfo(x.dtype).tiny).view(kind) << np.array(1, kind))


class Output:
    """A matrix (rows,cols) for a kernel to write, in a band that must stay as it is.

    `array` is the matrix, poisoned with NaN (or `fill`); `flat` is its memory with rows `ld` apart, to be passed on.
    """

    def __init__(
        self, dtype: DTypeLike, rows: int, cols: int, ld: int | None = None, fill: ArrayLike | None = None
    ) -> None:
        ld = cols if ld is None else ld
        dtype = np.dtype(dtype)
        self._band = dtype.type(-77)
        self._memory = np.full(2 * BAND + rows * ld, self._band, dtype)
        self.flat = self._memory[BAND : BAND + rows * ld]
        self.array = self.flat.reshape(rows, ld)[:, :cols]
        self.array[...] = (np.nan if dtype.kind == "f" else np.iinfo(dtype).min) if fill is None else fill

    def written(self, computed: bool = True) -> Array:
        """A copy of the matrix, once nothing else was written, nor a denormal by what computes rather than copies."""
        written = self.array.copy()
        self.array[...] = self._band
        touched = np.flatnonzero(self._memory != self._band) - BAND
        self.array[...] = written
        if computed and is_denormal(written).any():
            raise AssertionError(f"denormals in the output {self.array.shape}")
        if touched.size:
            raise AssertionError(f"written outside of the output {self.array.shape}, at {touched[:8]} of its memory")
        return written


def output(table: Table, *shape: int, ld: int | None = None, fill: ArrayLike | None = None) -> Output:
    """An `Output` of the table's type: a vector (n) or a matrix (rows,cols)."""
    rows, cols = (1, *shape) if len(shape) == 1 else shape
    return Output(table.dtype, rows, cols, ld, fill)


def multiply(table: Table, a: Array, b: Array, layout: tuple[bool, bool] = (False, False), **options: Any) -> Array:
    """C = f(A B) from A (M,K) and B (K,N), which are laid out as asked, into a poisoned and guarded C."""
    (M, K), N = a.shape, b.shape[1]
    c = output(table, M, N, ld=options.get("ldc", N))
    at, bt = layout
    operands = [np.ascontiguousarray(x.T if transposed else x) for x, transposed in ((a, at), (b, bt))]
    dense.gemm(table, *operands, c.flat, M, N, K, a_transposed=at, b_transposed=bt, **options)
    return c.written()


def assert_close(got: Array, want: Array, tolerance: ArrayLike, what: object = "") -> None:
    """|got − want| ≤ tolerance, element by element; nan and inf stand where they should."""
    got, want = np.broadcast_arrays(np.asarray(got, dtype=want.dtype), want)
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite], err_msg=str(what))
    with np.errstate(invalid="ignore"):
        error = np.abs(got - want)
        bad = finite & ~(error <= tolerance)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        bound = np.broadcast_to(tolerance, want.shape)[at]
        raise AssertionError(
            f"{what} {bad.sum()} of {bad.size} differ; at {at}: {got[at]!r}, expected {want[at]!r} ± {bound:.3g}"
        )


def assert_same_bits(a: Array, b: Array, what: object = "") -> None:
    """Equal bit for bit; any nan equals any other."""
    if a.shape != b.shape or a.dtype != b.dtype:
        raise AssertionError(f"{what} {a.shape} {a.dtype} and {b.shape} {b.dtype}")
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    word = f"u{a.itemsize}"
    differ = (a.view(word) != b.view(word)) & ((a == a) | (b == b))
    if differ.any():
        at = tuple(int(i) for i in np.argwhere(differ)[0])
        raise AssertionError(f"{what} {differ.sum()} of {differ.size} differ; at {at}: {a[at]!r} and {b[at]!r}")

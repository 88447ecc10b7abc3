"""Arrays of users as the engine reads them: rows of any dtype and layout, never copied as a whole.

A `Binding` describes one array (an input, targets, sample weights, an output to be filled) by address, row stride and
element type. What the engine cannot read itself (strided rows, float16, big-endian numbers) is converted batch by
batch here.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from nncore._kernels.table import SOURCES
from nncore.sparse import SparseRows
from nncore.state import Array

SCAN_ELEMENTS = 1 << 20  # how much of a data set a check looks at, at a time


#: What the engine can read: native dtypes; one of the other byte order equals none of them.
TYPES = {np.dtype(name): number for name, number in SOURCES.items()} | {np.dtype(np.bool_): SOURCES["uint8"]}


AXES = 3  # of a row, as the engine reads it


def merged_axes(array: Array) -> list[tuple[int, int]]:
    """(count, step in bytes) of a row's axes, innermost last, in as few as its memory allows; at least one."""
    axes: list[tuple[int, int]] = []
    if math.prod(array.shape[1:]) == 1:
        return [(1, array.itemsize)]
    for count, step in zip(array.shape[:0:-1], array.strides[:0:-1], strict=True):
        if axes and (count == 1 or step == axes[0][0] * axes[0][1]):
            axes[0] = count * axes[0][0], axes[0][1]
        elif axes and axes[0][0] == 1:
            axes[0] = count, step
        else:
            axes.insert(0, (count, step))
    return axes or [(1, array.itemsize)]


class Integers(NamedTuple):
    """What an array of integers may hold: int32 in [low, high), or `other`, and words for errors."""

    low: int
    high: int
    expected: str
    remedy: str
    other: int | None = None

    @classmethod
    def labels(cls, units: int, low: int = 0, high: int | None = None, other: int | None = None) -> Integers:
        """The labels of a layer with so many units, by default as many classes, and one that counts nothing."""
        high = units if high is None else high
        expected = f"whole labels from {low} to {high - 1} (the last layer has {units} units)"
        if other is not None:
            expected += f", or {other}"
        return cls(low, high, expected, "Renumber the labels, or widen the last layer", other)

    @property
    def span(self) -> tuple[int, int]:
        """The interval of all of them."""
        return (
            (self.low, self.high) if self.other is None else (min(self.low, self.other), max(self.high, self.other + 1))
        )

    @classmethod
    def taken(cls, low: int, high: int, names: str) -> Integers:
        """What layers of these names take, as far as it is int32."""
        low, high = max(low, -(2**31)), min(high, 2**31)
        expected = f"whole numbers from {low} to {high - 1}, which {names} takes"
        return cls(low, high, expected, "Number them anew, or make the layer for more")

    def both(self, other: Integers, names: str) -> Integers:
        """What this and the other holds; where it is less than each, it is called by `names`."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        for one in (self, other):
            if (low, high) == (one.low, one.high):
                return one
        return Integers.taken(low, high, names)

    def wrong(self, values: Array) -> Array:
        """Where values are none of these."""
        good = (values >= self.low) & (values < self.high) & (values == np.floor(values))
        return ~(good if self.other is None else good | (values == self.other))


class Binding:
    """One array of a data set.

    Parameters
    ----------
    array : ndarray
        (rows, …): checked already.
    argument : str
        What the user calls it, for errors.
    dtype : dtype
        The model's.
    integers : Integers, optional
        What its elements may be; None: reals.
    """

    low = high = 0  # of integers

    def __init__(self, array: Array, argument: str, dtype: np.dtype[Any], integers: Integers | None = None) -> None:
        self.array, self.argument, self.dtype, self.integers = array, argument, dtype, integers
        if integers:
            self.low, self.high = integers.span
        self.rows = len(array)
        self.n = math.prod(array.shape[1:])
        flags = array.flags
        whole = flags.c_contiguous
        self.axes = None if whole else merged_axes(array)
        self.type = TYPES.get(array.dtype, -1) if self.axes is None or len(self.axes) <= AXES else -1
        self.direct = self.type >= 0
        self.stride = array.strides[0]
        self.in_place = bool(self.direct and whole and not integers and array.dtype == dtype and flags.aligned)

    @property
    def arrays(self) -> list[Array]:
        """What holds its values."""
        return [self.array]

    def attach(self, run: Any, which: int, shuffled: bool) -> None:
        """Make this binding `which` of a run."""
        run.bind_rows(
            which,
            self.array if self.direct else None,
            stride=self.stride,
            type=max(self.type, 0),
            n=self.n,
            axes=self.axes if self.direct else None,
            low=self.low,
            high=self.high,
            in_place=self.in_place and not shuffled,
        )

    def fill(self, run: Any, which: int, rows: Array | slice) -> None:
        """Convert rows that the engine cannot read itself into its batch."""
        if self.direct:
            return
        batch = self.convert(rows)
        np.frombuffer(run.staging(which), batch.dtype)[: batch.size] = batch.reshape(-1)

    def convert(self, rows: Array | slice) -> Array:
        """The given rows in the model's dtype (integers as int32), C-contiguous; a ValueError names a bad value."""
        taken = np.ascontiguousarray(self.array[rows])
        numbers = np.arange(self.rows)[rows] if isinstance(rows, slice) else rows
        if self.integers:
            bad = self.integers.wrong(taken.reshape(len(taken), self.n))
            if bad.any():
                raise self.bad_row(int(numbers[np.nonzero(bad)[0][0]]))
            return taken.astype(np.int32)
        with np.errstate(over="ignore"):
            converted = taken.astype(self.dtype)
        bad = np.isinf(converted.reshape(len(taken), self.n)) & np.isfinite(taken.reshape(len(taken), self.n))
        if bad.any():
            raise self.bad_row(int(numbers[np.nonzero(bad)[0][0]]))
        return converted

    def part(self, rows: slice, prefix: str = "") -> Binding:
        """The given rows, as they are; `prefix` comes before what the user calls them."""
        return Binding(self.array[rows], f"{prefix}{self.argument}", self.dtype, self.integers)

    def converted(self, rows: slice) -> Binding:
        """The given rows, in the model's dtype or as int32."""
        return Binding(self.convert(rows), self.argument, self.dtype, self.integers)

    def bad_row(self, row: int) -> ValueError:
        """The error for a row that cannot be converted."""
        values = np.asarray(self.array[row], dtype=np.float64).reshape(-1)
        if known := self.integers:
            value = self.array[row].reshape(-1)[int(np.argmax(known.wrong(values)))]
            return ValueError(f"{self.argument}: expected {known.expected}, got {value} in row {row}. {known.remedy}")
        with np.errstate(over="ignore"):
            wrong = np.isfinite(values) & np.isinf(values.astype(self.dtype))
        return ValueError(
            f"{self.argument}: expected values that {self.dtype} can hold, got {values[int(np.argmax(wrong))]!r} in "
            f'row {row}. Scale the data, or make the model with dtype="float64"'
        )

    def nonfinite(self, rows: Array) -> str | None:
        """Words for the first NaN or infinity among the rows, or None."""
        batch = np.asarray(self.array[rows])
        if batch.dtype.kind != "f":
            return None
        bad = ~np.isfinite(batch.reshape(len(batch), -1)).all(axis=1)
        if not bad.any():
            return None
        row = int(rows[int(np.argmax(bad))])
        values = np.asarray(self.array[row], dtype=np.float64).reshape(-1)
        return f"row {row} of {self.argument} holds {values[int(np.argmax(~np.isfinite(values)))]}"

    def check_integers(self) -> None:
        """Look at all integers once, in pieces."""
        assert self.integers is not None
        for start in range(0, self.rows, SCAN_ELEMENTS):
            piece = self.array[start : start + SCAN_ELEMENTS]
            if piece.size and (
                not (piece.min() >= self.integers.low and piece.max() < self.integers.high)
                or (piece.dtype.kind == "f" and not bool((piece == np.floor(piece)).all()))
            ):
                self.convert(slice(start, start + SCAN_ELEMENTS))

    def check_probabilities(self) -> None:
        """Look at all targets of a crossentropy once, in pieces; NaN and inf are left to the step that meets them."""
        step = max(1, SCAN_ELEMENTS // max(1, self.n))
        for start in range(0, self.rows, step):
            piece = self.array[start : start + step].reshape(-1, self.n)
            wrong = ((piece < 0) | (piece > 1)) & np.isfinite(piece)
            if wrong.any():
                row, column = np.argwhere(wrong)[0]
                raise ValueError(
                    f"{self.argument}: expected targets from 0 to 1 for a crossentropy, got {piece[row, column]} in "
                    f"row {start + row}. Code the classes as 0 and 1; integer labels of more than two classes go with "
                    'loss="sparse_categorical_crossentropy"'
                )


class SparseBinding(Binding):
    """Rows of a sparse matrix, which are made dense batch by batch."""

    array: SparseRows  # type: ignore[assignment]

    def __init__(self, array: SparseRows, argument: str, dtype: np.dtype[Any]) -> None:
        self.array, self.argument, self.dtype, self.integers = array, argument, dtype, None
        self.rows, self.n = array.shape
        self.axes, self.type, self.direct, self.stride, self.in_place = None, -1, False, 0, False

    @property
    def arrays(self) -> list[Array]:
        """See `Binding`."""
        return [self.array.data, self.array.indices, self.array.indptr]

    def part(self, rows: slice, prefix: str = "") -> Binding:
        """See `Binding`."""
        return SparseBinding(self.array.rows(rows), f"{prefix}{self.argument}", self.dtype)

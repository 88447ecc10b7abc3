"""Data sets as the engine reads them: rows of any dtype and layout, never copied as a whole.

A `Source` describes one array (x, y or sample weights) by address, row stride and element type. What the engine
cannot read itself (strided rows, float16, big-endian numbers) is converted batch by batch here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nncore._kernels.table import SOURCES
from nncore.arguments import an, is_number, is_whole, unboxed
from nncore.conversion import as_array, as_input, as_rows
from nncore.graph import Shape
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


class Source:
    """One array of a data set.

    Parameters
    ----------
    array : ndarray
        (rows, …): checked already.
    argument : str
        What the user calls it, for errors.
    dtype : dtype
        The model's.
    classes : int, default 0
        Above 0: labels, integers in [0, classes).
    """

    def __init__(self, array: Array, argument: str, dtype: np.dtype[Any], classes: int = 0) -> None:
        self.array, self.argument, self.dtype, self.classes = array, argument, dtype, classes
        self.rows = len(array)
        self.n = math.prod(array.shape[1:])
        flags = array.flags
        whole = flags.c_contiguous
        self.axes = None if whole else merged_axes(array)
        self.type = TYPES.get(array.dtype, -1) if self.axes is None or len(self.axes) <= AXES else -1
        self.direct = self.type >= 0
        self.stride = array.strides[0]
        self.in_place = bool(self.direct and whole and not classes and array.dtype == dtype and flags.aligned)

    def attach(self, run: Any, which: int, shuffled: bool) -> None:
        """Make this source `which` of a run (0: x, 1: y, 2: weight)."""
        run.source(
            which,
            self.array if self.direct else None,
            stride=self.stride,
            type=max(self.type, 0),
            n=self.n,
            axes=self.axes if self.direct else None,
            classes=self.classes,
            in_place=self.in_place and not shuffled,
        )

    def fill(self, run: Any, which: int, rows: Array | slice) -> None:
        """Convert rows that the engine cannot read itself into its batch."""
        if self.direct:
            return
        batch = self.convert(rows)
        np.frombuffer(run.staging(which), batch.dtype)[: batch.size] = batch.reshape(-1)

    def convert(self, rows: Array | slice) -> Array:
        """The given rows in the model's dtype (labels as int32), C-contiguous; a ValueError names a bad value."""
        taken = np.ascontiguousarray(self.array[rows])
        numbers = np.arange(self.rows)[rows] if isinstance(rows, slice) else rows
        if self.classes:
            flat = taken.reshape(len(taken), self.n)
            bad = ~((flat >= 0) & (flat < self.classes) & (flat == np.floor(flat)))
            if bad.any():
                raise self.bad_row(int(numbers[np.nonzero(bad)[0][0]]))
            return taken.astype(np.int32)
        with np.errstate(over="ignore"):
            converted = taken.astype(self.dtype)
        bad = np.isinf(converted.reshape(len(taken), self.n)) & np.isfinite(taken.reshape(len(taken), self.n))
        if bad.any():
            raise self.bad_row(int(numbers[np.nonzero(bad)[0][0]]))
        return converted

    def part(self, rows: slice) -> Source:
        """The given rows, as they are."""
        return Source(self.array[rows], self.argument, self.dtype, self.classes)

    def converted(self, rows: slice) -> Source:
        """The given rows, in the model's dtype."""
        return Source(self.convert(rows), self.argument, self.dtype)

    def bad_row(self, row: int) -> ValueError:
        """The error for a row that cannot be converted."""
        values = np.asarray(self.array[row], dtype=np.float64).reshape(-1)
        if self.classes:
            wrong = ~((values >= 0) & (values < self.classes) & (values == np.floor(values)))
            value = self.array[row].reshape(-1)[int(np.argmax(wrong))]
            return ValueError(
                f"{self.argument}: expected whole labels from 0 to {self.classes - 1} (the last layer has "
                f"{self.classes} units), got {value} in row {row}. Renumber the labels, or widen the last layer"
            )
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

    def check_labels(self) -> None:
        """Look at all labels once, in pieces."""
        for start in range(0, self.rows, SCAN_ELEMENTS):
            piece = self.array[start : start + SCAN_ELEMENTS]
            if piece.size and (
                not (piece.min() >= 0 and piece.max() < self.classes)
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


def inputs(x: Any, shape: Shape, dtype: np.dtype[Any], argument: str = "x") -> Source:
    """x as a source of rows of `shape`."""
    array = as_input(x, argument, shape)
    if array.shape[1:] != shape and shape == (1,) and array.ndim == 1:
        array = array.reshape(-1, 1)
    if array.ndim == 0 or array.shape[1:] != shape:
        expected = f"(n, {', '.join(map(str, shape))})"
        hint = ""
        if array.shape == shape:
            hint = f". For a single sample give {argument}[None]"
        elif array.ndim > 1 and int(np.prod(array.shape[1:])) == int(np.prod(shape)):
            hint = f". The elements fit: reshape {argument}, or start the model with Flatten or Reshape"
        raise ValueError(f"{argument}: expected shape {expected}, got {array.shape}{hint}")
    return Source(array, argument, dtype)


def side_by_side(parts: list[Source], dtype: np.dtype[Any]) -> Source:
    """The rows of several inputs of a model as one source."""
    rows, ends = parts[0].rows, np.cumsum([part.n for part in parts])
    whole = np.empty((rows, int(ends[-1])), dtype)
    for part, end in zip(parts, ends, strict=True):
        whole[:, end - part.n : end] = part.convert(slice(0, rows)).reshape(rows, part.n)
    return Source(whole, "x", dtype)


def targets(
    y: Any, rows: int, outputs: Shape, labels: bool, dtype: np.dtype[Any], argument: str = "y", probable: bool = False
) -> Source:
    """y as a source of labels or values (`probable`: in [0, 1]) for outputs of shape `outputs`."""
    array = as_rows(y, argument, rows)
    shape = outputs[:-1] if labels else outputs
    if array.ndim and len(array) == rows and array.shape[1:] != shape:
        if array.shape[1:] == (*shape, 1):
            array = array.reshape(rows, *shape)  # labels as a column
        elif (*array.shape[1:], 1) == shape:
            array = array.reshape(rows, *shape)  # one output, as a vector
    if array.ndim == 0 or len(array) != rows or array.shape[1:] != shape:
        expected = ", ".join(map(str, (rows, *shape)))
        remedy = ""
        if labels and array.shape[1:] == outputs:
            remedy = '. One-hot targets go with loss="categorical_crossentropy"'
        elif len(outputs) > 1 and array.ndim == 1:
            remedy = f". The model gives {outputs} per sample: put Flatten before the first Dense to join axes"
        elif not labels and array.ndim == 1 and len(outputs) == 1 and len(array) == rows:
            remedy = '. Integer labels go with loss="sparse_categorical_crossentropy", or use nncore.to_categorical'
        comma = "" if shape else ","
        raise ValueError(f"{argument}: expected shape ({expected}{comma}), got {array.shape}{remedy}")
    source = Source(array, argument, dtype, outputs[-1] if labels else 0)
    if labels:
        source.check_labels()
    elif probable:
        source.check_probabilities()
    return source


def weights(
    sample_weight: Any, class_weight: Any, y: Source, dtype: np.dtype[Any], classes: int, prefix: str = ""
) -> Source | None:
    """Sample and class weights as one source, or None where there are none."""
    if sample_weight is None and class_weight is None:
        return None
    argument = f"{prefix}sample_weight"
    total = np.ones(y.rows, dtype)
    if sample_weight is not None:
        array = as_rows(sample_weight, argument, y.rows)
        if array.shape not in ((y.rows,), (y.rows, 1)):
            raise ValueError(f"{argument}: expected shape ({y.rows},), one weight per sample, got {array.shape}")
        with np.errstate(over="ignore"):
            total *= array.reshape(-1).astype(dtype)
        good = np.isfinite(total) & (total >= 0)
        if not good.all():
            row = int(np.argmin(good))
            raise ValueError(
                f"{argument}: expected numbers ≥ 0 that {dtype} can hold, got {array.reshape(-1)[row]} in row {row}. "
                "Give rows that should not count the weight 0"
            )
    if class_weight is not None:
        total *= per_class(class_weight, y, max(classes, 2)).astype(dtype)
    return Source(total, argument, dtype)


def per_class(class_weight: Any, y: Source, classes: int) -> Array:
    """The weight of each row's class; 1 for classes that `class_weight` does not name."""
    labels = classes_of(y, classes)
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(labels, minlength=classes)
        table = y.rows / (np.count_nonzero(counts) * np.maximum(counts, 1))
    else:
        table = class_table(class_weight, classes, float(np.finfo(y.dtype).max))
    return table[labels]


def class_table(class_weight: Any, classes: int, most: float) -> Array:
    """`class_weight` as the weight of each class."""
    if hasattr(class_weight, "to_dict"):
        class_weight = class_weight.to_dict()  # a Series, by its index
    if isinstance(class_weight, (list, tuple, np.ndarray)):
        weights = as_array(class_weight, "class_weight")
        if weights.shape != (classes,):
            raise ValueError(f"class_weight: expected {classes} weights, one per class, got shape {weights.shape}")
        class_weight = dict(enumerate(weights.tolist()))
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            f'class_weight: expected a dict from class to weight, a list with a weight per class, or "balanced", '
            f"got {class_weight!r}"
        )
    table = np.ones(classes)
    for label, weight in class_weight.items():
        number = unboxed(label)  # labels may be floats or bools, as np.unique(y) gives them
        if not isinstance(number, (int, float)) or number not in range(classes):
            raise ValueError(f"class_weight: expected classes from 0 to {classes - 1} as keys, got {label!r}")
        if not is_number(weight) or not 0 <= weight <= most:
            raise ValueError(f"class_weight: expected finite numbers ≥ 0, got {weight!r} for class {label}")
        table[int(number)] = weight
    return table


def classes_of(y: Source, classes: int) -> Array:
    """The class of each row, from labels, one-hot rows, or values 0 and 1."""
    labels = np.asarray(y.array)
    if labels.ndim == 2 and labels.shape[1] > 1:
        clear = np.count_nonzero(labels == labels.max(axis=1, keepdims=True), axis=1) == 1
        if not clear.all():
            raise ValueError(
                f"class_weight: expected one class per sample, got {labels[np.argmin(clear)]} in row "
                f"{np.argmin(clear)} of {y.argument}. Give sample_weight instead"
            )
        return labels.argmax(axis=1)
    if labels.size != y.rows:
        raise ValueError(f"class_weight: expected one class per sample, got targets of shape {labels.shape}")
    labels = labels.reshape(-1)
    numbers = labels.astype(np.int64) if labels.dtype.kind != "f" else np.nan_to_num(labels).astype(np.int64)
    whole = (numbers == labels) & (numbers >= 0) & (numbers < classes)
    if not whole.all():
        row = int(np.argmin(whole))
        raise ValueError(
            f"class_weight: expected classes from 0 to {classes - 1} as targets, got {labels[row]} in row {row} of "
            f"{y.argument}. Give sample_weight instead"
        )
    return numbers


def to_categorical(y: Any, num_classes: int | None = None) -> Array:
    """Integer labels as one-hot rows.

    Parameters
    ----------
    y : array_like of int
        Labels from 0 on, of any shape; a last axis of 1 is dropped.
    num_classes : int, optional
        Number of columns; default ``max(y) + 1``.

    Returns
    -------
    ndarray of float32
        Shape ``y.shape + (num_classes,)``.

    Raises
    ------
    ValueError
        A label is no whole number in [0, num_classes).
    """
    labels = as_array(y, "y")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    good = (labels >= 0) & (labels == np.floor(labels)) & (labels < 2**31)
    if not good.all():
        raise ValueError(f"y: expected whole labels from 0 to 2**31 - 1, got {labels[~good][0]}")
    whole = labels.astype(np.int64)
    largest = int(whole.max(initial=-1))
    classes = largest + 1 if num_classes is None else num_classes
    if not is_whole(classes) or not largest < classes < 2**31:
        raise ValueError(f"num_classes: expected a whole number above the largest label, {largest}, got {classes!r}")
    return (whole[..., None] == np.arange(classes)).astype(np.float32)


def split(
    x: Any, y: Any, sample_weight: Any, validation_split: Any, validation_data: Any, shape: Shape | None = None
) -> tuple[Any, Any, Any, tuple[Any, ...] | None]:
    """x (samples of `shape`, if known), y and weights to train on, and what is held out: the last rows, or others."""
    if not is_number(validation_split) or not 0 <= validation_split < 1:
        raise ValueError(f"validation_split: expected a number in [0, 1), got {validation_split!r}")
    if validation_data is not None:
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise ValueError(
                f"validation_data: expected (x, y) or (x, y, sample_weight), got {an(type(validation_data).__name__)}"
            )
        return x, y, sample_weight, tuple(validation_data)
    if not validation_split:
        return x, y, sample_weight, None
    x = as_input(x, "x", shape)
    y = as_rows(y, "y", len(x) if x.ndim else 0)
    if not x.ndim or not y.ndim or len(x) != len(y):
        raise ValueError(f"y: expected as many rows as x, {x.shape[:1]}, got shape {y.shape}")
    cut = int(len(x) * (1 - validation_split))
    if not 0 < cut < len(x):
        raise ValueError(f"validation_split: expected at least one row on each side, got {cut} of {len(x)} to train on")
    held_out: tuple[Any, ...] = (x[cut:], y[cut:])
    if sample_weight is not None:
        sample_weight = as_rows(sample_weight, "sample_weight", len(x))
        if sample_weight.shape[:1] != (len(x),):
            raise ValueError(
                f"sample_weight: expected shape ({len(x)},), one weight per sample, got {sample_weight.shape}"
            )
        held_out = (*held_out, sample_weight[cut:])
        sample_weight = sample_weight[:cut]
    return x[:cut], y[:cut], sample_weight, held_out

"""Targets and predictions that a metric is given by itself: as rows, and what kernels make of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import runtime
from nncore._kernels.loss import add_moments, apply_tally, row_values
from nncore._kernels.table import LOSS_FORMS
from nncore.conversion import as_array

if TYPE_CHECKING:
    from nncore.conversion import Array
    from nncore.metrics.base import Plan


@dataclass
class Rows:
    """Rows of predictions with what they are compared with, of one dtype and contiguous.

    Attributes
    ----------
    p : ndarray, shape (rows, outputs)
    t : ndarray, shape (rows, columns), or None where there are labels
    labels : ndarray of int32, shape (rows,), or None
    weight : ndarray, shape (rows, 1) or (rows, outputs), or None
    shape : tuple of int
        Of the rows, as they were given.
    """

    p: Array
    t: Array | None
    labels: Array | None
    weight: Array | None
    shape: tuple[int, ...]

    @property
    def outputs(self) -> int:
        """Elements of a row of predictions."""
        return int(self.p.shape[1])

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.p)

    @classmethod
    def of(
        cls, y_true: Any, y_pred: Any, sample_weight: Any, targets: str, ignored: int | None = None, whole: bool = False
    ) -> Rows:
        """What a user gave, checked.

        `targets` says what the metric compares with, `ignored` is a label of no class; `whole`: arrays of one axis are
        one row, not rows of one element.
        """
        t, p = as_array(y_true, "y_true"), as_array(y_pred, "y_pred")
        if t.ndim == p.ndim + 1 and t.shape[-1] == 1:
            p = p[..., None]
        elif targets != "labels" and p.ndim == t.ndim + 1 and p.shape[-1] == 1:
            t = t[..., None]
        elif p.ndim == 0 and t.ndim == 0:
            p, t = p[None], t[None]
        row = whole and p.ndim == 1 and p.shape == t.shape and p.size > 0
        if p.ndim == 1 and not row and (targets != "labels" or t.ndim != 1 or p.shape == t.shape):
            p, t = p[:, None], t[:, None] if t.ndim == 1 else t
        labelled = targets == "labels" or (
            targets == "either" and (p.shape[:-1] == t.shape or (t.shape == (*p.shape[:-1], 1) and p.shape[-1] > 1))
        )
        dtype = np.dtype(np.float32 if p.dtype in (np.float32, np.float16) else np.float64)
        shape, n = p.shape[:-1], p.shape[-1]
        if labelled:
            if t.size != np.prod(shape, dtype=int):
                raise ValueError(f"y_true: expected labels of shape {shape}, got {t.shape}, for y_pred of {p.shape}")
            labels = as_labels(t.reshape(-1), n, ignored)
            return cls(as_rows(p, n, dtype), None, labels, weights(sample_weight, shape, n, dtype), shape)
        if t.shape[:-1] != shape or (t.shape[-1] != n and targets != "either"):
            raise ValueError(f"y_true: expected the shape of y_pred, {p.shape}, got {t.shape}")
        rows = as_rows(t, t.shape[-1], dtype)
        return cls(as_rows(p, n, dtype), rows, None, weights(sample_weight, shape, n, dtype), shape)

    def by_elements(self) -> Rows:
        """Each element as a row by itself."""
        assert self.t is not None
        weight = self.weight
        if weight is not None:
            weight = np.ascontiguousarray(np.broadcast_to(weight, self.p.shape)).reshape(-1, 1)
        return Rows(self.p.reshape(-1, 1), self.t.reshape(-1, 1), None, weight, (*self.shape, self.outputs))


def of_elements(kernel: str) -> bool:
    """Whether the value of a row is the mean of those of its elements."""
    return kernel in ("accuracy", "binary_accuracy") or LOSS_FORMS.get(kernel) == "TERM"


def as_rows(a: Array, n: int, dtype: np.dtype[Any]) -> Array:
    """Rows of n elements."""
    return np.ascontiguousarray(a, dtype).reshape(-1, n) if n else np.zeros((0, 0), dtype)


def as_labels(t: Array, n: int, ignored: int | None) -> Array:
    """Labels as int32; a ValueError where they are not in [0, n)."""
    good = (t >= 0) & (t < n) & (t == np.floor(t))
    if ignored is not None:
        good |= t == ignored
    if not good.all():
        raise ValueError(f"y_true: expected labels from 0 to {n - 1}, got {t[~good][0]}")
    return np.ascontiguousarray(t, np.int32)


def weights(given: Any, shape: tuple[int, ...], n: int, dtype: np.dtype[Any]) -> Array | None:
    """Weights of rows, (rows, 1), or of elements, (rows, n)."""
    if given is None:
        return None
    w = as_array(given, "sample_weight").astype(dtype)
    if w.ndim >= len(shape) or w.shape == shape[: w.ndim]:
        with suppress(ValueError):
            return np.ascontiguousarray(broadcast(w, shape)).reshape(-1, 1)
    try:
        return np.ascontiguousarray(np.broadcast_to(w, (*shape, n))).reshape(-1, n)
    except ValueError:
        raise unfit(w, shape, "rows") from None


def spread(w: Array, shape: tuple[int, ...], what: str) -> Array:
    """What `broadcast` makes, or an error that says what the weights are of."""
    try:
        return broadcast(w, shape)
    except ValueError:
        raise unfit(w, shape, what) from None


def broadcast(w: Array, shape: tuple[int, ...]) -> Array:
    """A weight for each of the values of this shape, from those of the values, or of whatever holds them."""
    if w.ndim == len(shape) + 1 and w.shape[-1] == 1:
        w = w[..., 0]
    if w.shape == shape[: w.ndim]:
        w = w.reshape(w.shape + (1,) * (len(shape) - w.ndim))
    return np.broadcast_to(w, shape)


def unfit(w: Array, shape: tuple[int, ...], what: str) -> ValueError:
    """The error for weights that do not go with values of a shape."""
    return ValueError(f"sample_weight: expected a weight for each of the {what}, shape {shape}, got {w.shape}")


def values(plan: Plan, rows: Rows) -> Array:
    """The value of each row, in the dtype of the predictions."""
    return np.asarray(row_sums(plan, rows).astype(rows.p.dtype).reshape(rows.shape))[()]


def row_sums(plan: Plan, rows: Rows) -> Array:
    """The value of each row, in float64."""
    out = np.empty(rows.count)
    target = rows.t if rows.labels is None else rows.labels
    assert target is not None
    table = runtime.kernels(rows.p.dtype.name)
    row_values(table, plan.kernel, rows.p, target, rows.count, rows.outputs, out, parameters=plan.parameters)
    return out


def add(plan: Plan, rows: Rows, sums: Array) -> None:
    """Add rows to the sums of a plan, in their order, and their weights to the last of these."""
    table = runtime.kernels(rows.p.dtype.name)
    weight = np.ones(1) if rows.weight is None else rows.weight.astype(np.float64)
    if plan.sums == "mean":
        if weight.size > 1 and weight.shape[1] > 1:
            if not of_elements(plan.kernel):
                raise ValueError(f"sample_weight: expected a weight for each row, got {weight.shape[1]} for each")
            rows = rows.by_elements()
            assert rows.weight is not None
            weight = rows.weight.astype(np.float64)
        add_in_order(sums[:1], row_sums(plan, rows) * weight.reshape(-1))
    elif plan.sums == "moments":
        per_row = None if rows.weight is None else rows.weight
        add_moments(table, rows.p, rows.t, rows.count, rows.outputs, sums, weight=per_row)
    else:
        rows = rows.by_elements() if plan.flat else rows
        numbers = np.array(plan.numbers, rows.p.dtype)
        apply_tally(
            table,
            plan.kernel,
            rows.p,
            rows.t if rows.labels is None else rows.labels,
            rows.count,
            rows.outputs,
            plan.events,
            sums,
            weight=rows.weight,
            numbers=numbers,
            count=plan.thresholds,
            parameters=plan.parameters,
        )
    add_in_order(sums[-1:], weight.reshape(-1) if rows.weight is not None else np.array([float(rows.count)]))


def add_in_order(total: Array, terms: Array) -> None:
    """Add terms one after another, so that it does not matter how they are cut into pieces."""
    if terms.size:
        sums = np.concatenate([total, terms])
        total[0] = np.add.accumulate(sums, out=sums)[-1]

"""Losses on arrays: shapes brought together as Keras does, values by the native kernels, and their reduction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import runtime
from nncore._kernels.loss import row_values
from nncore._kernels.table import LOSS_FORMS, LOSS_TARGETS
from nncore.conversion import as_array
from nncore.masks import mask_of, squeeze_or_expand_to_same_rank
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.losses.base import Loss


def dtype_name(dtype: Any) -> str | None:
    """The name of a dtype of floating-point numbers, of NumPy or known to it; None stays."""
    if dtype is None:
        return None
    name = getattr(dtype, "compute_dtype", None) or getattr(dtype, "name", dtype)
    try:
        found = np.dtype(name)
    except TypeError:
        found = np.dtype(np.int8)
    if found.kind != "f" and "float" not in found.name:
        raise ValueError(f"dtype: expected one of floating-point numbers, such as float32, got {dtype!r}")
    return str(found.name)


def working_dtype(p: Array, wanted: str | None) -> np.dtype[Any]:
    """The dtype in which a loss is computed: float64 for it, else float32."""
    return np.dtype("float64" if (wanted or p.dtype.name) == "float64" else "float32")


def prepared(loss: Loss, y_true: Any, y_pred: Any, dtype: str | None) -> tuple[Array, Array]:
    """Predictions in the working dtype and targets, C-contiguous, the classes last, of shapes that fit."""
    p, t = as_array(y_pred, "y_pred"), as_array(y_true, "y_true")
    real = working_dtype(p, dtype)
    if p.ndim == 0:
        raise ValueError("y_pred: expected an array of at least one axis, got a number")
    labels = loss.target == "labels"
    if labels and t.ndim == p.ndim and t.shape[loss.axis] == 1:
        t = np.squeeze(t, loss.axis)
    elif not labels:
        t, p = squeeze_or_expand_to_same_rank(t, p)
    axis = loss.axis
    if isinstance(axis, (int, np.integer)) and axis not in (-1, p.ndim - 1):
        if not -p.ndim <= axis < p.ndim:
            raise ValueError(f"axis: expected an axis of y_pred, of shape {p.shape}, got {axis}")
        p, t = np.moveaxis(p, axis, -1), t if labels else np.moveaxis(t, axis, -1)
    elif axis is None or isinstance(axis, tuple):
        p, t = joined(p, axis), joined(t, axis)
    wanted = p.shape[:-1] + loss.target_shape(p.shape[-1:]) if not labels else p.shape[:-1]
    if not labels and t.shape == wanted[:-1] and wanted[-1:] == (1,):
        t = t[..., None]
    if t.shape != wanted:
        if labels:
            raise ValueError(
                "y_true: expected labels, which must have the same shape as y_pred up until the last dimension, "
                f"{wanted}, got shape {t.shape}"
            )
        same = "y_true and y_pred must have the same shape" if wanted == p.shape else f"targets of shape {wanted}"
        raise ValueError(f"y_true: expected {same}, got {t.shape} and {p.shape}")
    p = np.ascontiguousarray(p, real)
    return p, checked_labels(loss, t, p.shape[-1]) if labels else np.ascontiguousarray(t, real)


def joined(x: Array, axis: Any) -> Array:
    """The axes that a loss goes over, all for None, as the last one."""
    axes = sorted(a % x.ndim for a in (range(x.ndim) if axis is None else axis))
    others = [a for a in range(x.ndim) if a not in axes]
    moved = x.transpose(*others, *axes)
    return moved.reshape(*[x.shape[a] for a in others], -1)


def checked_labels(loss: Loss, t: Array, outputs: int) -> Array:
    """Labels as int32; a ValueError where one is none."""
    low, high, other = loss.labels(outputs)
    with np.errstate(invalid="ignore"):
        whole = t.astype(np.int64)
    bad = ~((whole == t) & (((whole >= low) & (whole < high)) | (whole == other)))
    if bad.any():
        raise ValueError(f"y_true: expected whole labels from {low} to {high - 1}, got {t[bad][0]}")
    return np.ascontiguousarray(whole, np.int32)


def computed(
    loss: Loss, p: Array, t: Array, width: int | None = None, numbers: tuple[float, ...] | None = None
) -> Array:
    """The loss of each row of `width` predictions, in float64: all axes but the last."""
    kernel = loss.choose("linear").kernel
    n = width or p.shape[-1]
    rows = p.size // n if n else 0
    out = np.empty(rows)
    columns = np.array(loss.columns, p.dtype) if loss.columns else None
    numbers = loss.numbers(kernel) if numbers is None else numbers
    row_values(runtime.kernels(p.dtype.name), kernel, p, t, rows, n, out, columns=columns, parameters=numbers)
    return out


def values(loss: Loss, y_true: Any, y_pred: Any, dtype: str | None = None) -> Array:
    """The loss of each sample, and position: without the last axis, or those that the loss goes over."""
    p, t = prepared(loss, y_true, y_pred, dtype)
    shape = p.shape[:-1]
    found: Array = computed(loss, p, t, loss.row(p.shape[-1:]))
    if found.size != int(np.prod(shape)):  # several rows of one sample
        found = found.reshape(*shape, -1).mean(axis=-1)
    return np.asarray(found.reshape(shape).astype(p.dtype))[()]


def of_elements(loss: Loss) -> bool:
    """Whether a loss is the mean or the sum of what its elements have."""
    return LOSS_FORMS.get(loss.kernel(), "") in ("TERM", "SUM") and LOSS_TARGETS[loss.kernel()] == "VALUES"


def reduced(loss: Loss, y_true: Any, y_pred: Any, sample_weight: Any) -> Any:
    """What an object returns for arrays."""
    result = np.dtype(loss.dtype or "float32")
    real = working_dtype(np.empty(0), loss.dtype or "float32")
    weight = None if sample_weight is None else np.asarray(sample_weight, real)
    mask = mask_of(y_pred)
    if weight is not None and weight.ndim > 1 and of_elements(loss) and mask is None:
        p, t = prepared(loss, y_true, y_pred, real.name)
        if weight.shape == p.shape and p.shape[-1] > 1:
            each = computed(loss, p, t, 1).reshape(p.shape).astype(real)
            whole = LOSS_FORMS[loss.kernel()] == "SUM"
            share = 1 if whole else p.shape[-1]
            return reduce((weight * each).sum(axis=-1) / share, weight.sum(axis=-1) / share, loss.reduction, result)
    arrays = [as_real(y, real, loss.python is not None) for y in (y_true, y_pred)]
    found = np.asarray(without_gradient(loss.call(*arrays)), real)
    counts = loss.counts(found, y_true)  # of the losses themselves, before weights that may be 0 or negative
    if mask is not None:
        counts, mask = np.ones(found.shape, bool) if counts is None else counts, mask.astype(bool)
        found, mask = squeeze_or_expand_to_same_rank(found, mask)
        try:
            found = np.where(np.broadcast_to(mask, found.shape), found, 0)
        except ValueError:
            raise ValueError(
                f"y_pred: expected a mask that goes with losses of shape {found.shape}, got {mask.shape}"
            ) from None
        counts = mask & counts.reshape(found.shape)
    if weight is not None:
        found, weight = squeeze_or_expand_to_same_rank(found, weight)
        counts = None if counts is None else squeeze_or_expand_to_same_rank(counts, weight)[0]
        try:
            found = found * weight
        except ValueError:
            raise ValueError(
                f"sample_weight: expected a shape that goes with losses of shape {found.shape}, got {weight.shape}"
            ) from None
    if counts is not None:  # as if the others had the weight 0
        counts = np.broadcast_to(counts, found.shape)
        weight = counts if weight is None else weight * counts
        plain = int(np.count_nonzero(counts))
    else:
        plain = found.size
    return reduce(found, weight, loss.reduction, result, plain)


def without_gradient(given: Any) -> Any:
    """The losses that a class or function of a user's returned, alone or with their gradient."""
    return given[0] if isinstance(given, tuple) else given


def as_real(y: Any, real: np.dtype[Any], always: bool = False) -> Array:
    """Targets or predictions, numbers that are no whole ones in the working dtype; `always`: these, too."""
    array = as_array(y, "y_pred")
    return array.astype(real) if always or array.dtype.kind == "f" else array


def reduce(
    found: Array, weight: Array | None, reduction: str | None, dtype: np.dtype[Any], counted: int | None = None
) -> Any:
    """Losses that were weighted, reduced; of these `counted`, by default all, make a mean."""
    if reduction not in (None, "none") and found.ndim and found.size:
        total = found.sum(dtype=np.float64)
        if reduction != "sum":
            of = found.size if counted is None else counted
            divisor = weight.sum() if reduction == "mean_with_sample_weight" and weight is not None else of
            total = total / divisor if divisor else total * 0
        found = np.asarray(total)
    return found.astype(dtype)[()]

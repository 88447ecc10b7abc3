"""Metrics in float64 NumPy: of rows, and of what is counted of them; one formula per function, with loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from reference_arithmetic import float64

Array = NDArray[np.float64]
RowFunction = Callable[[Array, Array, float], Array]


def in_top_k(p: Array, labels: Array, k: float) -> Array:
    """Whether the label's p is at least the k-th of all p in falling order: those that equal it all count."""
    falling, its = -np.sort(-p, axis=1), np.take_along_axis(p, np.asarray(labels, int)[:, None], axis=1)
    return float64(its >= falling[:, min(int(k), p.shape[1]) - 1, None]).ravel()


def pearson(p: Array, t: Array) -> float:
    """Correlation of two vectors; 0 where one does not vary."""
    a, b = p - p.mean(), t - t.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size else 0.0


def concordance(p: Array, t: Array) -> float:
    """Lin's; 0 where both are the same constant."""
    size = p.var() + t.var() + (p.mean() - t.mean()) ** 2
    return float(2 * ((p - p.mean()) * (t - t.mean())).mean() / size) if size else 0.0


def each_row(f: Callable[[Array, Array], float]) -> RowFunction:
    return lambda p, t, param: np.array([f(a, b) for a, b in zip(p, t, strict=True)])


def one_hot(labels: Array, n: int) -> Array:
    return float64(np.asarray(labels, int)[:, None] == np.arange(n))


METRICS: dict[str, RowFunction] = {  # name: per-row value of (p, target, param)
    "accuracy": lambda p, t, param: (p == t).mean(axis=1),
    "binary_accuracy": lambda p, t, threshold: ((p > threshold) == t).mean(axis=1),
    "categorical_accuracy": lambda p, t, param: float64(p.argmax(axis=1) == t.argmax(axis=1)),
    "sparse_categorical_accuracy": lambda p, labels, param: float64(p.argmax(axis=1) == labels),
    "top_k_categorical_accuracy": lambda p, t, k: in_top_k(p, t.argmax(axis=1), k),
    "sparse_top_k_categorical_accuracy": in_top_k,
    "pearson_correlation": each_row(pearson),
    "concordance_correlation": each_row(concordance),
    "brier_score": lambda p, t, param: ((p - t) ** 2).sum(axis=1),
    "sparse_brier_score": lambda p, labels, param: ((p - one_hot(labels, p.shape[1])) ** 2).sum(axis=1),
}


def metric(name: str, p: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, param: float = 0.5) -> float:
    """Σᵢ weightᵢ metricᵢ; `param` is the threshold or k."""
    p, target = float64(p), float64(target)
    w = np.ones(len(p)) if weight is None else float64(weight)
    return float(w @ METRICS[name](p, target, param))


# --- what is counted --------------------------------------------------------------------------------------------


def hot(p: Array, target: Array) -> Array:
    """Targets as rows as wide as those of p, whether these or labels are given."""
    target = np.asarray(target)
    return one_hot(target, p.shape[1]) if target.ndim == 1 else float64(target)


def thresholds(
    p: Array, target: Array, w: Array, numbers: Sequence[float], count: int, parameters: Sequence[float]
) -> Array:
    """Scores by how many thresholds lie below."""
    chosen, top, by_output, weighs = (int(x) for x in [*parameters, 0, 0, 0, 0][:4])
    t, n = hot(p, target), p.shape[1]
    outputs = range(n) if chosen < 0 else [chosen]
    sums = np.zeros((n if by_output else 1, 2, count + 1))
    for i, row in enumerate(p):
        kept = np.argsort(-row, kind="stable")[:top] if top else range(n)
        for j in outputs:
            bin = sum(x < row[j] for x in numbers[:count]) if j in kept else 0
            sums[j if by_output else 0, int(t[i, j] != 0), bin] += w[i, j] * (numbers[count + j] if weighs else 1)
    return sums.reshape(-1)


def largest(
    p: Array, target: Array, w: Array, numbers: Sequence[float], count: int, parameters: Sequence[float]
) -> Array:
    """The largest of each row, and what equals it, above the threshold."""
    t = hot(p, target)
    sums = np.zeros((p.shape[1], 2, 2))
    for i, row in enumerate(p):
        for j, x in enumerate(row):
            sums[j, int(t[i, j] != 0), int(x == row.max() and abs(x) > 1e-9)] += w[i, j]
    return sums.reshape(-1)


def class_of(row: Array, by: int, numbers: Sequence[float]) -> int:
    """The class that a row says."""
    return [lambda: int(row[0]), lambda: int(row.argmax()), lambda: int(row[0] > numbers[0]),
            lambda: int(row[0] >= numbers[0])][by]()  # fmt: skip


def confusion(
    p: Array, target: Array, w: Array, numbers: Sequence[float], count: int, parameters: Sequence[float]
) -> Array:
    """Rows by true and predicted class."""
    classes, true_by, predicted_by, ignored = (int(x) for x in parameters)
    sums = np.zeros((classes, classes))
    for i, row in enumerate(p):
        c = int(target[i]) if np.ndim(target) == 1 else class_of(target[i], true_by, numbers)
        q = class_of(row, predicted_by, numbers)
        if c != ignored and 0 <= c < classes and 0 <= q < classes:
            sums[c, q] += w[i, 0]
    return sums.reshape(-1)


def reliability(
    p: Array, target: Array, w: Array, numbers: Sequence[float], count: int, parameters: Sequence[float]
) -> Array:
    """Rows by confidence: how many, its sum, how many are right."""
    sums = np.zeros((count + 1, 3))
    for i, row in enumerate(p):
        if p.shape[1] == 1:
            right = float(np.ravel(target[i])[0] != 0)
        else:
            right = float(row.argmax() == (target[i] if np.ndim(target) == 1 else np.argmax(target[i])))
        sums[sum(x < row.max() for x in numbers[:count])] += w[i, 0] * np.array([1, row.max(), right])
    return sums.reshape(-1)


TALLIES = {"thresholds": thresholds, "largest": largest, "confusion": confusion, "reliability": reliability}


def moments(p: Array, t: Array, w: Array) -> Array:
    """Sums of powers of columns, as differences from the first row."""
    dt, dp, e = t - t[0], p - p[0], t - p
    ones = np.ones_like(t)
    return np.array(
        [ones.sum(0), (w * ones).sum(0), t[0], p[0], (w * dt).sum(0), (w * dt**2).sum(0), (w * dp).sum(0),
         (w * dp**2).sum(0), (w * dp * dt).sum(0), (w * e).sum(0), (w * e**2).sum(0)]
    )  # fmt: skip

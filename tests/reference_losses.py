"""The losses of kernels.def in NumPy: the value of each row, in whatever type the arrays have, and its gradient.

Formulas are written for values only. Gradients of those that `reference.py` has no formula for are differences of six
points in long double, whose error is a few 1e-16 of the function's size; elements near a kink are told by differences
with another step, which then differ, and are nan. Nothing here imports nncore.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
EPSILON = 1e-7  # Keras's


def clip(p: Array) -> Array:
    return np.clip(p, EPSILON, 1 - EPSILON)


def softplus(z: Array) -> Array:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def log_softmax(z: Array) -> Array:
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def xlogy(x: Array, y: Array) -> Array:
    return np.where(x == 0, 0, x * np.log(np.where(x == 0, 1, y)))


def one_hot(labels: Array, n: int) -> Array:
    return np.asarray(labels)[:, None] == np.arange(n)


def smooth(t: Array, s: float, classes: int) -> Array:
    return t * (1 - s) + s / classes


def log_cosh(p: Array, t: Array) -> Array:
    d = p - t
    return np.log1p(2 * np.sinh(d / 2) ** 2).mean(axis=1)


def side(t: Array) -> Array:
    return np.where(t == 0, -1, t)


def hinge(p: Array, t: Array) -> Array:
    return np.maximum(1 - side(t) * p, 0)


def categorical_hinge(p: Array, t: Array) -> Array:
    return np.maximum(((1 - t) * p).max(axis=1) - (t * p).sum(axis=1) + 1, 0)


def kl(p: Array, t: Array) -> Array:
    u, q = np.clip(t, EPSILON, 1), np.clip(p, EPSILON, 1)
    return (u * np.log(u / q)).sum(axis=1)


def kl_logits(z: Array, t: Array) -> Array:
    u = np.clip(t, EPSILON, 1)
    return (u * (np.log(u) - log_softmax(z))).sum(axis=1)


def cosine(p: Array, t: Array) -> Array:
    norms = np.maximum(np.sqrt((p**2).sum(axis=1)), EPSILON) * np.maximum(np.sqrt((t**2).sum(axis=1)), EPSILON)
    return -(p * t).sum(axis=1) / norms


def binary(p: Array, t: Array, s: float) -> Array:
    t, q = smooth(t, s, 2), clip(p)
    return -(t * np.log(q) + (1 - t) * np.log1p(-q))


def binary_logits(z: Array, t: Array, s: float) -> Array:
    return softplus(z) - smooth(t, s, 2) * z


def binary_focal(p: Array, t: Array, s: float, gamma: float, alpha: float, balanced: float) -> Array:
    u = smooth(t, s, 2)
    weight = u * alpha + (1 - u) * (1 - alpha) if balanced else 1
    return (weight * (u * (1 - p) + (1 - u) * p) ** gamma * binary(p, t, s)).mean(axis=1)


def binary_focal_logits(z: Array, t: Array, s: float, gamma: float, alpha: float, balanced: float) -> Array:
    u, q = smooth(t, s, 2), np.exp(-softplus(-z))
    weight = u * alpha + (1 - u) * (1 - alpha) if balanced else 1
    missing = u * np.exp(-softplus(z)) + (1 - u) * q
    return (weight * missing**gamma * binary_logits(z, t, s)).mean(axis=1)


def normalized(p: Array) -> Array:
    return clip(p / p.sum(axis=1, keepdims=True))


def crossentropy(p: Array, t: Array, s: float = 0) -> Array:
    return -(smooth(t, s, p.shape[1]) * np.log(normalized(p))).sum(axis=1)


def crossentropy_logits(z: Array, t: Array, s: float = 0) -> Array:
    return -(smooth(t, s, z.shape[1]) * log_softmax(z)).sum(axis=1)


def categorical_focal(p: Array, t: Array, s: float, gamma: float, alpha: float) -> Array:
    q = normalized(p)
    return -(alpha * smooth(t, s, p.shape[1]) * (1 - q) ** gamma * np.log(q)).sum(axis=1)


def categorical_focal_logits(z: Array, t: Array, s: float, gamma: float, alpha: float) -> Array:
    log_q = log_softmax(z)
    return -(alpha * smooth(t, s, z.shape[1]) * (-np.expm1(log_q)) ** gamma * log_q).sum(axis=1)


def generalized(p: Array, labels: Array, q: float) -> Array:
    right = (p * one_hot(labels, p.shape[1])).sum(axis=1)
    return (1 - right**q) / q


def tversky(p: Array, t: Array, alpha: float, beta: float, epsilon: float) -> Array:
    both = (p * t).sum(axis=1)
    false_positive, false_negative = ((1 - p) * t).sum(axis=1), (p * (1 - t)).sum(axis=1)
    return 1 - both / (both + alpha * false_positive + beta * false_negative + epsilon)


def tweedie(p: Array, t: Array, power: float) -> Array:
    a, b, mean = 1 - power, 2 - power, np.maximum(p, EPSILON)
    return (2 * (np.maximum(t, 0) ** b / (a * b) - t * mean**a / a + mean**b / b)).mean(axis=1)


def poisson_deviance(p: Array, t: Array) -> Array:
    mean = np.maximum(p, EPSILON)
    return (2 * (xlogy(t, t / mean) - t + mean)).mean(axis=1)


def gamma_deviance(p: Array, t: Array) -> Array:
    mean = np.maximum(p, EPSILON)
    return (2 * (np.log(mean / t) + t / mean - 1)).mean(axis=1)


def levels(n: int) -> Array:
    """The quantiles of the tests."""
    return (np.arange(n) + 0.5) / n


def pinball(p: Array, t: Array) -> Array:
    e = t - p
    return np.maximum(levels(p.shape[1]) * e, (levels(p.shape[1]) - 1) * e).mean(axis=1)


def gaussian_nll(p: Array, t: Array, kind: float, floor: float, full: float) -> Array:
    h = p.shape[1] // 2
    mean, s = p[:, :h], p[:, h:]
    v = [np.maximum(s, floor), np.exp(s) + floor, softplus(s) + floor][int(kind)]
    return (np.log(v) + (t - mean) ** 2 / v + (np.log(2 * np.pi) if full else 0)).mean(axis=1) / 2


def corn(z: Array, labels: Array) -> Array:
    k, label = np.arange(z.shape[1]), np.asarray(labels)[:, None]
    return np.where(k <= label, softplus(z) - (k < label) * z, 0).sum(axis=1)


def contrastive(d: Array, t: Array, margin: float) -> Array:
    return (t * d**2 + (1 - t) * np.maximum(margin - d, 0) ** 2).mean(axis=1)


def circle(p: Array, labels: Array, gamma: float, margin: float, remove_diagonal: float, own: float = 0) -> Array:
    d = np.maximum(1 - p @ p.T, 0)
    same = labels[:, None] == labels
    positive = same & ~np.eye(len(p), dtype=bool) if remove_diagonal else same
    of_positive = np.where(positive, -gamma * (margin + d) * (margin - d), -np.inf)
    of_negative = np.where(~same, gamma * np.maximum(1 + margin - d, 0) * (1 - margin - d), -np.inf)
    values = []
    for a, b, exist in zip(of_positive, of_negative, positive.any(1) & (~same).any(1), strict=True):
        m, k = a.max(), b.max()
        sums = m + np.log(np.exp(a - m).sum()) + k + np.log(np.exp(b - k).sum()) if exist else -np.inf
        values.append(softplus(np.asarray(sums)) if exist else 0)
    return np.array(values, p.dtype)


def triplet(p: Array, labels: Array, margin: float) -> Array:
    d = np.sqrt(((p[:, None] - p) ** 2).sum(axis=2))
    values = []
    for i in range(len(p)):
        same, other = (labels == labels[i]) & (np.arange(len(p)) != i), labels != labels[i]
        whole = same.any() and other.any()
        values.append(max(margin + d[i][same].max() - d[i][other].min(), 0) if whole else 0)
    return np.array(values, p.dtype)


def eps(p: Array) -> Array:
    return np.maximum(p, EPSILON)


VALUES: dict[str, Callable[..., Array]] = {  # of each row, from (p, target, *parameters)
    "mean_squared_error": lambda p, t: ((p - t) ** 2).mean(axis=1),
    "mean_absolute_error": lambda p, t: np.abs(p - t).mean(axis=1),
    "huber": lambda p, t, delta: np.where(
        np.abs(p - t) <= delta, (p - t) ** 2 / 2, delta * np.abs(p - t) - delta**2 / 2
    ).mean(axis=1),
    "binary_crossentropy": lambda p, t, s=0: binary(p, t, s).mean(axis=1),
    "binary_crossentropy_logits": lambda z, t, s=0: binary_logits(z, t, s).mean(axis=1),
    "categorical_crossentropy_logits": crossentropy_logits,
    "sparse_categorical_crossentropy_logits": lambda z, labels, ignored: np.where(
        labels == ignored, 0, crossentropy_logits(z, one_hot(labels, z.shape[1]))
    ),
    "mean_absolute_percentage_error": lambda p, t: (100 * np.abs(p - t) / eps(np.abs(t))).mean(axis=1),
    "mean_squared_logarithmic_error": lambda p, t: ((np.log1p(eps(p)) - np.log1p(eps(t))) ** 2).mean(axis=1),
    "log_cosh": log_cosh,
    "hinge": lambda p, t: hinge(p, t).mean(axis=1),
    "squared_hinge": lambda p, t: (hinge(p, t) ** 2).mean(axis=1),
    "categorical_hinge": categorical_hinge,
    "poisson": lambda p, t: (p - t * np.log(p + EPSILON)).mean(axis=1),
    "kl_divergence": kl,
    "kl_divergence_logits": kl_logits,
    "cosine_similarity": cosine,
    "binary_focal_crossentropy": binary_focal,
    "binary_focal_crossentropy_logits": binary_focal_logits,
    "categorical_crossentropy": crossentropy,
    "sparse_categorical_crossentropy": lambda p, labels, ignored: np.where(
        labels == ignored, 0, crossentropy(p, one_hot(labels, p.shape[1]))
    ),
    "categorical_focal_crossentropy": categorical_focal,
    "categorical_focal_crossentropy_logits": categorical_focal_logits,
    "categorical_generalized_cross_entropy": generalized,
    "categorical_generalized_cross_entropy_logits": lambda z, labels, q: generalized(np.exp(log_softmax(z)), labels, q),
    "tversky": tversky,
    "circle": circle,
    "poisson_deviance": poisson_deviance,
    "gamma_deviance": gamma_deviance,
    "tweedie_deviance": tweedie,
    "pinball": pinball,
    "gaussian_nll": gaussian_nll,
    "corn": corn,
    "contrastive": contrastive,
    "triplet": triplet,
}

#: Numbers that a loss is tested with, in the order of kernels.def; the first of several is the usual.
PARAMETERS: dict[str, Sequence[tuple[float, ...]]] = {
    "huber": [(0.75,)],
    "binary_crossentropy": [(0.0,), (0.2,)],
    "binary_crossentropy_logits": [(0.0,), (0.2,)],
    "categorical_crossentropy_logits": [(0.0,), (0.2,)],
    "sparse_categorical_crossentropy": [(-1.0,), (1.0,)],
    "sparse_categorical_crossentropy_logits": [(-1.0,), (1.0,)],
    "categorical_crossentropy": [(0.0,), (0.2,)],
    "binary_focal_crossentropy": [(0.0, 2.0, 0.25, 0.0), (0.1, 1.5, 0.3, 1.0), (0.0, 0.0, 0.25, 0.0)],
    "binary_focal_crossentropy_logits": [(0.0, 2.0, 0.25, 0.0), (0.1, 1.5, 0.3, 1.0), (0.0, 0.0, 0.25, 0.0)],
    "categorical_focal_crossentropy": [(0.0, 2.0, 0.25), (0.1, 1.5, 0.7)],
    "categorical_focal_crossentropy_logits": [(0.0, 2.0, 0.25), (0.1, 1.5, 0.7)],
    "categorical_generalized_cross_entropy": [(0.5,), (0.8,)],
    "categorical_generalized_cross_entropy_logits": [(0.5,), (0.8,)],
    "tversky": [(0.5, 0.5, 1e-7), (0.2, 0.7, 1e-3)],
    "circle": [(8.0, 0.4, 1.0, 0.0), (3.0, 0.25, 0.0, 0.0)],
    "triplet": [(1.0,)],
    "tweedie_deviance": [(1.5,), (-0.5,), (3.0,)],
    "gaussian_nll": [(2.0, 1e-6, 0.0), (1.0, 1e-3, 1.0), (0.0, 1e-2, 0.0)],
    "contrastive": [(1.0,)],
}


def parameters(name: str) -> Sequence[tuple[float, ...]]:
    """The sets of numbers that a loss is tested with."""
    return PARAMETERS.get(name, [()])


def values(name: str, p: Array, target: Array, *numbers: float) -> Array:
    """The loss of each row, in float64."""
    target = np.asarray(target)
    target = target if target.dtype.kind == "i" else target.astype(np.float64)
    with np.errstate(all="ignore"):
        return np.asarray(VALUES[name](np.asarray(p, np.float64), target, *numbers), np.float64)


def gradient(
    name: str, p: Array, target: Array, numbers: Sequence[float], weight: Array, columns: Sequence[int]
) -> Array:
    """∂(Σ weight loss)/∂p of these columns: (rows, len(columns)); nan near a kink."""
    exact = np.asarray(p, np.longdouble)
    target = np.asarray(target)
    target = target if target.dtype.kind == "i" else target.astype(np.longdouble)
    coupled = name in ("circle", "triplet")

    def differences(j: int, rows: Array, h: float) -> Array:
        total: Any = 0
        for k, c in ((1, 45.0), (2, -9.0), (3, 1.0)):
            for sign in (1, -1):
                moved = exact.copy()
                moved[rows, j] += np.longdouble(sign * k * h)
                total = total + sign * c * VALUES[name](moved, target, *numbers) / 60
        return np.asarray(total) / np.longdouble(h)

    found = np.zeros((len(exact), len(columns)))
    all_rows = np.arange(len(exact))
    with np.errstate(all="ignore"):
        for k, j in enumerate(columns):
            if coupled:
                pair = [
                    np.array([float((weight * differences(j, np.array([i]), h)).sum()) for i in all_rows])
                    for h in (2e-5, 1e-5)
                ]
            else:
                pair = [np.asarray(weight * differences(j, all_rows, h), np.float64) for h in (2e-5, 1e-5)]
            smooth_here = np.abs(pair[0] - pair[1]) <= 1e-9 * (1 + np.abs(pair[1]))
            found[:, k] = np.where(smooth_here, pair[1], np.nan)
    return found

"""Cases of `test_operations`: rows and columns brought to mean 0 and variance 1, rows of length 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import reference as ref
from cases import SAMPLES, Case, parts, parts_of, rows_of
from kernels import Array

from nncore._kernels.table import SUM_ROWS


def layer_norm(c: Case, n: int = 9) -> dict[str, Array]:
    x, gamma, beta = c.reals(SAMPLES, 2, n), c.reals(n), c.reals(n)
    mean, inverse = c.poisoned(SAMPLES, 2), c.poisoned(SAMPLES, 2)
    c.fields = {"X": x, "gamma": gamma, "beta": beta, "Y": c.poisoned(SAMPLES, 2, n), "mean": mean, "inverse": inverse}
    c.fields |= {"n": n, "epsilon": 0.01, "per_sample": 2, "block": 4}
    wide = ref.float64(x)
    expected = {"mean": wide.mean(2), "inverse": 1 / np.sqrt(wide.var(2) + 0.01)}
    return expected | {"Y": ref.layer_norm(x, 1, 0.01, ref.float64(gamma), ref.float64(beta))}


def layer_norm__wide(c: Case) -> dict[str, Array]:
    """Rows of which two are done at a time."""
    return layer_norm(c, 523)


def layer_norm_backward(c: Case, n: int = 9) -> dict[str, Array]:
    x, gamma, dy = c.reals(SAMPLES, 2, n), c.reals(n), c.reals(SAMPLES, 2, n)
    wide = ref.float64(x)
    mean, inverse = wide.mean(2), 1 / np.sqrt(wide.var(2) + 0.01)
    c.fields = {"X": x, "gamma": gamma, "dY": dy, "n": n, "per_sample": 2, "block": SUM_ROWS}
    c.fields |= {"mean": mean.astype(c.table.dtype), "inverse": inverse.astype(c.table.dtype)}
    c.fields |= {"dX": c.poisoned(SAMPLES, 2, n), "dgamma": parts(c, n), "dbeta": parts(c, n)}
    hat, g = (wide - mean[..., None]) * inverse[..., None], ref.float64(dy) * gamma
    dx = inverse[..., None] * (g - g.mean(2, keepdims=True) - hat * (g * hat).mean(2, keepdims=True))
    return {"dX": dx, "dgamma": parts_of(dy * hat), "dbeta": parts_of(dy)}


def layer_norm_backward__wide(c: Case) -> dict[str, Array]:
    """Rows of which one is done at a time."""
    return layer_norm_backward(c, 261)


def layer_norm__about_zero(c: Case) -> dict[str, Array]:
    x, gamma = c.reals(SAMPLES, 7) + 3, c.reals(7)
    saved = {"mean": c.poisoned(SAMPLES), "inverse": c.poisoned(SAMPLES)}
    sizes = {"n": 7, "about_zero": 1, "epsilon": 0.5, "per_sample": 1, "block": 4}
    c.fields = {"X": x, "gamma": gamma, "Y": c.poisoned(SAMPLES, 7)} | saved | sizes
    inverse = 1 / np.sqrt((ref.float64(x) ** 2).mean(1) + 0.5)
    return {"Y": gamma * x * inverse[:, None], "mean": np.zeros(SAMPLES), "inverse": inverse}


def layer_norm_backward__about_zero(c: Case) -> dict[str, Array]:
    x, dy, gamma = c.reals(SAMPLES, 7), c.reals(SAMPLES, 7), c.reals(7)
    inverse = 1 / np.sqrt((ref.float64(x) ** 2).mean(1, keepdims=True) + 0.5)
    hat, g = x * inverse, ref.float64(dy) * gamma
    given = {"mean": np.zeros(SAMPLES, x.dtype), "inverse": inverse[:, 0].astype(x.dtype), "gamma": gamma}
    c.fields = {"X": x, "dY": dy, "dX": c.poisoned(SAMPLES, 7)} | given
    c.fields |= {"n": 7, "about_zero": 1, "per_sample": 1, "block": 4}
    return {"dX": inverse * (g - hat * (g * hat).mean(1, keepdims=True))}


def scale_backward(c: Case) -> dict[str, Array]:
    x, dy, gamma = c.reals(SAMPLES, 2, 9), c.reals(SAMPLES, 2, 9), c.reals(9)
    c.fields = {"X": x, "dY": dy, "gamma": gamma, "n": 9, "per_sample": 2, "block": SUM_ROWS}
    c.fields |= {"dX": c.poisoned(SAMPLES, 2, 9), "dgamma": parts(c, 9), "dbeta": parts(c, 9)}
    return {"dX": ref.float64(dy) * gamma, "dgamma": parts_of(ref.float64(dy) * x), "dbeta": parts_of(dy)}


def batch_norm(c: Case) -> dict[str, Array]:
    """Rows are 2 × 37: 9 groups of 8, and 2; columns in spans of 3."""
    x, gamma, beta = c.reals(SAMPLES, 2, 7) + 100, c.reals(7), c.reals(7)
    made = {"Y": c.poisoned(SAMPLES, 2, 7)} | {name: c.poisoned(7) for name in ("mean", "variance", "inverse")}
    c.fields = {"X": x, "gamma": gamma, "beta": beta, "rows": 2, "n": 7, "epsilon": 0.5, "fixed": 7, "block": 3} | made
    mean, variance = rows_of(x).mean(0), rows_of(x).var(0)
    inverse = 1 / np.sqrt(variance + 0.5)
    y = (ref.float64(x) - mean) * inverse * gamma + beta
    return {"Y": y, "mean": mean, "variance": variance, "inverse": inverse}


def batch_norm_backward(c: Case) -> dict[str, Array]:
    x, dy, gamma = c.reals(SAMPLES, 2, 7), c.reals(SAMPLES, 2, 7), c.reals(7)
    mean, inverse = rows_of(x).mean(0), 1 / np.sqrt(rows_of(x).var(0) + 0.5)
    given = {"mean": mean.astype(x.dtype), "inverse": inverse.astype(x.dtype), "gamma": gamma}
    made = {"dX": c.poisoned(SAMPLES, 2, 7), "dgamma": c.poisoned(7), "dbeta": c.poisoned(7)}
    c.fields = {"X": x, "dY": dy, "rows": 2, "n": 7, "fixed": 7, "block": 3} | given | made
    hat, g = (rows_of(x) - mean) * inverse, rows_of(dy)
    dx = gamma * inverse * (g - g.mean(0) - hat * (g * hat).mean(0))
    return {"dX": dx, "dgamma": (g * hat).sum(0), "dbeta": g.sum(0)}


def standardize(c: Case) -> dict[str, Array]:
    x, mean, variance, gamma, beta = c.reals(SAMPLES, 261), c.reals(261), abs(c.reals(261)), c.reals(261), c.reals(261)
    given = {"X": x, "mean": mean, "variance": variance, "gamma": gamma, "beta": beta}
    c.fields = given | {"Y": c.poisoned(SAMPLES, 261), "n": 261, "epsilon": 0.5, "per_sample": 1, "block": 4}
    return {"Y": (ref.float64(x) - mean) / np.sqrt(ref.float64(variance) + 0.5) * gamma + beta}


def lengths(c: Case) -> tuple[Array, Array, Any]:
    """Rows, some of them shorter than √ε; what they are divided by; sizes."""
    x = c.reals(SAMPLES, 2, 7)
    x[::3] *= 0.01
    sizes = {"n": 7, "epsilon": 0.25, "per_sample": 2, "block": 4}
    return x, np.sqrt(np.maximum((ref.float64(x) ** 2).sum(-1, keepdims=True), 0.25)), sizes


def unit_norm(c: Case) -> dict[str, Array]:
    x, length, sizes = lengths(c)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 2, 7), "inverse": c.poisoned(SAMPLES, 2)} | sizes
    return {"Y": x / length, "inverse": 1 / length}


def unit_norm_backward(c: Case) -> dict[str, Array]:
    x, length, sizes = lengths(c)
    y, dy = (x / length).astype(x.dtype), c.reals(SAMPLES, 2, 7)
    inverse = (1 / length)[..., 0].astype(x.dtype)
    c.fields = {"Y": y, "inverse": inverse, "dY": dy, "dX": c.poisoned(SAMPLES, 2, 7)} | sizes
    along = (ref.float64(y) * dy).sum(-1, keepdims=True) * (length > 0.5)
    return {"dX": (dy - y * along) / length}


NORMALIZATION = [
    layer_norm, layer_norm__wide, layer_norm_backward, layer_norm_backward__wide, layer_norm__about_zero,
    layer_norm_backward__about_zero, batch_norm, batch_norm_backward, standardize, scale_backward, unit_norm,
    unit_norm_backward,
]  # fmt: skip

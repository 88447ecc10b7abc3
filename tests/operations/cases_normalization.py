"""Cases of `test_operations`: rows and columns brought to mean 0 and variance 1, rows of length 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import reference as ref
from cases import SAMPLES, Case, parts, parts_of, rows_of
from kernels import Array

from nncore._kernels.table import ACTIVATIONS, SUM_ROWS


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


def column_moments(c: Case) -> dict[str, Array]:
    """Rows are 2 × 37: 9 groups of 8, and 2; a chunk of 64, and 10."""
    x = c.reals(SAMPLES, 2, 7) + 100
    c.fields = {"X": x, "parts": c.poisoned(2, 2, 7), "n": 7, "per_sample": 2, "block": SUM_ROWS}
    chunks = rows_of(x)[:SUM_ROWS], rows_of(x)[SUM_ROWS:]
    return {"parts": np.stack([[chunk.mean(0), chunk.var(0) * len(chunk)] for chunk in chunks])}


def mask_of(c: Case, *shape: int) -> Array:
    """About half of the rows; none of the first 8, nor of the first chunk of 64 where there are more than three."""
    mask = (c.reals(*shape) > 0).astype(c.table.dtype)
    mask.reshape(-1)[: SUM_ROWS if mask.size > 3 * SUM_ROWS else 8] = 0
    return mask


def column_moments__masked(c: Case) -> dict[str, Array]:
    x, mask = c.reals(SAMPLES, 2, 7) + 100, mask_of(c, SAMPLES, 2)
    x[mask == 0] = np.nan
    c.fields = {"X": x, "mask": mask, "parts": c.poisoned(2, 2, 7), "n": 7, "per_sample": 2, "block": SUM_ROWS}
    rows, counts = rows_of(x), mask.reshape(-1) > 0
    chunks = [rows[part][counts[part]] for part in (slice(SUM_ROWS), slice(SUM_ROWS, None))]
    return {"parts": np.stack([[chunk.mean(0), chunk.var(0) * len(chunk)] for chunk in chunks])}


def join_moments__masked(c: Case) -> dict[str, Array]:
    """The first chunk has no row that counts."""
    x, mask = c.reals(SAMPLES, 6, 7) + 100, mask_of(c, SAMPLES, 6)
    rows, counts = rows_of(x), mask.reshape(-1) > 0
    chunks = [rows[i : i + SUM_ROWS][counts[i : i + SUM_ROWS]] for i in range(0, 6 * SAMPLES, SUM_ROWS)]
    assert len(chunks[0]) == 0 and all(map(len, chunks[1:]))
    parts = np.stack([[np.zeros(7)] * 2, *([chunk.mean(0), chunk.var(0) * len(chunk)] for chunk in chunks[1:])])
    made = {name: c.poisoned(7) for name in ("mean", "variance", "inverse")}
    c.fields = {"parts": parts.astype(x.dtype), "mask": mask, "rows": 6, "n": 7, "epsilon": 0.5, "fixed": 7, "block": 3}
    c.fields |= made
    mean, variance = rows[counts].mean(0), rows[counts].var(0)
    return {"mean": mean, "variance": variance, "inverse": 1 / np.sqrt(variance + 0.5)}


def join_moments(c: Case) -> dict[str, Array]:
    """Columns in spans of 3."""
    x = c.reals(SAMPLES, 5, 7) + 100
    chunks = [rows_of(x)[first : first + SUM_ROWS] for first in range(0, 5 * SAMPLES, SUM_ROWS)]
    parts = np.stack([[chunk.mean(0), chunk.var(0) * len(chunk)] for chunk in chunks]).astype(x.dtype)
    made = {name: c.poisoned(7) for name in ("mean", "variance", "inverse")}
    c.fields = {"parts": parts, "rows": 5, "n": 7, "epsilon": 0.5, "fixed": 7, "block": 3} | made
    mean, variance = rows_of(x).mean(0), rows_of(x).var(0)
    return {"mean": mean, "variance": variance, "inverse": 1 / np.sqrt(variance + 0.5)}


def moments_of(c: Case, n: int) -> tuple[dict[str, Any], dict[str, Array]]:
    """Inputs of the backward pass of a batch normalization with two rows a sample; their values in float64."""
    x, dy, gamma, beta = c.reals(SAMPLES, 2, n), c.reals(SAMPLES, 2, n), c.reals(n), c.reals(n)
    mean, inverse = rows_of(x).mean(0), 1 / np.sqrt(rows_of(x).var(0) + 0.5)
    known = {"mean": mean.astype(x.dtype), "inverse": inverse.astype(x.dtype), "gamma": gamma, "beta": beta}
    hat = (rows_of(x) - mean) * inverse
    return {"X": x, "dY": dy, "n": n, "per_sample": 2} | known, {
        "inverse": inverse,
        "hat": hat,
        "z": hat * gamma + beta,
    }


def batch_norm_sums(c: Case, n: int = 7, function: str = "linear") -> dict[str, Array]:
    given, wide = moments_of(c, n)
    c.fields = given | {"dgamma": parts(c, n), "dbeta": parts(c, n), "block": SUM_ROWS}
    c.fields["function"] = ACTIVATIONS[function]
    g = rows_of(given["dY"]) * ref.activate_prime(function, wide["z"], 0.0)
    room = parts(c, n).astype(np.float64)
    expected = {"dgamma": room.copy(), "dbeta": room}
    for name, terms in (("dgamma", g * wide["hat"]), ("dbeta", g)):
        expected[name][:, 0] = [terms[:SUM_ROWS].sum(0), terms[SUM_ROWS:].sum(0)]  # the others are room
    return expected


def batch_norm_sums__relu(c: Case) -> dict[str, Array]:
    return batch_norm_sums(c, 261, "relu")


def batch_norm_sums__from_y(c: Case) -> dict[str, Array]:
    return batch_norm_sums(c, 261, "tanh")


def batch_norm_sums__from_z(c: Case) -> dict[str, Array]:
    return batch_norm_sums(c, 7, "silu")


def batch_norm_backward(c: Case, n: int = 7, function: str = "linear") -> dict[str, Array]:
    given, wide = moments_of(c, n)
    g = rows_of(given["dY"]) * ref.activate_prime(function, wide["z"], 0.0)
    dgamma, dbeta = (g * wide["hat"]).sum(0), g.sum(0)
    sums = {"dgamma": dgamma.astype(c.table.dtype), "dbeta": dbeta.astype(c.table.dtype)}
    c.fields = given | sums | {"rows": 2, "dX": c.poisoned(SAMPLES, 2, n), "block": 5}
    c.fields["function"] = ACTIVATIONS[function]
    rest = g - (dbeta + wide["hat"] * dgamma) / len(g)
    return {"dX": given["gamma"] * wide["inverse"] * rest}


def batch_norm_backward__masked(c: Case) -> dict[str, Array]:
    """Rows that do not count have no part in the moments, which have one in every row."""
    expected = batch_norm_backward(c, 7, "relu")
    mask = mask_of(c, SAMPLES, 2)
    c.fields |= {"mask": mask, "count": np.array([mask.sum()], c.table.dtype)}
    given, counts = c.fields, mask.reshape(-1, 1)
    hat = (rows_of(given["X"]) - ref.float64(given["mean"])) * given["inverse"]
    g = rows_of(given["dY"]) * (hat * given["gamma"] + given["beta"] > 0)
    rest = g - counts * (ref.float64(given["dbeta"]) + hat * given["dgamma"]) / mask.sum()
    return expected | {"dX": given["gamma"] * given["inverse"] * rest}


def batch_norm_backward__relu(c: Case) -> dict[str, Array]:
    return batch_norm_backward(c, 261, "relu")


def batch_norm_backward__from_y(c: Case) -> dict[str, Array]:
    return batch_norm_backward(c, 261, "tanh")


def batch_norm_backward__from_z(c: Case) -> dict[str, Array]:
    return batch_norm_backward(c, 7, "silu")


def standardize(c: Case, function: str = "linear", keeps: bool = False) -> dict[str, Array]:
    x, mean, variance, gamma, beta = c.reals(SAMPLES, 261), c.reals(261), abs(c.reals(261)), c.reals(261), c.reals(261)
    given = {"X": x, "mean": mean, "variance": variance, "gamma": gamma, "beta": beta}
    sizes = {"n": 261, "epsilon": 0.5, "per_sample": 1, "block": 4, "function": ACTIVATIONS[function]}
    c.fields = given | {name: c.poisoned(SAMPLES, 261) for name in ("YZ" if keeps else "Y")} | sizes
    z = (ref.float64(x) - mean) / np.sqrt(ref.float64(variance) + 0.5) * gamma + beta
    return {"Y": ref.activate(function, z, 0.0)} | ({"Z": z} if keeps else {})


def standardize__relu(c: Case) -> dict[str, Array]:
    return standardize(c, "relu")


def standardize__keeping_z(c: Case) -> dict[str, Array]:
    return standardize(c, "silu", True)


def affine(c: Case) -> dict[str, Array]:
    mean, variance, gamma, beta = c.reals(261), abs(c.reals(261)), c.reals(261), c.reals(261)
    c.fields = {"mean": mean, "variance": variance, "gamma": gamma, "beta": beta, "Y": c.poisoned(3, 261)}
    c.fields |= {"n": 261, "epsilon": 0.5, "fixed": 261, "block": 64}
    return {"Y": np.stack([ref.float64(mean), gamma / np.sqrt(ref.float64(variance) + 0.5), ref.float64(beta)])}


def affine__of_nothing(c: Case) -> dict[str, Array]:
    c.fields = {"Y": c.poisoned(3, 21), "n": 21, "fixed": 21, "block": 64}
    return {"Y": np.stack([np.zeros(21), np.ones(21), np.zeros(21)])}


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
    layer_norm_backward__about_zero, column_moments, column_moments__masked, join_moments,
    join_moments__masked, batch_norm_sums, batch_norm_sums__relu,
    batch_norm_sums__from_y, batch_norm_sums__from_z, batch_norm_backward, batch_norm_backward__masked,
    batch_norm_backward__relu,
    batch_norm_backward__from_y, batch_norm_backward__from_z, standardize, standardize__relu, standardize__keeping_z,
    affine, affine__of_nothing, scale_backward, unit_norm, unit_norm_backward,
]  # fmt: skip

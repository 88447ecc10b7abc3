"""Cases of `test_operations`: windows of images, forward and backward, and images made larger."""

from __future__ import annotations

from typing import Any

import numpy as np
import reference as ref
import reference_windows as windows
from cases import SAMPLES, Case
from kernels import Array
from reference_depthwise import Way, sizes_of

from nncore._kernels.table import ACTIVATIONS

Axes = list[windows.Places]


def sizes(n: int, y: tuple[int, ...], x: tuple[int, ...]) -> dict[str, Any]:
    """The attributes of an operation, from (length, out, size, stride, before) of both axes."""
    down, across = (Way(length, size, stride, 1, before, out) for length, out, size, stride, before in (y, x))
    return sizes_of(n, down, across)


#: Images (7,9) of 21 channels, so that one vector is not whole at any level: windows 2 × 2 side by side that leave the
#: last row and column out; and 3 × 3 that share places, some partly outside.
APART = sizes(21, (7, 3, 2, 2, 0), (9, 4, 2, 2, 0))
APART_AXES: Axes = [windows.sliding(7, 2, 2, "valid"), windows.sliding(9, 2, 2, "valid")]
SHARED = sizes(21, (7, 4, 3, 2, 1), (9, 5, 3, 2, 1))
SHARED_AXES: Axes = [windows.sliding(7, 3, 2, "same"), windows.sliding(9, 3, 2, "same")]
#: A row of 9 places in two parts, which share one.
PARTS = sizes(21, (1, 1, 1, 1, 0), (9, 2, 0, 0, 0))
PARTS_AXES: Axes = [[range(1)], windows.adaptive(9, 2)]
WAYS: dict[str, tuple[dict[str, Any], Axes, dict[str, int]]] = {
    "apart": (APART, APART_AXES, {"bands": 3, "clear": 1, "add": 0}),
    "shared": (SHARED, SHARED_AXES, {"bands": 1, "clear": 1, "add": 1}),
    "parts": (PARTS, PARTS_AXES, {"bands": 1, "clear": 1, "add": 1}),
}


def forward(c: Case, way: str) -> tuple[Array, Axes]:
    given, axes, _ = WAYS[way]
    x = c.rng.integers(-4, 5, (SAMPLES, given["height"], given["width"], 21)).astype(c.table.dtype)  # with equal ones
    y = c.poisoned(SAMPLES, given["out_h"], given["out_w"], 21)
    c.fields = {"X": x, "Y": y, "per_sample": given["out_h"], "block": 4} | given
    return x, axes


def backward(c: Case, way: str) -> tuple[Array, Array, Axes]:
    how = WAYS[way][2]
    x, axes = forward(c, way)
    dy = c.reals(*c.fields.pop("Y").shape)
    c.fields |= {"dY": dy, "dX": c.poisoned(*x.shape), "per_sample": how["bands"]} | how
    return x, dy, axes


def max_pool(c: Case) -> dict[str, Array]:
    return {"Y": windows.max_pool(*forward(c, "apart"))}


def max_pool__shared(c: Case) -> dict[str, Array]:
    return {"Y": windows.max_pool(*forward(c, "shared"))}


def max_pool__parts(c: Case) -> dict[str, Array]:
    return {"Y": windows.max_pool(*forward(c, "parts"))}


def sum_pool(c: Case) -> dict[str, Array]:
    x, axes = forward(c, "apart")
    return {"Y": 4 * windows.average_pool(x, axes)}


def sum_pool__narrow(c: Case) -> dict[str, Array]:
    """Images of three channels, of which a vector has several places: whole ones, and all columns but one."""
    x = c.rng.integers(-4, 5, (SAMPLES, 5, 101, 3)).astype(c.table.dtype)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 1, 1, 3), "per_sample": 1, "block": 4}
    c.fields |= sizes(3, (5, 1, 5, 5, 0), (101, 1, 101, 101, 0))
    return {"Y": ref.float64(x).sum((1, 2), keepdims=True)}


def max_pool__narrow(c: Case) -> dict[str, Array]:
    """Numbers below 0, too, where nothing counts beside them."""
    sum_pool__narrow(c)
    c.fields |= sizes(3, (5, 1, 5, 5, 0), (101, 1, 100, 100, 0))
    c.fields["X"] -= 10
    return {"Y": c.fields["X"][:, :, :100].max((1, 2), keepdims=True)}


def sum_pool__mean(c: Case) -> dict[str, Array]:
    y = {"Y": windows.average_pool(*forward(c, "shared"))}
    c.fields["mean"] = 1
    return y


def max_backward(c: Case, way: str) -> dict[str, Array]:
    x, dy, axes = backward(c, way)
    c.fields["Y"] = windows.max_pool(x, axes).astype(c.table.dtype)
    return {"dX": windows.max_pool_backward(x, dy, axes)}


def max_pool_backward(c: Case) -> dict[str, Array]:
    return max_backward(c, "apart")


def max_pool_backward__shared(c: Case) -> dict[str, Array]:
    return max_backward(c, "shared")


def max_pool_backward__parts(c: Case) -> dict[str, Array]:
    return max_backward(c, "parts")


def with_derivative(c: Case, expected: dict[str, Array]) -> dict[str, Array]:
    """The same times the derivative of what made X."""
    saved = c.reals(*c.fields["dX"].shape)
    c.fields |= {"saved": saved, "function": ACTIVATIONS["relu"]}
    return {"dX": expected["dX"] * (saved > 0)}


def max_pool_backward__derivative(c: Case) -> dict[str, Array]:
    return with_derivative(c, max_backward(c, "apart"))


def sum_pool_backward__derivative(c: Case) -> dict[str, Array]:
    return with_derivative(c, sum_pool_backward(c))


def sum_pool_backward(c: Case) -> dict[str, Array]:
    x, dy, axes = backward(c, "apart")
    del c.fields["X"]
    return {"dX": windows.average_pool_backward(x.shape, 4 * ref.float64(dy), axes)}


def sum_pool_backward__mean(c: Case) -> dict[str, Array]:
    x, dy, axes = backward(c, "shared")
    del c.fields["X"]
    c.fields["mean"] = 1
    return {"dX": windows.average_pool_backward(x.shape, dy, axes)}


def interpolate(c: Case) -> dict[str, Array]:
    x = c.reals(SAMPLES, 5, 4, 21)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 15, 8, 21), "n": 21, "height": 5, "width": 4}
    c.fields |= {"y_factor": 3, "x_factor": 2, "per_sample": 15, "block": 4}
    return {"Y": np.einsum("oi,pk,bikn->bopn", windows.interpolation(5, 3), windows.interpolation(4, 2), x)}


def interpolate_backward(c: Case) -> dict[str, Array]:
    dy = c.reals(SAMPLES, 4, 15, 21)
    c.fields = {"dY": dy, "dX": c.poisoned(SAMPLES, 1, 5, 21), "n": 21, "height": 1, "width": 5}
    c.fields |= {"y_factor": 4, "x_factor": 3, "per_sample": 1, "block": 4}
    return {"dX": np.einsum("oi,pk,bopn->bikn", windows.interpolation(1, 4), windows.interpolation(5, 3), dy)}


POOLING = [
    max_pool,
    max_pool__shared,
    max_pool__parts,
    max_pool__narrow,
    sum_pool,
    sum_pool__narrow,
    sum_pool__mean,
    max_pool_backward,
    max_pool_backward__shared,
    max_pool_backward__parts,
    max_pool_backward__derivative,
    sum_pool_backward,
    sum_pool_backward__derivative,
    sum_pool_backward__mean,
    interpolate,
    interpolate_backward,
]

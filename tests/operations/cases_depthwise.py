"""Cases of `test_operations`: windows that slide over images, a kernel of its own for each channel."""

from __future__ import annotations

import numpy as np
import reference as ref
from cases import SAMPLES, Case
from kernels import Array
from reference_depthwise import Way, depthwise, depthwise_backward, sizes_of

from nncore._kernels.table import ACTIVATIONS

THREE = Way(5, 3, 1, 1, 1, 5), Way(13, 3, 1, 1, 1, 13)
STEPS = Way(7, 2, 2, 3, 1, 3), Way(9, 5, 3, 2, 4, 3)  # some places no window sees
APART = Way(6, 1, 3, 1, 0, 2), Way(4, 4, 3, 6, 9, 2)  # windows wider than the image


def depthwise_forward(c: Case, n: int = 9, ways: tuple[Way, Way] = THREE, name: str = "gelu") -> dict[str, Array]:
    down, across = ways
    x, w, b = c.reals(SAMPLES, down.length, across.length, n), c.reals(down.size, across.size, n), c.reals(n)
    made = {"Y": c.poisoned(SAMPLES, down.out, across.out, n), "Z": c.poisoned(SAMPLES, down.out, across.out, n)}
    c.fields = {"X": x, "W": w, "b": b, "per_sample": down.out, "block": 3, "function": ACTIVATIONS[name]} | made
    c.fields |= sizes_of(n, down, across)
    z = depthwise(x, w[..., None], down, across) + b
    return {"Z": z, "Y": ref.activate(name, z, 0.0)}


def depthwise_forward__steps(c: Case) -> dict[str, Array]:
    return depthwise_forward(c, 21, STEPS, "relu")


def depthwise_forward__apart(c: Case) -> dict[str, Array]:
    return depthwise_forward(c, 3, APART, "linear")


def depthwise_forward__affine(c: Case) -> dict[str, Array]:
    sums, numbers = depthwise_forward(c, 21)["Z"], c.reals(3, 21)
    c.fields["affine"] = numbers
    z = (sums - numbers[0]) * ref.float64(numbers[1]) + numbers[2]
    return {"Z": z, "Y": ref.activate("gelu", z, 0.0)}


def depthwise_backward_(c: Case, n: int, ways: tuple[Way, Way], chunk: int) -> dict[str, Array]:
    down, across = ways
    x, w = c.reals(SAMPLES, down.length, across.length, n), c.reals(down.size, across.size, n)
    dy, saved, parts = c.reals(SAMPLES, down.out, across.out, n), c.reals(*x.shape), -(-SAMPLES // chunk)
    c.fields = {"X": x, "W": w, "dY": dy, "saved": saved, "dX": np.full_like(x, np.nan), "chunk": chunk}
    c.fields |= {"dW": c.poisoned(parts, w.size), "db": c.poisoned(parts, n)}
    c.fields |= {"function": ACTIVATIONS["relu"], "block": chunk} | sizes_of(n, down, across)
    dx, dw = depthwise_backward(ref.float64(x), ref.float64(w), ref.float64(dy), down, across)
    first = range(0, SAMPLES, chunk)
    of_bias = np.stack([ref.float64(dy)[i : i + chunk].sum((0, 1, 2)) for i in first])
    return {"dX": dx * (saved > 0), "dW": np.stack([dw[i : i + chunk].sum(0).ravel() for i in first]), "db": of_bias}


def depthwise_backward__three(c: Case) -> dict[str, Array]:
    return depthwise_backward_(c, 9, THREE, 1)


def depthwise_backward__steps(c: Case) -> dict[str, Array]:
    return depthwise_backward_(c, 21, STEPS, 16)


def depthwise_backward__apart(c: Case) -> dict[str, Array]:
    return depthwise_backward_(c, 3, APART, 4)


DEPTHWISE = [
    depthwise_forward, depthwise_forward__steps, depthwise_forward__apart, depthwise_forward__affine,
    depthwise_backward__three, depthwise_backward__steps, depthwise_backward__apart,
]  # fmt: skip

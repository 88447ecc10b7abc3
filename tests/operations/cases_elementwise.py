"""Cases of `test_operations`: activations, and arithmetic element by element."""

from __future__ import annotations

import numpy as np
import reference as ref
from cases import SAMPLES, Case, parts, parts_of
from kernels import Array

from nncore._kernels.table import ACTIVATIONS, ROWWISE, SUM_ROWS


def activate(c: Case) -> dict[str, Array]:
    z = c.reals(SAMPLES, 7)
    c.fields = {"Z": z, "Y": c.poisoned(SAMPLES, 7), "function": ACTIVATIONS["elu"], "parameters": (0.5,), "block": 64}
    return {"Y": ref.activate("elu", z, 0.5)}


def activate_backward(c: Case) -> dict[str, Array]:
    z, dy = c.reals(SAMPLES, 7), c.reals(SAMPLES, 7)
    c.fields = {"saved": z, "dY": dy, "dZ": c.poisoned(SAMPLES, 7), "function": ACTIVATIONS["silu"], "block": 64}
    return {"dZ": dy * ref.activate_prime("silu", z, 0.0)}


def rowwise(c: Case) -> dict[str, Array]:
    z = c.reals(SAMPLES, 2, 5)
    c.fields = {"Z": z, "Y": c.poisoned(SAMPLES, 2, 5), "n": 5, "m": 5, "per_sample": 2, "block": 4}
    c.fields |= {"function": ROWWISE["softmax"]}
    return {"Y": ref.softmax(z)}


def rowwise_backward(c: Case) -> dict[str, Array]:
    y, dy = ref.softmax(c.reals(SAMPLES, 5)).astype(c.table.dtype), c.reals(SAMPLES, 5)
    c.fields = {"saved": y, "dY": dy, "dZ": c.poisoned(SAMPLES, 5), "n": 5, "m": 5, "per_sample": 1, "block": 4}
    c.fields |= {"function": ROWWISE["softmax"]}
    return {"dZ": y * (dy - (ref.float64(y) * dy).sum(1, keepdims=True))}


def rowwise__halves(c: Case) -> dict[str, Array]:
    z = c.reals(SAMPLES, 2, 10)
    c.fields = {"Z": z, "Y": c.poisoned(SAMPLES, 2, 5), "n": 10, "m": 5, "per_sample": 2, "block": 4}
    c.fields |= {"function": ROWWISE["glu"]}
    return {"Y": ref.glu(z)}


def rowwise_backward__halves(c: Case) -> dict[str, Array]:
    z, dy = c.reals(SAMPLES, 2, 10), c.reals(SAMPLES, 2, 5)
    c.fields = {"saved": z, "dY": dy, "dZ": c.poisoned(SAMPLES, 2, 10), "n": 10, "m": 5, "per_sample": 2, "block": 4}
    c.fields |= {"function": ROWWISE["glu"], "saved_z": 1}
    return {"dZ": ref.glu_backward(z, dy)}


def rescale(c: Case) -> dict[str, Array]:
    x = c.reals(SAMPLES, 7)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 7), "scale": 0.5, "offset": 2.0, "block": 64}
    return {"Y": 0.5 * ref.float64(x) + 2}


def add(c: Case) -> dict[str, Array]:
    a, b = c.reals(SAMPLES, 7), c.reals(SAMPLES, 7)
    c.fields = {"A": a, "B": b, "Y": c.poisoned(SAMPLES, 7), "block": 64}
    return {"Y": ref.float64(a) + b}


def add__activated(c: Case) -> dict[str, Array]:
    a, b = c.reals(SAMPLES, 701), c.reals(SAMPLES, 701)
    c.fields = {"A": a, "B": b, "Y": c.poisoned(*a.shape), "Z": c.poisoned(*a.shape), "function": ACTIVATIONS["gelu"]}
    z = ref.float64(a) + b
    return {"Z": z, "Y": ref.activate("gelu", z, 0.0)}


def add__rectified(c: Case) -> dict[str, Array]:
    a, b = c.reals(SAMPLES, 701), c.reals(SAMPLES, 701)
    c.fields = {"A": a, "B": b, "Y": c.poisoned(*a.shape), "function": ACTIVATIONS["relu"]}
    return {"Y": np.maximum(ref.float64(a) + b, 0)}


def multiply(c: Case) -> dict[str, Array]:
    a, b = c.reals(SAMPLES, 7), c.reals(SAMPLES, 7)
    c.fields = {"A": a, "B": b, "Y": c.poisoned(SAMPLES, 7), "block": 64}
    return {"Y": ref.float64(a) * b}


def fill(c: Case) -> dict[str, Array]:
    c.fields = {"Y": c.poisoned(SAMPLES, 7), "value": 1.5, "block": 64}
    return {"Y": np.full((SAMPLES, 7), 1.5)}


def copy(c: Case) -> dict[str, Array]:
    x = c.reals(SAMPLES, 7)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 7), "n": 7, "x_row": 7, "y_row": 7, "per_sample": 1, "block": 4}
    return {"Y": x}


def prelu(c: Case) -> dict[str, Array]:
    x, slope = c.reals(SAMPLES, 2, 9), c.reals(9)
    c.fields = {"X": x, "slope": slope, "Y": c.poisoned(SAMPLES, 2, 9), "n": 9, "per_sample": 2, "block": 4}
    return {"Y": ref.prelu(ref.float64(x), ref.float64(slope))}


def prelu_backward(c: Case) -> dict[str, Array]:
    x, slope, dy = c.reals(SAMPLES, 2, 9), c.reals(9), c.reals(SAMPLES, 2, 9)
    outputs = {"dX": c.poisoned(SAMPLES, 2, 9), "dslope": parts(c, 9)}
    c.fields = {"X": x, "slope": slope, "dY": dy, "n": 9, "per_sample": 2, "block": SUM_ROWS} | outputs
    dslope = parts_of(ref.float64(dy) * np.minimum(x, 0))
    return {"dX": dy * np.where(x > 0, 1, ref.float64(slope)), "dslope": dslope}


def activate_partly(c: Case) -> dict[str, Array]:
    """By tanh."""
    x, alpha = c.reals(SAMPLES, 2, 9), c.reals(9)
    outputs = {"Y": c.poisoned(SAMPLES, 2, 9), "F": c.poisoned(SAMPLES, 2, 9)}
    c.fields = {"X": x, "alpha": alpha, "n": 9, "function": ACTIVATIONS["tanh"], "per_sample": 2, "block": 4} | outputs
    f = np.tanh(ref.float64(x))
    return {"Y": x + ref.float64(alpha) * (f - x), "F": f}


def activate_partly__long(c: Case) -> dict[str, Array]:
    """Of rows longer than a piece, without F."""
    x, alpha = c.reals(SAMPLES, 2050), c.reals(2050)
    expected = x + ref.float64(alpha) * (np.tanh(ref.float64(x)) - x)
    c.fields = {"X": x, "alpha": alpha, "Y": c.poisoned(SAMPLES, 2050), "n": 2050, "per_sample": 1, "block": 4}
    c.fields |= {"function": ACTIVATIONS["tanh"]}
    return {"Y": expected}


def activate_partly_backward(c: Case) -> dict[str, Array]:
    """tanh′ of what tanh gave."""
    x, alpha, dy = c.reals(SAMPLES, 2, 9), c.reals(9), c.reals(SAMPLES, 2, 9)
    f = np.tanh(x)
    outputs = {"dX": c.poisoned(SAMPLES, 2, 9), "dalpha": parts(c, 9)}
    c.fields = {"X": x, "F": f, "alpha": alpha, "dY": dy, "n": 9, "function": ACTIVATIONS["tanh"]} | outputs
    c.fields |= {"per_sample": 2, "block": SUM_ROWS}
    slope = 1 - ref.float64(f) ** 2
    return {"dX": dy * (1 + ref.float64(alpha) * (slope - 1)), "dalpha": parts_of(ref.float64(dy) * (f - x))}


def activate_partly_backward__from_x(c: Case) -> dict[str, Array]:
    """silu′ of X; rows longer than a piece."""
    x, alpha, dy = c.reals(SAMPLES, 2050), c.reals(2050), c.reals(SAMPLES, 2050)
    sigmoid = 1 / (1 + np.exp(-ref.float64(x)))
    f, slope = x * sigmoid, sigmoid * (1 + x * (1 - sigmoid))
    expected = dy * (1 + ref.float64(alpha) * (slope - 1))
    c.fields = {"X": x, "F": f.astype(x.dtype), "alpha": alpha, "dY": dy, "n": 2050, "saved_x": 1}
    c.fields |= {"dX": c.poisoned(SAMPLES, 2050), "function": ACTIVATIONS["silu"]}
    c.fields |= {"per_sample": 1, "block": SUM_ROWS}
    return {"dX": expected}


ELEMENTWISE = [
    activate,
    activate_backward,
    rowwise,
    rowwise_backward,
    rowwise__halves,
    rowwise_backward__halves,
    rescale,
    add,
    add__activated,
    add__rectified,
    multiply,
    fill,
    copy,
    prelu,
    prelu_backward,
    activate_partly,
    activate_partly__long,
    activate_partly_backward,
    activate_partly_backward__from_x,
]

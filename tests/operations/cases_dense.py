"""Cases of `test_operations`: products of dense layers, and what belongs to them."""

from __future__ import annotations

import numpy as np
import reference as ref
from cases import SAMPLES, Case, rows_of
from kernels import Array

from nncore._kernels.table import ACTIVATIONS, PACK_ROWS, PRECISIONS, WINDOWS


def dense_forward(c: Case) -> dict[str, Array]:
    x, w, b, z = c.reals(SAMPLES, 3, 9), c.reals(9, 7), c.reals(7), c.poisoned(SAMPLES, 3, 7)
    sizes = {"rows": 3, "n": 7, "k": 9, "function": ACTIVATIONS["gelu"]}
    c.fields = {"X": x, "W": w, "b": b, "Y": c.poisoned(SAMPLES, 3, 7), "Z": z} | sizes
    sums = ref.float64(x) @ ref.float64(w) + b
    return {"Z": sums, "Y": ref.activate("gelu", sums, 0.0)}


def dense_forward__affine(c: Case) -> dict[str, Array]:
    sums, numbers = dense_forward(c)["Z"], c.reals(3, 7)
    c.fields["affine"] = numbers
    z = (sums - numbers[0]) * ref.float64(numbers[1]) + numbers[2]
    return {"Z": z, "Y": ref.activate("gelu", z, 0.0)}


def dense_backward_input(c: Case) -> dict[str, Array]:
    dy, w, saved = c.reals(SAMPLES, 7), c.reals(9, 7), c.reals(SAMPLES, 9)
    c.fields = {"dY": dy, "W": w, "saved": saved, "dX": c.poisoned(SAMPLES, 9), "rows": 1, "n": 7, "k": 9}
    c.fields |= {"function": ACTIVATIONS["relu"]}
    return {"dX": ref.float64(dy) @ ref.float64(w).T * (saved > 0)}


def dense_backward_weights(c: Case) -> dict[str, Array]:
    x, dy = c.reals(SAMPLES, 2, 9), c.reals(SAMPLES, 2, 7)
    c.fields = {"X": x, "dY": dy, "dW": c.poisoned(9, 7), "rows": 2, "n": 7, "k": 9}
    return {"dW": rows_of(x).T @ rows_of(dy)}


def at_positions(c: Case) -> tuple[Array, Array, Array]:
    """X, W and dY of three positions, whose rows are two a sample."""
    c.fields = {"rows": 2, "positions": 3, "n": 7, "k": 9}
    return c.reals(SAMPLES, 2, 3, 9), c.reals(3, 9, 7), c.reals(SAMPLES, 2, 3, 7)


def dense_at_positions(c: Case) -> dict[str, Array]:
    x, w, _ = at_positions(c)
    c.fields |= {"X": x, "W": w, "Y": c.poisoned(SAMPLES, 2, 3, 7)}
    return {"Y": np.einsum("brpk,pkn->brpn", ref.float64(x), ref.float64(w))}


def dense_at_positions_backward_input(c: Case) -> dict[str, Array]:
    _, w, dy = at_positions(c)
    c.fields |= {"dY": dy, "W": w, "dX": c.poisoned(SAMPLES, 2, 3, 9)}
    return {"dX": np.einsum("brpn,pkn->brpk", ref.float64(dy), ref.float64(w))}


def dense_at_positions_backward_weights(c: Case) -> dict[str, Array]:
    x, _, dy = at_positions(c)
    c.fields |= {"X": x, "dY": dy, "dW": c.poisoned(3, 9, 7), "fixed": 3}
    return {"dW": np.einsum("brpk,brpn->pkn", ref.float64(x), ref.float64(dy))}


def column_sums(c: Case) -> dict[str, Array]:
    dy = c.reals(SAMPLES, 2, 7)
    c.fields = {"dY": dy, "db": c.poisoned(7), "rows": 2, "n": 7, "fixed": 7, "block": 3}
    return {"db": rows_of(dy).sum(0)}


def pack(c: Case) -> dict[str, Array]:
    """Panels of 32 columns, each of words of two rows in bfloat16, the later one in the upper half."""
    k, n = 70, 42
    size = c.table.packed_bytes("medium", False, k, n, WINDOWS) // 4  # only products of float32 have copies
    w = np.rint(8 * c.reals(k, n)) / 8  # of few bits
    c.fields = {"W": w, "packed": np.zeros(size, c.table.dtype), "k": k, "n": n, "precision": PRECISIONS["medium"]}
    c.fields |= {"fixed": k, "block": PACK_ROWS}
    if not size:  # products of this table read W itself
        return {}
    whole = np.zeros((96, 64), np.float32)
    whole[:k, :n] = w
    halves = (whole.view(np.uint32) >> 16).reshape(48, 2, 2, 32)  # (words, first or second row, panels, columns)
    words = (halves[:, 0] | halves[:, 1] << 16).swapaxes(0, 1)
    return {"packed": np.ascontiguousarray(words).view(np.float32).reshape(-1)}


DENSE = [
    dense_forward,
    dense_forward__affine,
    dense_backward_input,
    dense_backward_weights,
    dense_at_positions,
    dense_at_positions_backward_input,
    dense_at_positions_backward_weights,
    column_sums,
    pack,
]

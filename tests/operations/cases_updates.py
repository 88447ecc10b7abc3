"""Cases of `test_operations`: the update section."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import reference as ref
from cases import SAMPLES
from kernels import Array

import nncore as nn
from nncore import state
from nncore._kernels.table import BUFFERS, CHUNK_ROWS, CONSTRAINTS, OPTIMIZERS
from nncore.compiler.operation import Whole

INSIDE = np.r_[0:33, 40:57]  # what the chunks have of 57 elements
LATER = {"lamb", "adafactor"}  # whose rule is not that of `update` alone


def of_chunks(c: Any, **settings: Any) -> None:
    """Two chunks, of one parameter each."""
    c.chunks = np.zeros(2, state.CHUNK)
    c.chunks["offset"], c.chunks["n"], c.chunks["packed"], c.chunks["rate"] = [0, 40], [33, 17], -1, 1
    for name, value in settings.items():
        c.chunks[name] = value


def bound(optimizer: nn.Optimizer, number: int = 0, **arrays: Array) -> Callable[[Any], None]:
    """Binds an optimizer as that of this number, at t = 5, whose learning rate is 0.5 and decay 0.125."""
    optimizer.iterations = 4

    def bind(run: Any) -> None:
        run.bind_optimizer(number, optimizer.kernel, optimizer.numbers, optimizer.counter, 0.75, 0.0)
        others = [np.array([np.nan])] * 2 * number
        run.bind_schedules(3, 6, [*others, np.array([9, 0.5, 9]), np.array([0.125])])
        for name, array in arrays.items():
            run.bind(BUFFERS[name.replace("_", " ").replace("x", ".")], array)

    return bind


def update(c: Any) -> dict[str, Array]:
    """W, its decay, the momentum v and the step, of the second of two optimizers, with factors of both rates."""
    w, g, v = c.reals(57), c.reals(57), c.reals(57)
    of_chunks(c, decay=[1, 0], rate=[0.5, 2], optimizer=1)
    c.fields = {"W": w, "dW": g, "state": v, "function": OPTIMIZERS["sgd"], "optimizer": 1}
    c.bind = bound(nn.SGD(momentum=0.5), 1)
    rate = np.repeat([0.25, 1.0], [33, 17])
    want_v, want = np.array(v, np.float64), np.array(w, np.float64)
    want_v[INSIDE] = 0.5 * want_v[INSIDE] - rate * np.clip(ref.float64(g[INSIDE]), -0.75, 0.75)
    want[:33] *= 1 - 0.25 * 0.125
    want[INSIDE] += want_v[INSIDE]
    return {"W": want, "state": want_v}


def update__of_another(c: Any) -> dict[str, Array]:
    """Chunks of another optimizer stay."""
    w, g, v = c.reals(57), c.reals(57), c.reals(57)
    of_chunks(c, decay=1, optimizer=[0, 1])
    c.fields = {"W": w, "dW": g, "state": v, "function": OPTIMIZERS["sgd"]}
    c.bind = bound(nn.SGD())
    want = np.array(w, np.float64)
    want[:33] = want[:33] * (1 - 0.5 * 0.125) - 0.5 * np.clip(ref.float64(g[:33]), -0.75, 0.75)
    return {"W": want, "state": ref.float64(v)}


def update__of_whole(c: Any) -> dict[str, Array]:
    """What is left to another operation: the gradient is clipped, and W decays."""
    w, g, v = c.reals(57), c.reals(57), c.reals(57)
    of_chunks(c, decay=1, whole=1)
    c.fields = {"W": w, "dW": g, "state": v, "function": OPTIMIZERS["muon"]}
    c.bind = bound(nn.optimizers.Muon())
    want, want_g = np.array(w, np.float64), np.array(g, np.float64)
    want[INSIDE] *= 1 - 0.5 * 0.125
    want_g[INSIDE] = np.clip(want_g[INSIDE], -0.75, 0.75)
    return {"W": want, "dW": want_g, "state": ref.float64(v)}


def lamb(c: Any) -> tuple[list[Array], list[Array], Array]:
    """Arrays of lamb: W, g, m, v; and the same after the moments, with the directions."""
    w, g, m = c.reals(57), c.reals(57), c.reals(57)
    v = np.abs(c.reals(57))
    wide = [np.array(x, np.float64) for x in (w, g, m, v)]
    clipped = np.clip(wide[1], -0.75, 0.75)
    wide[2] = 0.9 * wide[2] + 0.1 * clipped
    wide[3] = 0.999 * wide[3] + 0.001 * clipped**2
    u = wide[2] / (1 - 0.9**5) / (np.sqrt(wide[3] / (1 - 0.999**5)) + 1e-7)
    return [w, g, m, v], wide, u


def update__of_lamb(c: Any) -> dict[str, Array]:
    """The first part: moments, and norms of W and of the direction, by chunks."""
    (w, g, m, v), (want, *_), u = lamb(c)
    of_chunks(c, parameter=[1, 2])
    measures = {"measures": np.full((2, 2), np.nan)}
    c.fields = {"W": w, "dW": g, "state": Whole("state 0.0"), "function": OPTIMIZERS["lamb"]} | measures
    c.bind = bound(nn.optimizers.Lamb(), state_0x0=m, state_0x1=v)
    sums = [[(want[part] ** 2).sum(), (u[part] ** 2).sum()] for part in (slice(0, 33), slice(40, 57))]
    return {"W": want, "measures": np.array(sums)}


def trust(c: Any) -> dict[str, Array]:
    """The second: two chunks of one parameter have one ratio."""
    _, (w, _, m, v), u = lamb(c)
    w, m, v = (x.astype(c.table.dtype) for x in (w, m, v))
    of_chunks(c, parameter=1, rate=0.5)
    c.fields = {"W": w, "state": Whole("state 0.0"), "measures": np.array([[3.0, 2.0], [1.0, 2.0]])}
    c.bind = bound(nn.optimizers.Lamb(), state_0x0=m, state_0x1=v)
    want = np.array(w, np.float64)
    want[INSIDE] -= 0.25 * u[INSIDE]
    return {"W": want}


def adafactor(c: Any) -> dict[str, Array]:
    """Two matrices of one parameter."""
    w, g = c.reals(2, 5, 7), c.reals(2, 5, 7)
    row, column = np.abs(c.reals(2, 5)), np.abs(c.reals(2, 7))
    sizes = {"matrices": 2, "rows": 5, "n": 7, "rate": 0.5, "fixed": 1, "block": 1}
    c.fields = {"W": w, "dW": g, "row": row, "column": column} | sizes
    c.bind = bound(nn.optimizers.Adafactor())
    states = [np.array(x, np.float64) for x in (row, column)]
    before = ref.float64(w)
    want = ref.adafactor(before, ref.float64(g), states, ref.Rule(learning_rate=0.25), 5)
    rms = np.sqrt((before**2).mean())
    return {"W": want, "row": states[0], "column": states[1], "dW": (before - want) / (rms * 0.25) * scaled(g, states)}


def scaled(g: Array, states: list[Array]) -> float:
    """By how much the direction was scaled down, which stays in dW as it was before."""
    row, column = states
    v = (row / row.mean(-1, keepdims=True))[..., None] * column[..., None, :]
    return max(1.0, float(np.sqrt((ref.float64(g) ** 2 / v).mean())))


def adafactor__of_vectors(c: Any) -> dict[str, Array]:
    """One vector."""
    w, g, row = c.reals(57), c.reals(57), np.abs(c.reals(57))
    c.fields = {"W": w, "dW": g, "row": row, "n": 57, "rate": 1.0, "fixed": 1, "block": 1}
    c.bind = bound(nn.optimizers.Adafactor())
    states, before = [np.array(row, np.float64), np.zeros(0)], ref.float64(w)
    want = ref.adafactor(before, ref.float64(g), states, ref.Rule(learning_rate=0.5), 5)
    direction = ref.float64(g) / np.sqrt(states[0])
    return {"W": want, "row": states[0], "dW": direction}


def collect(c: Any) -> dict[str, Array]:
    """The fourth of five steps."""
    return collected(c, 3, lambda g, total: (g, total + g))


def collect__of_the_last(c: Any) -> dict[str, Array]:
    """The last one."""
    return collected(c, 4, lambda g, total: ((total + g) / 5, 0 * g))


def collected(c: Any, waiting: int, formula: Callable[[Array, Array], tuple[Array, Array]]) -> dict[str, Array]:
    g, total = c.reals(57), c.reals(57)
    of_chunks(c)
    optimizer = nn.SGD(gradient_accumulation_steps=5)
    c.fields, c.bind = {"dW": g, "sum": total, "steps": 5}, bound(optimizer)
    optimizer.counter[1] = waiting
    want = [np.array(x, np.float64) for x in (g, total)]
    for x, new in zip(want, formula(want[0][INSIDE], want[1][INSIDE]), strict=True):
        x[INSIDE] = new
    return {"dW": want[0], "sum": want[1]}


def average(c: Any) -> dict[str, Array]:
    """Without a change of W."""
    return averaged(c, 0)


def average__of_overwriting(c: Any) -> dict[str, Array]:
    """The fifth update writes W."""
    return averaged(c, 5)


def averaged(c: Any, overwrite: int) -> dict[str, Array]:
    w, mean = c.reals(57), c.reals(57)
    of_chunks(c)
    c.fields, c.bind = {"W": w, "mean": mean, "overwrite": overwrite, "momentum": 0.75}, bound(nn.SGD())
    want = np.array(mean, np.float64)
    want[INSIDE] = 0.75 * want[INSIDE] + 0.25 * ref.float64(w)[INSIDE]
    overwritten = np.array(w, np.float64)
    overwritten[INSIDE] = want[INSIDE]
    return {"mean": want, "W": overwritten if overwrite else ref.float64(w)}


def constrain(c: Any) -> dict[str, Array]:
    """Norms over the middle axis, which come half the way to [0.5, 2]."""
    w = c.reals(3, 100, 7)
    w[:, :, 0] *= 0.001
    c.fields = {"W": w, "function": CONSTRAINTS["norm"], "n": 100, "inner": 7, "parameters": (0.5, 2.0, 0.5)}
    c.fields |= {"fixed": 21, "block": 4}
    norm = np.sqrt((ref.float64(w) ** 2).sum(1, keepdims=True))
    return {"W": ref.float64(w) * (0.5 * np.clip(norm, 0.5, 2.0) + 0.5 * norm) / (norm + 1e-7)}


def constrain__of_runs(c: Any) -> dict[str, Array]:
    """Norms over the last axis."""
    w = c.reals(9, 50)
    c.fields = {"W": w, "function": CONSTRAINTS["norm"], "n": 50, "inner": 1, "parameters": (1.0, 1.0, 1.0)}
    c.fields |= {"fixed": 9, "block": 4}
    norm = np.sqrt((ref.float64(w) ** 2).sum(1, keepdims=True))
    return {"W": ref.float64(w) / (norm + 1e-7)}


def constrain__of_signs(c: Any) -> dict[str, Array]:
    """No negative ones."""
    w = c.reals(57)
    c.fields = {"W": w, "function": CONSTRAINTS["non_neg"], "n": 1, "inner": 1, "fixed": 57, "block": 8}
    return {"W": np.maximum(ref.float64(w), 0)}


def constrain_signs(c: Any) -> dict[str, Array]:
    """Rows of each sign and of none, columns of both."""
    w, r = c.reals(7, 37), np.array([1, -1, 0, 1, 0, -1, 1], c.table.dtype)
    columns = np.where(np.arange(37) % 3 == 0, -1, 1).astype(c.table.dtype)
    c.fields = {"W": w, "r": r, "c": columns, "n": 37, "fixed": 7, "block": 2}
    return {"W": np.where(r[:, None] * columns * ref.float64(w) < 0, 0, w)}


def spectral_normalize(c: Any) -> dict[str, Array]:
    """Two steps of power iteration, in float64."""
    w, u = c.reals(7, 5), c.reals(5)
    c.fields = {"W": w, "u": u, "room": c.poisoned(12), "rows": 7, "n": 5, "iterations": 2, "fixed": 1, "block": 1}
    wide, x = ref.float64(w), ref.float64(u)
    for _ in range(2):
        v = wide @ x / np.linalg.norm(wide @ x)
        x = v @ wide / np.linalg.norm(v @ wide)
    return {"W": wide / (v @ wide @ x), "u": x, "room": np.concatenate([v, x])}


def spectral_normalize__of_zeros(c: Any) -> dict[str, Array]:
    """Stays."""
    w, u = 0 * c.reals(7, 5), c.reals(5)
    c.fields = {"W": w, "u": u, "room": c.poisoned(12), "rows": 7, "n": 5, "iterations": 2, "fixed": 1, "block": 1}
    return {"W": ref.float64(w), "u": ref.float64(u), "room": np.zeros(12)}


def repack(c: Any) -> dict[str, Array]:
    """Without copies there is nothing to do; test_packing looks at those."""
    w = c.reals(57)
    of_chunks(c)
    c.fields = {"W": w}
    return {"W": ref.float64(w)}


def muon_momentum(c: Any) -> dict[str, Array]:
    g, m = c.reals(57), c.reals(57)
    c.fields, c.bind = {"dW": g, "m": m, "X": c.poisoned(57), "fixed": 57, "block": 8}, bound(nn.optimizers.Muon())
    want = 0.95 * ref.float64(m) + g
    return {"m": want, "X": g + 0.95 * want}


def normalize_matrix(c: Any) -> dict[str, Array]:
    x = c.reals(5, 11)
    c.fields = {"X": x, "n": 55, "fixed": 1, "block": 1}
    return {"X": ref.float64(x) / (np.linalg.norm(ref.float64(x)) + 1e-7)}


def matrix_product(c: Any) -> dict[str, Array]:
    a, b = c.reals(5, 11), c.reals(11, 7)
    c.fields = {"A": a, "B": b, "C": c.poisoned(5, 7), "rows": 5, "n": 7, "k": 11, "form": 0}
    return {"C": ref.float64(a) @ ref.float64(b)}


def matrix_product__of_the_second_transposed(c: Any) -> dict[str, Array]:
    a, b = c.reals(5, 11), c.reals(7, 11)
    c.fields = {"A": a, "B": b, "C": c.poisoned(5, 7), "rows": 5, "n": 7, "k": 11, "form": 1}
    return {"C": ref.float64(a) @ ref.float64(b).T}


def matrix_product__of_the_first_transposed(c: Any) -> dict[str, Array]:
    a, b = c.reals(11, 5), c.reals(11, 7)
    c.fields = {"A": a, "B": b, "C": c.poisoned(5, 7), "rows": 5, "n": 7, "k": 11, "form": 2}
    return {"C": ref.float64(a).T @ ref.float64(b)}


def combine(c: Any) -> dict[str, Array]:
    x, z = c.reals(57), c.reals(57)
    c.fields = {"X": x, "Z": z, "Y": c.poisoned(57), "a": 0.75, "b": -2.0}
    return {"Y": 0.75 * ref.float64(x) - 2 * ref.float64(z)}


def descend(c: Any) -> dict[str, Array]:
    w, x = c.reals(57), c.reals(57)
    c.fields, c.bind = {"W": w, "X": x, "rate": 3.0}, bound(nn.SGD())
    return {"W": ref.float64(w) - 1.5 * x}


def activity_penalty(c: Any) -> dict[str, Array]:
    y = c.reals(SAMPLES, 9)
    wide = ref.float64(y)
    c.fields = {"Y": y, "dY": c.poisoned(SAMPLES, 9), "n": 9, "l1": 0.5, "l2": 0.25, "block": CHUNK_ROWS}
    c.sums = np.zeros(2)
    value, slope = ref.regularize(wide, 0.5, 0.25)
    return {"dY": slope / SAMPLES, "sums": np.array([value, SAMPLES])}


def orthogonal_penalty(c: Any) -> dict[str, Array]:
    """Its gradient by the definition of each product, through the norms."""
    w, g = c.reals(5, 9), c.reals(5, 9)
    sizes = {"rows": 5, "n": 9, "factor": 0.5, "fixed": 1, "block": 1}
    c.fields, c.sums = {"W": w, "dW": g, "room": c.poisoned(2 * 45 + 25 + 5)} | sizes, np.zeros(2)
    of_chunks(c)
    c.parts = {"by_chunks": 1, "per_step": 1}
    wide = ref.float64(w)
    norms = np.linalg.norm(wide, axis=1)
    unit, slope = wide / norms[:, None], np.zeros((5, 9))
    for i in range(5):
        for j in range(5):
            if i != j:
                sign, cosine = np.sign(unit[i] @ unit[j]), unit[i] @ unit[j]
                slope[i] += 0.5 / 10 * sign * (unit[j] - cosine * unit[i]) / norms[i]
    signs = np.sign(unit @ unit.T) * (1 - np.eye(5))
    room = np.concatenate([unit.ravel(), signs.ravel(), (signs @ unit).ravel(), norms])
    value = 0.5 / 10 * np.abs(np.tril(unit @ unit.T, -1)).sum()
    return {"dW": g + slope, "room": room, "sums": np.array([SAMPLES * value, SAMPLES])}


UPDATES: list[Callable[[Any], dict[str, Array]]] = [
    update, update__of_another, update__of_whole, update__of_lamb, trust, adafactor, adafactor__of_vectors, collect,
    collect__of_the_last, average, average__of_overwriting, constrain, constrain__of_runs, constrain__of_signs,
    constrain_signs, spectral_normalize, spectral_normalize__of_zeros, repack,
    muon_momentum, normalize_matrix, matrix_product, matrix_product__of_the_second_transposed,
    matrix_product__of_the_first_transposed, combine, descend, activity_penalty, orthogonal_penalty,
]  # fmt: skip

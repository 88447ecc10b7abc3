"""Cases of `test_operations`: rows of a table by number, gradients of which few rows are not 0; features of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import reference as ref
from cases import SAMPLES, Case, parts, parts_of
from kernels import Array

from nncore import optimizers
from nncore._kernels.table import OPTIMIZERS, SUM_ROWS


def numbers_of(c: Case) -> tuple[Array, dict[str, Array]]:
    """Numbers of three places a sample, and what sort_ids finds of them: what it leaves is −7."""
    x = c.rng.choice([0, 3, 256, 299, 299, 5], (SAMPLES, 3)).astype(np.int32)
    ids, starts = np.unique(np.sort(x.ravel()), return_index=True)
    found = {"places": np.argsort(x.ravel(), kind="stable"), "count": np.array([len(ids)])}
    for key, values in (("ids", ids), ("starts", starts)):
        found[key] = np.full(x.size, -7)
        found[key][: len(ids)] = values
    return x, {key: value.astype(np.int32).reshape((-1, 3) if len(value) > 1 else 1) for key, value in found.items()}


def lookup(c: Case) -> dict[str, Array]:
    x, w = numbers_of(c)[0], c.reals(300, 5)
    c.fields = {"X": x, "W": w, "Y": c.poisoned(SAMPLES, 3, 5), "n": 5, "per_sample": 3, "block": 8}
    return {"Y": w[x]}


def sort_ids(c: Case) -> dict[str, Array]:
    x, found = numbers_of(c)
    given = {key: np.full_like(value, -7) for key, value in found.items()} | {"room": np.full_like(x, -7)}
    c.fields = {"X": x, "rows": 3, "limit": 300, "fixed": 1, "block": 1} | given
    return found | {"room": np.argsort(x.ravel() & 255, kind="stable")}


def lookup_backward(c: Case) -> dict[str, Array]:
    x, dy, dw = numbers_of(c)[0], c.reals(SAMPLES, 3, 21), np.zeros((300, 21))
    sizes = {"rows": 3, "n": 21, "limit": 300, "fixed": 21, "block": 16}
    c.fields = {"X": x, "dY": dy, "dW": c.poisoned(300, 21)} | sizes
    np.add.at(dw, x, ref.float64(dy))
    return {"dW": dw}


def lookup_backward_rows(c: Case) -> dict[str, Array]:
    (x, found), dy, dw = numbers_of(c), c.reals(SAMPLES, 3, 5), np.zeros((300, 5))
    given = {key: found[key] for key in ("places", "starts", "count")} | {"dY": dy, "dW": c.poisoned(SAMPLES, 3, 5)}
    c.fields = given | {"rows": 3, "n": 5, "per_sample": 3, "block": 2}
    np.add.at(dw, x, ref.float64(dy))
    rows = np.full((SAMPLES * 3, 5), np.nan)
    rows[: found["count"][0]] = dw[np.unique(x)]
    return {"dW": rows}


def update_rows(c: Case) -> dict[str, Array]:
    x, found = numbers_of(c)
    w, v, g, ids = c.reals(300, 5), c.reals(300, 5), c.reals(SAMPLES, 3, 5), np.unique(x)
    optimizer = optimizers.SGD(momentum=0.5)
    optimizer.counter[0] = 4

    def bind(run: Any) -> None:
        run.bind_optimizer(0, "sgd", optimizer.numbers, optimizer.counter, 0.75, 0.0)
        run.bind_schedules(3, 6, [np.array([9, 0.5, 9]), np.array([0.125])])

    given = {"ids": found["ids"], "count": found["count"], "dW": g, "W": w, "state": v}
    c.fields = given | {"n": 5, "decay": 1.0, "rate": 0.5, "function": OPTIMIZERS["sgd"], "per_sample": 3}
    c.fields |= {"block": 2}
    c.bind = bind
    want_v, want = ref.float64(v), ref.float64(w)
    want_v[ids] = 0.5 * want_v[ids] - 0.25 * np.clip(ref.float64(g).reshape(-1, 5)[: len(ids)], -0.75, 0.75)
    want[ids] = want[ids] * (1 - 0.25 * 0.125) + want_v[ids]
    return {"W": want, "state": want_v}


def numbers_given(c: Case, k: int, p: int) -> tuple[dict[str, Array], Array, Array]:
    """Three numbers for each of two rows of a sample, their angles and lines."""
    x, frequency, phase = c.reals(SAMPLES, 2, 3), c.reals(3, k), c.reals(3, k)
    factors, offsets = c.reals(3, p), c.reals(3, p)
    given = {"X": x, "frequency": frequency, "phase": phase} | ({"factors": factors, "offsets": offsets} if p else {})
    c.fields = given | {"n": 3, "k": k, "p": p, "per_sample": 2}
    wide = ref.float64(x)[..., np.newaxis]
    return given, wide * frequency + phase, wide * factors + offsets


def number_features(c: Case) -> dict[str, Array]:
    _, angles, lines = numbers_given(c, 19, 5)
    c.fields |= {"Y": c.poisoned(SAMPLES, 2, 3, 24), "block": 4}
    return {"Y": np.concatenate([np.cos(np.pi * angles), np.clip(lines, 0, 1)], axis=-1)}


def number_features__without_lines(c: Case) -> dict[str, Array]:
    _, angles, _ = numbers_given(c, 16, 0)
    c.fields |= {"Y": c.poisoned(SAMPLES, 2, 3, 16), "block": 4}
    return {"Y": np.cos(np.pi * angles)}


def number_features_backward(c: Case) -> dict[str, Array]:
    given, angles, lines = numbers_given(c, 19, 5)
    dy = c.reals(SAMPLES, 2, 3, 24)
    outputs = {"dX": c.poisoned(SAMPLES, 2, 3), "dfrequency": parts(c, 57), "dphase": parts(c, 57)}
    c.fields |= {"dY": dy, "block": SUM_ROWS} | outputs
    d = -np.pi * np.sin(np.pi * angles) * dy[..., :19]
    bent = np.where((lines > 0) & (lines < 1), ref.float64(given["factors"]) * dy[..., 19:], 0)
    by_row = (SAMPLES, 2, 57)
    dfrequency = parts_of((d * given["X"][..., np.newaxis]).reshape(by_row))
    dx = (d * given["frequency"]).sum(-1) + bent.sum(-1)
    return {"dX": dx, "dfrequency": dfrequency, "dphase": parts_of(d.reshape(by_row))}


EMBEDDING = [
    lookup,
    sort_ids,
    lookup_backward,
    lookup_backward_rows,
    update_rows,
    number_features,
    number_features__without_lines,
    number_features_backward,
]

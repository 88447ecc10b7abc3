"""Cases of `test_operations`: numbers of intervals, and columns that count numbers."""

from __future__ import annotations

import numpy as np
import reference as ref
from cases import SAMPLES, Case
from kernels import Array


def digitize(c: Case) -> dict[str, Array]:
    """Also of what is on a boundary, infinite, or none."""
    boundaries = np.sort(c.reals(9))
    x = np.concatenate([c.reals(SAMPLES, 7), np.tile(boundaries[:4], (SAMPLES, 1))], axis=1)
    x[0, :3] = np.inf, -np.inf, np.nan
    c.fields = {"X": x, "boundaries": boundaries, "Y": np.full(x.shape, -7, np.int32), "n": 9, "block": 300}
    return {"Y": np.digitize(x, boundaries)}


def digitize__of_many(c: Case) -> dict[str, Array]:
    """More boundaries than are compared with all, some equal; more elements than are looked at together."""
    boundaries = np.sort(c.reals(99).round(1))
    x = c.reals(SAMPLES, 7).round(1)
    c.fields = {"X": x, "boundaries": boundaries, "Y": np.full(x.shape, -7, np.int32), "n": 99, "block": 999}
    return {"Y": np.digitize(x, boundaries)}


def numbers(c: Case) -> Array:
    """Rows of three numbers from −1 to 5, some more than once."""
    return c.rng.integers(-1, 6, (SAMPLES, 2, 3)).astype(np.int32)


def hot(x: Array) -> Array:
    """(…, 3, 5): where each number from 0 to 4 stands."""
    return np.asarray(x[..., None] == np.arange(5), np.float64)


SIZES = {"k": 3, "n": 5, "per_sample": 2, "block": 4}


def count_numbers(c: Case) -> dict[str, Array]:
    x = numbers(c)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 2, 5)} | SIZES
    return {"Y": hot(x).sum(2)}


def count_numbers__once(c: Case) -> dict[str, Array]:
    x = numbers(c)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 2, 5), "once": 1} | SIZES
    return {"Y": hot(x).max(2)}


def count_numbers__scaled(c: Case) -> dict[str, Array]:
    x, scale = numbers(c), c.reals(5)
    c.fields = {"X": x, "scale": scale, "Y": c.poisoned(SAMPLES, 2, 5)} | SIZES
    return {"Y": hot(x).sum(2) * ref.float64(scale)}


def differs(c: Case) -> dict[str, Array]:
    """Of rows that are 2.5 all through, in part, and nowhere; nan is not."""
    x = c.reals(SAMPLES, 2, 3)
    x[0], x[1, :, :2], x[2, 0] = 2.5, 2.5, np.nan
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 2), "n": 3, "value": 2.5, "per_sample": 2, "block": 4}
    return {"Y": (x != 2.5).any(2).astype(np.float64)}


def differs__of_whole_numbers(c: Case) -> dict[str, Array]:
    x = numbers(c)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 6), "n": 1, "integers": 1, "per_sample": 6, "block": 4}
    return {"Y": (x != 0).reshape(SAMPLES, 6).astype(np.float64)}


PREPROCESSING = [
    digitize,
    digitize__of_many,
    count_numbers,
    count_numbers__once,
    count_numbers__scaled,
    differs,
    differs__of_whole_numbers,
]

"""Cases of `test_operations`: noise."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import reference as ref
from cases import SAMPLES, Case
from kernels import Array

normal = np.vectorize(NormalDist().inv_cdf)
STEPS = np.array([5])
KEY = 11, 2 << 48 ^ 5


def uniform(n: int) -> Array:
    """The first n random numbers, from 0 to 1."""
    return np.array([ref.uniform(i, KEY) for i in range(n)])


def random(c: Case, x: Array, **settings: Any) -> Array:
    """Let the case draw for X as layer 2 of seed 11 at step 5; the random numbers, from 0 to 1."""
    c.fields = {"X": x, "Y": c.poisoned(*x.shape), "layer": 2, "seed": -1, "block": 64} | settings
    c.bind = lambda run: run.bind_random(11, STEPS)
    return uniform(x.size).reshape(x.shape)


def gaussian_noise(c: Case) -> dict[str, Array]:
    x = c.reals(SAMPLES, 9)
    u = random(c, x, stddev=0.5)
    c.tolerance = 3e-6
    return {"Y": x + 0.5 * normal(u + 2.0**-25)}


def gaussian_dropout(c: Case) -> dict[str, Array]:
    x = c.reals(SAMPLES, 9)
    u = random(c, x, rate=0.2)
    c.tolerance = 3e-6
    return {"Y": x * (1 + 0.5 * normal(u + 2.0**-25))}


def selu_constants(rate: float) -> tuple[float, float, float]:
    """−λ α, and the factor and offset after which mean and variance are what they were."""
    low = -1.0507009873554805 * 1.6732632423543772
    factor = ((1 - rate) * (1 + rate * low**2)) ** -0.5
    return low, factor, -factor * low * rate


def alpha_dropout(c: Case) -> dict[str, Array]:
    x = c.reals(SAMPLES, 9)
    u = random(c, x, rate=0.25)
    low, factor, offset = selu_constants(0.25)
    return {"Y": factor * np.where(u >= 0.25, ref.float64(x), low) + offset}


def alpha_dropout__backward(c: Case) -> dict[str, Array]:
    x = c.reals(SAMPLES, 9)
    u = random(c, x, rate=0.25, backward=1)
    return {"Y": selu_constants(0.25)[1] * np.where(u >= 0.25, ref.float64(x), 0)}


def column_dropout(c: Case) -> dict[str, Array]:
    x = c.reals(SAMPLES, 3, 75)
    random(c, x, rate=0.25, rows=3, n=75, block=4)
    u = uniform(SAMPLES * 75).reshape(SAMPLES, 1, 75)
    return {"Y": np.where(u >= 0.25, ref.float64(x) / 0.75, 0)}


def column_dropout__own_seed(c: Case) -> dict[str, Array]:
    """The layer has a seed of its own, and that of the run does not count."""
    x = c.reals(SAMPLES, 3, 75)
    random(c, x, rate=0.25, rows=3, n=75, block=4, seed=11)
    c.bind = lambda run: run.bind_random(2**40, STEPS)
    u = uniform(SAMPLES * 75).reshape(SAMPLES, 1, 75)
    return {"Y": np.where(u >= 0.25, ref.float64(x) / 0.75, 0)}


RANDOM = [
    gaussian_noise, gaussian_dropout, alpha_dropout, alpha_dropout__backward, column_dropout, column_dropout__own_seed,
]  # fmt: skip

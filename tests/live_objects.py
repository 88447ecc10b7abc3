"""A compiled model of two layers, on which attributes are set."""

from __future__ import annotations

from typing import Any

import numpy as np

import nncore as nn

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(40, 4)), RNG.normal(size=(40, 1))


def net(*layers: Any, **settings: Any) -> nn.Model:
    model = nn.Sequential(layers or [nn.Dense(5, activation="tanh"), nn.Dense(1)], seed=0, dtype="float64", **settings)
    model.build(4)
    model.compile(nn.Adam(0.01), "mse")
    return model

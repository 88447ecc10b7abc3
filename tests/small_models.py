"""A small classifier and a neuron whose training is a formula, of which tests of `Model` ask."""

from __future__ import annotations

from typing import Any

import numpy as np

import nncore as nn

RNG = np.random.default_rng(5)
X = RNG.normal(size=(50, 4)).astype(np.float32)
LABELS = RNG.integers(0, 3, 50)


def classifier(**settings: Any) -> nn.Model:
    model = nn.Model([nn.Dense(6, activation="relu"), nn.Dense(3, activation="softmax")], **({"seed": 7} | settings))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def linear(**settings: Any) -> nn.Model:
    """One float64 neuron with W = 0, b = 0, whose training is a formula."""
    model = nn.Model([nn.Input(2), nn.Dense(1, kernel_initializer="zeros")], seed=0, dtype="float64", **settings)
    model.compile(nn.SGD(0.1), "mse")
    return model


LX, LY = RNG.normal(size=(12, 2)), RNG.normal(size=12)


def descend(w: np.ndarray, b: float, x: np.ndarray, y: np.ndarray, rate: float, weight: Any = 1.0) -> Any:
    """A step of gradient descent on Σ weight (x w + b − y)² / n, and the loss before it."""
    e = x @ w + b - y
    return (
        w - rate * 2 * (x.T @ (weight * e)) / len(x),
        b - rate * 2 * np.sum(weight * e) / len(x),
        np.mean(weight * e**2),
    )


def same(a: nn.Model, b: nn.Model) -> bool:
    return all(np.array_equal(v, w) for v, w in zip(a.get_weights(), b.get_weights(), strict=True))

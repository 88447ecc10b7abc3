"""A classifier and its data, for calls that are given what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np

import nncore as nn

RNG = np.random.default_rng(6)
X = RNG.normal(size=(40, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 40)
HOT = nn.to_categorical(Y)


def classifier(loss: str = "sparse_categorical_crossentropy") -> nn.Model:
    model = nn.Model([nn.Input(4), nn.Dense(5, activation="relu"), nn.Dense(3, activation="softmax")], seed=0)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def unchanged(model: nn.Model, before: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def with_row(a: Any, row: int, value: Any) -> np.ndarray:
    a = np.array(a)
    a[row] = value
    return a

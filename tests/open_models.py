"""Classifiers of series, whose steps the data settle or are known, and batches of different lengths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import nncore as nn

Array = np.ndarray[Any, Any]


def series(steps: int | None = None, **settings: Any) -> nn.Model:
    """A classifier of series."""
    x = nn.Input((steps, 4))
    h = nn.Dropout(0.25)(nn.Conv1D(6, 3, activation="relu")(x))
    return nn.Model(x, nn.Dense(3, "softmax")(nn.GlobalMaxPooling1D()(h)), **{"seed": 1} | settings)


def compiled(model: nn.Model, optimizer: Any = "adam", **settings: Any) -> nn.Model:
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **settings)
    return model


def batch(steps: int, rows: int = 8) -> tuple[Array, Array]:
    """The same for the same number of steps."""
    rng = np.random.default_rng(steps)
    return rng.random((rows, steps, 4)).astype(np.float32), rng.integers(0, 3, rows)


def batches() -> Iterator[tuple[Array, Array]]:
    for steps in (9, 14, 5, 9, 21):
        yield batch(steps)

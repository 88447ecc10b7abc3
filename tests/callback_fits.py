"""A small regression and its fit with callbacks."""

from __future__ import annotations

from typing import Any

import numpy as np

import nncore as nn
from nncore.callbacks import History

RNG = np.random.default_rng(3)
X = RNG.normal(size=(40, 4)).astype(np.float32)
Y = X[:, :1] - X[:, 1:2]


def model(**settings: Any) -> nn.Model:
    made = nn.Model([nn.Dense(5, activation="tanh"), nn.Dense(1)], seed=0)
    made.compile("sgd", "mse", **settings)
    return made


def fit(made: nn.Model, *callbacks: Any, **settings: Any) -> History:
    history: History = made.fit(X, Y, **{"verbose": 0, "epochs": 4} | settings, callbacks=list(callbacks))
    return history


class Interrupts(nn.Callback):
    """Breaks off a fit after so many steps, as Ctrl-C would."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def same(weights: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(weights, others, strict=True))

"""Epochs without a model: what callbacks are given, number by number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nncore.callbacks import Callback, CallbackList, History

nan = math.nan


class Model:
    """What callbacks need of a model; its one weight is the number of steps done."""

    stop_training = False
    history: Any = None
    fit_state: Any = None

    def __init__(self) -> None:
        self.weights = [np.zeros(1)]
        self.saved: list[str] = []

    def get_weights(self) -> list[np.ndarray]:
        return self.weights  # not even a copy

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.weights[0][...] = weights[0]

    def save(self, path: str) -> None:
        self.saved.append(path)

    def save_weights(self, path: str) -> None:
        self.saved.append("weights of " + path)


def run(callback: Any, *epochs: float | dict[str, Any], monitor: str = "val_loss", first: int = 0) -> Model:
    """One value of the monitored quantity per epoch; the weight after epoch i is i."""
    model = Model()
    every = CallbackList(callback, model=model, history=History())
    every.on_train_begin()
    for epoch, value in enumerate(epochs, first):
        every.on_epoch_begin(epoch)
        model.weights[0][...] = epoch
        every.on_epoch_end(epoch, dict(value) if isinstance(value, dict) else {monitor: value})
        if model.stop_training:
            break
    every.on_train_end()
    return model


HOOKS = [name for name in vars(Callback) if name.startswith("on_")]

"""Layers and models of a user's own that join others by `call`, and the same written functionally."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import nncore as nn

Array = np.ndarray[Any, Any]
LOSS = "sparse_categorical_crossentropy"
X = np.random.default_rng(0).normal(size=(70, 8)).astype(np.float32)
Y = np.arange(70) % 3


@nn.saving.register_keras_serializable("composed_parts")
class Block(nn.Layer):
    """Two dense layers around which the input goes."""

    def __init__(self, units: int, rate: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.rate = units, rate
        self.hidden = nn.Dense(units, "relu")
        self.out = nn.Dense(units)
        self.drop = nn.Dropout(rate)

    def call(self, x: Any) -> Any:
        return nn.ReLU()(self.out(self.drop(self.hidden(x))) + x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "rate": self.rate}


@nn.saving.register_keras_serializable("composed_parts")
class Net(nn.Model):
    """A block, called twice, and a head."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.block = Block(8)
        self.head = nn.Dense(3, "softmax")

    def call(self, x: Any, training: Any = False) -> Any:
        return self.head(self.block(self.block(x)))


def functional(seed: int = 0, dtype: str | None = None) -> nn.Model:
    """`Net`, of symbols, with layers in the same order."""
    x = nn.Input(8)
    hidden, out, drop = nn.Dense(8, "relu"), nn.Dense(8), nn.Dropout(0.1)

    def block(x: Any) -> Any:
        return nn.ReLU()(out(drop(hidden(x))) + x)

    return nn.Model(x, nn.Dense(3, "softmax")(block(block(x))), seed=seed, dtype=dtype)


def around(dtype: str | None = None) -> nn.Model:
    """A functional model with a `Block`."""
    x, block = nn.Input(8), Block(8)
    return nn.Model(x, nn.Dense(3, "softmax")(block(block(x))), seed=0, dtype=dtype)


def same(one: Any, other: Any) -> bool:
    """Whether two lists or dicts of arrays have the same bits."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def fitted(model: nn.Model, **settings: Any) -> dict[str, list[float]]:
    """The history of a fit."""
    model.compile(nn.Adam(0.01), LOSS, metrics=["accuracy"])
    history: dict[str, list[float]] = model.fit(X, Y, batch_size=16, verbose=0, **{"epochs": 3} | settings).history
    return history


def net(call: Callable[..., Any], **parts: Any) -> nn.Model:
    """A model with this `call` and these attributes."""
    made: nn.Model = type("Net", (nn.Model,), {"call": call})(seed=0)
    for name, part in parts.items():
        setattr(made, name, part)
    return made

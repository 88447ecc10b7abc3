"""A small classifier and the same in NumPy (reference.py), trained on the same batches in the same order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import reference as ref
from numpy.typing import NDArray

import nncore as nn
from nncore._kernels.table import permutation
from nncore.training.fit import SHUFFLE_STREAM

Array = NDArray[Any]

N, INPUTS, CLASSES, BATCH = 53, 6, 4, 16  # the last batch has 5 rows
LOSS = "sparse_categorical_crossentropy"


def network(optimizer: Any = None, l2: float = 0.0, seed: int = 4, **kwargs: Any) -> nn.Model:
    layers = [nn.Input(INPUTS), nn.Dense(8, "tanh", kernel_regularizer=nn.regularizers.L2(l2) if l2 else None)]
    layers.append(nn.Dense(CLASSES, "softmax", kernel_regularizer=nn.regularizers.L2(l2) if l2 else None))
    model = nn.Model(layers, seed=seed, dtype="float64")
    model.compile(optimizer or nn.SGD(0.1), LOSS, **kwargs)
    return model


def twin(model: nn.Model, l2: float = 0.0, **clips: float) -> ref.MLP:
    """The same network in NumPy."""
    o = model.optimizer
    names = ("learning_rate", "weight_decay", "momentum", "beta_1", "beta_2", "rho", "epsilon", "nesterov", "centered")
    rule = ref.Rule(clip_value=o.clipvalue or math.inf, **{n: getattr(o, n) for n in names if hasattr(o, n)})
    return ref.MLP(model.get_weights(), "tanh", optimizer=o.kernel, rule=rule, l2=l2, **clips)


def shuffled(model: nn.Model, epoch: int, n: int = N) -> Array:
    """The order of pass number `epoch`, from 0."""
    order = np.empty(n, np.int64)
    permutation(model.seed, SHUFFLE_STREAM | (epoch + 1), order)
    return order


def batches(order: Array, size: int = BATCH) -> Iterator[Array]:
    return (order[i : i + size] for i in range(0, len(order), size))


def assert_weights(model: nn.Model, mlp: ref.MLP) -> None:
    for a, b in zip(model.get_weights(), mlp.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def train(mlp: ref.MLP, orders: list[Array], x: Array, y: Array, w: Array | None = None) -> list[float]:
    """One epoch per order; the losses, averaged over samples."""
    history = []
    for order in orders:
        total = 0.0
        for rows in batches(order):
            total += len(rows) * mlp.step(x[rows], y[rows], None if w is None else w[rows])
        history.append(total / len(order))
    return history

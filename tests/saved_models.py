"""A stack of layers to save, and files rewritten with another document or other tensors."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

import nncore as nn
from nncore import files

RNG = np.random.default_rng(10)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 60)


def stack(optimizer: Any = "adam", **settings: Any) -> nn.Model:
    layers = [
        nn.Rescaling(0.5, offset=0.1),
        nn.Reshape((2, 2)),
        nn.Flatten(),
        nn.Dense(6, activation="leaky_relu", kernel_regularizer=nn.regularizers.L1L2(0.01, 0.02), name="hidden"),
        nn.Dropout(0.3),
        nn.Dense(5, use_bias=False, kernel_initializer=nn.initializers.Orthogonal()),
        nn.Activation("gelu"),
        nn.Dense(3, activation="softmax", bias_regularizer="l2"),
    ]
    model = nn.Model(layers, seed=11, **settings)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["acc"])
    return model


def rewritten(path: pathlib.Path, change: Any) -> pathlib.Path:
    """The file with its document or tensors changed, and otherwise well formed."""
    tensors, document = files.read(path)
    change(document, tensors)
    files.write(path.with_name("changed"), tensors, document)
    return path.with_name("changed")


def put(*keys: Any) -> Any:
    """Set document[keys…] = the last of them."""

    def change(document: Any, tensors: Any) -> None:
        *path, last, value = keys
        for key in path:
            document = document[key]
        document[last] = value

    return change

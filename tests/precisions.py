"""Models for the tests of lower precisions, large enough for their products, and what they do as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from kernels import assert_same_bits
from numpy.typing import NDArray

import nncore as nn
from nncore import runtime

Array = NDArray[Any]

RNG = np.random.default_rng(7)
X = RNG.standard_normal((150, 170)).astype(np.float32)
Y = (X[:, :10] + RNG.standard_normal((150, 10))).argmax(axis=1)
LOSS = "sparse_categorical_crossentropy"


def has_copies(precision: str) -> bool:
    return runtime.kernels("float32").arithmetic(precision) != "float32"


def stack(precision: str = "highest", threads: int = 1, optimizer: Any = None, dtype: str = "float32") -> nn.Model:
    """No size is a multiple of 32; the last is too small for copies; 32 rows of the first are more than a chunk."""
    layers = [
        nn.Input(170),
        nn.Dense(600, "elu"),
        nn.Dense(140, "tanh", use_bias=False, kernel_regularizer="l2"),
        nn.Dense(131, "gelu", bias_regularizer="l1"),
        nn.Dense(10, "softmax"),
    ]
    made = nn.Model(layers, seed=3, n_threads=threads, dtype=dtype)
    made.compile(nn.SGD(0.1) if optimizer is None else optimizer, LOSS, matmul_precision=precision)
    return made


def assert_all_same(found: list[Array], wanted: list[Array], what: object = "") -> None:
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert_same_bits(a, b, (what, i))
        assert np.isfinite(a).all()


def one_step(made: nn.Model) -> list[Array]:
    """All that forward and backward products lead to."""
    figures = [made.evaluate(X, Y, verbose=0)]
    return [made.predict(X), np.array([*figures, made.train_on_batch(X[:90], Y[:90])]), *made.get_weights()]

"""The dtype of models and layers that are not told one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import backend


@pytest.fixture
def double() -> Iterator[None]:
    backend.set_floatx("float64")
    yield
    backend.set_floatx("float32")


X = np.random.default_rng(2).standard_normal((20, 3))


@pytest.mark.usefixtures("double")
def test_models_and_layers_have_it() -> None:
    assert backend.floatx() == "float64"
    model = nn.Sequential([nn.Input((3,)), nn.Dense(4, "tanh", dtype="float64"), nn.Dense(1, dtype=np.float64)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], verbose=0)
    W, b, V, c = model.get_weights()
    assert model.dtype == W.dtype == "float64"
    np.testing.assert_allclose(model.predict(X), np.tanh(X @ W + b) @ V + c, rtol=1e-13, atol=1e-14)
    layer = nn.Dense(2)
    np.testing.assert_allclose(layer(X), X @ layer.get_weights()[0], rtol=1e-13, atol=1e-14)  # sums near 0
    built = nn.Dense(2)
    built.build((None, 3))
    assert built.kernel.dtype == "float64"
    assert nn.Model([nn.Input(3), nn.Dense(1)], dtype="float32").dtype == "float32"


def test_others_are_refused_without_it() -> None:
    assert backend.floatx() == "float32" and nn.Model([nn.Input(3), nn.Dense(1)]).dtype == "float32"
    with pytest.raises(TypeError, match=r"dtype: .* A model has one dtype: .*, or that of nncore.backend.set_floatx"):
        nn.Dense(3, dtype="float64")
    value: Any
    for value in ("float16", "bfloat16", None, int):
        with pytest.raises(ValueError, match='dtype: expected "float32" or "float64", got'):
            backend.set_floatx(value)
    assert backend.floatx() == "float32"

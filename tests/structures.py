"""Models of shared and nested layers, of several inputs and outputs, that several tests look at."""

from __future__ import annotations

from typing import Any

import numpy as np

import nncore as nn

RNG = np.random.default_rng(11)
X = RNG.normal(size=(40, 4))
Y = RNG.normal(size=(40, 2))
Z = np.random.default_rng(12).normal(size=(40, 2, 3))
KINDS = np.random.default_rng(13).integers(0, 3, 40)
W = np.linspace(0, 2, 40)
SPARSE = "sparse_categorical_crossentropy"
LOSSES = ["mse", SPARSE]  # of `two_heads`


def dense(x: Any, layer: nn.Dense) -> Any:
    w, b = layer.get_weights()
    z = x @ w + b
    return np.tanh(z) if layer.activation.kernel == "tanh" else z


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(v, w) for v, w in zip(a.get_weights(), b.get_weights(), strict=True))


def twice() -> tuple[nn.Model, nn.Dense]:
    """A layer that reads its own output."""
    x, layer = nn.Input(4), nn.Dense(4, "tanh", name="shared")
    return nn.Model(x, nn.Dense(2, name="end")(layer(layer(x))), seed=0, dtype="float64"), layer


def base(seed: int = 0, name: str = "base", **settings: Any) -> nn.Model:
    x = nn.Input(4)
    h = nn.Dense(5, "tanh", name="hidden")(x)
    return nn.Model(x, nn.Dense(2, name="head")(h), seed=seed, dtype="float64", name=name, **settings)


def two_of_each() -> tuple[Any, Any, Any, Any]:
    a, b = nn.Input(4, name="left"), nn.Input((2, 3), name="right")
    h = nn.Dense(3, "tanh", name="h")(a)
    joined = nn.Concatenate(name="joined")([h, nn.Flatten(name="flat")(b)])
    return a, b, nn.Dense(2, name="value")(joined), nn.Reshape((3, 1), name="tall")(h)


def two_heads(dtype: str = "float64", **settings: Any) -> nn.Model:
    """Of `X` and `Z`: a hidden layer, from which one head makes values, such as `Y`, and the other one of 3 `KINDS`."""
    a, b = nn.Input(4, name="left"), nn.Input((2, 3), name="right")
    joined = nn.Concatenate(name="joined")([a, nn.Flatten(name="flat")(b)])
    h = nn.Dense(5, "tanh", kernel_regularizer="l2", name="h")(joined)
    value, kind = nn.Dense(2, name="value")(h), nn.Dense(3, "softmax", name="kind")(h)
    return nn.Model([a, b], [value, kind], seed=0, dtype=dtype, **settings)


def compiled(**settings: Any) -> nn.Model:
    model = two_heads()
    model.compile(**({"optimizer": nn.SGD(0.1), "loss": LOSSES} | settings))
    return model


def trained(settings: dict[str, Any], **data: Any) -> tuple[nn.Model, dict[str, list[float]]]:
    """`two_heads`, compiled with these settings, after a fit; and its history."""
    model = compiled(**settings)
    data = {"x": [X, Z], "y": [Y, KINDS], "batch_size": 16, "epochs": 2, "verbose": 0} | data
    return model, model.fit(**data).history


def assert_trained_alike(a: tuple[nn.Model, Any], b: tuple[nn.Model, Any]) -> None:
    assert same(a[0], b[0]) and a[1] == b[1]
    assert not same(a[0], two_heads())


def autoencoder() -> tuple[nn.Model, nn.Model, nn.Model]:
    encoder = nn.Sequential([nn.Input(4), nn.Dense(3, "tanh"), nn.Dense(2)], seed=1, name="encoder", dtype="float64")
    code = nn.Input(2)
    decoder = nn.Model(code, nn.Dense(4)(nn.Dense(3, "tanh")(code)), seed=2, name="decoder", dtype="float64")
    x = nn.Input(4)
    return encoder, decoder, nn.Model(x, decoder(encoder(x)), seed=3, name="both", dtype="float64")

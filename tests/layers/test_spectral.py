"""SpectralNormalization: kernels of spectral norm 1 after each update, in files, in what it refuses."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

import nncore as nn

RNG = np.random.default_rng(4)
X, Y = RNG.standard_normal((24, 30)), RNG.standard_normal((24, 12))


def model_of(layer: Any, **settings: Any) -> nn.Model:
    model = nn.Sequential([nn.Input(30), layer, nn.Dense(12)], seed=3, dtype="float64", **settings)
    model.compile(nn.SGD(0.1), "mse")
    return model


def wrapped(**settings: Any) -> nn.SpectralNormalization:
    return nn.SpectralNormalization(nn.Dense(8, "tanh"), **settings)


@pytest.mark.parametrize("iterations", [1, 3])
def test_each_update_ends_with_a_division_by_the_norm(iterations: int) -> None:
    """The step of the layer alone, then power iteration in NumPy."""
    model, plain = model_of(wrapped(power_iterations=iterations)), model_of(nn.Dense(8, "tanh"))
    for _ in range(3):
        kernel, bias, u, *last = model.get_weights()
        plain.set_weights([kernel, bias, *last])
        for m in (model, plain):
            m.train_on_batch(X, Y)
        w, u = plain.get_weights()[0], u[0]
        for _ in range(iterations):
            v = w @ u / np.linalg.norm(w @ u)
            u = v @ w / np.linalg.norm(v @ w)
        found = model.get_weights()
        np.testing.assert_allclose(found[0], w / (v @ w @ u), 1e-12)
        np.testing.assert_allclose(found[2], u[None], 1e-12)
        for a, b in zip([found[1], *found[3:]], plain.get_weights()[1:], strict=True):
            np.testing.assert_allclose(a, b, 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_singular_value_becomes_1(dtype: str) -> None:
    layers = [nn.Input((4,)), nn.SpectralNormalization(nn.EinsumDense("ab,bcd->acd", (5, 6))), nn.Flatten()]
    model = nn.Sequential([*layers, nn.SpectralNormalization(nn.Dense(3, kernel_initializer="he_normal"))], dtype=dtype)
    model.compile("adam", "mse")
    model.fit(RNG.standard_normal((64, 4)), RNG.standard_normal((64, 3)), epochs=30, batch_size=16, verbose=0)
    for layer in (model.layers[0], model.layers[-1]):
        kernel = layer.layer.kernel.numpy()
        assert np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2) == pytest.approx(1, abs=0.02)


def test_embeddings() -> None:
    model = nn.Sequential([nn.Input(2, dtype="int32"), nn.SpectralNormalization(nn.Embedding(9, 4)), nn.Flatten()])
    model.compile("sgd", "mse")
    model.fit(RNG.integers(0, 9, (40, 2)), RNG.standard_normal((40, 8)), epochs=20, verbose=0)
    assert np.linalg.norm(model.layers[0].layer.embeddings.numpy(), 2) == pytest.approx(1, abs=0.05)


def test_files_and_threads(tmp_path: pathlib.Path) -> None:
    found = []
    for threads in (1, 2):
        model = model_of(wrapped(), n_threads=threads)
        model.fit(X, Y, epochs=2, batch_size=7, verbose=0)
        model.save(tmp_path / "m")
        again = nn.load_model(tmp_path / "m")
        for m in (model, again):
            m.fit(X, Y, epochs=2, batch_size=7, verbose=0)
            found.append(m.get_weights())
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    [kernel, bias], [u] = model.layers[0].trainable_weights, model.layers[0].non_trainable_weights
    assert (kernel.name, bias.name, u.name, u.shape) == ("kernel", "bias", "vector_u", (1, 8))


def test_a_layer_that_is_not_trained_keeps_its_kernel() -> None:
    model = model_of(wrapped(trainable=False))
    before = model.layers[0].get_weights()
    model.fit(X, Y, verbose=0)
    for a, b in zip(before, model.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: nn.SpectralNormalization(nn.Dense(2), power_iterations=0), "power_iterations: expected a whole"),
        (lambda: nn.SpectralNormalization(nn.ReLU())(np.ones((4, 2))), "expected one with a kernel or embeddings"),
        (
            lambda: nn.SpectralNormalization(nn.Dense(2, kernel_constraint="max_norm"))(np.ones((4, 2))),
            "expected one without a constraint of its own",
        ),
    ],
)
def test_refusals(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


def test_its_constraint_is_the_fits_alone() -> None:
    """It goes on from a vector that arrays by themselves do not have."""
    model = model_of(wrapped())
    kernel = model.layers[0].trainable_weights[0]
    with pytest.raises(TypeError, match="got that of SpectralNormalization, which goes on from step to step"):
        kernel.constraint(np.ones((4, 8)))
    before = np.array(kernel)
    nn.SGD(1.0).apply([np.full(kernel.shape, 0.5)], [kernel])
    np.testing.assert_allclose(kernel, before - 0.5, rtol=1e-5, atol=1e-6)

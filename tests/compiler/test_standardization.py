"""Predictions and evaluations: what normalizes by fixed numbers is done by the product or the convolution before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference as ref
from test_compiler import absent, fused, kinds, prediction, stack, step

import nncore as nn
from nncore import layers

PRECISIONS = "highest", "high", "medium"


def randomized(model: nn.Model) -> nn.Model:
    """The model with weights and statistics that are not 0 or 1."""
    rng = np.random.default_rng(5)
    model.set_weights([rng.uniform(0.2, 1.5, w.shape) * rng.choice([-1, 1], w.shape) ** (w.ndim > 1)
                       for w in model.get_weights()])  # fmt: skip
    return model


def test_the_product_normalizes_and_activates() -> None:
    model = stack(nn.Dense(6), nn.BatchNormalization(), nn.Activation("gelu"), nn.Dense(2))
    for p in prediction(model), step(model, training=False):
        assert kinds(p)[:4] == ["affine", "gather", "dense_forward", "dense_forward"]
        assert absent(p, "dense_forward", "affine") == [False, True]
        assert fused(p) == ["gelu", "linear"]
        assert "standardize" not in kinds(p)


def test_steps_normalize_by_the_batch() -> None:
    p = step(stack(nn.Dense(6), nn.BatchNormalization()))
    assert "affine" not in kinds(p)
    assert absent(p, "dense_forward", "affine") == [True]


def test_frozen_layers_are_normalized_by_the_product_in_steps_too() -> None:
    p = step(stack(nn.Dense(6), nn.BatchNormalization(trainable=False), nn.ReLU()))
    assert absent(p, "dense_forward", "affine") == [False]
    assert kinds(p).count("standardize") == 1  # the backward pass


def test_sums_that_others_read_stay_what_they_are() -> None:
    x = nn.Input(4)
    z = nn.Dense(6)(x)
    model = nn.Model(x, nn.BatchNormalization()(z) + z)
    assert absent(prediction(model), "dense_forward", "affine") == [True]


def both(inputs: Any, before: Any, precision: str, activation: str) -> tuple[nn.Model, nn.Model]:
    """A model whose product normalizes; one of the same layers where it cannot, as its sums are an output."""
    x = nn.Input(inputs)
    z = before(x)
    y = nn.Activation(activation)(nn.BatchNormalization()(z))
    joined, apart = randomized(nn.Model(x, y)), nn.Model(x, [y, z])
    for model in joined, apart:
        model.compile("sgd", "mse", matmul_precision=precision)
    return joined, apart


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("activation", ["linear", "relu", "gelu"])
def test_the_bits_are_the_same_of_products(precision: str, activation: str) -> None:
    rng = np.random.default_rng(3)
    for k, n in (1, 1), (7, 2), (300, 3), (40, 9), (9, 16), (64, 33), (520, 40), (2100, 70), (64, 130):
        joined, apart = both(k, nn.Dense(n), precision, activation)
        assert absent(prediction(joined), "dense_forward", "affine") == [False]
        for rows in 1, 3, 41, 300:
            x = rng.standard_normal((rows, k), dtype=np.float32)
            np.testing.assert_array_equal(joined.predict(x), apart.predict(x)[0], str((k, n, rows)))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "before",
    [
        lambda: layers.Conv2D(5, 3, padding="same"),
        lambda: layers.Conv2D(40, (3, 2), strides=2),
        lambda: layers.Conv2D(36, 3, groups=2, dilation_rate=2),
        lambda: layers.Conv2D(64, 1),
        lambda: layers.DepthwiseConv2D(3, padding="same"),
        lambda: layers.DepthwiseConv2D((2, 4), strides=2),
    ],
)
def test_the_bits_are_the_same_of_convolutions(before: Any, precision: str) -> None:
    for channels in 6, 32:
        for activation in "relu", "gelu":
            joined, apart = both((9, 11, channels), before(), precision, activation)
            assert "standardize" not in kinds(prediction(joined))
            x = np.random.default_rng(3).standard_normal((3, 9, 11, channels), dtype=np.float32)
            np.testing.assert_array_equal(joined.predict(x), apart.predict(x)[0], str(channels))


@pytest.mark.parametrize("threads", [1, 2])
def test_predictions_follow_the_statistics(threads: int) -> None:
    """Whatever writes the weights: they are not copied anywhere."""
    layers_of = nn.Dense(6), nn.BatchNormalization(epsilon=0.01), nn.ReLU()
    model = nn.Model([nn.Input(700), *layers_of], n_threads=threads)
    x = np.random.default_rng(3).standard_normal((20, 700), dtype=np.float32)
    model.predict(x)
    w, b, gamma, beta, mean, variance = map(ref.float64, randomized(model).get_weights())
    expected = np.maximum((x @ w + b - mean) * gamma / np.sqrt(variance + 0.01) + beta, 0)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4, atol=1e-3)

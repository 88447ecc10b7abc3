"""Layers with random numbers of their own, and dropout of several elements together: against NumPy."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import formulas
import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore.runtime import derived_seed

Array = NDArray[Any]

SEED = 77
KEY = derived_seed(SEED, 2**64 - 2)
ONES = np.ones((6, 5, 4))


def own(n: int, step: int, rate: float) -> Array:
    """The factors of dropout at a step, of a layer whose seed is SEED."""
    return formulas.kept(n, KEY, 0, step, rate)


def test_a_seed_of_its_own_settles_what_a_layer_drops() -> None:
    layer = nn.Dropout(0.25, seed=SEED)
    for step in (0, 1):
        np.testing.assert_allclose(layer(ONES, training=True), own(120, step, 0.25).reshape(6, 5, 4), rtol=1e-12)
    np.testing.assert_array_equal(layer(ONES), ONES)


@pytest.mark.parametrize("model_seed", [1, 2])
def test_the_seed_of_the_model_does_not_count_then(model_seed: int) -> None:
    """Nor does the layer's place among others; one step from the identity by gradient descent tells the mask."""
    x = np.random.default_rng(0).normal(size=(8, 3))
    stack = [nn.Input(3), nn.Dropout(0.0), nn.Dense(3, use_bias=False, kernel_initializer="identity")]
    model = nn.Model([*stack, nn.Dropout(0.5, seed=SEED)], seed=model_seed, dtype="float64")
    model.compile(nn.SGD(1.0), "mse")
    model.train_on_batch(x, np.zeros((8, 3)))
    mask = own(24, 0, 0.5).reshape(8, 3)
    gradient = x.T @ (2 * mask * (mask * x) / 24)
    np.testing.assert_allclose(model.get_weights()[0], np.eye(3) - gradient, rtol=1e-12, atol=1e-14)


def test_a_clone_draws_others_than_a_layer_of_its_seed() -> None:
    """One of a model of that seed; and that model itself."""

    def kept(model: nn.Model) -> Array:
        """Where a step has changed a kernel of zeros: the gradient of an input that is dropped is 0."""
        model.compile(nn.SGD(1.0), "mse")
        model.train_on_batch(np.ones((1, 64)), np.ones((1, 1)))
        return np.ravel(model.get_weights()[0]) != 0

    def made(layer: nn.Layer, seed: int) -> nn.Model:
        dense = nn.Dense(1, use_bias=False, kernel_initializer="zeros")
        return nn.Model([nn.Input(64), layer, dense], seed=seed)

    masks = [
        kept(made(nn.Dropout(0.5), SEED)),
        kept(nn.models.clone_model(made(nn.Dropout(0.5), SEED))),
        kept(made(nn.Dropout(0.5, seed=SEED), SEED + 1)),
    ]
    for i, mask in enumerate(masks):
        assert all(16 <= (mask != other).sum() <= 48 for other in masks[:i])
        assert 16 <= mask.sum() <= 48


RANDOM: list[Callable[..., nn.Layer]] = [
    partial(nn.Dropout, 0.5),
    partial(nn.Dropout, 0.5, (None, 1, None)),
    partial(nn.SpatialDropout1D, 0.5),
    partial(nn.GaussianDropout, 0.5),
    partial(nn.AlphaDropout, 0.5),
    partial(nn.GaussianNoise, 0.5),
]


@pytest.mark.parametrize("make", RANDOM)
def test_one_seed_gives_the_same_numbers_another_others(make: Callable[..., nn.Layer]) -> None:
    first = make(seed=SEED)(ONES, training=True)
    np.testing.assert_array_equal(make(seed=SEED)(ONES, training=True), first)
    assert not np.array_equal(make(seed=SEED + 1)(ONES, training=True), first)
    assert not np.array_equal(make()(ONES, training=True), make()(ONES, training=True))
    again = nn.layers.deserialize(json.loads(json.dumps(nn.layers.serialize(make(seed=SEED)))))
    np.testing.assert_array_equal(again(ONES, training=True), first)


def test_seeds_stand_where_keras_has_them() -> None:
    """By position."""
    assert nn.SpatialDropout1D(0.5, SEED, "a").seed == SEED
    assert nn.SpatialDropout2D(0.5, "channels_first", SEED, "a").seed == SEED
    assert nn.Dropout(0.5, None, SEED).seed == nn.AlphaDropout(0.5, None, SEED).seed == SEED
    assert nn.GaussianDropout(0.5, SEED).seed == nn.GaussianNoise(0.5, SEED).seed == SEED
    with pytest.raises(ValueError, match=r"seed: expected a whole number from 0 to 2\*\*64 - 1, got -1"):
        nn.Dropout(0.5, seed=-1)


#: noise_shape, and the mask that it makes of so many random factors in their order.
SHARED: list[tuple[Any, tuple[int, ...]]] = [
    ((None, 1, None), (6, 1, 4)),
    ((6, 1, 4), (6, 1, 4)),
    ([None, None, 1], (6, 5, 1)),
    ((None, 1, 1), (6, 1, 1)),
    ((None, 5, None), (6, 5, 4)),
    (None, (6, 5, 4)),
]


@pytest.mark.parametrize(("noise_shape", "shape"), SHARED)
def test_elements_are_dropped_together(noise_shape: Any, shape: tuple[int, ...]) -> None:
    layer = nn.Dropout(0.5, noise_shape=noise_shape, seed=SEED)
    mask = np.broadcast_to(own(int(np.prod(shape)), 0, 0.5).reshape(shape), ONES.shape)
    x = np.random.default_rng(1).normal(size=ONES.shape)
    np.testing.assert_allclose(layer(x, training=True), x * mask, rtol=1e-12)
    np.testing.assert_array_equal(layer(x), x)
    assert layer.noise_shape == (None if noise_shape is None else tuple(noise_shape))


def test_their_gradients_are_dropped_with_them() -> None:
    x = np.random.default_rng(2).normal(size=(6, 5, 4))
    dense = nn.Dense(4, use_bias=False, kernel_initializer="identity")
    model = nn.Model([nn.Input((5, 4)), dense, nn.Dropout(0.5, (None, None, 1), SEED)], dtype="float64")
    model.compile(nn.SGD(1.0), "mse")
    model.train_on_batch(x, np.zeros(x.shape))
    mask = own(30, 0, 0.5).reshape(6, 5, 1)
    gradient = np.einsum("bti,bto->io", x, 2 * mask**2 * x / x.size)
    np.testing.assert_allclose(model.get_weights()[0], np.eye(4) - gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("noise_shape", "words"),
    [
        ("None", "expected a tuple of positive whole numbers or None"),
        ((6, 1.5, 4), "expected a tuple of positive whole numbers or None"),
        ((6, 0, 4), "expected a tuple of positive whole numbers or None"),
    ],
)
def test_what_is_no_shape_of_a_mask(noise_shape: Any, words: str) -> None:
    for cls in (nn.Dropout, nn.AlphaDropout):
        with pytest.raises(ValueError, match=f"noise_shape: {words}"):
            cls(0.5, noise_shape=noise_shape)


@pytest.mark.parametrize("noise_shape", [(None, 1), (None, 3, None), (1, None, None)])
def test_what_does_not_fit_the_inputs(noise_shape: Any) -> None:
    with pytest.raises(ValueError, match=r"noise_shape of .*Each sample of a batch has a mask of its own"):
        nn.Dropout(0.5, noise_shape)(ONES)


def test_alpha_dropout_says_that_it_drops_single_elements() -> None:
    with pytest.raises(ValueError, match="Its native code drops each element for itself"):
        nn.AlphaDropout(0.5, (None, 1, None))(ONES)
    single = nn.AlphaDropout(0.5, seed=SEED)(ONES, training=True)
    np.testing.assert_array_equal(nn.AlphaDropout(0.5, (None, 5, 4), SEED)(ONES, training=True), single)

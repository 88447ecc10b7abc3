"""Layers that change shapes and scales only, and the shapes that layers say they make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nncore as nn

RNG = np.random.default_rng(8)


def run(layers: list[Any], x: np.ndarray) -> np.ndarray:
    return nn.Model(layers, seed=0, dtype="float64").predict(x)


def test_shapes_only() -> None:
    x = RNG.normal(size=(4, 2, 3, 5))
    assert np.array_equal(run([nn.Flatten()], x), x.reshape(4, 30))
    assert np.array_equal(run([nn.Flatten("channels_first")], x), np.moveaxis(x, 1, -1).reshape(4, 30))
    for target, shape in [
        ((5, 6), (5, 6)),
        ((-1,), (30,)),
        ((None, 3), (10, 3)),
        (30, (30,)),
        ((2, -1, 3), (2, 5, 3)),
        ([15, 2], (15, 2)),
    ]:
        assert np.array_equal(run([nn.Reshape(target)], x), x.reshape(4, *shape))
    assert run([nn.Flatten()], RNG.normal(size=(4, 3))).shape == (4, 3)
    for bad in [(0, 3), (-1, -1), (2.5,), "ab", None, (-2,)]:
        with pytest.raises(ValueError, match="target_shape: expected"):
            nn.Reshape(bad)
    with pytest.raises(ValueError, match=r"Reshape: expected a target_shape of 30 elements .* got \(4, -1\)"):
        run([nn.Reshape((4, -1))], x)


def test_shapes_of_outputs_with_the_batch() -> None:
    assert nn.Conv2D(4, 3, 2).compute_output_shape((None, 9, 9, 3)) == (None, 4, 4, 4)
    assert nn.Dense(4).compute_output_shape((32, 9)) == (32, 4)
    assert nn.Concatenate().compute_output_shape([(None, 3), (None, 4)]) == (None, 7)

    class Halves(nn.Layer):
        def forward(self, x: Any) -> Any:
            return x[:, ::2]

        def compute_output_shape(self, input_shape: Any) -> Any:
            return super().compute_output_shape(input_shape)

    assert Halves()(nn.Input(5)).shape == (None, 3)
    for layer, bad in (nn.Dense(3), 4), (nn.Dense(3), None), (nn.Add(), (None, 4)), (nn.Conv2D(3, 3), (1, 2.5, 9, 3)):
        with pytest.raises(ValueError, match="input_shape: expected a .*, got"):
            layer.compute_output_shape(bad)


def test_flatten_of_single_numbers() -> None:
    assert nn.Flatten("channels_first")(np.ones(2)).shape == (2, 1)


def test_keras_s_other_names() -> None:
    assert nn.layers.Convolution2D is nn.Conv2D and nn.layers.SeparableConvolution1D is nn.SeparableConv1D
    assert nn.layers.Convolution1DTranspose is nn.Conv1DTranspose


def test_rescaling() -> None:
    x = RNG.integers(0, 256, (5, 4)).astype(np.uint8)
    np.testing.assert_allclose(run([nn.Rescaling(1 / 127.5, offset=-1)], x), x / 127.5 - 1, atol=1e-15)
    for bad in ({"scale": "a"}, {"scale": float("nan")}, {"scale": 1, "offset": float("inf")}, {"scale": True}):
        with pytest.raises((ValueError, TypeError), match=f"{list(bad)[-1]}: expected a finite number"):
            nn.Rescaling(**bad)

"""Layers whose inputs have sizes that data settle: they compute what they do where all sizes are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kernels import assert_same_bits

import nncore as nn
from nncore.layers import LAYERS

Case = tuple[Callable[[], Any], tuple[int | None, ...]]

SERIES, IMAGES = (None, 4), (None, None, 3)


def distinct(shape: tuple[int | None, ...], sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with these sizes in place of those that are open."""
    left = iter(sizes)
    return tuple(next(left) if n is None else n for n in shape)


CASES: dict[str, Case] = {
    "absolute": (lambda: abs, SERIES),
    "activation": (lambda: nn.Activation("gelu"), SERIES),
    "activity_regularization": (lambda: nn.ActivityRegularization(l2=0.1), SERIES),
    "adaptive_average_pooling1d": (lambda: nn.AdaptiveAveragePooling1D(3), SERIES),
    "adaptive_average_pooling2d": (lambda: nn.AdaptiveAveragePooling2D((3, 2)), IMAGES),
    "adaptive_max_pooling1d": (lambda: nn.AdaptiveMaxPooling1D(3), SERIES),
    "adaptive_max_pooling2d": (lambda: nn.AdaptiveMaxPooling2D((3, 2)), IMAGES),
    "add": (lambda: lambda x: nn.Add()([x, nn.Dense(4)(x), nn.Dense(1)(x)]), SERIES),
    "alpha_dropout": (lambda: nn.AlphaDropout(0.5), SERIES),
    "apply_mask": (lambda: lambda x: nn.Softmax()(x, mask=x - nn.Dense(4, "relu")(x)), SERIES),
    "average": (lambda: lambda x: nn.Average()([x, nn.Dense(4)(x)]), SERIES),
    "average_pooling1d": (lambda: nn.AveragePooling1D(2, padding="same"), SERIES),
    "average_pooling2d": (lambda: nn.AveragePooling2D(2), IMAGES),
    "batch_normalization": (lambda: nn.BatchNormalization(), IMAGES),
    "category_encoding": (lambda: nn.CategoryEncoding(5, output_mode="count"), (None,)),
    "center_crop": (lambda: nn.CenterCrop(4, 5), IMAGES),
    "concatenate": (lambda: lambda x: nn.Concatenate(axis=1)([x, nn.Conv1D(4, 3)(x)]), SERIES),
    "conv1d": (lambda: nn.Conv1D(5, 3, strides=2, padding="causal"), SERIES),
    "conv1d_transpose": (lambda: nn.Conv1DTranspose(5, 3, strides=2), SERIES),
    "conv2d": (lambda: nn.Conv2D(5, (3, 2), activation="relu"), IMAGES),
    "conv2d_transpose": (lambda: nn.Conv2DTranspose(2, 3, strides=2, padding="same"), IMAGES),
    "cropping1d": (lambda: nn.Cropping1D((1, 2)), SERIES),
    "cropping2d": (lambda: nn.Cropping2D(1), IMAGES),
    "cut_mix": (lambda: nn.CutMix(), IMAGES),
    "dense": (lambda: nn.Dense(6, "tanh"), SERIES),
    "depthwise_conv1d": (lambda: nn.DepthwiseConv1D(3, padding="same"), SERIES),
    "depthwise_conv2d": (lambda: nn.DepthwiseConv2D(3), IMAGES),
    "discretization": (lambda: nn.Discretization([0.0, 0.5]), SERIES),
    "divide": (lambda: lambda x: x / nn.Dense(4, "softplus")(x), SERIES),
    "dot": (lambda: lambda x: nn.Dot(axes=1)([x, nn.Dense(4)(x)]), SERIES),
    "dropout": (lambda: nn.Dropout(0.5), SERIES),
    "einsum_dense": (lambda: nn.EinsumDense("abc,cd->abd", (None, 6), bias_axes="d"), SERIES),
    "elu": (lambda: nn.ELU(), SERIES),
    "embedding": (lambda: nn.Embedding(7, 3), (None,)),
    "flatten": (lambda: lambda x: nn.Reshape((-1, 1))(nn.Flatten()(x)), IMAGES),
    "gaussian_dropout": (lambda: nn.GaussianDropout(0.3), SERIES),
    "gaussian_noise": (lambda: nn.GaussianNoise(0.3), SERIES),
    "global_average_pooling1d": (lambda: nn.GlobalAveragePooling1D(), SERIES),
    "global_average_pooling2d": (lambda: nn.GlobalAveragePooling2D(keepdims=True), IMAGES),
    "global_max_pooling1d": (lambda: nn.GlobalMaxPooling1D(), SERIES),
    "global_max_pooling2d": (lambda: nn.GlobalMaxPooling2D(), IMAGES),
    "group_normalization": (lambda: nn.GroupNormalization(2), SERIES),
    "hashed_crossing": (lambda: lambda x: nn.HashedCrossing(5, output_mode="one_hot")([x, x]), (1,)),
    "hashing": (lambda: nn.Hashing(5, output_mode="multi_hot"), (None,)),
    "identity": (lambda: nn.Identity(), SERIES),
    "integer_lookup": (lambda: nn.IntegerLookup(vocabulary=[3, 1], output_mode="count"), (None,)),
    "layer_normalization": (lambda: nn.LayerNormalization(), SERIES),
    "leaky_re_lu": (lambda: nn.LeakyReLU(), SERIES),
    "masking": (lambda: nn.Masking(), SERIES),
    "max_pooling1d": (lambda: nn.MaxPooling1D(3, strides=2), SERIES),
    "max_pooling2d": (lambda: nn.MaxPooling2D(2), IMAGES),
    "maximum": (lambda: lambda x: nn.Maximum()([x, nn.Dense(4)(x)]), SERIES),
    "minimum": (lambda: lambda x: nn.Minimum()([x, nn.Dense(4)(x)]), SERIES),
    "mix_up": (lambda: nn.MixUp(), IMAGES),
    "multiply": (lambda: lambda x: x * nn.Dense(1)(x), SERIES),
    "non_crossing": (lambda: nn.NonCrossing(2), SERIES),
    "normalization": (lambda: nn.Normalization(mean=[0.1] * 3, variance=[2.0] * 3), IMAGES),
    "p_re_lu": (lambda: nn.PReLU(shared_axes=[1, 2]), IMAGES),
    "parametric_activation": (lambda: nn.ParametricActivation("mish"), SERIES),
    "periodic_embedding": (lambda: lambda x: nn.PeriodicEmbedding(3)(nn.GlobalAveragePooling1D()(x)), SERIES),
    "permute": (lambda: nn.Permute((2, 1, 3)), IMAGES),
    "power": (lambda: lambda x: x**2, SERIES),
    "random_brightness": (lambda: nn.RandomBrightness(0.2), IMAGES),
    "random_contrast": (lambda: nn.RandomContrast(0.2), IMAGES),
    "random_crop": (lambda: nn.RandomCrop(4, 5), IMAGES),
    "random_erasing": (lambda: nn.RandomErasing(), IMAGES),
    "random_flip": (lambda: nn.RandomFlip(), IMAGES),
    "random_rotation": (lambda: nn.RandomRotation(0.1), IMAGES),
    "random_translation": (lambda: nn.RandomTranslation(0.1, 0.1), IMAGES),
    "random_zoom": (lambda: nn.RandomZoom(0.1), IMAGES),
    "re_lu": (lambda: nn.ReLU(), SERIES),
    "repeat_vector": (lambda: lambda x: nn.RepeatVector(3)(nn.GlobalMaxPooling1D()(x)), SERIES),
    "rescaling": (lambda: nn.Rescaling(0.5, 0.1), IMAGES),
    "reshape": (lambda: nn.Reshape((-1, 2)), SERIES),
    "resizing": (lambda: nn.Resizing(4, 5), IMAGES),
    "rms_normalization": (lambda: nn.RMSNormalization(), SERIES),
    "scale": (lambda: lambda x: nn.Scale()(nn.GlobalMaxPooling1D()(x)), SERIES),
    "separable_conv1d": (lambda: nn.SeparableConv1D(5, 3), SERIES),
    "separable_conv2d": (lambda: nn.SeparableConv2D(5, 3, padding="same"), IMAGES),
    "slice": (lambda: lambda x: x[:, 2:-1:2], SERIES),
    "softmax": (lambda: nn.Softmax(axis=1), SERIES),
    "spatial_dropout1d": (lambda: nn.SpatialDropout1D(0.5), SERIES),
    "spatial_dropout2d": (lambda: nn.SpatialDropout2D(0.5), IMAGES),
    "spectral_normalization": (lambda: nn.SpectralNormalization(nn.Conv1D(5, 3)), SERIES),
    "string_lookup": (lambda: nn.StringLookup(vocabulary=["1", "2"], output_mode="count"), (None,)),
    "subtract": (lambda: lambda x: x - nn.Dense(4)(x), SERIES),
    "time_distributed": (lambda: nn.TimeDistributed(nn.Conv1D(2, 2)), (None, 5, 4)),
    "unit_normalization": (lambda: nn.UnitNormalization(), SERIES),
    "up_sampling1d": (lambda: nn.UpSampling1D(3), SERIES),
    "up_sampling2d": (lambda: nn.UpSampling2D(2, interpolation="bilinear"), IMAGES),
    "zero_padding1d": (lambda: nn.ZeroPadding1D((1, 2)), SERIES),
    "zero_padding2d": (lambda: nn.ZeroPadding2D(1), IMAGES),
}


def model_of(name: str, shape: tuple[int | None, ...]) -> nn.Model:
    """The layer between others, which bring what it makes to two numbers whatever its size."""
    texts = name in ("string_lookup", "hashing", "hashed_crossing")
    x = nn.Input(shape, dtype="string" if texts else None)
    h = CASES[name][0]()(x)
    while len(h.sample_shape) > 2:
        h = h[:, 0]
    if len(h.sample_shape) == 2:
        h = nn.GlobalAveragePooling1D()(h)
    model = nn.Model(x, nn.Dense(2)(h), seed=4, n_threads=1)
    model.compile(nn.SGD(0.1), "mse")
    return model


@pytest.mark.parametrize("name", sorted(LAYERS.names()))
def test_every_layer_has_the_bits_of_known_sizes(name: str) -> None:
    rng = np.random.default_rng(3)
    shape = CASES[name][1]
    free = model_of(name, shape)
    for sizes in ((8, 6), (12, 9), (8, 6)):
        known = model_of(name, distinct(shape, sizes))
        known.set_weights(free.get_weights())
        known.counters[:] = free.counters  # random numbers are those of the step
        x = rng.random((6, *distinct(shape, sizes)))
        if name in ("embedding", "category_encoding", "integer_lookup"):
            x = rng.integers(1, 4, x.shape)
        elif name in ("string_lookup", "hashing", "hashed_crossing"):
            x = rng.integers(0, 4, x.shape).astype(str).astype(object)
        y = rng.random((6, 2))
        assert_same_bits(free.predict(x), known.predict(x), name)
        losses = [[m.train_on_batch(x, y), m.evaluate(x, y, verbose=0)] for m in (free, known)]
        assert losses[0] == losses[1] and np.isfinite(losses[0]).all()
        for mine, theirs in zip(free.get_weights(), known.get_weights(), strict=True):
            assert_same_bits(mine, theirs, name)


class Halves(nn.Layer):
    """A layer of Python: means of neighbours along the first axis, times a weight for each column."""

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight((input_shape[-1],), name="w", initializer="ones")

    def forward(self, x: Any) -> Any:
        even = x[:, : x.shape[1] // 2 * 2]
        return (even[:, ::2] + even[:, 1::2]) / 2 * self.w


def test_layers_of_python_take_open_sizes() -> None:
    x = nn.Input((None, 3))
    model = nn.Model(x, Halves()(x))
    assert model.output_shape == (None, None, 3)
    for steps in (6, 9, 4):
        given = np.random.default_rng(steps).random((2, steps, 3)).astype(np.float32)
        half = steps // 2
        expected = given[:, : 2 * half].reshape(2, half, 2, 3).mean(axis=2)
        np.testing.assert_allclose(model.predict(given), expected, rtol=1e-6)


class Whole(nn.Layer):
    """A layer of Python that has a weight for each place."""

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(tuple(input_shape[1:]), name="w")

    def forward(self, x: Any) -> Any:
        return x * self.w


DEPENDS = "expected the size of each axis that its weights depend on, got inputs of shape "


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: nn.Dense(3)(nn.Flatten()(nn.Input((None, 4)))),
            DEPENDS + r"\(None, None\)\. Give it in",
        ),
        (lambda: nn.Conv2D(3, 3)(nn.Input((8, 8, None))), DEPENDS + r"\(None, 8, 8, None\)"),
        (lambda: nn.LayerNormalization(axis=(1, 2))(nn.Input((None, 3))), DEPENDS + r"\(None, None, 3\)"),
        (lambda: nn.TimeDistributed(nn.Dense(3))(nn.Input((7, None))), DEPENDS + r"\(None, 7, None\)"),
        (lambda: Whole()(nn.Input((None, 3))), DEPENDS + r"\(None, None, 3\)"),
        (
            lambda: nn.Reshape((-1, 17))(nn.Input((None,))),
            r"Reshape: .*shape \(None,\).*where a layer needs it, give it",
        ),
        (lambda: nn.Add()([nn.Input((None, 3)), nn.Input((None, 4))]), r"Add: .*got \(None, 3\), \(None, 4\)"),
        (lambda: nn.Permute((1, 2, 3))(nn.Input((None, 3))), r"Permute: expected inputs with 3 axes"),
    ],
)
def test_sizes_that_must_be_known_are_asked_for(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_a_target_shape_settles_sizes() -> None:
    x = nn.Input((None, 2))
    model = nn.Model(x, nn.Dense(3)(nn.Flatten()(nn.Reshape((3, 4))(x))))
    assert model.predict(np.ones((5, 6, 2))).shape == (5, 3)
    model.compile("sgd", "mse")
    assert np.isfinite(model.train_on_batch(np.ones((5, 6, 2)), np.ones((5, 3))))
    with pytest.raises(ValueError, match=r"Reshape: expected a target_shape of 14 elements .*got \(3, 4\)"):
        model.predict(np.ones((5, 7, 2)))


def test_shapes_leave_open_what_follows_from_open_sizes() -> None:
    x = nn.Input((None, 12, 3))
    shapes = {
        (None, None, 10, 5): nn.Conv2D(5, 3),
        (None, None, 4, 3): nn.MaxPooling2D(3),
        (None, None, 2): nn.Reshape((-1, 2)),
        (None, None): nn.Flatten(),
        (None, 3): nn.GlobalMaxPooling2D(),
        (None, 4, 5, 3): nn.Resizing(4, 5),
        (None, 3, None, 12): nn.Permute((3, 1, 2)),
    }
    for shape, layer in shapes.items():
        assert layer(x).shape == shape and layer.output.shape == shape and layer.input.shape == x.shape
    assert x[:, :5].shape == (None, 5, 12, 3) and x[:, 1:].shape == (None, None, 12, 3) and x[:, 3].shape[1:] == (12, 3)

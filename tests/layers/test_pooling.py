"""Poolings, and layers that change the edges of images: values, gradients, PyTorch, threads, files, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore.execution import team

Array = NDArray[Any]
SERIES, IMAGE = (7, 3), (5, 6, 3)
FIRST: dict[str, Any] = {"data_format": "channels_first"}

#: A layer of each kind, and more of those that take other ways, in a shape of samples.
LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "largest of pairs": (lambda: nn.MaxPooling1D(), SERIES),
    "largest of series, same": (lambda: nn.MaxPooling1D(3, 2, "same"), SERIES),
    "largest of series, channels first": (lambda: nn.MaxPooling1D(2, **FIRST), (3, 7)),
    "largest": (lambda: nn.MaxPooling2D(), IMAGE),
    "largest, same": (lambda: nn.MaxPooling2D(padding="same"), IMAGE),
    "largest, shared": (lambda: nn.MaxPooling2D(3, 2), IMAGE),
    "largest, shared and same": (lambda: nn.MaxPooling2D(3, (1, 2), "SAME"), IMAGE),
    "largest, shared in rows": (lambda: nn.MaxPooling2D(2, (1, 2)), IMAGE),
    "largest, shared in columns": (lambda: nn.MaxPooling2D(2, (2, 1)), IMAGE),
    "largest, window beyond": (lambda: nn.MaxPooling2D((7, 8), 1, "same"), IMAGE),
    "largest, gaps": (lambda: nn.MaxPooling2D(2, 3), IMAGE),
    "largest, gaps and same": (lambda: nn.MaxPooling2D((2, 1), (3, 4), "same"), IMAGE),
    "largest of one": (lambda: nn.MaxPooling2D(1), IMAGE),
    "largest of every third": (lambda: nn.MaxPooling2D(1, 3), IMAGE),
    "largest, channels first": (lambda: nn.MaxPooling2D((2, 3), **FIRST), (2, 5, 6)),
    "mean of pairs": (lambda: nn.AveragePooling1D(2), SERIES),
    "mean of series, same": (lambda: nn.AveragePooling1D(4, 1, "same"), SERIES),
    "mean": (lambda: nn.AveragePooling2D(2), IMAGE),
    "mean, same": (lambda: nn.AveragePooling2D((2, 4), padding="same"), IMAGE),
    "mean, shared": (lambda: nn.AveragePooling2D(3, 1), IMAGE),
    "mean, shared and same": (lambda: nn.AveragePooling2D(3, (2, 1), "same"), IMAGE),
    "mean, gaps": (lambda: nn.AveragePooling2D((1, 2), (2, 3)), IMAGE),
    "mean, window beyond": (lambda: nn.AveragePooling2D(9, 2, "same"), IMAGE),
    "mean, channels first": (lambda: nn.AveragePooling2D(2, 1, "same", **FIRST), (2, 5, 6)),
    "largest of a series": (lambda: nn.GlobalMaxPooling1D(), SERIES),
    "largest of an image": (lambda: nn.GlobalMaxPooling2D(keepdims=True), IMAGE),
    "largest of an image, channels first": (lambda: nn.GlobalMaxPooling2D(**FIRST), (2, 5, 6)),
    "mean of a series": (lambda: nn.GlobalAveragePooling1D(keepdims=True, **FIRST), (3, 7)),
    "mean of an image": (lambda: nn.GlobalAveragePooling2D(), IMAGE),
    "mean of one channel": (lambda: nn.GlobalAveragePooling2D(), (9, 9, 1)),
    "parts of a series": (lambda: nn.AdaptiveAveragePooling1D(3), SERIES),
    "more parts than steps": (lambda: nn.AdaptiveAveragePooling1D(9), SERIES),
    "parts of an image": (lambda: nn.AdaptiveAveragePooling2D((3, 2)), IMAGE),
    "parts of an image, channels first": (lambda: nn.AdaptiveAveragePooling2D(2, **FIRST), (3, 5, 4)),
    "largest of parts of a series": (lambda: nn.AdaptiveMaxPooling1D(2), SERIES),
    "largest of parts of an image": (lambda: nn.AdaptiveMaxPooling2D((4, 3)), IMAGE),
    "zeros around a series": (lambda: nn.ZeroPadding1D(2), SERIES),
    "zeros behind a series": (lambda: nn.ZeroPadding1D((0, 3), **FIRST), (3, 7)),
    "zeros around": (lambda: nn.ZeroPadding2D(), IMAGE),
    "zeros above and on the right": (lambda: nn.ZeroPadding2D(((2, 0), (0, 1))), IMAGE),
    "zeros around, channels first": (lambda: nn.ZeroPadding2D((1, 2), **FIRST), (3, 5, 6)),
    "no zeros": (lambda: nn.ZeroPadding2D(0), IMAGE),
    "cropped series": (lambda: nn.Cropping1D((1, 2)), SERIES),
    "cropped": (lambda: nn.Cropping2D(((1, 0), (2, 3))), IMAGE),
    "cropped, channels first": (lambda: nn.Cropping2D((1, 2), **FIRST), (3, 5, 6)),
    "not cropped": (lambda: nn.Cropping2D(), IMAGE),
    "longer series": (lambda: nn.UpSampling1D(3), SERIES),
    "larger": (lambda: nn.UpSampling2D((2, 3)), IMAGE),
    "larger, channels first": (lambda: nn.UpSampling2D(**FIRST), (2, 3, 4)),
    "larger, bilinear": (lambda: nn.UpSampling2D((3, 2), interpolation="bilinear"), IMAGE),
    "larger, bilinear from a row": (lambda: nn.UpSampling2D(4, interpolation="bilinear", **FIRST), (2, 1, 3)),
    "larger, cubic": (lambda: nn.UpSampling2D((3, 2), interpolation="bicubic"), IMAGE),
    "larger, by a wide sum": (lambda: nn.UpSampling2D(2, interpolation="lanczos3", **FIRST), (2, 5, 4)),
    "dropped channels": (lambda: nn.SpatialDropout2D(0.3), IMAGE),
    "dropped first channels": (lambda: nn.SpatialDropout2D(0.3, **FIRST), (3, 2, 4)),
}
KINDS = pytest.mark.parametrize("kind", LAYERS)


def model_of(kind: str, **settings: Any) -> nn.Model:
    """The layer between two that learn."""
    make, shape = LAYERS[kind]
    layers = [nn.Input(shape), nn.Dense(shape[-1], "tanh"), make(), nn.Flatten(), nn.Dense(2)]
    model = nn.Model(layers, seed=4, **settings)
    networks.randomize(model)
    return model


def data_of(kind: str, rows: int = 5) -> tuple[Array, Array]:
    rng = np.random.default_rng(rows)
    return rng.normal(size=(rows, *LAYERS[kind][1])), rng.normal(size=(rows, 2))


@KINDS
@pytest.mark.parametrize("isa", ["portable", nn.isa()])
def test_values_and_gradients(kind: str, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions by the formula, the gradient of a step by differences of its loss."""
    networks.use_isa(isa, monkeypatch)
    model, (x, t) = model_of(kind, dtype="float64"), data_of(kind)
    np.testing.assert_allclose(model.predict(x), networks.forward(model, model.get_weights(), x), 1e-11, 1e-12)
    model.compile(nn.SGD(1.0), "mse")
    expected = networks.numerical_gradients(model, x, t, step=0)
    value = networks.objective(model, model.get_weights(), x, t, step=0)
    found_value, found = networks.gradients(model, x, t)
    assert found_value == pytest.approx(value, rel=1e-11)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, 1e-6, 1e-8)


@KINDS
def test_bits_are_those_of_any_number_of_threads(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 1)
    found = []
    for threads in (1, 2, 7):
        model, (x, t) = model_of(kind, n_threads=threads), data_of(kind, 300)
        model.compile("adam", "mse")
        model.fit(x, t, batch_size=128, verbose=0)
        found.append([*model.get_weights(), model.predict(x), np.concatenate([model(x[:7]), model(x[7:])])])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(found[0][-2], found[0][-1])  # a row has the same bits in any batch


@KINDS
def test_saved_loaded_and_taken_up_again(kind: str, tmp_path: Path) -> None:
    x, t = data_of(kind, 40)
    whole, first = model_of(kind), model_of(kind)
    for model in (whole, first):
        model.compile("adam", "mse")
    whole.fit(x, t, batch_size=16, epochs=4, verbose=0)
    first.fit(x, t, batch_size=16, epochs=2, verbose=0)
    first.save(tmp_path / "model")
    again = nn.load_model(tmp_path / "model")
    assert [layer.get_config() for layer in again.layers] == [layer.get_config() for layer in whole.layers]
    again.fit(x, t, batch_size=16, epochs=4, initial_epoch=2, verbose=0)
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(whole.evaluate(x, t, verbose=0), again.evaluate(x, t, verbose=0))


@KINDS
def test_a_layer_by_itself(kind: str) -> None:
    """On arrays of both dtypes, and of whole numbers; the shape is the one that it says."""
    make, shape = LAYERS[kind]
    x = np.random.default_rng(0).integers(-9, 10, (4, *shape))
    wanted = networks.FORMULAS[type(make())](make(), {}, x, networks.Draw(0, None, iter(range(9))))
    for dtype in ("float32", "float64", "int64"):
        y = make()(x.astype(dtype))
        assert y.shape == (4, *make().output_shape(shape)) and y.dtype == (dtype if dtype != "int64" else "float32")
        np.testing.assert_allclose(y, wanted, 1e-5, 1e-5)


# -- beside PyTorch ----------------------------------------------------------------------------------------------------


def largest(size: Any, stride: Any = None, padding: Any = 0) -> Any:
    return lambda f, x: f.max_pool2d(x, size, stride, padding)


def mean(size: Any, stride: Any = None, padding: Any = 0) -> Any:
    return lambda f, x: f.avg_pool2d(x, size, stride, padding, count_include_pad=False)


#: What PyTorch computes of images (13,11) of 5 channels; its padding is the same on both sides.
TWINS: dict[str, tuple[Any, Any]] = {
    "largest": (nn.MaxPooling2D(), largest(2)),
    "largest of 3 × 2": (nn.MaxPooling2D((3, 2)), largest((3, 2))),
    "largest, shared": (nn.MaxPooling2D(3, 2), largest(3, 2)),
    "largest, gaps": (nn.MaxPooling2D(2, 3), largest(2, 3)),
    "largest, same": (nn.MaxPooling2D(3, 2, "same"), largest(3, 2, 1)),
    "largest of 5 × 5, same": (nn.MaxPooling2D(5, 1, "same"), largest(5, 1, 2)),
    "mean": (nn.AveragePooling2D(2), mean(2)),
    "mean, shared": (nn.AveragePooling2D((3, 4), (2, 1)), mean((3, 4), (2, 1))),
    "mean, gaps": (nn.AveragePooling2D(2, 5), mean(2, 5)),
    "mean, same": (nn.AveragePooling2D(3, 2, "same"), mean(3, 2, 1)),
    "mean of all": (nn.GlobalAveragePooling2D(keepdims=True), lambda f, x: x.mean((2, 3), keepdim=True)),
    "largest of all": (nn.GlobalMaxPooling2D(keepdims=True), lambda f, x: f.max_pool2d(x, x.shape[2:])),
    "parts": (nn.AdaptiveAveragePooling2D((4, 3)), lambda f, x: f.adaptive_avg_pool2d(x, (4, 3))),
    "many parts": (nn.AdaptiveAveragePooling2D((15, 11)), lambda f, x: f.adaptive_avg_pool2d(x, (15, 11))),
    "largest of parts": (nn.AdaptiveMaxPooling2D((4, 3)), lambda f, x: f.adaptive_max_pool2d(x, (4, 3))),
    "zeros": (nn.ZeroPadding2D(((1, 2), (3, 0))), lambda f, x: f.pad(x, (3, 0, 1, 2))),
    "cropped": (nn.Cropping2D(((1, 2), (3, 0))), lambda f, x: x[:, :, 1:-2, 3:]),
    "larger": (nn.UpSampling2D((2, 3)), lambda f, x: f.interpolate(x, scale_factor=(2, 3))),
    "bilinear": (
        nn.UpSampling2D((2, 3), interpolation="bilinear"),
        lambda f, x: f.interpolate(x, scale_factor=(2, 3), mode="bilinear"),
    ),
}


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", TWINS)
def test_against_pytorch(kind: str, dtype: str, one_torch_thread: None) -> None:
    """Y, and the gradient of X by a loss of Y; with equal values in windows, where the first one counts."""
    torch = pytest.importorskip("torch")
    first, function = TWINS[kind]
    layer = type(first).from_config(first.get_config())
    rng = np.random.default_rng(1)
    x = rng.integers(-3, 4, (6, 13, 11, 5)).astype(dtype)
    theirs = torch.tensor(x).permute(0, 3, 1, 2).requires_grad_()
    made = function(torch.nn.functional, theirs).permute(0, 2, 3, 1)
    np.testing.assert_allclose(layer(x), made.detach(), 1e-5, 1e-5)
    target = rng.normal(size=made.shape).astype(dtype)
    ((made - torch.tensor(target)) ** 2).mean().backward()
    np.testing.assert_allclose(gradient_of_x(layer, x, target), theirs.grad.permute(0, 2, 3, 1), 1e-4, 1e-6)


def gradient_of_x(layer: Any, x: Array, target: Array) -> Array:
    """Of the mean squared error, by one step on an offset of each sample's elements, which starts at X."""
    shape = x.shape[1:]
    symbol = nn.Input(1)
    table = nn.Dense(int(np.prod(shape)), use_bias=False, kernel_initializer="zeros")
    whole = nn.Reshape(shape)(table(symbol))
    found = []
    for sample, wanted in zip(x, target, strict=True):
        model = nn.Model(symbol, layer(whole), dtype=x.dtype.name)
        model.set_weights([sample.reshape(1, -1)])
        model.compile(nn.SGD(1.0), "mse")
        model.train_on_batch(np.ones((1, 1)), wanted[None])
        found.append((sample - model.get_weights()[0].reshape(shape)) / len(x))
    return np.array(found)


# -- what is special ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3, 17, 70])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_nan_is_the_largest(channels: int, dtype: str) -> None:
    """Wherever in a window it stands; infinities are what they are."""
    x = np.random.default_rng(2).normal(size=(9, 6, 6, channels)).astype(dtype)
    for i, (row, column) in enumerate(np.ndindex(3, 3)):
        x[i, row, column, i % channels] = np.nan
    x[:, 4, 4], x[:, 5, 5] = np.inf, -np.inf
    blocks = x.reshape(9, 3, 2, 3, 2, channels).max((2, 4))
    np.testing.assert_array_equal(nn.MaxPooling2D()(x), blocks)
    np.testing.assert_array_equal(nn.GlobalMaxPooling2D()(x), x.max((1, 2)))
    below = np.full((2, 4, 4, channels), -np.inf, dtype)
    np.testing.assert_array_equal(nn.MaxPooling2D(3, 2, "same")(below), below[:, :2, :2])


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 130])
@pytest.mark.parametrize("layer", [nn.MaxPooling2D(), nn.AveragePooling2D(3, 2, "same"), nn.GlobalAveragePooling2D()])
def test_any_number_of_channels(channels: int, layer: Any) -> None:
    x = np.random.default_rng(3).normal(size=(3, 7, 5, channels))
    wanted = networks.FORMULAS[type(layer)](layer, {}, x, networks.Draw(0, None, iter(range(9))))
    np.testing.assert_allclose(layer(x), wanted, 1e-12, 1e-14)
    np.testing.assert_allclose(layer(x.astype(np.float32)), wanted, 1e-5, 1e-6)


def test_a_window_that_is_set_later() -> None:
    model = nn.Model([nn.Input((8, 8, 2)), nn.MaxPooling2D(), nn.GlobalAveragePooling2D()])
    model.layers[0].pool_size = 4
    x = np.random.default_rng(4).normal(size=(2, 8, 8, 2)).astype(np.float32)
    assert model.layers[0].pool_size == (4, 4) and model.layers[0].strides == (2, 2)
    wanted = nn.MaxPooling2D(4, 2)(x).mean((1, 2))
    np.testing.assert_allclose(model.predict(x), wanted, 1e-5, 1e-6)


def test_whole_channels_are_dropped() -> None:
    nn.set_random_seed(3)
    last = nn.SpatialDropout2D(0.5)(np.ones((50, 3, 4, 30)), training=True)
    assert (last == last[:, :1, :1]).all() and abs((last[:, 0, 0] == 0).mean() - 0.5) < 0.05
    first = nn.SpatialDropout2D(0.5, **FIRST)(np.ones((50, 30, 3, 4)), training=True)
    assert (first == first[:, :, :1, :1]).all() and abs((first[:, :, 0, 0] == 0).mean() - 0.5) < 0.05


def test_names_of_keras() -> None:
    for rank in ("1D", "2D"):
        for short, long in (("MaxPool", "MaxPooling"), ("AvgPool", "AveragePooling")):
            for which in ("", "Global"):
                assert getattr(nn.layers, f"{which}{short}{rank}") is getattr(nn, f"{which}{long}{rank}")
    model = nn.Sequential([nn.Input((4, 4, 1)), nn.layers.MaxPool2D(), nn.ZeroPadding2D(), nn.UpSampling2D()])
    assert [layer.name for layer in model.layers] == ["max_pooling2d", "zero_padding2d", "up_sampling2d"]
    assert nn.AveragePooling2D(3).get_config() == {
        "name": None, "pool_size": [3, 3], "strides": [3, 3], "padding": "valid", "data_format": "channels_last",
    }  # fmt: skip


SIZES = "expected a whole number of at least 1"
IMAGES, STEPS = np.ones((2, 4, 5, 3)), np.ones((2, 4, 3))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.MaxPooling2D(0), f"^pool_size: {SIZES}, or a tuple of 2 of them, got 0"),
        (lambda: nn.MaxPooling2D((2, 2, 2)), f"^pool_size: {SIZES}"),
        (lambda: nn.MaxPooling1D(2.5), f"^pool_size: {SIZES}, got 2.5"),
        (lambda: nn.AveragePooling2D(2, (1, 0)), f"^strides: {SIZES}"),
        (lambda: nn.AveragePooling1D(2, padding="full"), "^padding: expected 'valid' or 'same', got 'full'"),
        (lambda: nn.MaxPooling2D(data_format="NHWC"), "^data_format: expected 'channels_last' or 'channels_first'"),
        (lambda: nn.MaxPooling2D()(STEPS), r"MaxPooling2D: expected inputs \(batch, height, width, channels\), got"),
        (lambda: nn.MaxPooling1D(**FIRST)(IMAGES), r"MaxPooling1D: expected inputs \(batch, channels, steps\)"),
        (lambda: nn.MaxPooling2D(5)(IMAGES), "MaxPooling2D: expected inputs of at least 5 × 5 places, got .*(4, 5, 3)"),
        (lambda: nn.GlobalMaxPooling2D()(STEPS), r"GlobalMaxPooling2D: expected inputs \(batch, height"),
        (lambda: nn.GlobalAveragePooling1D("first"), "^data_format: expected"),
        (lambda: nn.AdaptiveAveragePooling2D((2, 0)), f"^output_size: {SIZES}"),
        (lambda: nn.AdaptiveMaxPooling1D(None), f"^output_size: {SIZES}, got None"),
        (lambda: nn.ZeroPadding1D((1, 2, 3)), r"^padding: expected a whole .* at least 0, or \(before, behind\) of"),
        (lambda: nn.ZeroPadding2D(-1), r"^padding: expected .*, or \(rows, columns\), or \(\(top, bottom\)"),
        (lambda: nn.ZeroPadding2D(((1, 2), (3,))), "^padding: expected"),
        (lambda: nn.ZeroPadding2D()(STEPS), "ZeroPadding2D: expected inputs"),
        (lambda: nn.Cropping1D("ab"), "^cropping: expected"),
        (lambda: nn.Cropping2D(2)(IMAGES), r"Cropping2D: expected a cropping that leaves a place .*\(batch, 4, 5, 3\)"),
        (lambda: nn.UpSampling1D(0), f"^size: {SIZES}"),
        (lambda: nn.UpSampling2D(2, interpolation="cubic"), "^interpolation: expected .* or 'bicubic' or .* got"),
        (lambda: nn.SpatialDropout2D(0.5)(STEPS), r"SpatialDropout2D: expected inputs \(batch, height, width"),
        (lambda: nn.SpatialDropout2D(1), r"^rate: expected a number in \[0, 1\)"),
    ],
)  # fmt: skip
def test_what_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()

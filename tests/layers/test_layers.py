"""Layers through a model: shapes, values against NumPy, arguments; and layers of one's own."""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import pytest
import reference

import nncore as nn
from nncore.layers import LAYERS
from nncore.operations import add, dense, rescale

RNG = np.random.default_rng(8)


def run(layers: list[Any], x: np.ndarray, **settings: Any) -> np.ndarray:
    return nn.Model(layers, seed=0, dtype="float64", **settings).predict(x)


@pytest.mark.parametrize("name", sorted(LAYERS.names()))
def test_every_layer_survives_its_configuration(name: str) -> None:
    arguments: dict[str, Any] = {
        "dense": {
            "units": 3,
            "activation": "gelu",
            "use_bias": False,
            "kernel_initializer": "he_normal",
            "kernel_regularizer": "l2",
            "bias_initializer": nn.initializers.Constant(0.5),
            "trainable": False,
        },
        "activation": {"activation": "softplus"},
        "dropout": {"rate": 0.25},
        "embedding": {"input_dim": 9, "output_dim": 4, "embeddings_regularizer": "l2"},
        "reshape": {"target_shape": (2, -1)},
        "rescaling": {"scale": 0.5, "offset": -1},
        "concatenate": {"axis": 2},
        "dot": {"axes": (1, 2), "normalize": True},
        "power": {"exponent": -0.5},
        "slice": {"index": [[1, None, 2], -1, None]},
        "re_lu": {"max_value": 6, "negative_slope": 0.1, "threshold": 0.5},
        "leaky_re_lu": {"negative_slope": 0.01},
        "elu": {"alpha": 0.5},
        "softmax": {"axis": (1, 2)},
        "group_normalization": {"groups": 4, "axis": 1},
        "gaussian_dropout": {"rate": 0.25},
        "gaussian_noise": {"stddev": 0.25},
        "alpha_dropout": {"rate": 0.25},
        "spatial_dropout1d": {"rate": 0.25},
        "spatial_dropout2d": {"rate": 0.25, "data_format": "channels_first"},
        "conv1d": {"filters": 4, "kernel_size": 3, "padding": "causal", "dilation_rate": 2},
        "conv2d": {"filters": 4, "kernel_size": (3, 2), "strides": (1, 2), "groups": 2, "activation": "relu"},
        "conv1d_transpose": {"filters": 4, "kernel_size": 3, "strides": 2, "output_padding": 1},
        "conv2d_transpose": {"filters": 4, "kernel_size": 3, "padding": "same", "data_format": "channels_first"},
        "depthwise_conv1d": {"kernel_size": 3, "depth_multiplier": 2, "dilation_rate": 2},
        "depthwise_conv2d": {"kernel_size": (3, 2), "padding": "same", "activation": "relu"},
        "separable_conv1d": {"filters": 4, "kernel_size": 3, "padding": "same"},
        "separable_conv2d": {"filters": 4, "kernel_size": 3, "depth_multiplier": 2, "data_format": "channels_first"},
        "max_pooling1d": {"pool_size": 3, "strides": 2, "padding": "same"},
        "max_pooling2d": {"pool_size": (3, 2), "strides": 2, "padding": "same"},
        "average_pooling1d": {"pool_size": 3, "data_format": "channels_first"},
        "average_pooling2d": {"pool_size": (3, 2), "strides": (1, 2)},
        "global_max_pooling1d": {"keepdims": True},
        "global_average_pooling2d": {"data_format": "channels_first"},
        "adaptive_max_pooling1d": {"output_size": 3},
        "adaptive_max_pooling2d": {"output_size": (3, 2)},
        "adaptive_average_pooling1d": {"output_size": 3, "data_format": "channels_first"},
        "adaptive_average_pooling2d": {"output_size": (3, 2)},
        "zero_padding1d": {"padding": (0, 2)},
        "zero_padding2d": {"padding": ((1, 2), (0, 3)), "data_format": "channels_first"},
        "cropping1d": {"cropping": 1},
        "cropping2d": {"cropping": ((1, 2), (0, 3))},
        "up_sampling1d": {"size": 3},
        "up_sampling2d": {"size": (3, 2), "interpolation": "bilinear"},
        "permute": {"dims": (2, 1)},
        "repeat_vector": {"n": 3},
        "non_crossing": {"quantiles": 3},
        "time_distributed": {"layer": nn.Dense(3)},
        "parametric_activation": {"activation": "mish"},
        "spectral_normalization": {"layer": nn.Dense(3), "power_iterations": 2},
        "einsum_dense": {"equation": "abc,cd->abd", "output_shape": (None, 3), "bias_axes": "d"},
        "category_encoding": {"num_tokens": 5, "output_mode": "count"},
        "discretization": {"bin_boundaries": [0.0, 1.5], "output_mode": "one_hot"},
        "hashing": {"num_bins": 5, "salt": [1, 2], "mask_value": "gap"},
        "hashed_crossing": {"num_bins": 5, "output_mode": "one_hot"},
        "string_lookup": {"vocabulary": ["a", "b"], "mask_token": "", "num_oov_indices": 2},
        "integer_lookup": {"vocabulary": [3, 1], "output_mode": "tf_idf", "idf_weights": [0.5, 0.25]},
        "resizing": {"height": 3, "width": 4, "interpolation": "nearest", "pad_to_aspect_ratio": True},
        "center_crop": {"height": 3, "width": 4, "data_format": "channels_first"},
        "random_crop": {"height": 3, "width": 4, "seed": 2**64 - 1},
        "random_flip": {"mode": "vertical"},
        "random_translation": {"height_factor": 0.1, "width_factor": (-0.1, 0.2), "fill_mode": "wrap"},
        "random_rotation": {"factor": [0.1, 0.2], "interpolation": "nearest"},
        "random_zoom": {"height_factor": 0.1, "fill_mode": "constant", "fill_value": 2},
        "random_contrast": {"factor": 0.5, "value_range": (0, 1)},
        "random_brightness": {"factor": (-0.5, 0.25)},
        "random_erasing": {"factor": (0.5, 1), "scale": 0.25, "fill_value": (1, 2, 3)},
        "mix_up": {"alpha": 0.4},
        "cut_mix": {"factor": (0.5, 1)},
        "normalization": {"axis": 1, "mean": [0.5], "variance": [2.0], "invert": True},
    }.get(name, {})
    cls = LAYERS.classes[name]
    layer = cls(**arguments, name="mine")
    again = cls.from_config(layer.get_config())
    assert type(again) is cls and again.get_config() == layer.get_config() and again.name == "mine"
    assert set(arguments) | {"name"} <= set(layer.get_config())
    with pytest.raises(ValueError, match="unknown keys.*nonsense"):
        cls.from_config(layer.get_config() | {"nonsense": 1})
    for bad in ("", "a/b", 3):
        with pytest.raises(ValueError, match="name: expected a non-empty string without '/'"):
            cls(**arguments, name=bad)
    assert getattr(nn, cls.__name__) is cls is getattr(nn.layers, cls.__name__)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
def test_dense_acts_on_the_last_axis(shape: tuple[int, ...]) -> None:
    x = RNG.normal(size=(7, *shape))
    model = nn.Model([nn.Dense(4, activation="tanh", bias_initializer="random_normal")], seed=0, dtype="float64")
    y = model.predict(x)
    w, b = model.get_weights()
    assert w.shape == (5, 4) and b.shape == (4,)
    np.testing.assert_allclose(y, np.tanh(x @ w + b), rtol=1e-12)


def test_dense_arguments() -> None:
    model = nn.Model([nn.Input(3), nn.Dense(2, use_bias=False, kernel_initializer="ones")])
    assert [w.tolist() for w in model.get_weights()] == [[[1, 1]] * 3]
    for arguments, words in [
        ({"units": 0}, "units: expected a positive whole number of neurons, got 0"),
        ({"units": 2.0}, "units: .*got 2.0"),
        ({"units": True}, "units: "),
        ({"units": None}, "units: "),
        (
            {"units": 3, "activation": "rellu"},
            "activation: expected a known activation, got 'rellu'. Did you mean 'relu'",
        ),
        (
            {"units": 3, "kernel_initializer": "glorot"},
            "kernel_initializer: expected a known initializer.*glorot_uniform",
        ),
        ({"units": 3, "bias_initializer": 3.5}, "bias_initializer: "),
        ({"units": 3, "kernel_regularizer": "l3"}, "kernel_regularizer: expected a known regularizer.*l1"),
        ({"units": 3, "use_bias": "False"}, "use_bias: expected True or False, got 'False'"),
        ({"units": 3, "bias_regularizer": object()}, "bias_regularizer: "),
    ]:
        with pytest.raises((ValueError, TypeError), match=words):
            nn.Dense(**arguments)


@pytest.mark.parametrize("name", ["relu", "elu", "sigmoid", "tanh", "softplus", "gelu", "silu", "selu", "leaky_relu"])
def test_activation_layer_is_the_activation_of_a_layer(name: str) -> None:
    x = RNG.normal(size=(6, 5))
    apart = run([nn.Dense(4), nn.Activation(name)], x)
    assert np.array_equal(apart, run([nn.Dense(4, activation=name)], x))
    alone = run([nn.Activation(name)], x)
    at = {"elu": 1.0, "leaky_relu": 0.2}.get(name, 1.0)  # Keras's defaults
    np.testing.assert_allclose(alone, reference.activate(name, x, at), rtol=1e-12, atol=1e-15)


def test_softmax_is_along_the_last_axis() -> None:
    x = RNG.normal(size=(6, 2, 5)) * 30
    y = run([nn.Activation("softmax")], x)
    np.testing.assert_allclose(y, reference.softmax(x), rtol=1e-12)


def test_dropout_drops_in_training_only() -> None:
    x = np.ones((400, 50))
    assert np.array_equal(run([nn.Dropout(0.4)], x), x)
    model = nn.Model(
        [nn.Dropout(0.4), nn.Dense(1, kernel_initializer="zeros", use_bias=False)], seed=1, dtype="float64"
    )
    model.compile(nn.SGD(1.0), "mse")
    model.fit(x, np.ones(400), batch_size=400, verbose=0)
    # dW = −2/n Σᵢ maskᵢ / (1 − rate): the share of kept inputs, column by column
    kept = model.get_weights()[0][:, 0] / 2 * 0.6
    assert abs(kept.mean() - 0.6) < 0.02 and kept.std() > 0.01
    np.testing.assert_allclose(kept * 400, np.round(kept * 400), atol=1e-9)
    for bad in (-0.1, 1, 1.0, "a", None, True, float("nan")):
        words = r"^rate: expected a number in \[0, 1\), the fraction to drop, or a LearningRateSchedule, got"
        with pytest.raises((ValueError, TypeError), match=words):
            nn.Dropout(bad)


def test_merging() -> None:
    data = RNG.normal(size=(6, 3, 4))
    x = nn.Input((3, 4))
    a, b = nn.Rescaling(2.0)(x), nn.Rescaling(1.0, offset=1)(x)

    def value(out: Any) -> np.ndarray:
        return nn.Model(x, out, dtype="float64").predict(data)

    np.testing.assert_allclose(value(nn.Add()([a, b, x])), 4 * data + 1, rtol=1e-12)
    a, b = nn.Rescaling(2.0)(x), nn.Rescaling(1.0, offset=1)(x)
    np.testing.assert_allclose(value(nn.Multiply()([a, b])), 2 * data * (data + 1), rtol=1e-12)
    for axis in (1, 2, -1, -2):
        parts = [nn.Rescaling(2.0)(x), nn.Rescaling(1.0, offset=1)(x), x]
        joined = value(nn.Concatenate(axis)(parts))
        assert np.array_equal(joined, np.concatenate([2 * data, data + 1, data], axis))
    wide = nn.Dense(5)(x)
    for make, words in [
        (
            lambda: nn.Add()([x, wide]),
            r"Add: expected inputs of one shape, or with .*, got \(3, 4\), \(3, 5\)",
        ),
        (lambda: nn.Multiply()([x]), "Multiply: expected a list of two or more symbols, got 1"),
        (lambda: nn.Add()(x), "Add: expected a list of two or more symbols"),
        (lambda: nn.Concatenate(1)([x, wide]), r"Concatenate: expected inputs that agree except along axis 1"),
        (lambda: nn.Concatenate(3)([x, wide]), "Concatenate: expected an axis"),
        (lambda: nn.Concatenate(0), "axis: expected a whole number other than 0"),
        (lambda: nn.Concatenate("a"), "axis: "),
        (lambda: nn.Dense(3)([x, wide]), "Dense: expected one symbol, got 2 in a list"),
    ]:
        with pytest.raises((ValueError, TypeError), match=words):
            make()


def test_names() -> None:
    model = nn.Model([nn.Input(3), nn.Dense(2), nn.Dense(2, name="dense_1"), nn.Dense(2), nn.Dropout(0.1)])
    assert [layer.name for layer in model.layers] == ["dense", "dense_1", "dense_2", "dropout"]


# ---- layers of one's own ---------------------------------------------------------------------------------------------


class Scale(nn.Layer):
    """Y = times X, then what `also` adds; as a user would write it."""

    def __init__(self, times: float, name: str | None = None) -> None:
        super().__init__(name)
        self.times = times

    def emit(self, b: Any, *inputs: Any) -> Any:
        return rescale(b, inputs[0], self.times, 0.0)


class Residual(nn.Layer):
    """Y = X + X W."""

    def declare(self, *shapes: Any) -> None:
        n = shapes[0][-1]
        self.kernel = self.add_parameter("kernel", (n, n), nn.initializers.get("glorot_uniform", "kernel"))

    def emit(self, b: Any, *inputs: Any) -> Any:
        return add(b, inputs[0], dense(b, inputs[0], self.kernel, None))


def test_a_layer_of_ones_own_trains_like_the_same_graph() -> None:
    data, target = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 3))
    own = nn.Model([nn.Dense(3, activation="tanh"), Scale(0.5), Residual()], seed=0, dtype="float64")
    x = nn.Input(3)
    h = nn.Rescaling(0.5)(nn.Dense(3, activation="tanh")(x))
    graph = nn.Model(x, nn.Add()([h, nn.Dense(3, use_bias=False)(h)]), seed=0, dtype="float64")
    for model in (own, graph):
        model.compile("adam", "mse")
        model.fit(data, target, epochs=5, verbose=0)
    for a, b in zip(own.get_weights(), graph.get_weights(), strict=True):
        assert np.array_equal(a, b)
    assert [layer.name for layer in own.layers] == ["dense", "scale", "residual"]


class Empty(nn.Layer):
    """Says nothing."""


def test_a_layer_that_says_nothing() -> None:
    with pytest.raises(NotImplementedError, match="Empty does not say what it computes: override emit"):
        run([Empty()], np.ones((2, 3)))


def assert_follows_its_formula(model: nn.Model, x: np.ndarray, t: np.ndarray) -> None:
    """Predictions against the reference, the gradient of a step against differences of its loss."""
    np.testing.assert_allclose(model.predict(x), networks.forward(model, model.get_weights(), x), 1e-11, 1e-12)
    model.compile(nn.SGD(1.0), "mse")
    expected = networks.numerical_gradients(model, x, t)
    _, found = networks.gradients(model, x, t)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, 1e-6, 1e-8)


@pytest.mark.parametrize(
    ("axis", "shape", "normalized"),
    [(-1, (7,), (7,)), (2, (3, 5), (5,)), ([-2, -1], (2, 3, 4), (3, 4)), ([1, 2], (3, 5), (3, 5))],
)
def test_layer_normalization(axis: Any, shape: tuple[int, ...], normalized: tuple[int, ...]) -> None:
    """Against the formula, and by its gradient against differences of the loss."""
    layers = [nn.Input(shape), nn.LayerNormalization(axis, epsilon=0.01), nn.Flatten(), nn.Dense(2)]
    model = nn.Model(layers, dtype="float64")
    networks.randomize(model)
    x, t = RNG.normal(size=(9, *shape)), RNG.normal(size=(9, 2))
    gamma, beta, *_ = model.get_weights()
    assert gamma.shape == beta.shape == normalized
    assert_follows_its_formula(model, x, t)


def test_layer_normalization_below_a_layer_that_learns() -> None:
    """dX, through γ, of a normalization that is frozen or has neither γ nor β."""
    for settings in ({"trainable": False}, {"scale": False, "center": False}, {"scale": False}, {"center": False}):
        layers = [nn.Input(4), nn.Dense(6, "tanh"), nn.LayerNormalization(**settings), nn.Dense(2)]
        model = nn.Model(layers, seed=3, dtype="float64")
        networks.randomize(model)
        assert_follows_its_formula(model, RNG.normal(size=(9, 4)), RNG.normal(size=(9, 2)))


@pytest.mark.parametrize("axis", [0, 1.5, [], [1, 0]])
def test_axes_of_layer_normalization(axis: Any) -> None:
    with pytest.raises(ValueError, match="^axis: expected a whole number other than 0"):
        nn.LayerNormalization(axis)
    with pytest.raises(ValueError, match="expected axes of inputs .*got axis=3"):
        nn.Model([nn.Input((3, 5)), nn.LayerNormalization(3)])


SLOPES = [(None, (3, 5)), (1, (1, 5)), ([1], (1, 5)), (2, (3, 1)), ([1, 2], (1, 1))]


@pytest.mark.parametrize(("shared", "slopes"), SLOPES)
def test_prelu(shared: Any, slopes: tuple[int, ...]) -> None:
    """Against the formula, and by its gradient against differences of the loss."""
    layers = [nn.Input((3, 5)), nn.PReLU(shared_axes=shared), nn.Dense(4), nn.PReLU("ones", shared_axes=1)]
    model = nn.Model([*layers, nn.Flatten(), nn.Dense(2)], dtype="float64")
    networks.randomize(model)
    x, t = RNG.normal(size=(9, 3, 5)), RNG.normal(size=(9, 2))
    assert model.get_weights()[0].shape == slopes
    assert_follows_its_formula(model, x, t)


@pytest.mark.parametrize("shared", [0, 3, [1, 3], -1])
def test_shared_axes_of_prelu(shared: Any) -> None:
    with pytest.raises(ValueError, match="shared_axes"):
        nn.Model([nn.Input((3, 5)), nn.PReLU(shared_axes=shared)])


@pytest.mark.parametrize("middle", [nn.LayerNormalization, nn.PReLU, lambda: nn.Dense(5, "tanh")])
def test_layers_learn_what_their_own_model_trains(middle: Any) -> None:
    """A discriminator, frozen within another model that is compiled later, trains as it does alone."""
    found = []
    for shared in (False, True):
        d = nn.Model([nn.Input(5), nn.Dense(5), middle(), nn.Dense(1)], seed=1)
        d.compile(nn.SGD(0.1), "mse")
        if shared:
            for layer in d.layers:
                layer.trainable = False
            z = nn.Input(3)
            both = nn.Model(z, d(nn.Dense(5)(z)), seed=2)
            both.compile(nn.SGD(0.1), "mse")
            both.train_on_batch(np.ones((4, 3)), np.ones((4, 1)))
        rng = np.random.default_rng(0)
        for _ in range(3):
            d.train_on_batch(rng.normal(size=(8, 5)), rng.normal(size=(8, 1)))
        found.append(d.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_emit_returns_has_the_shape_that_was_said() -> None:
    class Wide(nn.layers.Layer):
        def declare(self, *shapes: Any) -> None:
            self.w = self.add_parameter("w", (shapes[0][0], 3), nn.initializers.GlorotUniform())

        def emit(self, b: Any, *inputs: Any) -> Any:
            return dense(b, inputs[0], self.w, None)

    with pytest.raises(ValueError, match=r"expected emit to return what output_shape says, \(4,\).*got \(3,\)"):
        nn.Model([nn.Input(4), Wide()]).predict(np.ones((2, 4)))


def test_operations_refuse_tensors_that_do_not_fit() -> None:
    class Odd(nn.layers.Layer):
        def __init__(self, what: Any, name: str | None = None) -> None:
            super().__init__(name)
            self.what = what

        def emit(self, b: Any, *inputs: Any) -> Any:
            return self.what(b, inputs[0])

    for what, words in (
        (lambda b, x: nn.operations.reshape(b, x, (5,)), "reshape: expected a shape of the 4 elements"),
        (lambda b, x: add(b, x, nn.operations.reshape(b, x, (2, 2))), "add: expected two tensors of one shape"),
        (lambda b, x: nn.operations.multiply(b, x, nn.operations.reshape(b, x, (4, 1))), "multiply: expected two"),
    ):
        with pytest.raises(ValueError, match=words):
            nn.Model([nn.Input(4), Odd(what)]).predict(np.ones((2, 4)))


def test_a_softmax_that_a_layer_reads_and_returns() -> None:
    """The loss takes its inputs, the layer its outputs: by the gradient of both."""

    class Odd(nn.layers.Layer):
        def emit(self, b: Any, *inputs: Any) -> Any:
            y = nn.operations.activate(b, inputs[0], nn.activations.Softmax())
            nn.operations.multiply(b, y, y)
            return y

    model = nn.Model([nn.Input(4), nn.Dense(3), Odd()], seed=1, dtype="float64")
    plain = nn.Model([nn.Input(4), nn.Dense(3, "softmax")], seed=1, dtype="float64")
    plain.set_weights(model.get_weights())
    x, t = RNG.normal(size=(9, 4)), np.eye(3)[RNG.integers(0, 3, 9)]
    for each in (model, plain):
        each.compile(nn.SGD(0.5), "categorical_crossentropy", metrics=["mse"])
    np.testing.assert_allclose(model.train_on_batch(x, t), plain.train_on_batch(x, t), 1e-13)
    for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, 1e-13)

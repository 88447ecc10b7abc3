"""Layers that hold another: what is trainable, the other's weights and attributes, what they refuse."""

from __future__ import annotations

import copy
import pathlib
import warnings
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.operations import activate, reshape

RNG = np.random.default_rng(7)
X, Y = RNG.standard_normal((20, 3, 4)), RNG.standard_normal((20, 3, 2))
WRAPPERS = [nn.TimeDistributed, nn.SpectralNormalization]


def model_of(wrapper: Any) -> Any:
    model = nn.Sequential([nn.Input((3, 4)), wrapper, nn.Dense(2)], seed=1)
    model.compile(nn.SGD(0.1), "mse")
    return model


def moves(model: Any) -> bool:
    """Whether a step changes the kernel of the first layer."""
    before = model.layers[0].get_weights()[0]
    model.train_on_batch(X, Y)
    return not np.array_equal(before, model.layers[0].get_weights()[0])


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize(("outer", "inner"), [(True, True), (True, False), (False, True), (False, False)])
def test_fit_changes_what_is_trainable_outside_and_inside(
    wrap: Any, outer: bool, inner: bool, tmp_path: pathlib.Path
) -> None:
    """As in Keras 3.15, whose wrapper has no trainable weights where the layer is not trainable."""
    model = model_of(wrap(nn.Dense(2, trainable=inner), trainable=outer))
    layer = model.layers[0]
    assert (layer.trainable, layer.layer.trainable) == (outer, inner)
    assert [w.name for w in layer.trainable_weights] == ["kernel", "bias"] * (outer and inner)
    assert moves(model) == (outer and inner)
    model.save(tmp_path / "m")
    for other in (nn.load_model(tmp_path / "m"), nn.models.clone_model(model), copy.deepcopy(model)):
        assert (other.layers[0].trainable, other.layers[0].layer.trainable) == (outer, inner)
        other.compile(nn.SGD(0.1), "mse")
        assert moves(other) == (outer and inner)
    layer.trainable = True  # sets both, as Keras does
    assert layer.layer.trainable
    model.compile(nn.SGD(0.1), "mse")
    assert moves(model)
    layer.layer.trainable = False
    model.save(tmp_path / "m")  # of what is in force
    assert moves(model)
    assert moves(nn.load_model(tmp_path / "m"))


def test_the_layer_has_the_weights_of_the_wrapper() -> None:
    for wrap in WRAPPERS:
        layer = nn.Dense(2)
        model = model_of(wrap(layer))
        for a, b in zip(layer.get_weights(), model.layers[0].get_weights(), strict=False):
            np.testing.assert_array_equal(a, b)
        layer.set_weights([np.full((4, 2), 0.5), np.ones(2)])
        np.testing.assert_allclose(model.layers[0](X), X @ np.full((4, 2), 0.5) + 1, 1e-5, 1e-6)
        assert layer.built
        assert layer.count_params() == 10
        assert len(layer.get_weights()) == 2
        twin = copy.deepcopy(model).layers[0]
        twin.layer.set_weights([np.zeros((4, 2)), np.zeros(2)])
        assert not twin(X).any()
        assert layer.get_weights()[0].all()
        with pytest.raises(AttributeError, match="units: fixed since Dense was called"):
            layer.units = 3
        with pytest.raises(ValueError, match=r"weights of layer Dense: expected shape \(4, 2\)"):
            layer.set_weights([np.zeros((2, 4)), np.zeros(2)])
    with pytest.raises(ValueError, match="layer Dense: has no weights before its model is built"):
        nn.Dense(3).get_weights()


def test_the_layer_keeps_its_name_where_it_cannot_be_built() -> None:
    class Fails(nn.Layer):
        def build(self, input_shape: Any) -> None:
            raise RuntimeError("no")

        def forward(self, x: Any) -> Any:
            return x

        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

    layer = Fails(name="mine")
    with pytest.raises(RuntimeError, match="no"):
        model_of(nn.TimeDistributed(layer, name="outer", trainable=False))
    assert (layer.name, layer.trainable) == ("mine", True)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_a_model_is_refused_in_words(wrap: Any) -> None:
    model = nn.Sequential([nn.Input(4), nn.Dense(2)], name="steps")
    with pytest.raises(
        TypeError, match=f"got the model .*'steps'.* It cannot be inside of {wrap.__name__}: wrap its layers"
    ):
        wrap(model)


@pytest.mark.parametrize(
    ("make", "at_once"),
    [
        (lambda: nn.Dense(2, "tanh"), True),
        (lambda: nn.Dense(2, "softmax"), True),
        (lambda: nn.Activation("log_softmax"), True),
        (lambda: nn.Softmax(axis=1), False),
        (lambda: nn.LayerNormalization(), False),
    ],
)
@pytest.mark.parametrize("shape", [(3, 4), (3, 2, 4)])
def test_steps_at_once_have_the_bits_of_each_by_itself(
    make: Any, at_once: bool, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, alone, calls = RNG.standard_normal((70, *shape)).astype("f4"), make(), []
    model = nn.Sequential([nn.Input(shape), nn.TimeDistributed(make())], seed=1)
    alone.build((None, *shape[1:]))
    if model.weights:
        alone.set_weights(model.get_weights())
    wanted = np.stack([alone(x[:, t]) for t in range(3)], axis=1)
    owner = next(cls for cls in type(alone).__mro__ if "emit" in vars(cls))
    emit = owner.emit
    monkeypatch.setattr(owner, "emit", lambda self, b, *xs: calls.append(1) or emit(self, b, *xs))
    np.testing.assert_array_equal(model.predict(x), wanted)
    assert len(calls) == (1 if at_once else 3)


def test_a_softmax_of_steps_is_that_of_the_loss() -> None:
    """So labels get no warning, and gradients are those of all steps, by the formula."""
    x, labels = RNG.standard_normal((6, 3, 4)), RNG.integers(0, 2, (6, 3))
    model = nn.Sequential([nn.Input((3, 4)), nn.TimeDistributed(nn.Dense(2, "softmax"))], dtype="float64", seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.compile(nn.SGD(1.0), "sparse_categorical_crossentropy")
    w, bias = model.get_weights()
    powers = np.exp(x @ w + bias)
    dz = (powers / powers.sum(-1, keepdims=True) - np.eye(2)[labels]) / labels.size
    model.train_on_batch(x, labels)
    np.testing.assert_allclose(model.get_weights()[0], w - np.einsum("bti,btj->ij", x, dz), rtol=1e-12)
    np.testing.assert_allclose(model.get_weights()[1], bias - dz.sum((0, 1)), rtol=1e-12)


def test_what_a_class_of_ones_own_emits_is_emitted_for_each_step() -> None:
    """Its rows may depend on one another: here Y is the softmax of X W + b over all of a step's numbers."""

    class Flat(nn.Dense):
        def emit(self, b: Any, *inputs: Any) -> Any:
            y = super().emit(b, *inputs)
            return reshape(b, activate(b, reshape(b, y, (y.size,)), nn.activations.Softmax()), y.shape)

    x = RNG.standard_normal((5, 3, 2, 4)).astype("f4")
    layer = nn.TimeDistributed(Flat(2))
    z = nn.Sequential([nn.Input((3, 2, 4)), layer], seed=1).predict(x)
    w, bias = layer.get_weights()
    powers = np.exp(x @ w + bias)
    np.testing.assert_allclose(z, powers / powers.sum(axis=(2, 3), keepdims=True), 1e-5)


def test_spectral_normalization_has_the_penalty_on_outputs() -> None:
    """As in Keras: l2 times the sum of squares of each sample, its mean over the batch."""
    layer = nn.Dense(2, "tanh", activity_regularizer=nn.regularizers.L2(0.5))
    model = model_of(nn.SpectralNormalization(layer))
    h = model.layers[0](X)
    found = model.evaluate(X, model.predict(X, verbose=0), verbose=0)
    assert found == pytest.approx(0.5 * (h**2).sum() / len(X), 1e-5)

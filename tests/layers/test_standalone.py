"""Layers and models on arrays: outside of models, and as in a step of training."""

from __future__ import annotations

import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest

import nncore as nn
import nncore.schedules
from nncore import sizes

RNG = np.random.default_rng(3)


def test_a_layer_draws_its_weights_at_its_first_call_and_keeps_them() -> None:
    x = RNG.normal(size=(5, 3))
    layer = nn.Dense(4, activation="relu", bias_initializer="random_normal")
    y = layer(x)
    kernel, bias = layer.get_weights()
    assert y.dtype == kernel.dtype == np.float32 and layer.built and layer.kernel.shape == (3, 4)
    np.testing.assert_allclose(y, np.maximum(x @ kernel + bias, 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(layer(x), y)
    layer.set_weights([kernel + 1, bias])
    np.testing.assert_allclose(layer(x), np.maximum(x @ (kernel + 1) + bias, 0), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"expected inputs that its weights fit"):
        layer(x[:, :2])


def test_seeds_settle_the_weights() -> None:
    def drawn() -> Any:
        nn.set_random_seed(5)
        layer = nn.Dense(4)
        layer.build((None, 3))
        return layer.get_weights()[0]

    np.testing.assert_array_equal(drawn(), drawn())


@pytest.mark.parametrize("shape", [3, (3,), (None, 3), (7, 3)])
def test_build_takes_the_shape_of_inputs(shape: Any) -> None:
    layer = nn.Dense(4)
    layer.build(shape)
    assert [w.shape for w in layer.get_weights()] == [(3, 4), (4,)]


def test_layers_of_several_inputs_and_without_weights_keep_float64() -> None:
    a, b = RNG.normal(size=(2, 4, 3))
    np.testing.assert_array_equal(nn.Add()([a, b]), a + b)
    np.testing.assert_array_equal(nn.Flatten()(RNG.normal(size=(2, 3, 4)).astype(np.float32)).shape, (2, 12))
    with pytest.raises(ValueError, match="Add: expected a list of arrays, got ndarray"):
        nn.Add()(a)
    with pytest.raises(ValueError, match=r"Add: expected arrays of as many samples each.*got \(4, 3\), \(3, 3"):
        nn.Add()([a, b[:3]])
    with pytest.raises(TypeError, match="Dense: expected symbols.*, or arrays alone, got also ndarray"):
        nn.Dense(2)([nn.Input(3), a])


def test_layers_that_take_whole_numbers() -> None:
    layer = nn.Embedding(5, 2)
    y = layer([[1, 2], [3, 4]])
    np.testing.assert_array_equal(y, layer.get_weights()[0][[[1, 2], [3, 4]]])
    with pytest.raises(ValueError, match="whole numbers from 0 to 4"):
        layer([[5]])


def test_a_model_takes_a_layer_with_the_weights_that_it_has() -> None:
    x = RNG.normal(size=(6, 3)).astype(np.float32)
    layer = nn.Dense(2)
    before = layer(x)
    model = nn.Model([layer, nn.Activation("relu")])
    np.testing.assert_array_equal(model.predict(x), np.maximum(before, 0))
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((6, 2)), epochs=1, verbose=0)
    assert not np.array_equal(layer(x), before)
    np.testing.assert_array_equal(np.maximum(layer(x), 0), model.predict(x))
    nn.Model(inputs=(s := nn.Input(3)), outputs=nn.Dense(1)(layer(s)))  # joins two states
    np.testing.assert_array_equal(np.maximum(layer(x), 0), model.predict(x))


def test_programs_of_the_last_shapes_are_held() -> None:
    layer, lengths = nn.Cropping1D(1), range(3, 3 + sizes.MOST_KNOWN + 5)
    for _ in range(2):
        for steps in lengths:
            x = np.arange(2 * steps, dtype=np.float32).reshape(2, steps, 1)
            np.testing.assert_array_equal(layer(x), x[:, 1:-1])
    assert layer._forwards is not None and len(layer._forwards) == sizes.MOST_KNOWN


def test_dropout_is_on_in_training_alone() -> None:
    x = np.ones((64, 100))
    layer = nn.Dropout(0.25)
    np.testing.assert_array_equal(layer(x), x)
    nn.set_random_seed(1)
    layer = nn.Dropout(0.25)
    first, second = layer(x, training=True), layer(x, training=True)
    assert set(np.unique(first)) == {0, 1 / 0.75} and not np.array_equal(first, second)
    assert abs((first == 0).mean() - 0.25) < 0.02
    nn.set_random_seed(1)
    again = nn.Dropout(0.25)
    np.testing.assert_array_equal(again(x, training=True), first)
    with pytest.raises(TypeError, match="training: expected True or False"):
        layer(x, training="yes")


def test_a_model_as_in_training() -> None:
    x = RNG.normal(size=(300, 5)).astype(np.float32)
    model = nn.Model([nn.Dense(50, activation="relu"), nn.Dropout(0.5)], seed=0)
    y = model(x)
    weights = model.get_weights()
    dropped = model(x, training=True)
    mask = dropped != 0
    np.testing.assert_allclose(dropped[mask], 2 * y[mask], rtol=1e-6)
    assert 0.4 < mask[y > 0].mean() < 0.6
    assert not np.array_equal(dropped, model(x, training=True))
    for a, b in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for threads in (1, 2):
        twin = nn.Model([nn.Dense(50, activation="relu"), nn.Dropout(0.5)], seed=0, n_threads=threads)
        np.testing.assert_array_equal(twin(x, training=True), dropped)
    assert model(x[:0], training=True).shape == (0, 50)


def test_strided_rows_and_schedules_in_training() -> None:
    class Half(nn.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            return 0.5 + 0 * step

    rate = Half()
    x = np.ones((4, 80), np.float16)[:, ::2]
    y = nn.Dropout(rate)(x, training=True)
    assert set(np.unique(y)) == {0, 2}


def test_layers_go_without_the_garbage_collector_and_travel_without_what_was_compiled() -> None:
    layer = nn.Dense(3)
    x = RNG.normal(size=(2, 4)).astype(np.float32)
    y = layer(x)
    layer(x, training=True)
    copied = pickle.loads(pickle.dumps(layer))
    np.testing.assert_array_equal(copied(x), y)
    known = weakref.ref(layer)
    gc.disable()
    try:
        del layer
        assert known() is None
    finally:
        gc.enable()


class Sparse:
    """A matrix of SciPy's, as far as it is looked at."""

    shape = (2, 3)

    def toarray(self) -> Any:
        return np.zeros(self.shape)


@pytest.mark.parametrize(
    ("layer", "given", "words"),
    [
        (nn.Dense(2), Sparse(), r"^Dense: inputs: .*Convert it: inputs\.toarray\(\)"),
        (nn.Dense(2, name="d"), np.zeros((2, 3), "c8"), r"^d: inputs: .*concatenate\(\[inputs\.real, inputs\.imag\]"),
        (nn.StringLookup(vocabulary=["a"]), ["a", None], r"^StringLookup: inputs: .*by inputs\.fillna"),
    ],
)
def test_remedies_name_the_argument(layer: Any, given: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        layer(given)


def test_a_layer_that_is_frozen_or_thawed_between_calls() -> None:
    x = np.array([[1.0, 2.0], [3.0, 6.0]])
    layer = nn.BatchNormalization(momentum=0.5, epsilon=1e-9)
    layer.build((None, 2))
    layer.trainable = False
    np.testing.assert_allclose(layer(x, training=True), x, 1e-6)
    layer.trainable = True
    np.testing.assert_allclose(layer(x, training=True), [[-1, -1], [1, 1]], 1e-6)
    assert [w.tolist() for w in layer.get_weights()[2:]] == [[1, 2], [1, 2.5]]
    layer.trainable = False
    layer(x, training=True)
    assert [w.tolist() for w in layer.get_weights()[2:]] == [[1, 2], [1, 2.5]]


def test_what_is_wrapped_twice_is_frozen_too() -> None:
    x = np.random.default_rng(0).normal(2, 1, (4, 3, 2, 5))
    layer = nn.TimeDistributed(nn.TimeDistributed(nn.BatchNormalization()))
    assert abs(layer(x, training=True).mean()) < 1e-6
    layer.layer.layer.trainable = False
    assert layer(x, training=True).mean() > 1

"""What programs for Keras do with layers: shapes told to the first one, sizes left open, configurations, weights."""

from __future__ import annotations

import copy
import json
import pickle
import re
from typing import Any

import numpy as np
import pytest

import nncore as nn

RNG = np.random.default_rng(8)
DTYPE = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}


# ---- the inputs of a first layer -------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [{"input_shape": (3,)}, {"input_dim": 3}, {"batch_input_shape": (None, 3)}])
def test_a_first_layer_is_told_its_inputs(told: Any) -> None:
    model = nn.Sequential([nn.Dense(4, activation="relu", **told), nn.Dense(2)])
    assert model.built and model.input_shape == (None, 3) and model.get_weights()[0].shape == (3, 4)
    grown = nn.Sequential()
    grown.add(nn.Dense(4, **told))
    grown.add(nn.Dense(2))
    assert grown.output_shape == (None, 2)
    assert "input_shape" not in model.layers[0].get_config()


def test_layers_of_a_user_pass_it_on() -> None:
    class Twice(nn.Layer):
        def __init__(self, units: int, **more: Any) -> None:
            super().__init__(**more)
            self.units = units

        def forward(self, x: Any) -> Any:
            return np.concatenate([x] * 2, -1)

    model = nn.Sequential([Twice(3, input_shape=(4,), dtype="float32", name="twice"), nn.Dense(1)])
    assert model.layers[1].kernel.shape == (8, 1) and model.layers[0].name == "twice"


def test_it_means_nothing_elsewhere_but_is_checked() -> None:
    x = nn.Input(3)
    assert nn.Model(x, nn.Dense(2, input_shape=(7,))(x)).output_shape == (None, 2)
    assert nn.Sequential([nn.Input(3), nn.Dense(2, input_shape=(7,))]).input_shape == (None, 3)
    assert not nn.Sequential([nn.Dense(2, input_shape=None)]).built
    assert nn.Embedding(input_dim=5, output_dim=2).input_dim == 5
    with pytest.raises(ValueError, match=r"input_shape: expected the positive sizes of one sample.*got \('a',\)"):
        nn.Dense(3, input_shape=("a",))
    for told, shape in (
        ({"input_shape": (None, 3)}, (None, None, 3)),
        ({"input_shape": [None, 8, 3]}, (None, None, 8, 3)),
        ({"batch_input_shape": (None, None, 3)}, (None, None, 3)),
    ):
        assert nn.Sequential([nn.Dense(4, **told)]).input_shape == shape
    with pytest.raises(ValueError, match="size of each axis that its weights depend on"):
        nn.Sequential([nn.Dense(4, input_shape=[3, None])])


# ---- sizes that are left open ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape", "weights", "fits"),
    [
        (nn.Conv2D(4, 3), (None, None, None, 3), [(3, 3, 3, 4), (4,)], ((2, 8, 9, 3), (2, 6, 7, 4))),
        (nn.SeparableConv1D(4, 3), (None, None, 2), [(3, 2, 1), (1, 2, 4), (4,)], ((1, 7, 2), (1, 5, 4))),
        (nn.BatchNormalization(), (None, None, 2), [(2,)] * 4, ((1, 7, 2), (1, 7, 2))),
        (nn.Dense(4), (None, None, 2), [(2, 4), (4,)], ((1, 7, 2), (1, 7, 4))),
        (nn.Embedding(5, 2), None, [(5, 2)], ((3, 6), (3, 6, 2))),
        (nn.Add(), [(None, None, 3), (None, None, 3)], [], None),
    ],
)
def test_weights_need_only_the_sizes_that_they_depend_on(layer: Any, shape: Any, weights: Any, fits: Any) -> None:
    layer.build(shape)
    assert layer.built and [w.shape for w in layer.get_weights()] == weights
    if fits is not None:
        given, made = fits
        assert layer(np.zeros(given)).shape == made


@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.Dense(4), (None, None)), (nn.LayerNormalization(axis=(1, 2)), (None, None, 3))]
)
def test_others_are_asked_for(layer: Any, shape: Any) -> None:
    with pytest.raises(ValueError, match="input_shape: expected the size of each axis that weights of .* depend on"):
        layer.build(shape)


@pytest.mark.parametrize(
    ("layer", "given", "made"),
    [
        (nn.Conv2D(4, 3), (None, None, 8, 3), (None, None, 6, 4)),
        (nn.Conv2D(4, 3, strides=3), (2, None, 8, 3), (2, None, 2, 4)),
        (nn.Flatten(), (None, None, 3), (None, None)),
        (nn.GlobalAveragePooling2D(), (None, None, None, 3), (None, 3)),
        (nn.UpSampling1D(2), (5, None, 3), (5, None, 3)),
        (nn.Add(), [(None, None, 3), (None, None, 3)], (None, None, 3)),
        (nn.Reshape((-1, 2)), (None, 6, 3), (None, 9, 2)),
    ],
)
def test_shapes_of_outputs_leave_open_what_follows_from_open_sizes(layer: Any, given: Any, made: Any) -> None:
    assert layer.compute_output_shape(given) == made


def test_a_stride_longer_than_any_window_leaves_a_size_open() -> None:
    assert nn.Conv1D(3, 5, strides=2048).compute_output_shape((None, None, 3)) == (None, None, 3)


@pytest.mark.parametrize(
    ("layer", "given"),
    [
        (nn.Reshape((28, 28)), (None, None)),
        (nn.Add(), [(None, None, 3), (None, 5, 3)]),
        (nn.Concatenate(), [(None, None, 3), (None, 5, 3)]),
    ],
)
def test_sizes_that_must_be_known_are_asked_for(layer: Any, given: Any) -> None:
    words = f"input_shape: expected the sizes that the output of {type(layer).__name__} depends on, got {given}. Give"
    with pytest.raises(ValueError, match=re.escape(words)):
        layer.compute_output_shape(given)


def test_what_stands_for_open_sizes_in_python_is_small() -> None:
    sizes: list[int] = []

    class Halves(nn.Layer):
        def forward(self, x: Any) -> Any:
            sizes.append(x.size)
            return x[:, ::2].mean(axis=2)

    assert Halves().compute_output_shape((None, None, None, None)) == (None, None, None)
    assert max(sizes) <= 50**3


# ---- what is built, and what it costs --------------------------------------------------------------------------------


def test_a_layer_that_has_nothing_to_declare_is_built() -> None:
    assert nn.Dropout(0.1).built and nn.Flatten().built and nn.Activation("relu").built
    assert nn.Dropout(0.1).get_weights() == [] and not nn.Dense(2).built
    lookup = nn.StringLookup(vocabulary=["a"])
    assert lookup.built and lookup.get_weights() == [] and lookup(["a"]).tolist() == [1] and lookup.get_weights() == []
    assert not nn.StringLookup(vocabulary=["a"], idf_weights=[1.0], output_mode="tf_idf").built  # its factors
    bare = nn.LayerNormalization(center=False, scale=False)
    assert not bare.built
    bare.build((None, 3))
    assert bare.built and bare.get_weights() == []
    bare.set_weights([])
    with pytest.raises(ValueError, match="has no weights before its model is built"):
        nn.Dense(2).get_weights()


def test_a_layer_that_was_called_on_symbols_has_weights_before_there_is_a_model() -> None:
    """Those of a table of words, say, which the model that is made then has: y = Σ of the rows' elements."""
    words, length = nn.Input((None,), dtype="int32"), nn.Input((4, 3))
    table, last = nn.Embedding(5, 2), nn.Dense(1, use_bias=False)
    y = last(nn.GlobalAveragePooling1D()(table(words)))
    rows = np.arange(10, dtype=np.float32).reshape(5, 2)
    table.set_weights([rows])
    last.set_weights([np.ones((2, 1))])
    model = nn.Model(words, y, seed=0)
    np.testing.assert_array_equal(model.predict(np.array([[3, 3], [0, 2]]), verbose=0), [[13.0], [5.0]])
    assert table.built and np.array_equal(table.get_weights()[0], rows)
    steps, both = nn.TimeDistributed(nn.Dense(2)), nn.Dot(2)
    assert steps(length).shape == (None, 4, 2) and both([length, length]).shape == (None, 4, 4)
    assert [w.shape for w in steps.get_weights()] == [(3, 2), (2,)] and both.get_weights() == []
    with pytest.raises(ValueError, match=r"weights of layer .*: expected shape \(5, 2\)"):
        table.set_weights([rows.T])


def test_losses_are_the_penalties_on_weights() -> None:
    layer = nn.Dense(3, kernel_regularizer=nn.regularizers.L1L2(0.5, 0.25), bias_regularizer="l2")
    assert layer.losses == []
    layer.build((None, 2))
    kernel, bias = RNG.normal(size=(2, 3)), RNG.normal(size=3)
    layer.set_weights([kernel, bias])
    expected = [0.5 * np.abs(kernel).sum() + 0.25 * (kernel**2).sum(), 0.01 * (bias**2).sum()]
    np.testing.assert_allclose(layer.losses, expected, rtol=1e-6)
    layer.trainable = False
    assert layer.losses == []


def test_losses_have_the_penalty_on_what_a_layer_made() -> None:
    """Of its last call on arrays by itself, for each sample."""
    x = RNG.normal(size=(4, 2))
    layer = nn.ActivityRegularization(l1=0.2, l2=0.3)
    assert layer.losses == []
    layer(2 * np.ones((1, 2)))
    layer(x)
    assert layer.losses == [pytest.approx((0.2 * np.abs(x) + 0.3 * x**2).sum() / 4, rel=1e-12)]
    assert copy.deepcopy(layer).losses == []
    dense = nn.Dense(3, kernel_regularizer="l1", activity_regularizer="l2")
    y = dense(x)
    wanted = [0.01 * np.abs(dense.kernel).sum(), 0.01 * (y**2).sum() / 4]
    np.testing.assert_allclose(dense.losses, wanted, rtol=1e-5)
    dense(x[:0])
    np.testing.assert_allclose(dense.losses, wanted, rtol=1e-5)


# ---- configurations of Keras -----------------------------------------------------------------------------------------

GLOROT = {"module": "keras.initializers", "class_name": "GlorotUniform", "config": {"seed": None}}
CONFIGS: list[tuple[type[nn.Layer], dict[str, Any]]] = [
    (nn.Dense, {"units": 3, "kernel_initializer": GLOROT, "dtype": DTYPE, "quantization_config": None}),
    (nn.Flatten, {"data_format": "channels_last", "trainable": True, "dtype": DTYPE}),
    (nn.Embedding, {"input_dim": 4, "output_dim": 2, "mask_zero": False, "activity_regularizer": None, "dtype": DTYPE}),
    (nn.Dropout, {"rate": 0.5, "seed": 3, "noise_shape": [None, 1], "trainable": True, "dtype": "float32"}),
    (nn.BatchNormalization, {"synchronized": False, "renorm": False, "renorm_momentum": 0.99, "dtype": DTYPE}),
    (nn.BatchNormalization, {"axis": [3], "momentum": 0.99, "dtype": "float32"}),  # as the second version wrote it
    (nn.Hashing, {"num_bins": 3, "salt": None, "mask_value": None, "dtype": "int64"}),
    (nn.CategoryEncoding, {"num_tokens": 3, "output_mode": "count", "dtype": "int32"}),
    (nn.Resizing, {"height": 3, "width": 4, "antialias": False, "trainable": True, "dtype": DTYPE}),
]


@pytest.mark.parametrize(("cls", "config"), CONFIGS)
def test_configurations_of_keras_describe_layers(cls: type[nn.Layer], config: dict[str, Any]) -> None:
    layer = cls.from_config(config | {"name": "it"})
    assert layer.name == "it" and "dtype" not in layer.get_config()
    again = nn.layers.deserialize({"class_name": cls.__name__, "module": "keras.layers", "config": config})
    assert type(again) is cls


@pytest.mark.parametrize(
    "more",
    [{"dtype": "float16"}, {"dtype": "int64"}, {"dtype": DTYPE | {"config": {"name": "mixed_float16"}}}, {"x": 1}],
)
def test_what_they_ask_for_is_not_left_out(more: Any) -> None:
    with pytest.raises(ValueError, match=f"config of Dense: unknown keys {[*more]}".replace("[", r"\[")):
        nn.Dense.from_config({"units": 3} | more)


# ---- arguments -------------------------------------------------------------------------------------------------------


def test_an_embedding_begins_with_vectors_learned_elsewhere() -> None:
    table = RNG.normal(size=(5, 2))
    for weights in (table, [table], table.tolist()):
        model = nn.Sequential([nn.Input(3), nn.Embedding(5, 2, weights=weights, trainable=False)], dtype="float64")
        np.testing.assert_array_equal(model.predict([[1, 4, 0]]), [table[[1, 4, 0]]])
    layer = model.layers[0]
    assert "weights" not in layer.get_config() and "weights" not in repr(layer)
    assert not np.array_equal(nn.Embedding.from_config(layer.get_config())([[1]]), [table[[1]]])
    with pytest.raises(ValueError, match=r"weights: expected an array of shape \(5, 2\).*got \(2, 5\)"):
        nn.Embedding(5, 2, weights=table.T)


def test_a_layer_does_not_keep_the_table_that_it_began_with() -> None:
    """Before it has weights it and its copies do, in one array; then it is as large as any other of this size."""
    table = RNG.normal(size=(2000, 50)).astype(np.float32)
    layer = nn.Embedding(2000, 50, weights=table)
    wanted = table.copy()
    table[:] = 0
    assert len(pickle.dumps(layer)) < 1.1 * table.nbytes
    for built, other in ((layer, nn.Embedding(2000, 50)), (copy.deepcopy(layer), nn.Embedding(2000, 50))):
        for each in (built, other):
            each.build(None)
        np.testing.assert_array_equal(built.embeddings, wanted)
        assert len(pickle.dumps(built)) < len(pickle.dumps(other)) + 1000
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(built)).embeddings, wanted)


def test_a_table_waits_for_weights_that_are_drawn() -> None:
    """Where the weights of another layer cannot be drawn, and the model is built again."""
    first = nn.Embedding(5, 2, weights=(table := RNG.normal(size=(5, 2))))
    spoiled = nn.Dense(3, kernel_initializer=nn.initializers.Constant([1.0, 2.0]))  # spreads over no kernel of (2, 3)
    model = nn.Sequential([first, spoiled], dtype="float64")
    with pytest.raises(ValueError, match="shape: "):
        model.build((None, 3))
    model = nn.Sequential([first, nn.Dense(3)], dtype="float64")
    model.build((None, 3))
    np.testing.assert_array_equal(first.embeddings, table)
    with pytest.raises(ValueError, match=r"weights: expected finite numbers, got \[ ?nan +0"):
        nn.Embedding(2, 2, weights=[[1, 2], [np.nan, 0]])


def test_rescaling_by_columns() -> None:
    x = RNG.normal(size=(4, 5, 3))
    layer = nn.Rescaling([2.0, -1.0, 0.5], offset=(0, 1, -3))
    np.testing.assert_allclose(layer(x), x * [2, -1, 0.5] + [0, 1, -3], rtol=1e-12)
    np.testing.assert_allclose(nn.Rescaling(2.0, np.arange(3))(x), 2 * x + np.arange(3), rtol=1e-12)
    again = nn.layers.deserialize(json.loads(json.dumps(nn.layers.serialize(layer))))
    np.testing.assert_array_equal(again(x), layer(x))
    with pytest.raises(ValueError, match=r"scale: expected a number, or one for each element of the last axis.*got 2"):
        nn.Rescaling([1.0, 2.0])(x)
    with pytest.raises(ValueError, match="offset: expected a finite number, or a sequence of them, got"):
        nn.Rescaling(1.0, [0.0, np.inf])


def test_gradients_go_through_rescaled_columns() -> None:
    """One step of gradient descent from the identity."""
    x, factors = RNG.normal(size=(6, 3)), np.array([2.0, -1.0, 0.5])
    dense = nn.Dense(3, use_bias=False, kernel_initializer="identity")
    model = nn.Model([nn.Input(3), dense, nn.Rescaling(factors, 1.0)], dtype="float64")
    model.compile(nn.SGD(1.0), "mse")
    model.train_on_batch(x, np.zeros((6, 3)))
    gradient = x.T @ (2 * (x * factors + 1) * factors / 18)
    np.testing.assert_allclose(model.get_weights()[0], np.eye(3) - gradient, rtol=1e-12)


def test_arguments_stand_where_keras_has_them() -> None:
    layer = nn.EinsumDense("ab,bc->ac", 4, None, None, "zeros", "zeros", None, None, "nonneg")
    assert layer.kernel_constraint == nn.constraints.NonNeg()
    assert nn.Resizing(2, 3, "nearest", False, False, "constant", 0.0, False, "channels_first").data_format == (
        "channels_first"
    )
    assert nn.Resizing(2, 3, "nearest", False, False, "constant", 0.0, True).antialias


def test_training_may_be_none() -> None:
    """The default: that of a prediction, but for layers of images, which draw in it."""
    x = np.ones((4, 8))
    np.testing.assert_array_equal(nn.Dropout(0.5, seed=1)(x, training=None), x)
    images = RNG.normal(size=(8, 4, 4, 1))
    turned = nn.RandomFlip(seed=1)(images, training=None)
    assert not np.array_equal(turned, images)
    np.testing.assert_array_equal(turned, nn.RandomFlip(seed=1)(images))

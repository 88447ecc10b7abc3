"""Gradients of whole models, in float64, against central differences of the same network written in NumPy.

A step of SGD(learning_rate=1) moves the weights by the gradient, so W before − W after is what the library
computed. What it is compared with (networks.py) shares no arithmetic with it.
"""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import activations, runtime
from nncore._kernels.table import Table
from nncore.schedules import LearningRateSchedule

Array = NDArray[Any]

ROWS = 7
TOLERANCE = 1e-9  # about thirty times the rounding error of a difference


@pytest.fixture(params=nn.available_isas())
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with the kernels of every instruction set."""
    tables = {dtype: Table(request.param, dtype) for dtype in ("float32", "float64")}
    monkeypatch.setattr(runtime, "_tables", tables)
    return str(request.param)


def batch(model: nn.Model, loss: Any, seed: int = 1) -> tuple[Array, Array]:
    """Inputs, and targets that suit the loss."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((ROWS, *model.input_shape[1:]))
    shape = (ROWS, *model.output_shape[1:])
    name = str(loss if isinstance(loss, str) else loss.registry.name_of(loss))
    if name.startswith("sparse"):
        return x, rng.integers(0, shape[-1], shape[:-1])
    if name.startswith("categorical"):
        return x, rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    if name.startswith("binary"):
        return x, rng.random(shape)
    return x, rng.standard_normal(shape)


def check(
    model: nn.Model, loss: Any, weight: Array | None = None, steps: int = 1, most: int = 10**9, scale: float = 0.5
) -> None:
    """Compare loss and gradients of the first steps with NumPy's."""
    model.compile(nn.SGD(learning_rate=1.0), loss)
    for step in range(steps):
        networks.randomize(model, step, scale)
        x, target = batch(model, loss, step)
        value = networks.objective(model, model.get_weights(), x, target, weight, step)
        wanted = networks.numerical_gradients(model, x, target, weight, step, most)
        got_value, got = networks.gradients(model, x, target, weight)
        assert got_value == pytest.approx(value, rel=1e-12, abs=1e-14)
        for p, g, w in zip(model.weights, got, wanted, strict=True):
            known = ~np.isnan(w)
            assert known.any()
            atol = TOLERANCE * max(1, abs(w[known]).max())
            np.testing.assert_allclose(g[known], w[known], rtol=0, atol=atol, err_msg=p.path)


def mlp(hidden: Any, output: Any = None, outputs: int = 4, **kwargs: Any) -> nn.Model:
    layers = [nn.Input(5), nn.Dense(6, hidden), nn.Dense(4, hidden), nn.Dense(outputs, output)]
    return nn.Model(layers, seed=3, dtype="float64", **kwargs)


EVERY_ACTIVATION = [
    *activations.ACTIVATIONS.names(),
    activations.Elu(0.7),
    activations.LeakyRelu(0.05),
    activations.Gelu(approximate=True),
    activations.Relu(0.1, 0.8),
    activations.Relu(negative_slope=0.1, threshold=0.05),
    activations.Celu(0.4),
    activations.Threshold(-0.1, -0.3),
    activations.SoftShrink(0.1),
    activations.HardShrink(0.1),
    activations.Squareplus(0.5),
]


def scale_for(name: Any) -> float:
    return 0.1 if name == "exponential" else 0.5  # whose own exponential has derivatives too large for differences


@pytest.mark.parametrize("name", EVERY_ACTIVATION, ids=str)
@pytest.mark.usefixtures("isa")
def test_activation(name: Any) -> None:
    check(mlp(name), "mse", scale=scale_for(name))


@pytest.mark.parametrize("name", EVERY_ACTIVATION, ids=str)
def test_activation_as_a_layer_and_at_the_end(name: Any) -> None:
    # The first is fused with its product, the second follows another activation, the third feeds the loss.
    layers = [nn.Input(5), nn.Dense(6), nn.Activation(name), nn.Activation("tanh"), nn.Dense(4), nn.Activation(name)]
    check(nn.Model(layers, seed=0, dtype="float64"), "mse", scale=scale_for(name))


ALONG_AXES = [
    *((cls, axis) for cls in (activations.Softmax, activations.LogSoftmax) for axis in (1, 2, -1, (1, 2), (1, 3))),
    *((cls, axis) for cls in (activations.Sparsemax, activations.Glu) for axis in (1, -2, 3)),
]


@pytest.mark.parametrize(("cls", "axis"), ALONG_AXES)
def test_along_axes(cls: Any, axis: Any) -> None:
    layers = [nn.Input(5), nn.Dense(24), nn.Reshape((2, 2, 6)), nn.Activation(cls(axis)), nn.Dense(2, "tanh")]
    model = nn.Model([*layers, nn.Flatten(), nn.Dense(2)], seed=0, dtype="float64")
    check(model, "mse")


@pytest.mark.parametrize("axis", [1, 2, (1, 2)])
def test_softmax_along_other_axes_is_no_last_one(axis: Any) -> None:
    """A loss does not take its inputs, and it may be the end."""
    model = nn.Model([nn.Input(5), nn.Dense(12), nn.Reshape((3, 4)), nn.Softmax(axis)], seed=0, dtype="float64")
    check(model, "mse")


OF_VALUES = ("mse", "mae", "huber", nn.losses.Huber(0.3))
HEADS = [
    *((loss, last) for loss in OF_VALUES for last in (None, "softmax", "sigmoid", "gelu")),
    ("binary_crossentropy", "sigmoid"),
    ("binary_crossentropy", "softmax"),  # on probabilities: not fused
    ("categorical_crossentropy", "softmax"),
    ("sparse_categorical_crossentropy", "softmax"),
    (nn.losses.BinaryCrossentropy(from_logits=True), None),
    (nn.losses.CategoricalCrossentropy(from_logits=True), None),
    (nn.losses.SparseCategoricalCrossentropy(from_logits=True), None),
    (nn.losses.SparseCategoricalCrossentropy(from_logits=True), "tanh"),
]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize(("loss", "last"), HEADS, ids=str)
def test_loss(loss: Any, last: Any, weighted: bool) -> None:
    weight = np.array([0.0, 0.5, 2.0, 1.0, 0.1, 3.0, 1.5]) if weighted else None
    check(mlp("tanh", last), loss, weight)


@pytest.mark.parametrize(("loss", "last"), HEADS[-8:], ids=str)
@pytest.mark.usefixtures("isa")
def test_crossentropies_on_every_instruction_set(loss: Any, last: Any) -> None:
    check(mlp("silu", last, outputs=11), loss)


@pytest.mark.parametrize("metrics", [["accuracy"], ["mse"], ["mae", "accuracy"]], ids=str)
def test_metrics_change_no_gradient(metrics: list[str]) -> None:
    # Some make the fused loss write the probabilities, too.
    model = mlp("tanh", "softmax")
    x, target = batch(model, "categorical_crossentropy")
    found = []
    for asked in (None, metrics):
        networks.randomize(model)
        model.compile(nn.SGD(1.0), "categorical_crossentropy", metrics=asked)
        found.append(networks.gradients(model, x, target)[1])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "binary_crossentropy", "sparse_categorical_crossentropy"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_several_rows_per_sample(loss: str, weighted: bool) -> None:
    """X (B,T,I), labels (B,T), weights (B): the loss of a sample is the mean over its T rows."""
    last = {"binary_crossentropy": "sigmoid", "sparse_categorical_crossentropy": "softmax"}.get(loss)
    layers = [nn.Input((3, 5)), nn.Dense(4, "gelu"), nn.Dense(6, "softmax"), nn.Dense(3, last)]
    weight = np.random.default_rng(0).random(ROWS) if weighted else None
    check(nn.Model(layers, seed=0, dtype="float64"), loss, weight)


def test_more_axes() -> None:
    check(nn.Model([nn.Input((2, 3, 4)), nn.Dense(5, "elu"), nn.Dense(2)], seed=0, dtype="float64"), "mse")


@pytest.mark.parametrize("regularizer", ["l1", "l2", "l1l2", nn.regularizers.L1L2(0.03, 0.2)], ids=str)
def test_regularizers(regularizer: Any) -> None:
    layers = [
        nn.Dense(6, "tanh", kernel_regularizer=regularizer),
        nn.Dense(5, "relu", bias_regularizer=regularizer),
        nn.Dense(4, kernel_regularizer="l2", bias_regularizer=regularizer),
    ]
    check(nn.Model([nn.Input(3), *layers], seed=0, dtype="float64"), "mse", np.linspace(0, 2, ROWS))


def test_penalties_are_not_divided_by_the_batch() -> None:
    model = nn.Model([nn.Input(2), nn.Dense(1, kernel_regularizer=nn.regularizers.L2(0.5))], seed=0, dtype="float64")
    model.compile(nn.SGD(1.0), "mse")
    model.set_weights([[[3.0], [-1.0]], [0.0]])
    value, (dw, db) = networks.gradients(model, np.zeros((100, 2)), np.zeros((100, 1)))
    assert value == 5.0  # 0.5 (9 + 1)
    np.testing.assert_array_equal(dw, [[3.0], [-1.0]])  # 2 · 0.5 w
    np.testing.assert_array_equal(db, [0.0])


def test_dropout_masks_are_those_of_the_step() -> None:
    layers = [nn.Input(9), nn.Dropout(0.3), nn.Dense(20, "tanh"), nn.Dropout(0.5), nn.Dense(8, "relu"), nn.Dropout(0.1)]
    model = nn.Model([*layers, nn.Dense(3, "softmax")], seed=2**63 + 5, dtype="float64")
    check(model, "categorical_crossentropy", steps=3)


class Rising(LearningRateSchedule):
    """From `start` to 1."""

    def __init__(self, start: float) -> None:
        self.start = start

    def __call__(self, step: Array) -> Array:
        return 1 - (1 - self.start) / (1 + step)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("rate", [0.3, Rising(0.3)], ids=["constant", "by step"])
def test_dropout_on_every_instruction_set(rate: Any) -> None:
    layers = [nn.Input(13), nn.Dropout(rate), nn.Dense(11, "tanh"), nn.Dropout(0.5), nn.Dense(3)]
    check(nn.Model(layers, seed=8, dtype="float64"), "mse", steps=2)


def test_dropout_is_off_where_nothing_is_trained() -> None:
    model = nn.Model([nn.Input(9), nn.Dropout(0.5), nn.Dense(4, "tanh"), nn.Dropout(0.5)], seed=1, dtype="float64")
    model.compile("sgd", "mse")
    x, target = batch(model, "mse")
    y = networks.forward(model, model.get_weights(), x)
    np.testing.assert_allclose(model.predict(x), y, rtol=1e-14)
    assert model.evaluate(x, target, verbose=0) == pytest.approx(((y - target) ** 2).mean(), rel=1e-13)


def graph(case: str) -> nn.Model:
    """Graphs with a difficulty each."""
    x = nn.Input((3, 4))
    h = nn.Dense(4, "tanh")(x)
    if case == "residual":
        y = nn.Add()([h, nn.Dense(4, "relu")(h), x])
    elif case == "add of itself":
        y = nn.Add()([h, h, h])
    elif case == "square":
        y = nn.Multiply()([h, h])
    elif case == "cube":
        y = nn.Multiply()([h, h, h])
    elif case == "multiply":
        y = nn.Multiply()([h, nn.Dense(4, "sigmoid")(x), nn.Dense(4)(h)])
    elif case == "concatenate unequal":
        y = nn.Concatenate()([nn.Dense(1)(h), nn.Dense(7, "elu")(h), h])
    elif case.startswith("concatenate"):
        y = nn.Concatenate(axis=int(case.split()[1]))([h, x, nn.Dense(4, "gelu")(h), h])
    elif case == "shared sums":  # one Z for two activations, which therefore are not fused
        z = nn.Dense(5)(h)
        y = nn.Concatenate()([nn.Activation("silu")(z), nn.Activation("relu")(z), z])
    elif case == "shared activation":
        y = nn.Add()([nn.Dense(5)(h), nn.Dense(5, "selu")(h), nn.Dense(5)(h)])
    elif case == "reshape fan-out":
        r, f = nn.Reshape((4, 3))(h), nn.Flatten()(h)
        y = nn.Concatenate()([nn.Flatten()(nn.Dense(2, "tanh")(r)), f, nn.Dense(3)(f), nn.Flatten()(nn.Dense(2)(h))])
    elif case == "reshape first":
        y = nn.Add()([nn.Dense(4)(h), nn.Reshape((3, 4))(nn.Flatten()(h)), nn.Reshape((3, 4))(nn.Reshape((2, 6))(h))])
    elif case == "reshape of activation":
        y = nn.Dense(2)(nn.Reshape((2, 6))(nn.Activation("gelu")(nn.Reshape((6, 2))(nn.Dense(4)(h)))))
    elif case == "reshape of concatenation":
        y = nn.Dense(3)(nn.Reshape((8, 3))(nn.Concatenate()([h, nn.Dense(4)(h)])))
    elif case == "rescaling":
        y = nn.Rescaling(-1.5, 0.25)(nn.Dense(3, "sigmoid")(nn.Rescaling(0.5)(h)))
    elif case == "softmax within":
        y = nn.Multiply()([nn.Activation("softmax")(nn.Dense(4)(h)), h])
    else:
        raise AssertionError(case)
    return nn.Model(x, nn.Dense(3, "softmax")(nn.Flatten()(y)), seed=0, dtype="float64")


CASES = [
    "residual", "add of itself", "square", "cube", "multiply", "concatenate 1", "concatenate 2", "concatenate -1",
    "concatenate -2", "concatenate unequal", "shared sums", "shared activation", "reshape fan-out", "reshape first",
    "reshape of activation", "reshape of concatenation", "rescaling", "softmax within",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_graph(case: str) -> None:
    check(graph(case), "sparse_categorical_crossentropy")


@pytest.mark.parametrize("end", "add multiply concatenate reshape flatten rescaling dropout activation".split())
def test_the_last_layer_may_be_of_any_kind(end: str) -> None:
    x = nn.Input((2, 3))
    a, b = nn.Dense(3, "tanh")(x), nn.Dense(3)(x)
    last = {
        "add": lambda: nn.Add()([a, b]),
        "multiply": lambda: nn.Multiply()([a, b]),
        "concatenate": lambda: nn.Concatenate(1)([a, b]),
        "reshape": lambda: nn.Reshape((3, 2))(a),
        "flatten": lambda: nn.Flatten()(nn.Activation("relu")(b)),
        "rescaling": lambda: nn.Rescaling(2.0, 1.0)(a),
        "dropout": lambda: nn.Dropout(0.4)(a),
        "activation": lambda: nn.Activation("gelu")(nn.Reshape((6,))(b)),
    }[end]()
    check(nn.Model(x, last, seed=0, dtype="float64"), "huber", steps=2)


@pytest.mark.parametrize("frozen", [(0,), (1,), (2,), (0, 2), (1, 2)], ids=str)
def test_frozen_layers(frozen: tuple[int, ...]) -> None:
    sizes = (5, 6, 3)
    layers = [nn.Dense(n, "tanh", kernel_regularizer="l2", trainable=i not in frozen) for i, n in enumerate(sizes)]
    model = nn.Model([nn.Input(4), *layers], seed=0, dtype="float64")
    check(model, "mse")  # expects the gradient 0, and no penalty, of what is frozen


def test_frozen_branch() -> None:
    x = nn.Input(4)
    h = nn.Dense(5, "tanh", trainable=False)(x)
    learnt = nn.Dense(5, "tanh")(h)
    joined = nn.Add()([h, nn.Dense(5, trainable=False)(learnt), learnt])
    model = nn.Model(x, nn.Dense(2)(joined), seed=0, dtype="float64")
    check(model, "mse")


def shared(case: str) -> nn.Model:
    """Networks in which a layer is used more than once; gradients of all uses add up."""
    x = nn.Input(4)
    layer = nn.Dense(4, "tanh", kernel_regularizer="l2", name="shared")
    if case == "chain":
        y = layer(layer(layer(x)))
    elif case == "side by side":
        y = nn.Concatenate()([layer(x), layer(nn.Rescaling(-2.0)(x)), nn.Dense(2)(layer(nn.Dense(4, "relu")(x)))])
    elif case == "rows and a vector":
        y = nn.Concatenate()([layer(x), nn.Flatten()(layer(nn.Reshape((3, 4))(nn.Dense(12)(x))))])
    elif case == "between frozen":
        layer.trainable = False
        y = layer(nn.Dense(4)(layer(x)))
    elif case == "wide":  # several chunks and tiles of the products
        wide = nn.Dense(70, "gelu", use_bias=False)
        y = wide(wide(nn.Dense(70)(x)))
    elif case == "activation":
        act, drop = nn.Activation("silu"), nn.Dropout(0.3)
        y = drop(act(nn.Dense(5)(drop(act(nn.Dense(6)(x))))))
    else:
        inner = nn.Sequential([nn.Input(4), nn.Dense(5, "tanh"), nn.Dropout(0.25), layer], dtype="float64")
        y = inner(nn.Dense(4)(inner(x)))
        if case == "nested twice":
            i = nn.Input(4)
            outer = nn.Model(i, nn.Add()([inner(i), layer(nn.Dense(5)(i))]), dtype="float64")
            y = nn.Add()([outer(y), layer(nn.Dense(5)(outer(x)))])
    return nn.Model(x, nn.Dense(3, "softmax")(nn.Flatten()(y)), seed=0, dtype="float64")


SHARED = [
    "chain",
    "side by side",
    "rows and a vector",
    "between frozen",
    "wide",
    "activation",
    "nested",
    "nested twice",
]


@pytest.mark.parametrize("case", SHARED)
@pytest.mark.usefixtures("isa")
def test_shared_layers(case: str) -> None:
    check(shared(case), "sparse_categorical_crossentropy", np.linspace(0.5, 2, ROWS), steps=2, most=40)


@pytest.mark.parametrize("seed", range(40))
def test_random_graph(seed: int) -> None:
    model = networks.random_model(seed, width=4)
    check(model, "sparse_categorical_crossentropy", np.linspace(0.5, 2, ROWS) if seed % 2 else None, most=12)


@pytest.mark.usefixtures("isa")
def test_gradients_over_several_tiles() -> None:
    """Sizes beyond the products' tiles and the losses' chunks of rows, against the sums of single rows."""
    layers = [nn.Input(70), nn.Dense(67, "silu"), nn.Dense(5, "softmax")]
    model = nn.Model(layers, seed=0, dtype="float64")
    model.compile(nn.SGD(1.0), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((101, 70)), rng.integers(0, 5, 101)
    start = model.get_weights()
    _, whole = networks.gradients(model, x, target)
    parts = []
    for i in range(101):
        model.set_weights(start)
        parts.append(networks.gradients(model, x[i : i + 1], target[i : i + 1])[1])
    for g, *rows in zip(whole, *parts, strict=True):
        np.testing.assert_allclose(g, np.mean(rows, axis=0), rtol=0, atol=1e-14)

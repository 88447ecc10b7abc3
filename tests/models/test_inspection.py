"""What models, layers and histories say of themselves, with the names that users of Keras expect."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import nncore as nn

RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(40, 4)), RNG.normal(size=(40, 1))


def net() -> nn.Sequential:
    return nn.Sequential(
        [
            nn.Input(4),
            nn.Dense(5, activation="tanh", kernel_regularizer=nn.regularizers.L2(0.1), name="hidden"),
            nn.Dropout(0.2),
            nn.Dense(1, trainable=False),
        ],
        seed=0,
        name="small",
    )


def test_weights() -> None:
    model = net()
    hidden, _, last = model.layers
    assert model.weights == model.variables == [hidden.kernel, hidden.bias, last.kernel, last.bias]
    assert model.trainable_weights == model.trainable_variables == hidden.weights == hidden.trainable_weights
    assert model.non_trainable_weights == last.weights == last.non_trainable_variables
    assert last.trainable_weights == hidden.non_trainable_weights == model.layers[1].weights == []
    assert [w.path for w in model.weights] == ["hidden/kernel", "hidden/bias", "dense/kernel", "dense/bias"]
    for w, array in zip(model.weights, model.get_weights(), strict=True):
        assert w.shape == array.shape and w.ndim == array.ndim and w.size == array.size and w.dtype == np.float32
        for given in (np.asarray(w), np.array(w), w.numpy(), w.value, w[:], np.asarray(w, np.float32)):
            assert np.array_equal(given, array) and given.dtype == np.float32
        assert w.name == w.path.split("/")[1] and len(w) == len(array)
    assert np.asarray(hidden.kernel, np.float64).dtype == np.float64


def test_arrays_of_weights_do_not_change_and_are_not_changed() -> None:
    model = net()
    kernel = model.layers[0].kernel
    before, copied, live = np.asarray(kernel), kernel.numpy(), kernel.__array__(copy=False)
    old = before.copy()
    with pytest.raises(ValueError, match="read-only"):
        before[0, 0] = 3
    with pytest.raises(ValueError, match="read-only"):
        live[0, 0] = 3
    with pytest.raises(ValueError, match=r"hidden/kernel: expected its dtype float32 where nothing may be copied"):
        kernel.__array__(np.float64, copy=False)
    copied[0, 0] = np.array(kernel)[0, 0] = 3  # the user's own
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    assert np.array_equal(before, old) and not np.array_equal(np.asarray(kernel), old)
    assert np.array_equal(live, np.asarray(kernel))


def test_parts_of_weights() -> None:
    model = net()
    kernel = model.layers[0].kernel
    values, live = kernel.numpy(), kernel.__array__(copy=False)
    for key in (1, slice(1, 3), (slice(None), 2), ..., (), None):
        part = kernel[key]
        assert np.array_equal(part, values[key]) and part.dtype == np.float32
        assert part.base is None and not np.may_share_memory(part, live)  # no more than this was copied
        with pytest.raises(ValueError, match="read-only"):
            part[...] = 3
    assert kernel[1, 2] == values[1, 2] and isinstance(kernel[1, 2], np.float32)
    for picked in ([2, 0], values > 0):  # by arrays: the user's own
        part = kernel[picked]
        assert np.array_equal(part, values[picked]) and not np.may_share_memory(part, live)
        part[...] = 3
    rows = list(kernel)
    assert np.array_equal(rows, values) and len({id(row.base) for row in rows}) == 1  # one copy for all
    assert np.array_equal(kernel.numpy(), values)
    with pytest.raises(IndexError, match="out of bounds"):
        kernel[9]


@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_assign(precision: str) -> None:
    model = nn.Model([nn.Input(40), nn.Dense(32)], seed=0)
    model.compile("sgd", "mse", matmul_precision=precision)
    x = RNG.normal(size=(3, 40)).astype(np.float32)
    model.predict(x)
    kernel = model.layers[0].kernel
    kernel.assign(np.zeros((40, 32)))
    assert not model.predict(x).any()
    kernel.assign(2 * np.eye(40, 32))
    np.testing.assert_allclose(model.predict(x), 2 * x[:, :32], rtol=1e-2)
    small = net()
    for bad, words in [
        (np.zeros(3), r"assign: expected shape \(4, 5\) for hidden/kernel, got \(3,\)"),
        ("a", "assign: hidden/kernel: expected an array of numbers"),
        (np.full((4, 5), 1e300), "overflows float32"),
    ]:
        with pytest.raises((ValueError, TypeError), match=words):
            small.layers[0].kernel.assign(bad)


def test_weights_before_there_are_any() -> None:
    layer = nn.Dense(3)
    assert layer.weights == [] and not layer.built
    assert not hasattr(layer, "kernel")
    for read in ("input", "output"):
        with pytest.raises(AttributeError, match="Dense: has no input and output before it is called"):
            getattr(layer, read)


def test_ends() -> None:
    model = net()
    assert (model.input, model.output) == (model.inputs[0], model.outputs[0]) and len(model.inputs) == 1
    assert model.input.shape == (None, 4) and model.output.shape == (None, 1)
    assert model.layers[0].input is model.input and model.layers[-1].output is model.output
    assert model.layers[0].output is model.layers[1].input
    x = nn.Input(3)
    a, b = nn.Dense(2)(x), nn.Dense(2)(x)
    add = nn.Add()
    assert add([a, b]) is not None
    with pytest.raises(AttributeError, match="has no input and output"):
        repr(add.output)  # nobody holds it
    joined = nn.Add()
    out = joined([a, b])
    assert joined.output is out and joined.input == [a, b]
    with pytest.raises(ValueError, match="no shapes yet"):
        repr(nn.Model([nn.Dense(1)]).output)


def test_what_it_is_compiled_with() -> None:
    model = net()
    assert (model.compiled, model.loss, model.metrics, model.metrics_names) == (False, None, [], [])
    model.compile("adam", "mse", metrics=["mae"], weighted_metrics=["mae", "mse"])
    assert model.compiled and model.loss == nn.losses.MeanSquaredError() and len(model.metrics) == 3
    assert model.metrics_names == list(model.evaluate(X, Y, verbose=0, return_dict=True))
    model.compile()
    assert model.compiled and model.metrics_names == []


@pytest.mark.parametrize("kind", ["stack", "graph", "not built"])
def test_configuration(kind: str) -> None:
    if kind == "graph":
        x = nn.Input(4)
        h = nn.Dense(4, activation="relu")(x)
        model: nn.Model = nn.Model(x, nn.Dense(2)(nn.Add()([x, h])), seed=7, name="g", dtype="float64")
    else:
        model = net() if kind == "stack" else nn.Sequential([nn.Dense(3)], seed=1)
    for again in (type(model).from_config(model.get_config()), nn.models.model_from_json(model.to_json())):
        assert type(again) is type(model) and again.get_config() == model.get_config() and not again.compiled
        assert again.built == model.built and again.seed == model.seed and again.dtype == model.dtype
        if model.built:
            assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), model.get_weights(), strict=True))
    assert json.loads(model.to_json()) == model.get_config()


# ---- how they are shown ----------------------------------------------------------------------------------------------


class Cells(HTMLParser):
    """The rows of a table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows:
            self.rows[-1][-1] += data


def test_text() -> None:
    model = net()
    assert (
        repr(model)
        == str(model)
        == ("<Sequential name='small', 3 layers, (None, 4) -> (None, 1), 31 parameters, not compiled>")
    )
    hidden, drop, last = model.layers
    assert repr(hidden) == (
        "<Dense name='hidden', units=5, activation='tanh', kernel_regularizer=L2(l2=0.1), "
        "(None, 4) -> (None, 5), 25 parameters>"
    )
    assert repr(drop) == "<Dropout name='dropout', rate=0.2, (None, 5) -> (None, 5)>"
    assert repr(last) == "<Dense name='dense', units=1, trainable=False, (None, 5) -> (None, 1), 6 parameters>"
    assert repr(nn.Dense(3, kernel_initializer="he_normal")) == "<Dense units=3, kernel_initializer='he_normal'>"
    assert repr(nn.Flatten()) == "<Flatten>"
    assert repr(model.input) == "<Symbol shape=(None, 4), input>"
    assert repr(nn.Input((2, 3), name="x")) == "<Symbol name='x', shape=(None, 2, 3), input>"
    assert repr(model.output) == "<Symbol shape=(None, 1), of Dense dense>"
    assert repr(hidden.kernel) == "<Parameter 'hidden/kernel': shape (4, 5), float32>"
    assert repr(last.bias) == "<Parameter 'dense/bias': shape (1,), float32, frozen>"
    assert repr(nn.Model([nn.Dense(1)])) == "<Model name='model', 1 layer, not built, not compiled>"
    model.compile("adam", "mse", metrics=["mae"])
    assert repr(model).endswith("31 parameters, compiled with Adam and mean_squared_error>")
    model.compile("sgd")
    assert repr(model).endswith("compiled with SGD>")


def test_text_of_parts() -> None:
    assert repr(nn.SGD(0.5, momentum=0.9)).startswith("SGD(learning_rate=0.5, momentum=0.9")
    assert repr(nn.losses.Huber(2.0)) == "Huber(delta=2.0)"
    assert repr(nn.metrics.BinaryAccuracy()) == "BinaryAccuracy(name='binary_accuracy', dtype=None, threshold=0.5)"
    assert repr(nn.callbacks.EarlyStopping(patience=3)) == "EarlyStopping(patience=3, mode='min')"
    assert repr(nn.callbacks.LambdaCallback(on_epoch_end=print)) == f"LambdaCallback(on_epoch_end={print!r})"
    assert repr(nn.Callback()) == "Callback()"


def test_text_is_ascii() -> None:
    """A terminal may have no other characters."""
    model = net()
    model.compile("adam", "mse")
    history = model.fit(X, Y, epochs=2, verbose=0)
    for thing in (model, *model.layers, *model.weights, model.input, model.optimizer, model.loss, history):
        assert repr(thing).isascii()


def test_history() -> None:
    model = net()
    model.compile("adam", "mse", metrics=["mae"])
    history = model.fit(X, Y, epochs=30, verbose=0, validation_split=0.25, validation_freq=3)
    last = {name: f"{values[-1]:.4g}" for name, values in history.history.items()}
    assert repr(history) == f"<History of 30 epochs: {', '.join(f'{k}={v}' for k, v in last.items())}>"
    rows = Cells(history._repr_html_()).rows
    assert rows[0] == ["epoch", "loss", "mae"] and rows[1][0] == "0" and rows[2] == ["..."] * 3
    assert [row[0] for row in rows[3:]] == [str(i) for i in range(10, 30)]
    assert rows[-1] == ["29", last["loss"], last["mae"]]
    short = model.fit(X, Y, epochs=21, verbose=0)
    assert [row[0] for row in Cells(short._repr_html_()).rows] == ["epoch", *map(str, range(21))]
    assert repr(nn.callbacks.History()) == "<History of 0 epochs>"
    assert Cells(nn.callbacks.History()._repr_html_()).rows == [["epoch"]]


def test_a_history_of_whatever_callbacks_logged() -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError

    history = nn.callbacks.History()
    history.on_epoch_end(0, {"cm": np.eye(2), "big": 10**5000, "mute": Mute()})
    assert repr(history) == "<History of 1 epoch: cm=[[1. 0.] [0. 1.]], big=<int>, mute=<Mute>>"
    assert Cells(history._repr_html_()).rows[1] == ["0", "[[1. 0.] [0. 1.]]", "<int>", "<Mute>"]


def test_tables() -> None:
    rows = Cells(net()._repr_html_()).rows
    assert rows == [
        ["Layer", "Output shape", "Parameters", "Trainable"],
        ["input", "(None, 4)", "0", "-"],
        ["hidden (Dense)", "(None, 5)", "25", "Y"],
        ["dropout (Dropout)", "(None, 5)", "0", "-"],
        ["dense (Dense)", "(None, 1)", "6", "N"],
    ]
    assert Cells(nn.Model([nn.Dense(2)])._repr_html_()).rows == [["Layer"], ["<Dense units=2>"]]
    evil = nn.Model([nn.Input(2), nn.Dense(1, name="<script>alert(1)<")], name="<b>&")
    assert Cells(evil._repr_html_()).tags == {"table", "caption", "thead", "tbody", "tr", "td", "th"}
    assert Cells(evil._repr_html_()).rows[2][0] == "<script>alert(1)< (Dense)"


def test_shapes_of_outputs() -> None:
    """As of layers, without weights; by sizes that are open, by what was built, by the arrangement of the ends."""
    stack = nn.Sequential([nn.Conv1D(5, 3), nn.GlobalMaxPooling1D(), nn.Dense(2)])
    assert stack.compute_output_shape((None, 9, 4)) == (None, 2) and not stack.built
    words = nn.Input((None, 4))
    seen = nn.Model(words, nn.Conv1D(5, 3)(words))
    assert seen.compute_output_shape((None, None, 4)) == (None, None, 5)
    assert seen.compute_output_shape((8, 9, 4)) == (8, 7, 5)
    with pytest.raises(ValueError, match=r"input_shape: expected one that fits \(None, None, 4\), got \(None, 9, 3\)"):
        seen.compute_output_shape((None, 9, 3))
    a, b = nn.Input(2), nn.Input(3)
    both = nn.Model({"a": a, "b": b}, {"y": nn.Dense(4)(a), "z": nn.layers.Concatenate()([a, b])})
    assert both.compute_output_shape({"b": (None, 3), "a": (None, 2)}) == {"y": (None, 4), "z": (None, 5)}
    with pytest.raises(ValueError, match=r"input_shape: expected a dict with the keys \['a', 'b'\], got \['a'\]"):
        both.compute_output_shape({"a": (None, 2)})


def test_what_compile_was_given() -> None:
    model = net()
    assert model.get_compile_config() == {}
    model.compile_from_config({})
    assert not model.compiled
    model.compile(nn.Adam(0.25, beta_1=0.5), nn.losses.Huber(2.0), metrics=["mae"], weighted_metrics=["mse"])
    config = json.loads(json.dumps(model.get_compile_config()))
    other = net()
    other.compile_from_config(config)
    assert (other.optimizer.learning_rate, other.optimizer.beta_1, other.loss) == (0.25, 0.5, nn.losses.Huber(2.0))
    assert other.metrics_names == model.metrics_names and other.get_compile_config() == config
    inputs = nn.Input(4)
    several = nn.Model(inputs, [nn.Dense(1, name="y")(inputs), nn.Dense(1, name="z")(inputs)])
    several.compile("sgd", ["mse", None], loss_weights=[0.5, 1.0], metrics=[["mae"], ["mse"]])
    loss, names = several.loss, several.metrics_names
    several.compile_from_config(several.get_compile_config())
    assert several.loss == loss and several.metrics_names == names and several.configuration.heads[0].weight == 0.5

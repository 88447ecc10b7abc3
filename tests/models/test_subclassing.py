"""Models of a user's own that join layers by `call`: beside functional models of the same layers."""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from composed_parts import LOSS, Net, X, Y, fitted, functional, net, same

import nncore as nn


@pytest.mark.parametrize("threads", [1, 2])
def test_it_trains_to_the_bits_of_the_same_functional_model(threads: int) -> None:
    made, other = Net(seed=0, n_threads=threads), functional()
    assert fitted(made, validation_split=0.2) == fitted(other, validation_split=0.2)  # also drawn and shuffled alike
    assert same(made.get_weights(), other.get_weights())
    assert np.array_equal(made.predict(X), other.predict(X))
    assert np.array_equal(made(X, training=True), other(X, training=True))
    assert np.array_equal(made.predict(X, batch_size=7, verbose=2), other.predict(X))
    assert made.evaluate(X, Y, verbose=0) == other.evaluate(X, Y, verbose=0)


def batches() -> Iterator[tuple[Any, Any]]:
    """The rows in parts."""
    for i in range(0, 70, 10):
        yield X[i : i + 10], Y[i : i + 10]


BUILDS: list[Callable[[Any], Any]] = [
    lambda model: model.build((None, 8)),
    lambda model: model.build(8),
    lambda model: model(X[:2]),
    lambda model: model(X[:2], training=True),
    lambda model: model.predict(X[:2]),
    lambda model: model.predict(batches()),
    lambda model: model.evaluate(X[:2], Y[:2], verbose=0),
    lambda model: model.test_on_batch(X[:2], Y[:2]),
    lambda model: model.fit(X[:2], Y[:2], epochs=0, verbose=0),
    lambda model: model.fit(batches(), epochs=0, verbose=0),
    lambda model: model(nn.Input(8)),
    lambda model: model.activations(X[:2]),
]


@pytest.mark.parametrize("build", BUILDS)
def test_it_is_built_by_its_first_data(build: Any) -> None:
    model = Net(seed=0)
    assert not model.built and [layer.name for layer in model.layers] == [None, None]
    assert model.compute_output_shape((None, 8)) == (None, 3)
    assert not model.built
    model.compile("adam", LOSS)
    build(model)
    assert (model.input_shape, model.output_shape, model.compiled) == ((None, 8), (None, 3), True)
    assert [layer.name for layer in model.layers] == ["block", "head"]
    assert same(model.get_weights(), functional().get_weights())


@pytest.mark.parametrize("build", BUILDS)
def test_its_own_build_makes_layers(build: Any) -> None:
    """Once, in the way of Keras's programs."""

    class Built(nn.Model):
        times = 0

        def build(self, input_shape: Any) -> None:
            self.times += 1
            self.head = nn.Dense(3, "softmax")
            self.head.build(input_shape)
            super().build(input_shape)
            self.built = True

        def call(self, x: Any) -> Any:
            return self.head(x)

    class Derived(Built):
        def build(self, input_shape: Any) -> None:
            super().build(input_shape)

    for kind in Built, Derived:
        model = kind(seed=0)
        model.compile("adam", LOSS)
        build(model)
        assert model.times == 1 and model.output_shape == (None, 3)
        assert same(model.get_weights(), nn.Model([nn.Input(8), nn.Dense(3)], seed=0).get_weights())
        with pytest.raises(AttributeError, match="built: cannot be set on a"):
            model.built = False


def test_gradients_are_those_of_its_loss() -> None:
    model = Net(seed=0)
    model.compile("sgd", LOSS)
    assert nn.check_gradients(model, X[:8], Y[:8])
    other = functional()
    other.compile("sgd", LOSS)
    names = {"dense": "block/hidden", "dense_1": "block/out", "dense_2": "head"}
    want = other.gradients(X, Y)
    assert same(model.gradients(X, Y), {f"{names[key.split('/')[0]]}/{key.split('/')[1]}": want[key] for key in want})
    assert np.array_equal(model.gradients(X, Y, of="inputs")[0], other.gradients(X, Y, of="inputs")[0])


def test_several_inputs_and_outputs() -> None:
    """Compiled before these are known, and arranged as they are given and returned."""
    a, b, target = X[:, :3], X[:, 3:], X[:, :2]

    def call(self: Any, inputs: Any) -> Any:
        hidden = self.a(inputs["a"]) + self.b(inputs["b"])
        return {"mean": self.mean(hidden), "hidden": hidden}

    x = {"a": nn.Input(3), "b": nn.Input(5)}
    layers = [nn.Dense(4, "tanh"), nn.Dense(4), nn.Dense(2)]
    hidden = layers[0](x["a"]) + layers[1](x["b"])
    other = nn.Model(x, {"mean": layers[2](hidden), "hidden": hidden}, seed=0)
    made = net(call, a=nn.Dense(4, "tanh"), b=nn.Dense(4), mean=nn.Dense(2))
    for model in made, other:
        model.compile("adam", {"mean": "mse"}, metrics={"mean": ["mae"], "hidden": None})
    data = {"b": b, "a": a}
    assert made.optimizer.iterations == 0
    twin = copy.deepcopy(made)
    assert twin.fit(data, {"mean": target}, verbose=0).history.keys() == {"loss", "mean_mae"}
    with pytest.raises(ValueError, match="expected Net to make the layers that it had"):
        nn.models.clone_model(made).build({"a": (None, 3), "b": (None, 5)})
    histories = [model.fit(data, {"mean": target}, epochs=2, verbose=0).history for model in (made, other)]
    assert histories[0] == histories[1]
    assert same(made.predict(data), other.predict(data))
    assert made.output_names == ["hidden", "mean"]
    assert same(made.predict([a, b]), other.predict([a, b]))


def test_a_list_of_inputs_and_a_tuple_of_outputs() -> None:
    made = net(lambda self, inputs: (self.a(inputs[0]) * inputs[1], self.a(inputs[1])), a=nn.Dense(4))
    made.compile("sgd", ["mse", "mae"], loss_weights=[1, 0.5])
    a, b = X[:, :4], X[:, 4:]
    made.fit([a, b], [a, b], verbose=0)
    W, bias = made.get_weights()
    one, two = made.predict([a, b])
    np.testing.assert_allclose(one, (a @ W + bias) * b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(two, b @ W + bias, rtol=1e-4, atol=1e-5)
    assert isinstance(made.predict([a, b]), tuple)
    loss, *parts = made.evaluate([a, b], [a, b], verbose=0)
    assert loss == pytest.approx(parts[0] + 0.5 * parts[1]) and parts[0] == pytest.approx(((one - a) ** 2).mean(), 1e-4)
    alike = net(made.call.__func__, a=nn.Dense(4))
    alike.compile("sgd", "mse", metrics=[["mae"], None])
    assert len(alike.evaluate([a, b], [a, b], verbose=0)) == 4


def test_loss_and_metrics_of_one_output_are_checked_at_once() -> None:
    with pytest.raises(ValueError, match="loss: expected a known loss, got 'mze'"):
        Net().compile("sgd", "mze")
    model = Net(seed=0)
    model.compile("sgd", {"head": LOSS})
    assert "loss" in model.fit(X, Y, verbose=0).history
    wrong = Net(seed=0)
    wrong.compile("sgd", "gaussian_nll")  # which takes pairs of outputs
    with pytest.raises(ValueError):
        wrong.fit(X, Y, verbose=0)
    wrong.compile("sgd", LOSS)
    assert not wrong.built
    assert wrong.fit(X, Y, verbose=0).history == functional_history()


def functional_history() -> dict[str, list[float]]:
    """Of a fit of the functional model by SGD."""
    other = functional()
    other.compile("sgd", LOSS)
    history: dict[str, list[float]] = other.fit(X, Y, verbose=0).history
    return history


def test_sizes_that_are_open() -> None:
    model = net(lambda self, x: nn.GlobalMaxPooling1D()(self.filter(x)), filter=nn.Conv1D(4, 3))
    model.build((None, None, 2))
    rng = np.random.default_rng(3)
    shapes = [model.predict(rng.normal(size=(5, steps, 2))).shape for steps in (4, 9)]
    assert shapes == [(5, 4), (5, 4)] and model.input_shape == (None, None, 2)


def test_it_is_built_once_by_several_threads() -> None:
    model, made = Net(seed=0), list[Any]()
    threads = [threading.Thread(target=lambda: made.append(model.predict(X))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4 and all(np.array_equal(one, functional().predict(X)) for one in made)


def test_it_is_gone_at_once() -> None:
    model = Net(seed=0)
    fitted(model)
    model.predict(X), model(X, training=True), model.evaluate(X, Y, verbose=0)
    held = [weakref.ref(model), weakref.ref(model.block), weakref.ref(model.graph.state)]
    del model
    assert [ref() for ref in held] == [None] * 3


def test_summary_and_looks(capsys: pytest.CaptureFixture[str]) -> None:
    model = Net(seed=0)
    model.summary()
    assert "Not built" in capsys.readouterr().out
    model.build((None, 8))
    model.summary(expand_nested=True)
    shown = capsys.readouterr().out
    assert "block (Block), 2 calls" in shown and "  hidden (Dense)" in shown and "171 parameters" in shown
    assert (
        model.count_params() == 171
        and model.get_layer("head") is model.head
        and model.get_layer(index=0) is model.block
    )
    assert list(model.activations(X)) == ["block", "head"]
    W1, b1, W2, b2, *_ = model.get_weights()
    once = np.maximum(np.maximum(X @ W1 + b1, 0) @ W2 + b2 + X, 0)
    np.testing.assert_allclose(model.activations(X, of=model.block), once, rtol=1e-4, atol=1e-5)


def test_trainable_is_set_on_all_of_it() -> None:
    model = Net(seed=0, trainable=False)
    model.build((None, 8))
    assert model.trainable_weights == [] and len(model.non_trainable_weights) == 6
    model.block.hidden.trainable = True
    assert [p.path for p in model.trainable_weights] == ["block/hidden/kernel", "block/hidden/bias"]


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: net(lambda self, x: None).predict(X), TypeError, "net: expected call to return a symbol"),
    (lambda: net(lambda self, x, y: x), TypeError, r"Net: expected call\(self, inputs, training=False\), got also y"),
    (lambda: net(lambda self: 1), TypeError, "got none"),
    (lambda: net(lambda self, x: nn.Dense(1)(x)).predict(X), ValueError, "Make it in __init__ or build"),
    (lambda: net(lambda self, x: x, layers=[nn.Dense(1)]), AttributeError, "layers: cannot be set on a Net"),
    (lambda: Net([nn.Dense(1)]), TypeError, "takes 1 positional argument"),
    (lambda: Net(inputs=nn.Input(3)), TypeError, "Net: expected layers as attributes.*got them as arguments"),
    (lambda: Net().fit(X, Y), ValueError, "not compiled with a loss"),
    (lambda: Net().save("x"), ValueError, "no shapes yet"),
    (lambda: Net().predict(3), ValueError, "x: expected an array of samples"),
    (lambda: Net().build("8"), ValueError, r"input_shape: expected a shape \(batch, …\)"),
    (lambda: nn.models.clone_model(Net(), lambda layer: layer), TypeError, "clone_function: expected None for Net"),
]


@pytest.mark.parametrize(("make", "error", "words"), REFUSED)
def test_what_it_refuses(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_it_keeps_what_it_was_built_with() -> None:
    model = Net(seed=0)
    model.build((None, 8))
    with pytest.raises(AttributeError, match="head: fixed since net was called, which has traced `call`"):
        model.head = nn.Dense(5)
    with pytest.raises(AttributeError, match=r"shapes for which `call` was traced, \(None, 3\), got \(None, 5\)"):
        model.head.units = 5
    assert model.head.units == 3 and model.predict(X).shape == (70, 3)
    with pytest.raises(ValueError, match=r"x: expected shape \(n, 8\), got \(70, 2\)"):
        model.predict(X[:, :2])


def test_a_call_that_fails_leaves_layers_as_they_were() -> None:
    made = net(lambda self, x: self.head(self.wide(x) + x), wide=nn.Dense(8), head=nn.Dense(3, "softmax"))
    made.compile("adam", LOSS)
    with pytest.raises(ValueError, match="Add: expected inputs of one shape"):
        made.fit(X[:, :5], Y, verbose=0)
    with pytest.raises(ValueError, match="Add: expected inputs of one shape"):
        made.compute_output_shape((None, 6))
    fitted(made)


def test_a_shape_that_is_asked_for_settles_none() -> None:
    made = net(lambda self, x: self.head(x), head=nn.Dense(3, "softmax"))
    assert made.compute_output_shape((None, 5)) == (None, 3)
    made.compile("adam", LOSS)
    fitted(made)

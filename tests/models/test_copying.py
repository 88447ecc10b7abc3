"""Copies and pickles of models and layers: what a user put on them travels, or the error names it."""

from __future__ import annotations

import copy
import io
import pickle
import threading
import types
from typing import Any

import composed_parts as composed
import numpy as np
import pytest
from open_models import batch, batches, compiled, series

import nncore as nn

RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(40, 4)), RNG.normal(size=(40, 1))


def read_only(thing: Any) -> Any:
    """Through a pickle whose arrays are in memory that cannot be written, as of a mapped file."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(thing, 5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(buffer) for buffer in buffers])


WAYS = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    **{f"pickle {n}": lambda m, n=n: pickle.loads(pickle.dumps(m, n)) for n in (2, pickle.HIGHEST_PROTOCOL)},
    "read-only": read_only,
    "python's pickler": lambda m: pickle.loads(pickle._dumps(m)),
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(p, q) for p, q in zip(a.get_weights(), b.get_weights(), strict=True))


class Net(nn.Model):
    """A subclass with a signature of its own."""

    def __init__(self, units: int, *, depth: int) -> None:
        self.units, self.depth = units, depth
        self.first = nn.Dense(units, activation="relu", name="first")
        self.start = nn.Input(4)
        h = self.first(self.start)
        self.blocks = [nn.Dense(units, name=f"block{i}") for i in range(depth)]
        for block in self.blocks:
            h = block(h)
        super().__init__(self.start, nn.Dense(1)(h), seed=0, n_threads=1, name="net")
        self.end = self.output

    def doubled(self, x: Any) -> Any:
        return 2 * self(x)


class Noted(nn.Dense):
    """A layer with more attributes than arguments."""

    def __init__(self, units: int, name: str | None = None) -> None:
        super().__init__(units, name=name)
        self.seen: list[str] = []


@ways
def test_attributes_of_models_and_layers_travel(way: Any) -> None:
    model = Net(3, depth=2)
    model.compile(nn.Adam(0.01), "mse", metrics=["mae"])
    model.fit(X, Y, epochs=2, verbose=0)
    model.scaler, model.table, model.stop_training = (0.5, 2.0), {"a": np.arange(3)}, True
    model.first.note, model.itself, model.kept = "mine", model, model.optimizer
    model.best = model.first.kernel
    twin = way(model)
    assert type(twin) is Net and (twin.units, twin.depth, twin.scaler, twin.name) == (3, 2, (0.5, 2.0), "net")
    assert twin.table["a"].tolist() == [0, 1, 2] and twin.table is not model.table
    assert twin.stop_training is True and twin.n_threads == 1 and twin.first.note == "mine"
    assert twin.history.history == model.history.history and twin.history.epoch == [0, 1]
    # what is one object stays one
    assert twin.itself is twin and twin.kept is twin.optimizer and twin.first is twin.layers[0]
    assert twin.blocks == twin.layers[1:3] and twin.start is twin.input and twin.end is twin.output
    assert twin.best is twin.first.kernel and twin.first.output is twin.blocks[0].input
    # and nothing is shared
    assert not {id(layer) for layer in twin.layers} & {id(layer) for layer in model.layers}
    assert np.array_equal(twin.doubled(X), model.doubled(X))
    for m in (model, twin):
        m.fit(X, Y, epochs=2, verbose=0)
    assert same(model, twin) and twin.optimizer.iterations == model.optimizer.iterations == 8
    twin.first.units = 5
    assert twin.best is not twin.first.kernel and model.first.kernel.shape == (4, 3)


@ways
def test_models_whose_sizes_are_open_travel(way: Any) -> None:
    model = compiled(series())
    model.fit(batches, verbose=0)
    twin = way(model)
    assert twin.input_shape == (None, None, 4) and twin.compiled
    for made in (model, twin):
        made.fit(batches, verbose=0)
    assert same(model, twin)
    np.testing.assert_array_equal(twin.predict(batch(11)[0]), model.predict(batch(11)[0]))


@ways
def test_layers_travel_alone(way: Any) -> None:
    layer = Noted(3, name="mine")
    layer.seen.append("a")
    twin = way(layer)
    assert type(twin) is Noted and twin.seen == ["a"] and twin.seen is not layer.seen and not twin.built
    model = nn.Model([nn.Input(4), twin, nn.Dense(1)], seed=0)
    again = way(twin)
    assert np.array_equal(again.get_weights()[0], twin.get_weights()[0])
    model.set_weights([0 * w for w in model.get_weights()])
    assert np.ptp(np.asarray(again.kernel)) > 0
    again.kernel.assign(np.ones((4, 3)))
    assert again.get_weights()[0].min() == 1 and twin.get_weights()[0].max() == 0


class Threefold(nn.Layer):
    """Y = 3 X, in Python."""

    def forward(self, x: Any) -> Any:
        return 3 * x

    def backward(self, dy: Any) -> Any:
        return 3 * dy


@ways
def test_what_joins_layers_by_call_travels(way: Any) -> None:
    """A model of a class of one's own, before and after it is built, and a layer of such a class in another model."""
    for model in composed.Net(seed=0), composed.around():
        composed.fitted(model)
        twin = way(model)
        assert type(twin) is type(model) and same(twin, model)
        assert composed.fitted(twin) == composed.fitted(model) and same(twin, model)
        assert all(a is not b for a, b in zip(twin.layers, model.layers, strict=True))
    assert composed.fitted(way(composed.Net(seed=0))) == composed.fitted(composed.functional())


@ways
def test_a_layer_of_ones_own_within_another_travels(way: Any) -> None:
    model = nn.Model([nn.Input((2, 2)), nn.TimeDistributed(Threefold())], seed=0)
    steps = X.reshape(40, 2, 2)
    np.testing.assert_allclose(way(model).predict(steps, verbose=0), 3 * steps, rtol=1e-6)


@ways
def test_models_that_are_not_ready(way: Any) -> None:
    model = nn.Sequential(seed=5)
    model.scaler = 3
    assert way(model).scaler == 3 and way(model).layers == [] and way(model).seed == 5
    model.add(nn.Dense(2))
    model.compile("adam", "mse")
    twin = way(model)
    for m in (model, twin):
        m.fit(X, np.hstack([Y, Y]), verbose=0)
    assert same(model, twin)


@ways
@pytest.mark.parametrize("kind", ["lock", "module", "generator", "within"])
def test_what_cannot_travel_is_named(way: Any, kind: str) -> None:
    bad = {
        "lock": threading.Lock(),
        "module": types.ModuleType("mine"),
        "generator": (i for i in range(3)),
        "within": {"a": [threading.Lock()]},
    }[kind]
    model = nn.Model([nn.Input(4), nn.Dense(3), nn.Dense(1)], seed=0)
    model.scaler, model.worker = 3, bad
    with pytest.raises(TypeError, match="^worker: expected an attribute of Model that can be (copied|pickled), got"):
        way(model)
    del model.worker
    model.layers[1].hook = bad
    with pytest.raises(TypeError, match="^hook: expected an attribute of Dense that can be (copied|pickled), got"):
        way(model)
    with pytest.raises(TypeError, match="^hook: expected an attribute of Dense"):
        way(model.layers[1])
    del model.layers[1].hook
    assert way(model).scaler == 3


def test_functions_are_the_affair_of_the_pickler_at_work() -> None:
    """Those without a name are refused by Python's, and taken by cloudpickle's, which joblib uses."""
    model = nn.Model([nn.Input(4), nn.Dense(1)], seed=0)
    model.scale = lambda x: 2 * x
    assert copy.deepcopy(model).scale(3) == 6
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        pickle.dumps(model)

    class Better(pickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            return (eval, ("lambda x: 2 * x",)) if getattr(obj, "__name__", "") == "<lambda>" else NotImplemented

    file = io.BytesIO()
    Better(file).dump(model)
    assert pickle.loads(file.getvalue()).scale(3) == 6
    model.worker = threading.Lock()
    with pytest.raises(TypeError, match="^worker: "):
        Better(file).dump(model)


@ways
def test_deep_models_travel(way: Any) -> None:
    """Pickling walks from each symbol to those it reads: as deep as the model, were they not written in order."""
    model = nn.Sequential([nn.Input(2), *(nn.Dense(2) for _ in range(1500))], seed=0)
    model.middle = model.layers[700]
    twin = way(model)
    assert same(model, twin) and twin.middle is twin.layers[700]
    assert np.array_equal(twin.layers[-1].get_weights()[0], way(model.layers[-1]).get_weights()[0])


def test_what_a_copy_walks_starts_on_a_page() -> None:
    model = nn.Model([nn.Input(5), nn.Dense(7)])
    model.compile("adam", "mse")
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for array in (twin.graph.state.values, *twin.optimizer_state.values()):
            assert array.ctypes.data % 4096 == 0
        assert set(twin.optimizer_state) == {"m", "v"}


def test_a_state_is_what_it_was_when_asked_for() -> None:
    """Between `__getstate__` and the end of pickling another thread may train."""
    model = nn.Model([nn.Input(4), nn.Dense(1)], seed=0)
    model.compile("adam", "mse")
    before = model.get_weights()
    state = model.__getstate__()
    model.fit(X, Y, verbose=0)
    twin = nn.Model.__new__(nn.Model)
    twin.__setstate__(copy.deepcopy(state))
    assert all(np.array_equal(a, b) for a, b in zip(before, twin.get_weights(), strict=True))
    assert twin.optimizer.iterations == 0 and model.optimizer.iterations == 2 and twin.state.turn.root is twin.turn.root
    del state
    assert same(copy.deepcopy(model), model)


def test_a_state_of_a_fit_that_goes_on_has_the_history_so_far() -> None:
    """Whatever a callback put into the logs: to ask for the state copies the lists, not what is in them."""
    model = nn.Model([nn.Input(4), nn.Dense(1)], seed=0)
    model.compile("adam", "mse")
    states: list[Any] = []
    hooks: dict[str, Any] = {
        "on_epoch_begin": lambda epoch, logs: states.append(model.__getstate__()),
        "on_epoch_end": lambda epoch, logs: logs.update(lock=threading.Lock()),
    }
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[nn.callbacks.LambdaCallback(**hooks)])
    for n, state in enumerate(states):
        assert state["history"].epoch == list(range(n)) and state["progress"][0] == 2 * n
        assert [len(values) for values in state["history"].history.values()] == ([n, n] if n else [])
        assert state["history"].history.get("lock") == (model.history.history["lock"][:n] or None)


def test_two_copies_at_once_are_of_two_moments() -> None:
    """Each has the weights of its own, beside its own optimizer's state."""
    model = nn.Model([nn.Input(4), nn.Dense(1)], seed=0)
    model.compile("adam", "mse")
    states, weights = [], []
    for _ in range(2):
        states.append(model.__getstate__())
        weights.append(model.get_weights())
        model.fit(X, Y, verbose=0)
    for state, expected in zip(states, weights, strict=True):
        twin = nn.Model.__new__(nn.Model)
        twin.__setstate__(copy.deepcopy(state))
        assert all(np.array_equal(a, b) for a, b in zip(expected, twin.get_weights(), strict=True))


def test_a_pickle_of_another_version() -> None:
    state = nn.Model([nn.Input(4), nn.Dense(1)]).__getstate__() | {"nncore": "0.0.0"}
    with pytest.raises(ValueError, match=r"pickle: expected a model of nncore .*, got one of 0\.0\.0\. .*load_model"):
        nn.Model.__new__(nn.Model).__setstate__(state)

"""Threads beside a fit: what reads sees the state between two steps, what writes waits or is refused."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from beside_fits import INPUTS, UNITS, X, Y, fitting, twin_weights

import nncore as nn


def states(model: nn.Model) -> list[np.ndarray[Any, Any]]:
    arrays = (model.state.values, *model.optimizer_state.values())
    return [model.state.view(p, array) for array in arrays for p in model.state.parameters]


READERS: dict[str, Callable[[nn.Model, Path], list[Any]]] = {
    "get_weights": lambda model, _: model.get_weights(),
    "layer.get_weights": lambda model, _: model.layers[0].get_weights(),
    "predict one row": lambda model, _: [model(X[:1])],
    "predict": lambda model, _: [model.predict(np.repeat(X, 20, axis=0))],
    "np.asarray": lambda model, _: [np.asarray(model.layers[0].kernel)],
    "deepcopy": lambda model, _: states(copy.deepcopy(model)),
    "pickle": lambda model, _: states(pickle.loads(pickle.dumps(model))),
    "save": lambda model, path: (model.save(path), states(nn.load_model(path)))[1],
    "save_weights": lambda model, path: (model.save_weights(path), saved(path))[1],
}


def saved(path: Path) -> list[Any]:
    from safetensors.numpy import load_file

    return list(load_file(path).values())


@pytest.mark.parametrize("name", READERS)
def test_a_reader_sees_the_state_between_two_steps(name: str, tmp_path: Path) -> None:
    model = twin_weights()
    seen = set()
    with fitting(model):
        begun = time.monotonic()
        while (spent := time.monotonic() - begun) < 0.7 or (len(seen) < 3 and spent < 60):  # others may have the cores
            for array in READERS[name](model, tmp_path / "m.safetensors"):
                assert (array == array.flat[0]).all(), name
                seen.add(float(array.flat[0]))
    assert len(seen) > 2  # the fit went on


def test_a_bfloat16_reader_sees_the_state_between_two_steps() -> None:
    """Its packed copies are written by the update, too."""
    model = twin_weights(precision="medium")
    with fitting(model):
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            for y in (model(X[:1]), model.predict(X[:40])):
                assert (y == y.flat[0]).all()


def test_an_evaluation_is_of_one_state() -> None:
    """Its mean over rows is that of one moment: with all weights w, (INPUTS w − 3)² of any row."""
    model = twin_weights()
    x, y = np.repeat(X, 200, axis=0), np.repeat(Y, 200, axis=0)
    first: list[float] = []

    class First(nn.Callback):
        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 0:
                first.append(logs["loss"])

    with fitting(model):
        for _ in range(5):
            whole = model.evaluate(x, y, verbose=0, batch_size=64, callbacks=[First()])
            assert whole == pytest.approx(first[-1], rel=1e-12)
    assert len(set(first)) > 1


WRITERS: dict[str, Callable[[nn.Model], Any]] = {
    "weights": lambda model: model.set_weights(model.get_weights()),
    "train_on_batch": lambda model: model.train_on_batch(X, Y),
    "compile": lambda model: model.compile("sgd", "mse"),
    "reseed": lambda model: model.reseed(3),
    "restart": lambda model: model.restart(3),
    "seed": lambda model: setattr(model, "seed", 3),
    "activation": lambda model: setattr(model.layers[0], "activation", "relu"),
    "assign": lambda model: model.layers[0].kernel.assign(np.zeros((INPUTS, UNITS))),
    "fit": lambda model: model.fit(X, Y, verbose=0),
    "load_weights": lambda model: model.load_weights("nowhere"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_is_refused(name: str) -> None:
    model = twin_weights()
    with fitting(model), pytest.raises(RuntimeError, match=f"{name}: this model is being fitted by another thread"):
        WRITERS[name](model)


def test_weights_of_a_layer_are_the_models() -> None:
    model = twin_weights()
    with fitting(model), pytest.raises(RuntimeError, match="being fitted by another thread"):
        model.layers[0].set_weights(model.layers[0].get_weights())


def test_single_steps_of_two_threads_follow_each_other() -> None:
    model = twin_weights()

    def some() -> None:
        for _ in range(200):
            model.train_on_batch(X[:16], Y[:16])

    threads = [threading.Thread(target=some) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert model.optimizer.iterations == 400
    assert (model.get_weights()[0] == model.get_weights()[0].flat[0]).all()


SINGLE_WRITERS = [name for name in WRITERS if name not in ("reseed", "seed")]  # of which no step knows


@pytest.mark.parametrize("name", SINGLE_WRITERS)
def test_a_writer_waits_for_a_single_step(name: str, tmp_path: Path) -> None:
    """A step reads weights all along, and its update writes them: what else does comes before or after."""
    model, path = twin_weights(), tmp_path / "m.safetensors"
    model.save(path)
    writer = (lambda: model.load_weights(path)) if name == "load_weights" else partial(WRITERS[name], model)
    wrote = threading.Event()
    thread = threading.Thread(target=lambda: (writer(), wrote.set()))
    with model.turn.taken("train_on_batch"):
        thread.start()
        assert not wrote.wait(0.2)
    assert wrote.wait(10)
    thread.join()


@pytest.mark.parametrize("name", SINGLE_WRITERS)
def test_a_callback_of_an_evaluation_does_not_wait_for_a_step_that_waits_for_it(name: str) -> None:
    model, taken, end = twin_weights(), threading.Event(), threading.Event()

    def step() -> None:
        with model.turn.taken("train_on_batch"):
            taken.set()
            end.wait(10)

    class Write(nn.Callback):
        def on_test_begin(self, logs: Any = None) -> None:
            WRITERS[name](model)

    thread = threading.Thread(target=step)
    thread.start()
    assert taken.wait(10)
    with pytest.raises(RuntimeError, match=f"{name}: another thread is changing this model"):
        model.evaluate(X, Y, verbose=0, callbacks=[Write()])
    end.set()
    thread.join()
    if name != "load_weights":
        model.evaluate(X, Y, verbose=0, callbacks=[Write()])


@pytest.mark.parametrize("rows", [1, 500])
def test_packed_copies_are_those_of_the_weights(rows: int) -> None:
    """Three layers without biases multiply a row of ones by the cube of what all weights have."""
    n = 256
    model = nn.Model([nn.Input(n), *(nn.Dense(n, use_bias=False) for _ in range(3))], seed=0)
    model.compile("sgd", "mse", matmul_precision="medium")
    both = [[np.full((n, n), a / n, np.float32)] * 3 for a in (1, 2)]
    x, seen, end = np.ones((rows, n), np.float32), set(), threading.Event()

    def predict() -> None:
        while not end.is_set():
            seen.update(np.unique(model.predict(x)).tolist())

    model.set_weights(both[0])
    threads = [threading.Thread(target=predict) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(300):
        model.set_weights(both[i % 2])
        time.sleep(0.0005)
    end.set()
    for thread in threads:
        thread.join()
    assert seen == {1.0, 8.0}

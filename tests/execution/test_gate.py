"""Other threads while a model is fitted: what reads sees the state between two steps, what writes is refused."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore._kernels.gate import Gate, after_fork_in_parent, before_fork

INPUTS, UNITS = 96, 512
X = np.ones((64, INPUTS), np.float32)
Y = np.full((64, UNITS), 3.0, np.float32)


def twin_weights(threads: int = 2, precision: str = "highest") -> nn.Model:
    """A model all of whose weights are equal at every step, as are m and v, so that a torn state shows."""
    layer = nn.Dense(UNITS, use_bias=False, kernel_initializer="zeros")
    model = nn.Model([nn.Input(INPUTS), layer], seed=0, n_threads=threads)
    model.compile(nn.Adam(1e-5), "mse", matmul_precision=precision)
    return model


@contextmanager
def fitting(model: nn.Model) -> Iterator[None]:
    """Within this, another thread fits the model."""
    begun, end = threading.Event(), threading.Event()

    class Until(nn.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            begun.set()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = end.is_set()

    thread = threading.Thread(
        target=model.fit, args=(X, Y), kwargs={"epochs": 10**9, "batch_size": 16, "verbose": 0, "callbacks": [Until()]}
    )
    thread.start()
    assert begun.wait(10)
    try:
        yield
    finally:
        end.set()
        thread.join()


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


def test_a_callback_of_the_fit_may_write() -> None:
    """Also in the middle of a step, which then begins again: with weights W it would have used old ones."""

    def trained(write: bool) -> list[Any]:
        model = twin_weights()
        moved = [np.full_like(w, 0.01) for w in model.get_weights()]

        class Write(nn.Callback):
            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
                if write and batch == 2:
                    self.model.set_weights(moved)

        model.fit(X, Y, batch_size=16, verbose=0, shuffle=False, callbacks=[Write()])
        if not write:
            model.set_weights(moved)
        return model.get_weights()

    after = trained(True)[0].flat[0]
    # two steps of Adam, whose increment is the learning rate while the gradient hardly changes
    assert after == pytest.approx(0.01 + 2e-5, abs=1e-6)


def test_compile_within_a_fit_takes_effect_at_the_next_step() -> None:
    model = twin_weights()

    class Recompile(nn.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 0:
                self.model.compile(nn.SGD(0.0), "mae", metrics=["mse"])
                self.weights = self.model.get_weights()

    again = Recompile()
    history = model.fit(X, Y, epochs=3, batch_size=16, verbose=0, callbacks=[again]).history
    assert np.array_equal(model.get_weights()[0], again.weights[0])
    assert [len(history[name]) for name in ("loss", "mse")] == [3, 2]
    error = 3.0 - INPUTS * float(again.weights[0].flat[0])
    assert history["loss"][1:] == pytest.approx([error, error], rel=1e-5)


def test_compile_within_a_fit_for_other_targets_is_explained() -> None:
    model = nn.Model([nn.Input(4), nn.Dense(3, activation="softmax")], seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    recompile = nn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: model.compile("sgd", "mse"))
    with pytest.raises(ValueError, match="loss: expected one for targets such as this fit was given"):
        model.fit(np.ones((8, 4)), np.zeros(8, int), epochs=2, verbose=0, callbacks=[recompile])
    model.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)


def test_reseed_within_a_fit_keeps_the_sums() -> None:
    """The loss of the epoch is that of all its batches."""

    def losses(reseed: bool) -> Any:
        model = twin_weights()

        class Reseed(nn.Callback):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                if reseed and batch == 1:
                    self.model.reseed(5)

        return model.fit(X, Y, batch_size=16, shuffle=False, verbose=0, callbacks=[Reseed()]).history["loss"]

    assert losses(True) == losses(False)


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


def test_a_callback_may_train_in_the_middle_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gradients take the place of those of that step, which begins again, and then comes to its end."""
    monkeypatch.setattr("nncore.execution.tuning.Pace.choose", lambda self: (1, 1e-5))  # stops everywhere
    width = 512
    x, y = np.random.default_rng(0).standard_normal((2, 4 * 64, width)).astype(np.float32)
    bad = np.full((1, width), np.nan, np.float32)

    class Train(nn.Callback):
        ticks = 0

        def on_tick(self, samples_done: int, logs: Any = None) -> None:
            self.ticks += 1
            with pytest.raises(ValueError, match="expected finite values"):
                self.model.train_on_batch(bad, y[:1])

    def trained(callbacks: list[nn.Callback]) -> list[Any]:
        model = nn.Model([nn.Input(width), *(nn.Dense(width, "tanh") for _ in range(4))], seed=0, n_threads=2)
        model.compile("sgd", "mse")
        model.fit(x, y, batch_size=64, verbose=0, callbacks=callbacks)
        return model.get_weights()

    train = Train()
    for one, other in zip(trained([]), trained([train]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert train.ticks >= 4


def test_compile_within_a_validation() -> None:
    """What it was at work with is not kept for the next."""
    model = twin_weights()
    recompile = nn.callbacks.LambdaCallback(on_test_begin=lambda logs: model.compile("sgd", "mae", metrics=["mse"]))
    model.fit(X, Y, validation_data=(X, Y), verbose=0, callbacks=[recompile])
    loss, mse = model.evaluate(X, Y, verbose=0)
    assert mse == pytest.approx(loss**2)


# -- the gate itself -----------------------------------------------------------------------------------------------


def test_a_thread_that_reads_may_read_and_write() -> None:
    gate = Gate()
    with gate.reading(), gate.reading(), gate.writing():
        pass
    with gate.writing():
        pass


@pytest.mark.parametrize(("outer", "inner"), [("reading", "writing"), ("writing", "reading"), ("writing", "writing")])
def test_others_wait(outer: str, inner: str) -> None:
    gate, entered = Gate(), threading.Event()

    def enter() -> None:
        with getattr(gate, inner)():
            entered.set()

    thread = threading.Thread(target=enter)
    with getattr(gate, outer)():
        thread.start()
        assert not entered.wait(0.2)
    assert entered.wait(10)
    thread.join()


def test_readers_do_not_wait_for_each_other() -> None:
    gate, entered = Gate(), threading.Event()

    def enter() -> None:
        with gate.reading():
            entered.set()

    thread = threading.Thread(target=enter)
    with gate.reading():
        thread.start()
        assert entered.wait(10)
    thread.join()


def test_an_initializer_may_read_what_was_drawn_before() -> None:
    first = nn.Dense(3)

    class Tied(nn.initializers.Initializer):
        def __call__(self, shape: Any, dtype: Any, rng: Any) -> Any:
            return np.asarray(first.kernel).T

    made: list[nn.Model] = []
    second = nn.Dense(4, kernel_initializer=Tied())
    thread = threading.Thread(target=lambda: made.append(nn.Model([nn.Input(4), first, second])), daemon=True)
    thread.start()
    thread.join(10)
    kernel, _, transposed, _ = made[0].get_weights()
    np.testing.assert_array_equal(transposed, kernel.T)


def test_two_threads_may_fork_at_once() -> None:
    """Each leaves what it has entered itself."""
    model, both, own = twin_weights(), threading.Barrier(2), []

    def fork() -> None:
        before_fork()
        both.wait(10)
        own.append(model.state.gate.own())
        both.wait(10)
        after_fork_in_parent()
        own.append(model.state.gate.own())

    threads = [threading.Thread(target=fork) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert own == [1, 1, 0, 0]


FORK = """
import os, signal, threading, numpy as np, nncore as nn
model = nn.Model([nn.Input(96), nn.Dense(512, use_bias=False, kernel_initializer="zeros")], seed=0, n_threads=2)
model.compile(nn.Adam(1e-5), "mse")
x, y = np.ones((64, 96), np.float32), np.full((64, 512), 3, np.float32)
begun, end = threading.Event(), threading.Event()
class Until(nn.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        begun.set()
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = end.is_set()
thread = threading.Thread(target=lambda: model.fit(x, y, epochs=10**9, batch_size=16, verbose=0, callbacks=[Until()]))
thread.start()
assert begun.wait(10)
status = []
for _ in range(20):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        w = model.get_weights()[0]
        if not (w == w.flat[0]).all():
            os._exit(2)
        before = model.optimizer.iterations
        model.fit(x, y, epochs=1, batch_size=16, verbose=0)
        model.compile("sgd", "mse")
        another = threading.Thread(target=lambda: model.fit(x, y, verbose=0))  # perhaps on the stack of the parent's
        another.start()
        another.join()
        if not model.optimizer.iterations:
            os._exit(3)
        model.compile("sgd", "mse")
        os._exit(model.optimizer.iterations != 0 or not np.isfinite(model.predict(x)).all())
    status.append(os.waitpid(child, 0)[1])
end.set()
thread.join()
assert not any(status), status
"""


def test_a_child_forked_during_a_fit_can_fit() -> None:
    """It has the state between two steps, and none of the parent's threads."""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr


FORK_AT_FIRST_STEP = """
import os, signal, threading, numpy as np, nncore as nn
from nncore.state import State
x, y = np.ones((4, 3), np.float32), np.ones((4, 1), np.float32)
models = [nn.Model([nn.Input(3), nn.Dense(1)], seed=0) for _ in range(2)]
for model in models:
    model.compile("sgd", "mse")
inside, end, like = threading.Event(), threading.Event(), State.like
State.like = lambda self: (inside.set(), end.wait(), like(self))[2]
thread = threading.Thread(target=models[0].train_on_batch, args=(x, y))
thread.start()
assert inside.wait(10)
child = os.fork()
State.like = like
if child == 0:
    signal.alarm(20)
    models[1].train_on_batch(x, y)
    os._exit(0)
_, status = os.waitpid(child, 0)
end.set()
thread.join()
assert status == 0, status
"""


def test_a_child_forked_while_another_thread_makes_room_for_gradients() -> None:
    """No lock is held that all models share."""
    code = [sys.executable, "-W", "ignore", "-c", FORK_AT_FIRST_STEP]
    run = subprocess.run(code, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr

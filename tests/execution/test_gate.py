"""The gate: who waits for whom, and what a forked child finds of it."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from beside_fits import twin_weights

import nncore as nn
from nncore._kernels.gate import Gate, after_fork_in_parent, before_fork


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

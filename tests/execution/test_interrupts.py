"""Ctrl-C within what takes long (a shuffle, a product, a step of many rows), and around a fit."""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore._kernels.table import permutation


@contextmanager
def interrupted(seconds: float) -> Iterator[None]:
    """Raise KeyboardInterrupt so many seconds into the body, which must end by it."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, seconds)
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def test_a_fit_lets_go_of_its_model() -> None:
    """Ctrl-C may come at the begin and at the end of any call; here of each that decides who has the model."""
    model = nn.Model([nn.Input(2), nn.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    x, y, left = np.ones((4, 2)), np.ones((4, 1)), 0

    def trace(frame: types.FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(("nncore/locks.py", "nncore/training/fit.py")):
            return None
        frame.f_trace_lines = False
        if event in ("call", "return"):
            left -= 1
            if not left:
                raise KeyboardInterrupt
        return trace

    def fit() -> None:
        sys.settrace(trace)
        with contextlib.suppress(KeyboardInterrupt):
            model.fit(x, y, verbose=0)

    for nth in itertools.count(1):
        left = nth
        thread = threading.Thread(target=fit)
        thread.start()
        thread.join()
        assert model.fit_state is None, nth
        if left > 0:
            break
    assert nth > 10
    model.fit(x, y, verbose=0)


def test_a_shuffle() -> None:
    order = np.full(1 << 25, -1)
    with interrupted(0.03):
        permutation(1, 2, order)
    assert (order == -1).any() or (np.sort(order[: 1 << 20]) != np.arange(1 << 20)).any()
    assert (order == -1).sum() > 0  # numbers that were not dealt yet


@pytest.mark.parametrize("threads", [1, 2])
def test_a_product(threads: int) -> None:
    a = np.ones((4096, 4096), np.float32)
    out = np.full((4096, 4096), np.nan, np.float32)
    before = nn.get_num_threads()
    nn.set_num_threads(threads)
    try:
        with interrupted(0.03):
            nn.matmul(a, a, out=out)
        assert np.isnan(out).any()
        nn.matmul(a, a[:, :8], out=(small := np.empty((4096, 8), np.float32)))
    finally:
        nn.set_num_threads(before)
    assert (small == 4096).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_of_many_rows(threads: int) -> None:
    """It is abandoned, and changes nothing."""
    model = nn.Model([nn.Input(512), nn.Dense(2048, activation="relu"), nn.Dense(2048), nn.Dense(8)], n_threads=threads)
    model.compile("adam", "mse")
    x, y = np.ones((8192, 512), np.float32), np.ones((8192, 8), np.float32)
    weights = model.get_weights()
    with interrupted(0.1):
        model.train_on_batch(x, y)
    assert model.optimizer.iterations == 0
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    model.train_on_batch(x[:4], y[:4])
    assert model.optimizer.iterations == 1


def test_the_bits_of_a_long_step_are_those_of_any() -> None:
    """Its operations are cut up, also for one thread."""
    x, y = np.random.default_rng(0).standard_normal((2, 3000, 300)).astype(np.float32)
    made = []
    for threads in (1, 2, 3):
        model = nn.Model([nn.Input(300), nn.Dense(500, activation="gelu"), nn.Dense(300)], seed=0, n_threads=threads)
        model.compile("adam", "mse")
        model.fit(x, y, batch_size=3000, epochs=2, verbose=0)
        made.append(model.get_weights())
    reference = nn.Model([nn.Input(300), nn.Dense(500, activation="gelu"), nn.Dense(300)], seed=0, dtype="float64")
    reference.compile("adam", "mse")
    reference.fit(x, y, batch_size=3000, epochs=2, verbose=0)
    for one, two, three, exact in zip(*made, reference.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)
        assert np.abs(one - exact).mean() < 1e-5

"""The learning-rate range test: exact, repeatable, without a trace in the model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from test_rules import gradients, linear, rows

import nncore as nn
from nncore._kernels.table import permutation
from nncore.training.range_test import STREAM

Array = np.ndarray[Any, Any]


def test_rates_and_losses_are_those_of_descent_by_hand() -> None:
    """In the order that the seed gives, over more than one pass; the model stays as it is."""
    x, y = rows()
    model = linear(nn.SGD(0.5))
    model.fit(x, y, batch_size=10, verbose=0)
    before = [w.copy() for w in (*model.get_weights(), model.counters, model.optimizer.counter)]
    rates, losses = model.find_learning_rate(x, y, batch_size=16, low=1e-3, high=0.5, steps=7)
    again = model.find_learning_rate(x, y, batch_size=16, low=1e-3, high=0.5, steps=7)
    assert np.array_equal(again.losses, losses) and np.array_equal(again.rates, rates)
    after = (*model.get_weights(), model.counters, model.optimizer.counter)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert model.optimizer.learning_rate == 0.5
    np.testing.assert_allclose(rates, np.geomspace(1e-3, 0.5, 7))
    weights, want, order = model.get_weights(), [], np.empty(40, np.int64)
    for step, rate in enumerate(rates):
        if step % 3 == 0:
            permutation(model.seed, STREAM | step // 3, order)
        batch = order[step % 3 * 16 : step % 3 * 16 + 16]
        w1, b1, w2, b2 = weights
        want.append(np.mean(((x[batch] @ w1 + b1) @ w2 + b2 - y[batch]) ** 2))
        weights = [w - rate * g for w, g in zip(weights, gradients(weights, x[batch], y[batch]), strict=True)]
    np.testing.assert_allclose(losses, want, rtol=1e-10)


@pytest.mark.parametrize("make", [lambda: nn.Adam(0.1), lambda: nn.Muon(0.1, use_ema=True), lambda: nn.Lamb(0.1)])
def test_it_ends_where_losses_rise(make: Any) -> None:
    x, y = rows(200)
    model = linear(make())
    found = model.find_learning_rate(x, y, low=1e-5, high=1e3, steps=200)
    assert len(found.rates) == len(found.losses) < 200
    assert found.losses[-1] > 4 * found.losses.min() or not math.isfinite(found.losses[-1])
    assert 1e-5 < found.suggestion < found.rates[-1]


def test_threads_do_not_show() -> None:
    x, y = rows(200)
    found = []
    for threads in (1, 2):
        model = nn.Model([nn.Input(5), nn.Dense(300), nn.Dense(3)], seed=1, n_threads=threads)
        model.compile("adam", "mse")
        found.append(model.find_learning_rate(x, y, batch_size=100, steps=9).losses)
    assert np.array_equal(*found)


def test_it_is_drawn() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed: there are no drawings")
    found = linear("sgd").find_learning_rate(*rows(200), low=1e-4, high=100, steps=60)
    axes = found.plot()
    assert axes.get_xscale() == "log" and len(axes.lines) >= 2
    assert found.plot(axes) is axes
    pyplot.close("all")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"low": 0.0}, "low: expected a number > 0, got 0.0"),
        ({"low": 1.0, "high": 0.5}, "high: expected a number > low = 1.0, got 0.5"),
        ({"steps": 1}, "steps: expected a whole number of at least 2, got 1"),
        ({"stop_factor": 1.0}, "stop_factor: expected a number > 1, got 1.0"),
    ],
)
def test_arguments(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        linear("sgd").find_learning_rate(*rows(), **settings)

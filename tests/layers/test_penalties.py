"""Penalties on outputs of layers, and on rows or columns that are not orthogonal; penalties on arrays."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import regularizers
from nncore.regularizers import L1, L1L2, L2, OrthogonalRegularizer

Array = np.ndarray[Any, Any]


def orthogonal(w: Array, factor: float, mode: str) -> float:
    """By pairs."""
    rows = w if mode == "rows" else w.T
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    n = len(rows)
    pairs = [(i, j) for i in range(n) for j in range(i)]
    return factor * sum(abs(rows[i] @ rows[j]) for i, j in pairs) / max(len(pairs), 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_penalties_on_arrays(dtype: str) -> None:
    w = np.random.default_rng(0).standard_normal((7, 5)).astype(dtype)
    wide, tolerance = w.astype(float), 1e-5 if dtype == "float32" else 1e-12
    for regularizer, want in [
        (L1(0.1), 0.1 * np.abs(wide).sum()),
        (L2(0.1), 0.1 * (wide**2).sum()),
        (L1L2(0.1, 0.2), 0.1 * np.abs(wide).sum() + 0.2 * (wide**2).sum()),
        (OrthogonalRegularizer(0.3), orthogonal(wide, 0.3, "rows")),
        (OrthogonalRegularizer(0.3, "columns"), orthogonal(wide, 0.3, "columns")),
    ]:
        got = regularizer(w)
        assert got.dtype == dtype and got == pytest.approx(want, rel=tolerance), regularizer
    assert OrthogonalRegularizer()(np.eye(4)) == 0
    assert OrthogonalRegularizer()(np.ones((1, 4))) == 0


def difference(model: nn.Model, x: Array, y: Array, weight: Any, at: tuple[int, ...]) -> float:
    """The derivative of the loss by one weight, by central differences."""
    losses = []
    for shift in (1e-5, -1e-5):
        value = weight.numpy()
        value[at] += shift
        weight.assign(value)
        losses.append(model.evaluate(x, y, verbose=0))
        value[at] -= shift
        weight.assign(value)
    return (losses[0] - losses[1]) / 2e-5


@pytest.mark.parametrize("mode", ["rows", "columns"])
@pytest.mark.parametrize("shape", [(4, 6), (6, 4)])
def test_what_is_not_orthogonal(mode: str, shape: tuple[int, int]) -> None:
    """Loss and gradient, beside another penalty on the same model."""
    layers = [nn.Input(shape[0]), nn.Dense(shape[1], kernel_regularizer=OrthogonalRegularizer(0.5, mode))]
    model = nn.Model([*layers, nn.Dense(2, kernel_regularizer="l2")], seed=1, dtype="float64")
    model.compile(nn.SGD(1.0), "mse")
    x, y = np.random.default_rng(0).standard_normal((10, shape[0])), np.ones((10, 2))
    kernel, before = model.layers[0].kernel, model.get_weights()
    loss = np.mean((model.predict(x, verbose=0) - y) ** 2)
    want = loss + orthogonal(before[0], 0.5, mode) + 0.01 * (before[2] ** 2).sum()
    assert model.evaluate(x, y, verbose=0) == pytest.approx(want, rel=1e-12)
    slopes = {at: difference(model, x, y, kernel, at) for at in [(0, 0), (3, 2), (1, 3)]}
    assert model.train_on_batch(x, y) == pytest.approx(want, rel=1e-12)
    for at, slope in slopes.items():
        assert before[0][at] - kernel.numpy()[at] == pytest.approx(slope, rel=1e-6, abs=1e-8)


def activity(model: nn.Model, x: Array, y: Array, l1: float, l2: float, penalised: Array) -> float:
    value = l1 * np.abs(penalised).sum() + l2 * (penalised**2).sum()
    return float(np.mean((model.predict(x, verbose=0) - y) ** 2) + value / len(x))


@pytest.mark.parametrize("kind", ["argument", "layer", "output"])
def test_penalties_on_outputs(kind: str, tmp_path: pathlib.Path) -> None:
    """Loss and gradient; the mean over the batch, whatever it is divided into."""
    first = nn.Dense(5, "tanh", activity_regularizer=L1L2(0.1, 0.2)) if kind == "argument" else nn.Dense(5, "tanh")
    behind = [nn.layers.ActivityRegularization(0.1, 0.2)] if kind == "layer" else []
    last = nn.Dense(2, activity_regularizer=L1L2(0.1, 0.2)) if kind == "output" else nn.Dense(2)
    model = nn.Model([nn.Input(3), first, *behind, last], seed=1, dtype="float64")
    model.compile(nn.SGD(1.0), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((45, 3)), rng.standard_normal((45, 2))
    inner = np.tanh(x @ model.get_weights()[0]) if kind != "output" else model.predict(x, verbose=0)
    want = activity(model, x, y, 0.1, 0.2, inner)
    for batch in (45, 7, 64):
        assert model.evaluate(x, y, batch_size=batch, verbose=0) == pytest.approx(want, rel=1e-12)
    slopes = {at: difference(model, x, y, model.layers[0].kernel, at) for at in [(0, 0), (2, 4)]}
    before = model.layers[0].kernel.numpy()
    model.save(tmp_path / "m")
    assert model.train_on_batch(x, y) == pytest.approx(want, rel=1e-12)
    for at, slope in slopes.items():
        assert before[at] - model.layers[0].kernel.numpy()[at] == pytest.approx(slope, rel=1e-5, abs=1e-8)
    loaded = nn.load_model(tmp_path / "m")
    assert loaded.train_on_batch(x, y) == pytest.approx(want, rel=1e-12)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True))


def test_penalties_are_in_the_loss_alone() -> None:
    model = nn.Model([nn.Input(3), nn.Dense(2, activity_regularizer="l2")], seed=1)
    model.compile("sgd", "mse", metrics=["mse"])
    x = np.ones((40, 3), np.float32)
    history = model.fit(x, x[:, :2], verbose=0).history
    assert list(history) == ["loss", "mean_squared_error"] or list(history) == ["loss", "mse"]
    assert history["loss"][0] > list(history.values())[1][0]
    model.layers[0].activity_regularizer = None
    assert model.predict(x, verbose=0).shape == (40, 2)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: OrthogonalRegularizer(mode="all"), ValueError, 'mode: expected "rows" or "columns", got \'all\''),
        (lambda: OrthogonalRegularizer(-1), ValueError, "factor: expected a finite number ≥ 0, got -1"),
        (lambda: OrthogonalRegularizer()(np.ones(3)), ValueError, "OrthogonalRegularizer expected a matrix, got shape"),
        (lambda: nn.Dense(2, activity_regularizer="orthogonal"), ValueError, "activity_regularizer: expected one of"),
        (
            lambda: nn.Model([nn.Input(3), nn.Dense(2, bias_regularizer="orthogonal")]),
            ValueError,
            "bias_regularizer: OrthogonalRegularizer expected a matrix",
        ),
        (lambda: nn.layers.ActivityRegularization(-1.0), ValueError, "l1: expected a finite number ≥ 0"),
    ],
)
def test_what_does_not_fit(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_names() -> None:
    assert regularizers.get("orthogonal_regularizer") == regularizers.get("OrthogonalRegularizer")
    assert regularizers.get({"class_name": "L2", "config": {"l2": 0.5}}) == L2(0.5)

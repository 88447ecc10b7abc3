"""Constraints: on arrays, on weights after each update, in files."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import constraints
from nncore.constraints import CONSTRAINTS, MaxNorm, MinMaxNorm, NonNeg, Signs, UnitNorm
from nncore.registry import serialize

Array = np.ndarray[Any, Any]

VARIANTS = [
    *(cls() for cls in CONSTRAINTS.classes.values()),
    MaxNorm(0.5, axis=1),
    MaxNorm(0.5, axis=(0, 1)),
    UnitNorm(axis=-1),
    MinMaxNorm(0.5, 1.0, 0.25, axis=[1]),
]


def fitting(constraint: Any, w: Array) -> Array:
    """By the formula."""
    if isinstance(constraint, NonNeg):
        return np.maximum(w, 0)
    if isinstance(constraint, Signs):
        rows, columns = np.array(constraint.rows or 1), np.array(constraint.columns or 1)
        return np.where(rows.reshape(-1, 1) * columns * w < 0, 0, w)
    axis = tuple(np.atleast_1d(constraint.axis))
    norm = np.sqrt((w**2).sum(axis, keepdims=True))
    low, high, rate = {
        "MaxNorm": lambda c: (0, c.max_value, 1), "UnitNorm": lambda c: (1, 1, 1),
        "MinMaxNorm": lambda c: (c.min_value, c.max_value, c.rate),
    }[type(constraint).__name__](constraint)  # fmt: skip
    return w * (rate * np.clip(norm, low, high) + (1 - rate) * norm) / (norm + 1e-7)


@pytest.mark.parametrize("constraint", VARIANTS, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays(constraint: Any, dtype: str) -> None:
    w = np.random.default_rng(0).standard_normal((130, 37)).astype(dtype)
    w[:, 0] = 0
    kept = w.copy()
    got = constraint(w)
    assert got.dtype == dtype and np.array_equal(w, kept)
    np.testing.assert_allclose(got, fitting(constraint, w.astype(float)), rtol=1e-4 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("constraint", VARIANTS, ids=repr)
def test_configurations(constraint: Any) -> None:
    assert constraints.get(serialize(constraint)) == constraint
    assert type(constraint).from_config(constraint.get_config()) == constraint


def test_names() -> None:
    assert constraints.get(None) is None
    assert constraints.get("max_norm") == constraints.get("MaxNorm") == MaxNorm() == constraints.max_norm()
    assert constraints.get("non_neg") == NonNeg()
    with pytest.raises(ValueError, match="expected a known constraint, got 'maxnrm'. Did you mean 'max_norm'"):
        constraints.get("maxnrm")


@pytest.mark.parametrize("constraint", VARIANTS, ids=repr)
@pytest.mark.parametrize("threads", [1, 2])
def test_weights_fit_after_each_update(constraint: Any, threads: int, tmp_path: pathlib.Path) -> None:
    """The same step without it, then the constraint by its formula; with the same bits from a file."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((20, 90)), rng.standard_normal((20, 40))

    def model(given: Any) -> nn.Model:
        layers = [nn.Input(90), nn.Dense(40, kernel_constraint=given)]
        made = nn.Model(layers, seed=2, dtype="float64", n_threads=threads)
        made.compile(nn.Adam(0.1), "mse")
        return made

    plain, made = model(None), model(constraint)
    for m in (plain, made):
        m.train_on_batch(x, y)
    want = fitting(constraint, plain.get_weights()[0])
    np.testing.assert_allclose(made.get_weights()[0], want, rtol=1e-11, atol=1e-14)
    np.testing.assert_array_equal(made.get_weights()[1], plain.get_weights()[1])
    made.save(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m")
    for m in (made, loaded):
        m.fit(x, y, epochs=3, verbose=0)
    np.testing.assert_array_equal(made.get_weights()[0], loaded.get_weights()[0])
    assert loaded.layers[0].kernel_constraint == constraint


@pytest.mark.parametrize(
    ("layer", "weight"),
    [
        (nn.Dense(3, bias_constraint="non_neg"), "bias"),
        (nn.LayerNormalization(gamma_constraint="unit_norm"), "gamma"),
        (nn.BatchNormalization(beta_constraint="non_neg"), "beta"),
        (nn.PReLU(alpha_constraint="non_neg"), "alpha"),
        (nn.EinsumDense("ab,bc->ac", 3, kernel_constraint="unit_norm"), "kernel"),
    ],
)
def test_every_layer_with_weights_takes_them(layer: Any, weight: str) -> None:
    model = nn.Model([nn.Input(4), layer, nn.Dense(1)], seed=0, dtype="float64")
    model.compile(nn.SGD(1.0), "mse")
    x = np.random.default_rng(0).standard_normal((20, 4))
    model.fit(x, x[:, :1] * 3 + 1, epochs=3, verbose=0)
    values = getattr(model.layers[0], weight).numpy()
    constraint = getattr(model.layers[0], f"{weight}_constraint")
    np.testing.assert_allclose(constraint(values), values, rtol=1e-6)


def test_an_embedding_of_constrained_rows() -> None:
    table = nn.Embedding(9, 4, embeddings_constraint=UnitNorm(axis=1))
    model = nn.Model([nn.Input((2,)), table, nn.Flatten(), nn.Dense(1)])
    model.compile(nn.LazySGD(0.5), "mse")
    model.fit(np.array([[1, 2], [3, 4]]), np.ones((2, 1)), epochs=2, verbose=0)
    np.testing.assert_allclose(np.linalg.norm(model.layers[0].get_weights()[0], axis=1), 1, rtol=1e-5)


def test_packed_copies_follow() -> None:
    """With products of a lower precision, where a copy of the weights is what they read."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((64, 300), np.float32), rng.standard_normal((64, 200), np.float32)
    predictions = []
    for precision in ("highest", "medium"):
        model = nn.Model([nn.Input(300), nn.Dense(200, kernel_constraint=UnitNorm())], seed=2)
        model.compile(nn.SGD(0.1), "mse", matmul_precision=precision)
        model.fit(x, y, verbose=0)
        predictions.append(model.predict(x, verbose=0))
    np.testing.assert_allclose(*predictions, atol=0.05)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: MaxNorm(-1), ValueError, "max_value: expected a finite number ≥ 0, got -1"),
        (lambda: MinMaxNorm(2.0, 1.0), ValueError, "max_value: expected a finite number ≥ min_value = 2.0, got 1.0"),
        (lambda: MinMaxNorm(rate=2.0), ValueError, r"rate: expected a number in \[0, 1\], got 2.0"),
        (lambda: UnitNorm("0"), TypeError, "axis: expected an int or a list of ints, got '0'"),
        (lambda: UnitNorm((0, 2))(np.ones((2, 2, 2))), ValueError, "axis: expected one axis, or neighbouring ones"),
        (lambda: UnitNorm(1)(np.ones(3)), ValueError, "axis: expected one axis, or neighbouring ones"),
        (lambda: nn.Dense(2, kernel_constraint="l1"), ValueError, "kernel_constraint: expected a known constraint"),
        (lambda: nn.Model([nn.Input(3), nn.Dense(2, kernel_constraint=UnitNorm(2))]), ValueError, "axis: expected one"),
    ],
)
def test_what_does_not_fit(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_signs_of_rows_and_columns() -> None:
    w = np.array([[1.0, -2, 3], [-1, 2, -3], [1, -2, 3]])
    found = Signs([1, 0, -1], [1, -1, 0])(w)
    np.testing.assert_array_equal(found, [[1, -2, 3], [-1, 2, -3], [0, 0, 3]])
    np.testing.assert_array_equal(Signs(columns=np.array([-1, 1, 1]))(w), [[0, 0, 3], [-1, 2, 0], [0, 0, 3]])
    layer = nn.Dense(3, kernel_constraint=Signs([1, 0, -1, 1], [1, -1, 1]))
    model = nn.Sequential([nn.Input(4), layer, nn.Dense(1)], seed=1)
    model.compile(nn.SGD(0.5), "mse")
    x = np.random.default_rng(0).standard_normal((60, 4))
    model.fit(x, -x[:, 0] + x[:, 2], epochs=5, verbose=0)
    kernel = layer.kernel.numpy()
    assert (np.multiply.outer([1, 0, -1, 1], [1, -1, 1]) * kernel >= 0).all()
    assert constraints.get(serialize(layer.kernel_constraint)) == layer.kernel_constraint


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Signs([1, 2]), "rows: expected a list of -1, 0 and 1, or None"),
        (lambda: Signs(columns=1), "columns: expected a list of -1, 0 and 1, or None"),
        (lambda: Signs([1])(np.ones((2, 2))), "rows: expected 2 signs for a weight of shape"),
        (lambda: Signs()(np.ones(2)), "Signs: expected a matrix"),
        (lambda: nn.Dense(3, kernel_constraint=Signs([1]))(np.ones((2, 2))), "rows: expected 2 signs"),
    ],
)
def test_signs_that_do_not_fit(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()

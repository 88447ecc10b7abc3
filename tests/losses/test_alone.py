"""Losses on arrays: shapes, weights, reductions, and what others compute."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pytest
import reference_losses as formulas
from masked import masked
from numpy.typing import NDArray

import nncore as nn
from nncore.losses import LOSSES, WeightedSum

Array = NDArray[Any]
RNG = np.random.default_rng(4)
P, T = RNG.uniform(0.05, 0.95, (6, 3)), RNG.dirichlet(np.ones(3), 6)
LABELS = RNG.integers(0, 3, 6)
OTHERS = ("function_loss", "weighted_sum", "dice", "pinball", "gaussian_nll")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in LOSSES.names() if name not in OTHERS])
def test_functions_give_the_loss_of_each_sample(name: str, dtype: str) -> None:
    """In the dtype of the predictions."""
    function, loss = getattr(nn.losses, name), LOSSES.classes[name](dtype=dtype)
    targets = LABELS if loss.target == "labels" else T
    kernel = loss.choose("linear").kernel
    numbers, p = loss.numbers(kernel), P.astype(dtype)
    rows, t = (p.reshape(1, -1), targets.reshape(1, -1)) if loss.joined else (p, targets)
    want = formulas.values(kernel, rows, t, *numbers)
    more = {"q": 0.5} if "generalized" in name else {}
    found = function(targets, p, **more)
    assert found.dtype == dtype
    tolerance: Any = {"rtol": 2e-5 if dtype == "float32" else 1e-12, "atol": 1e-5 if dtype == "float32" else 1e-12}
    np.testing.assert_allclose(found, want[0] if loss.joined else want, **tolerance)
    counted = np.count_nonzero(want > 0) if name == "circle" else want.size
    np.testing.assert_allclose(loss(targets, p), want.sum() / counted, **tolerance)


def test_rows_of_one_target_and_of_two_halves() -> None:
    e = T[:, :1] - P
    want = np.maximum(np.array([0.1, 0.5, 0.9]) * e, (np.array([0.1, 0.5, 0.9]) - 1) * e).mean(axis=1)
    for targets in (T[:, 0], T[:, :1]):
        np.testing.assert_allclose(nn.losses.pinball(targets, P, [0.1, 0.5, 0.9]), want, 1e-12)
    want = formulas.values("gaussian_nll", P[:, :2], T[:, :1], 2, 1e-6, 0)
    np.testing.assert_allclose(nn.losses.gaussian_nll(T[:, 0], P[:, :2]), want, 1e-12)
    two = nn.losses.pinball(T[:, :2], np.concatenate([P, P[::-1]], axis=1), [0.1, 0.5, 0.9])
    each = [nn.losses.pinball(T[:, 0], P, [0.1, 0.5, 0.9]), nn.losses.pinball(T[:, 1], P[::-1], [0.1, 0.5, 0.9])]
    np.testing.assert_allclose(two, np.mean(each, axis=0), 1e-12)


def test_sums_of_losses_and_functions() -> None:
    both = 0.7 * nn.losses.mse + nn.losses.Huber(0.5) * 0.3 - nn.losses.mae / 4
    want = 0.7 * nn.losses.mse(T, P) + 0.3 * nn.losses.huber(T, P, 0.5) - nn.losses.mae(T, P) / 4
    np.testing.assert_allclose(both.call(T, P), want, 1e-12)
    assert both(T, P) == pytest.approx(want.mean(), rel=1e-6)
    assert both.factors == (0.7, 0.3, -0.25)
    assert sum([nn.losses.mse, nn.losses.mae]) == nn.losses.mse + nn.losses.mae  # type: ignore[list-item]
    assert (2 * (nn.losses.mse + nn.losses.mae)).factors == (2, 2)
    for number in (lambda: nn.losses.mse + 1, lambda: 1 + nn.losses.mse, lambda: nn.losses.mse - np.float32(1)):
        with pytest.raises(TypeError, match=r"^loss: expected a loss or a function of one to add, got .*1.*factors"):
            number()
    for wrong in (lambda: nn.losses.mse * nn.losses.mae, lambda: nn.losses.mse * "a", lambda: nn.losses.mse + "a"):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(ValueError, match="losses of one kind of targets, got .* of labels and mean_squared_error"):
        nn.losses.mse + nn.losses.sparse_categorical_crossentropy
    assert pickle.loads(pickle.dumps(nn.losses.mse)) is nn.losses.mean_squared_error
    assert pickle.loads(pickle.dumps(both)) == both


@pytest.mark.parametrize("weight", [[1, 0, 1, 2, 0, 1], [1, -0.5, 0.25, 2, -1, 1]])
def test_what_counts_is_decided_before_weights(weight: list[float]) -> None:
    """Whose signs and zeros have no say in which losses make the mean."""
    w, labels = np.array(weight), np.array([0, 1, 0, 1, 2, 2])
    each = formulas.values("circle", P, labels, 80, 0.4, 1, 0)
    for weights in (w, w[:, None]):
        found = nn.losses.Circle(dtype="float64")(labels, P, weights)
        assert found == pytest.approx((w * each).sum() / np.count_nonzero(each > 0), rel=1e-10)
    each = np.where(labels == 1, 0, -np.log(P / P.sum(axis=1, keepdims=True))[np.arange(6), labels])
    found = nn.losses.SparseCategoricalCrossentropy(ignore_class=1, dtype="float64")(labels, P, w)
    assert found == pytest.approx((w * each).sum() / 4, rel=1e-10)
    one = nn.losses.SparseCategoricalCrossentropy(ignore_class=1)
    assert one(np.array(2), np.array([0.2, 0.3, 0.5]), [1.0, 2.0]) == pytest.approx(1.5 * np.log(2))


@pytest.mark.parametrize("up", [(), ("mask",), ("weight",), ("p", "t"), ("mask", "weight")])
@pytest.mark.parametrize(
    ("reduction", "plain", "weighted"),
    [
        ("sum_over_batch_size", (1 + 9 + 16) / 3, (0.5 + 18 + 16) / 3),
        ("mean", (1 + 9 + 16) / 3, (0.5 + 18 + 16) / 3),
        ("sum", 26, 34.5),
        ("mean_with_sample_weight", 26 / 3, 34.5 / 3.5),
        (None, [1, 0, 9, 16], [0.5, 0, 18, 16]),
    ],
)
def test_what_a_mask_leaves_out_does_not_count(reduction: Any, plain: Any, weighted: Any, up: tuple[str, ...]) -> None:
    """By hand: squares of errors are 1, 4, 9, 16, the second of which is left out."""

    class Squares(nn.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return (y_true - y_pred) ** 2

    given: dict[str, Any] = {"p": [1, 2, 3, 4], "t": [0, 0, 0, 0], "weight": [0.5, 7, 2, 1], "mask": [1, 0, 1, 1]}
    given = {name: np.array(value)[:, None] if name in up else np.array(value) for name, value in given.items()}
    p = masked(given["p"], given["mask"].astype(bool))
    loss = Squares(reduction=reduction)
    np.testing.assert_allclose(np.ravel(loss(given["t"], p)), np.ravel(plain), 1e-6)
    np.testing.assert_allclose(np.ravel(loss(given["t"], p, given["weight"])), np.ravel(weighted), 1e-6)
    p._keras_mask = np.zeros(4, bool)
    np.testing.assert_array_equal(loss(given["t"], p), np.zeros_like(loss(given["t"], p)))


def test_masks_of_known_losses() -> None:
    """Means of the rows that count, whose elements are means themselves; NaN where none counts is none."""
    p = masked([[1.0, 3.0], [np.nan, 0.0], [2.0, 2.0]], [True, False, True])
    assert nn.losses.MeanSquaredError()(np.zeros((3, 2)), p) == (5 + 4) / 2
    labels, q = np.array([0, 1, 1]), masked([[0.5, 0.5], [0.1, 0.9], [0.75, 0.25]], [True, True, False])
    ignoring = nn.losses.SparseCategoricalCrossentropy(ignore_class=0)
    assert ignoring(labels, q) == pytest.approx(-np.log(0.9), rel=1e-6)
    for shape in (2, 2), (3, 3):
        q._keras_mask = np.ones(shape, bool)
        words = f"y_pred: expected a mask that goes with losses of shape (3,), got {shape}"
        with pytest.raises(ValueError, match=re.escape(words)):
            ignoring(labels, q)


def test_an_own_loss_is_given_reals() -> None:
    """Differences of unsigned integers would begin at 0 again."""

    class Errors(nn.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return y_true - y_pred

    t, p = np.array([1, 0], np.uint8), np.array([2, 5], np.uint8)
    np.testing.assert_array_equal(Errors(reduction=None)(t, p), [-1, -5])


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_other_axes(axis: int) -> None:
    p, t = RNG.uniform(0.1, 0.9, (2, 3, 4)), RNG.uniform(0.1, 0.9, (2, 3, 4))
    for name, want in {
        "cosine_similarity": -(p * t).sum(axis) / np.sqrt((p**2).sum(axis) * (t**2).sum(axis)),
        "binary_crossentropy": -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(axis),
        "categorical_crossentropy": -(t * np.log(p / p.sum(axis, keepdims=True))).sum(axis),
        "dice": 1 - 2 * (p * t).sum(axis) / (p.sum(axis) + t.sum(axis) + 1e-7),
    }.items():
        np.testing.assert_allclose(getattr(nn.losses, name)(t, p, axis=axis), want, 1e-10)
    labels = RNG.integers(0, p.shape[axis], np.delete(p.shape, axis))
    right = np.take_along_axis(p / p.sum(axis, keepdims=True), np.expand_dims(labels, axis), axis).squeeze(axis)
    np.testing.assert_allclose(nn.losses.sparse_categorical_crossentropy(labels, p, axis=axis), -np.log(right), 1e-10)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.losses.mse(T, P[:, :2]), r"y_true and y_pred must have the same shape, got \(6, 3\) and \(6, 2\)"),
        (lambda: nn.losses.mse(1.0, 2.0), "y_pred: expected an array of at least one axis, got a number"),
        (lambda: nn.losses.sparse_categorical_crossentropy([0, 3], P[:2]), "expected whole labels from 0 to 2, got 3"),
        (lambda: nn.losses.sparse_categorical_crossentropy([0, 0.5], P[:2]), "whole labels from 0 to 2, got 0.5"),
        (lambda: nn.losses.corn([4], P[:1]), "expected whole labels from 0 to 3, got 4"),
        (
            lambda: nn.losses.cosine_similarity(T, P, axis=2),
            r"axis: expected an axis of y_pred, of shape \(6, 3\), got 2",
        ),
        (lambda: nn.losses.Huber()(T, P, np.ones(4)), r"sample_weight: expected .* losses of shape \(6,\), got \(4,\)"),
        (lambda: nn.losses.gaussian_nll(T, P), "expects a mean and a variance for each target, got 3 outputs"),
        (
            lambda: WeightedSum(["mse"], [1], reduction="sum"),
            "reduction: .* of losses, got 'sum'; give it to the terms",
        ),
        (
            lambda: WeightedSum(["mse"], [1], dtype="float64"),
            "dtype: .* of losses, got 'float64'; give it to the",
        ),
        (lambda: WeightedSum(["mse"], [float("nan")]), "factors: expected finite numbers, got nan"),
        (lambda: nn.losses.mse * float("inf"), "factors: expected finite numbers, got inf"),
        (lambda: nn.losses.Huber(reduction="all"), "reduction: expected one of 'sum_over_batch_size', .*, got 'all'"),
        (lambda: nn.losses.Huber(dtype="int32"), "dtype: expected one of floating-point numbers, .*, got 'int32'"),
        (lambda: nn.losses.TweedieDeviance(0.5), r"power: expected a finite number outside of \(0, 1\), got 0.5"),
        (lambda: nn.losses.Pinball([0.5, 0.1]), "quantiles: expected .* in increasing order, got"),
        (lambda: nn.losses.Pinball([]), "quantiles: expected at least one"),
        (lambda: nn.losses.Pinball(1.0), "quantiles: expected numbers between 0 and 1, got 1.0"),
        (lambda: nn.losses.GaussianNLL("exp"), "variance: expected one of identity, exponential, softplus, got 'exp'"),
        (lambda: nn.losses.BinaryCrossentropy(label_smoothing=2), r"label_smoothing: expected a number in \[0, 1\]"),
        (lambda: nn.losses.CategoricalGeneralizedCrossEntropy(1), "q: expected a number between 0 and 1, got 1"),
    ],
)
def test_what_does_not_fit(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    ("losses", "factors", "words"),
    [
        ("mse", [1], "losses: expected a list of losses, got 'mse'"),
        (3, [1], "losses: expected a list of losses, got 3"),
        (["mse"], 1.0, "factors: expected a list of numbers, got 1.0"),
        (["mse"], ["a"], "factors: expected finite numbers, got 'a'"),
    ],
)
def test_what_is_no_list_of_losses_with_their_factors(losses: Any, factors: Any, words: str) -> None:
    with pytest.raises(TypeError, match=f"^{words}"):
        WeightedSum(losses, factors)


def test_arguments_have_places_as_in_keras() -> None:
    assert nn.losses.Huber(0.5, "sum", "mine") == nn.losses.Huber(delta=0.5, reduction="sum", name="mine")
    assert nn.losses.MeanSquaredError("sum").reduction == "sum"
    assert repr(nn.losses.Huber(0.5, "sum")) == "Huber(delta=0.5, reduction='sum')"
    with pytest.raises(TypeError):
        nn.losses.MeanSquaredError("sum", "mine", None, 3)  # type: ignore[call-arg]


def test_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    t, p = RNG.uniform(0.1, 3, 50), RNG.uniform(0.1, 3, 50)
    for power in (-1, 0, 1, 1.5, 2, 3):
        found = nn.losses.TweedieDeviance(power, dtype="float64")(t[:, None], p[:, None])
        assert found == pytest.approx(metrics.mean_tweedie_deviance(t, p, power=power), rel=1e-10)
    assert nn.losses.poisson_deviance(t, p) == pytest.approx(metrics.mean_poisson_deviance(t, p), rel=1e-10)
    assert nn.losses.gamma_deviance(t, p) == pytest.approx(metrics.mean_gamma_deviance(t, p), rel=1e-10)
    for level in (0.1, 0.5, 0.8):
        found = nn.losses.Pinball(level, dtype="float64")(t, p[:, None])
        assert found == pytest.approx(metrics.mean_pinball_loss(t, p, alpha=level), rel=1e-10)
    scores, labels = RNG.standard_normal((50, 4)), RNG.integers(0, 4, 50)
    found = nn.losses.SparseCategoricalCrossentropy(True, dtype="float64")(labels, scores)
    q = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert found == pytest.approx(metrics.log_loss(labels, q), rel=1e-10)
    signs = 2 * RNG.integers(0, 2, 50) - 1
    assert nn.losses.hinge(signs, p) == pytest.approx(metrics.hinge_loss(signs, p), rel=1e-10)


def test_quantiles_do_not_cross_and_fit() -> None:
    """Of y = x + noise whose width grows: shares of rows below each quantile are about its level."""
    x = RNG.uniform(-1, 1, (3000, 1))
    y = x[:, 0] + (1.2 + x[:, 0]) * RNG.standard_normal(3000)
    levels = [0.1, 0.5, 0.9]
    model = nn.Model([nn.Input(1), nn.Dense(16, "tanh"), nn.Dense(3), nn.layers.NonCrossing(3)], seed=1)
    model.compile(nn.Adam(0.01), nn.losses.Pinball(levels))
    model.fit(x, y, epochs=40, batch_size=64, verbose=0)
    found = model.predict(x)
    assert (np.diff(found, axis=1) > 0).all()
    np.testing.assert_allclose((y[:, None] < found).mean(axis=0), levels, atol=0.04)

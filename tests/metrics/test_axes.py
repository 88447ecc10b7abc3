"""Metrics along other axes of arrays than the last, and of predictions of which a mask says what counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from masked import masked

import nncore as nn
from nncore import metrics

RNG = np.random.default_rng(11)
T, P = RNG.uniform(0.1, 0.9, (2, 3, 4)), RNG.uniform(0.1, 0.9, (2, 3, 4))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_other_axes(axis: int) -> None:
    shares = P / P.sum(axis, keepdims=True)
    norms = np.sqrt((P**2).sum(axis) * (T**2).sum(axis))
    labels = RNG.integers(0, P.shape[axis], np.delete(P.shape, axis))
    right = np.take_along_axis(shares, np.expand_dims(labels, axis), axis).squeeze(axis)
    weight = RNG.uniform(size=right.shape)
    for metric, t, want in (
        (metrics.CosineSimilarity(axis=axis), T, (P * T).sum(axis) / norms),
        (metrics.CategoricalCrossentropy(axis=axis), T, -(T * np.log(shares)).sum(axis)),
        (metrics.SparseCategoricalCrossentropy(axis=axis), labels, -np.log(right)),
    ):
        assert metric(t, P) == pytest.approx(want.mean(), rel=1e-10)
        metric.reset_state()
        assert metric(t, P, weight) == pytest.approx(np.average(want, weights=weight), rel=1e-10)
        assert type(metric).from_config(metric.get_config()) == metric
    np.testing.assert_allclose(metrics.cosine_similarity(T, P, axis), (P * T).sum(axis) / norms, 1e-10)
    np.testing.assert_allclose(
        metrics.categorical_crossentropy(T, P, axis=axis), -(T * np.log(shares)).sum(axis), 1e-10
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_classes_along_other_axes(axis: int) -> None:
    n = P.shape[axis]
    matrix = np.zeros((n, n))
    np.add.at(matrix, (T.argmax(axis), P.argmax(axis)), 1)
    union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    want = np.mean([np.diag(matrix)[c] / union[c] for c in range(n) if union[c]])
    assert metrics.OneHotMeanIoU(n, axis=axis)(T, P) == pytest.approx(want)
    assert metrics.OneHotMeanIoU(n, axis=axis, sparse_y_pred=True)(T, P.argmax(axis)) == pytest.approx(want)
    assert metrics.MeanIoU(n, axis=axis, sparse_y_pred=False)(T.argmax(axis), P) == pytest.approx(want)


def test_the_axis_of_a_model_is_the_last() -> None:
    x, y = RNG.uniform(size=(6, 3)), RNG.uniform(0.1, 1, (6, 4))
    model = nn.Model([nn.Input(3), nn.Dense(4)], seed=1)
    model.compile("sgd", "mse", metrics=[metrics.CosineSimilarity(axis=1)])
    p = model.predict(x)
    want = ((p * y).sum(1) / np.sqrt((p**2).sum(1) * (y**2).sum(1))).mean()
    assert model.evaluate(x, y, verbose=0)[1] == pytest.approx(want, rel=1e-5)
    with pytest.raises(ValueError, match="metrics: cosine_similarity of a model goes along the last axis, got axis=0"):
        model.compile("sgd", "mse", metrics=[metrics.CosineSimilarity(axis=0)])
    with pytest.raises(ValueError, match=r"axis: expected an axis of y_pred, of shape \(2, 3, 4\), got 3"):
        metrics.CosineSimilarity(axis=3)(T, P)
    with pytest.raises(ValueError, match="axis: expected a whole number, got 0.5"):
        metrics.CosineSimilarity(axis=0.5)


def test_what_a_mask_leaves_out_weighs_nothing() -> None:
    """By hand: squares of errors are 1, 4, 9, 16."""
    t, p, mask = np.zeros(4), masked([1, 2, 3, 4], [True, False, True, False]), [1.0, 1.0, 0.5, 1.0]
    assert metrics.MeanSquaredError()(t, p) == 5 and metrics.RootMeanSquaredError()(t, p) == np.sqrt(5)
    assert metrics.MeanSquaredError()(t, p, mask) == pytest.approx((1 + 4.5) / 1.5)
    assert metrics.MeanSquaredError()(t[:, None], masked([[1], [2], [3], [4]], p._keras_mask), mask) == 5.5 / 1.5
    assert metrics.MeanMetricWrapper(lambda y, q: (y - q) ** 2)(t, p) == 5
    assert metrics.MeanSquaredError()(t, masked([1, 2, 3, 4], [False] * 4)) == 0


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_masks_where_other_axes_are_gone_along(axis: int) -> None:
    values = (P * T).sum(axis) / np.sqrt((P**2).sum(axis) * (T**2).sum(axis))
    mask, weight = RNG.uniform(size=values.shape) < 0.5, RNG.uniform(size=values.shape)
    mask.flat[:2] = True, False
    p = masked(P, mask)
    assert metrics.CosineSimilarity(axis=axis)(T, p) == pytest.approx(values[mask].mean(), rel=1e-10)
    want = np.average(values[mask], weights=weight[mask])
    assert metrics.CosineSimilarity(axis=axis)(T, p, weight) == pytest.approx(want, rel=1e-10)


def test_what_is_called_registered_is_no_function_of_ours() -> None:
    """A callable of a user's may have any attribute."""

    class Distance:
        registered = True

        def __call__(self, y_true: Any, y_pred: Any) -> Any:
            return np.abs(y_true - y_pred).sum(axis=1)

    x, y = RNG.uniform(size=(6, 3)), RNG.uniform(0.1, 1, (6, 4))
    model = nn.Model([nn.Input(3), nn.Dense(4)], seed=1)
    model.compile("sgd", "mse", metrics=[Distance()])
    want = np.abs(model.predict(x) - y).sum(axis=1).mean()
    assert model.evaluate(x, y, verbose=0)[1] == pytest.approx(want, rel=1e-5)
    assert metrics.MeanMetricWrapper(Distance())(y, model.predict(x)) == pytest.approx(want, rel=1e-5)
    assert isinstance(nn.losses.get(Distance()), nn.Loss)


def test_functions_of_losses_are_metrics() -> None:
    """Each by the values that it gives, with the loss's sign; a file names them."""
    x, y = RNG.uniform(size=(6, 3)), RNG.uniform(0.1, 1, (6, 4))
    model = nn.Model([nn.Input(3), nn.Dense(4)], seed=1)
    model.compile("sgd", "mse", metrics=[nn.losses.huber, nn.losses.cosine_similarity])
    p = model.predict(x)
    similar = (p * y).sum(1) / np.sqrt((p**2).sum(1) * (y**2).sum(1))
    e = np.abs(p - y)
    want = [np.where(e < 1, e**2 / 2, e - 0.5).mean(), -similar.mean()]
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0)[1:], want, 1e-5)
    for fn in (nn.losses.cosine_similarity, nn.metrics.cosine_similarity):
        metric = metrics.MeanMetricWrapper(fn)
        again = metrics.MeanMetricWrapper.from_config(metric.get_config())
        assert again.fn is fn and again(y, p) == metric(y, p)
    described = {"module": "builtins", "class_name": "function", "config": "huber", "registered_name": "function"}
    assert metrics.MeanMetricWrapper(described).fn is nn.losses.huber


def test_losses_are_metrics(tmp_path: Path) -> None:
    """By the values of samples, whatever is trained by; classes, too, and a user's own; a file describes them."""

    class Quartic(nn.losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return ((y_pred - y_true) ** 4).sum(axis=1), 4 * (y_pred - y_true) ** 3

    x, y, weight = RNG.uniform(size=(6, 3)), RNG.uniform(0.1, 3, (6, 4)), RNG.uniform(size=6)
    model = nn.Model([nn.Input(3), nn.Dense(4)], seed=1)
    given = [nn.losses.Huber(0.5, reduction="sum", name="half"), nn.losses.MeanSquaredError, Quartic()]
    model.compile("sgd", "mae", metrics=given[:2], weighted_metrics=given[2:])
    e = np.abs(model.predict(x) - y)
    huber = np.where(e < 0.5, e**2 / 2, 0.5 * e - 0.125).mean(axis=1)
    found = model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    assert list(found)[1:] == ["half", "mean_squared_error", "quartic"]
    want = [huber.mean(), (e**2).mean(), np.average((e**4).sum(axis=1), weights=weight)]
    np.testing.assert_allclose(list(found.values())[1:], want, 1e-5)
    metric = metrics.MeanMetricWrapper(given[0])
    assert metric(y, model.predict(x), weight) == pytest.approx(np.average(huber, weights=weight), rel=1e-5)
    assert metrics.MeanMetricWrapper.from_config(metric.get_config()) == metric
    model.compile("sgd", "mae", metrics=given[:2])
    model.save(tmp_path / "m.safetensors")
    again = nn.load_model(tmp_path / "m.safetensors")
    assert again.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0) and again.metrics_names[1] == "half"
    with pytest.raises(ValueError, match="fn: expected the keys 'class' and 'config', got "):
        metrics.MeanMetricWrapper({"class": "huber"})

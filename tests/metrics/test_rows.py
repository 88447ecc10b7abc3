"""What rows metrics make of arrays and weights of other shapes, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nncore import metrics
from nncore.metrics import METRICS


@pytest.mark.parametrize(
    ("name", "t", "p", "wanted"),
    [
        ("cosine_similarity", [1, 2, 3, 4], [1, 2, 2, 5], 31 / np.sqrt(30 * 34)),
        ("pearson_correlation", [1, 2, 3, 4], [1, 2, 2, 5], 6 / np.sqrt(5 * 9)),
        ("concordance_correlation", [1, 2, 3, 4], [1, 2, 2, 5], 2 * 6 / (5 + 9)),
        ("kl_divergence", [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], 0.3 * np.log(4) + 0.1 * np.log(1.5)),
        ("categorical_crossentropy", [0, 0, 1, 0], [0.1, 0.2, 0.3, 0.4], -np.log(0.3)),
        ("categorical_hinge", [0, 0, 1, 0], [0.1, 0.2, 0.3, 0.4], 0.4 - 0.3 + 1),
        ("categorical_accuracy", [0, 0, 1, 0], [0.1, 0.2, 0.3, 0.4], 0),
        ("top_k_categorical_accuracy", [0, 1, 0, 0, 0, 0, 0], [0.2, 0, 0.2, 0.2, 0.2, 0.1, 0.1], 0),
    ],
)
def test_arrays_of_one_axis_are_one_row(name: str, t: list[float], p: list[float], wanted: float) -> None:
    metric = METRICS.classes[name]()
    for weight in (None, 3.0, [3.0]):
        assert metric(t, p, weight) == pytest.approx(wanted, abs=1e-6)
    found = getattr(metrics, name)(t, p)
    assert np.shape(found) == () and found == pytest.approx(wanted, abs=1e-6)
    with pytest.raises(ValueError, match="^sample_weight: expected a weight for each row, got"):
        metric(t, p, np.ones(len(p)))


def test_weights_of_samples_are_those_of_their_steps() -> None:
    t, p, w = *np.random.default_rng(3).standard_normal((2, 4, 3, 3)), np.array([1.0, 0, 2, 0.5])
    each = ((t - p) ** 2).mean(axis=2)
    for weight in (w, w[:, None], w[:, None, None], np.broadcast_to(w[:, None], (4, 3))):
        assert metrics.MeanSquaredError()(t, p, weight) == pytest.approx(np.average(each.mean(axis=1), weights=w))
    steps = np.array([[1.0, 0, 3]])
    assert metrics.MeanSquaredError()(t, p, steps) == pytest.approx(np.average(each.mean(axis=0), weights=steps[0]))


def test_numbers_of_classes_have_weights_in_a_column() -> None:
    """Classes 0, 1, 1, taken for 0, 1, 0: 1 / (1 + 3) and 2 / (2 + 3) by weight."""
    hot = np.eye(2)[[0, 1, 1]]
    for metric in (metrics.OneHotMeanIoU(2, sparse_y_pred=True), metrics.OneHotIoU(2, [0, 1], sparse_y_pred=True)):
        assert metric(hot, [0, 1, 0], [[1], [2], [3]]) == pytest.approx((1 / 4 + 2 / 5) / 2)
        with pytest.raises(ValueError, match=r"sample_weight: .* each of the targets, shape \(3,\), got \(2,\)"):
            metric(hot, [0, 1, 0], [1, 2])

"""Names of the metrics, which kernels they take in a model, and errors."""

from __future__ import annotations

import copy
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nncore import losses
from nncore._kernels.table import LOSSES as LOSS_IDS
from nncore._kernels.table import METRICS as METRIC_IDS
from nncore.metrics import (
    METRICS,
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    MeanAbsoluteError,
    MeanSquaredError,
    Precision,
    Recall,
    SparseCategoricalAccuracy,
    get,
    register_function,
)
from nncore.metrics.base import Given
from nncore.registry import serialize

KERNELS_DEF = Path(__file__).parents[2] / "src_c" / "kernels.def"
#: Arguments of those that need some.
NEEDED: dict[str, dict[str, Any]] = {
    "iou": {"num_classes": 3, "target_class_ids": [0]},
    "mean_iou": {"num_classes": 3},
    "one_hot_iou": {"num_classes": 3, "target_class_ids": [0]},
    "one_hot_mean_iou": {"num_classes": 3},
    "sensitivity_at_specificity": {"specificity": 0.5},
    "specificity_at_sensitivity": {"sensitivity": 0.5},
    "precision_at_recall": {"recall": 0.5},
    "recall_at_precision": {"precision": 0.5},
    "mean_metric_wrapper": {"fn": "values_of_rows"},
}
MSE, BINARY, BINARY_LOGITS = losses.MeanSquaredError(), losses.BinaryCrossentropy(), losses.BinaryCrossentropy(True)
CATEGORICAL, CATEGORICAL_LOGITS = losses.CategoricalCrossentropy(), losses.CategoricalCrossentropy(True)
SPARSE, SPARSE_LOGITS = losses.SparseCategoricalCrossentropy(), losses.SparseCategoricalCrossentropy(True)


@register_function
def values_of_rows(y_true, y_pred):
    return y_pred[:, 0]


VARIANTS = [METRICS.classes[name](**NEEDED.get(name, {})) for name in METRICS.names()]
VARIANTS += [BinaryAccuracy(threshold=0.25), Accuracy("acc")]


def chosen(metric, loss, outputs, activation):
    """The metric's plan where the loss decides whether it is fused, as the compiler of programs asks for it."""
    fused = loss is not None and loss.choose(activation).fused
    labels = loss is not None and loss.target == "labels"
    plan = metric.plan_in_model(Given(outputs, labels, loss, fused, activation))
    return plan.kernel, plan.parameters, plan.reads


def test_every_kernel_has_a_metric():
    text = KERNELS_DEF.read_text(encoding="utf-8")
    values = set(re.findall(r"^METRIC\((\w+),", text, re.MULTILINE))
    tallies = set(re.findall(r"^TALLY\((\w+),", text, re.MULTILINE))
    rows = [m for m in VARIANTS if METRICS.name_of(m) not in ("mean", "sum")]
    plans = [m.plan(Given(3, labels)) for m in rows for labels in (False, True) if fits(m, labels)]
    assert {p.kernel for p in plans if p.sums == "mean" and p.kernel in METRIC_IDS} == values
    assert {p.kernel for p in plans if p.sums == "tally"} == tallies
    assert {p.kernel for p in plans if p.sums == "mean"} <= values | set(LOSS_IDS)


def fits(metric, labels):
    return metric.targets == "either" or (metric.targets == "labels") == labels


@pytest.mark.parametrize(
    ("given", "cls", "name"),
    [
        ("accuracy", Accuracy, "accuracy"),
        ("acc", Accuracy, "acc"),
        ("mse", MeanSquaredError, "mse"),
        ("mean_absolute_error", MeanAbsoluteError, "mean_absolute_error"),
        ("mae", MeanAbsoluteError, "mae"),
        (MeanSquaredError, MeanSquaredError, "mean_squared_error"),
        (BinaryAccuracy(), BinaryAccuracy, "binary_accuracy"),
        (BinaryAccuracy(name=None), BinaryAccuracy, "binary_accuracy"),
        (SparseCategoricalAccuracy("top"), SparseCategoricalAccuracy, "top"),
        ({"class": "categorical_accuracy", "config": {}}, CategoricalAccuracy, "categorical_accuracy"),
    ],
)
def test_the_name_is_what_the_user_wrote(given, cls, name):
    metric = get(given)
    assert (type(metric), metric.name) == (cls, name)


@pytest.mark.parametrize(
    ("loss", "outputs", "activation", "choice"),
    [
        (SPARSE, 10, "softmax", ("sparse_categorical_accuracy", (), "logits")),
        (SPARSE_LOGITS, 10, "linear", ("sparse_categorical_accuracy", (), "outputs")),
        (CATEGORICAL, 10, "softmax", ("categorical_accuracy", (), "logits")),
        (CATEGORICAL_LOGITS, 10, "linear", ("categorical_accuracy", (), "outputs")),
        (BINARY, 1, "sigmoid", ("binary_accuracy", (0.0,), "logits")),
        (BINARY, 5, "sigmoid", ("binary_accuracy", (0.0,), "logits")),
        (BINARY, 5, "softmax", ("binary_accuracy", (0.5,), "outputs")),
        (BINARY_LOGITS, 1, "linear", ("binary_accuracy", (0.0,), "outputs")),
        (BINARY_LOGITS, 5, "linear", ("binary_accuracy", (0.0,), "outputs")),
        (MSE, 1, "sigmoid", ("binary_accuracy", (0.5,), "outputs")),
        (MSE, 1, "linear", ("binary_accuracy", (0.5,), "outputs")),
        (MSE, 5, "softmax", ("categorical_accuracy", (), "outputs")),
        (None, 1, "sigmoid", ("binary_accuracy", (0.5,), "outputs")),
        (None, 5, "softmax", ("categorical_accuracy", (), "outputs")),
    ],
)
def test_accuracy_follows_the_loss(loss, outputs, activation, choice):
    assert chosen(Accuracy(), loss, outputs, activation) == choice
    assert chosen(get("acc"), loss, outputs, activation) == choice


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9, np.float32(0.25)])
def test_a_threshold_on_logits_separates_as_it_does_on_probabilities(threshold):
    metric = BinaryAccuracy(threshold=threshold)
    assert chosen(metric, MSE, 1, "sigmoid") == ("binary_accuracy", (threshold,), "outputs")
    assert chosen(metric, BINARY, 3, "softmax") == ("binary_accuracy", (threshold,), "outputs")
    assert chosen(metric, CATEGORICAL, 3, "softmax") == ("binary_accuracy", (threshold,), "outputs")
    for loss, activation, reads in [(BINARY, "sigmoid", "logits"), (BINARY_LOGITS, "linear", "outputs")]:
        kernel, (logit,), read = chosen(metric, loss, 1, activation)
        assert (kernel, read) == ("binary_accuracy", reads)
        assert 1 / (1 + math.exp(-logit)) == pytest.approx(threshold, rel=1e-15)


@pytest.mark.parametrize("cls", [Precision, Recall])
def test_a_threshold_that_no_probability_passes_is_refused_for_logits(cls):
    with pytest.raises(ValueError, match=r"thresholds: expected a probability .* logits, got 0\.0, .* 0\.5"):
        chosen(cls(thresholds=0.0), BINARY_LOGITS, 1, "linear")
    for passed, loss, last in (
        (0.0, BINARY, "sigmoid"),
        ([0.0, 0.5], BINARY_LOGITS, "linear"),
        (0.5, BINARY_LOGITS, "linear"),
    ):
        assert chosen(cls(thresholds=passed), loss, 1, last)[0] == "thresholds"


def test_rankings_are_read_from_logits_only_where_they_are_at_hand():
    assert chosen(CategoricalAccuracy(), BINARY, 5, "sigmoid") == ("categorical_accuracy", (), "logits")
    assert chosen(CategoricalAccuracy(), MSE, 5, "softmax") == ("categorical_accuracy", (), "outputs")
    assert chosen(SparseCategoricalAccuracy(), SPARSE, 5, "softmax") == ("sparse_categorical_accuracy", (), "logits")


@pytest.mark.parametrize("cls", [MeanSquaredError, MeanAbsoluteError])
@pytest.mark.parametrize(("loss", "activation"), [(MSE, "linear"), (CATEGORICAL, "softmax"), (BINARY, "sigmoid")])
def test_errors_of_values_read_outputs(cls, loss, activation):
    assert chosen(cls(), loss, 5, activation) == (METRICS.name_of(cls()), (), "outputs")


@pytest.mark.parametrize(
    ("metric", "loss", "activation", "remedy"),
    [
        (SparseCategoricalAccuracy(), CATEGORICAL, "softmax", "categorical_accuracy"),
        (SparseCategoricalAccuracy(), BINARY, "sigmoid", "binary_accuracy"),
        (SparseCategoricalAccuracy(), MSE, "linear", "accuracy"),
        (CategoricalAccuracy(), SPARSE, "softmax", "sparse_categorical_accuracy"),
        (BinaryAccuracy(), SPARSE, "softmax", "sparse_categorical_accuracy"),
        (MeanSquaredError(), SPARSE, "softmax", "sparse_categorical_accuracy"),
    ],
)
def test_a_metric_must_fit_the_targets(metric, loss, activation, remedy):
    with pytest.raises(ValueError, match=f"^metrics: {METRICS.name_of(metric)} expects .* targets.*{remedy}"):
        chosen(metric, loss, 10, activation)


@pytest.mark.parametrize("metric", VARIANTS, ids=repr)
def test_copies_are_equal_and_others_are_not(metric):
    for twin in (get(serialize(metric)), pickle.loads(pickle.dumps(metric)), copy.deepcopy(metric)):
        assert twin == metric
        assert twin.name == metric.name
    assert [other for other in VARIANTS if other == metric] == [metric]


@pytest.mark.parametrize(
    ("threshold", "error"),
    [(0.0, ValueError), (1, ValueError), (math.nan, ValueError), ("0.5", TypeError), (None, TypeError)],
)
def test_bad_threshold(threshold, error):
    with pytest.raises(error, match=f"^threshold: expected a number between 0 and 1, got {threshold!r}"):
        BinaryAccuracy(threshold=threshold)


def test_bad_names():
    for name in ("", 3):
        with pytest.raises(TypeError, match=r"^name: expected a string"):
            Accuracy(name)
    with pytest.raises(ValueError, match=r"metrics: expected a known metric, got 'acuracy'\. Did you mean 'accuracy'"):
        get("acuracy")
    with pytest.raises(TypeError, match="metrics"):
        get(3)

"""Metrics by themselves, on arrays, against scikit-learn, scipy and formulas by hand."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import metrics
from nncore.metrics import METRICS
from nncore.registry import serialize

sklearn = pytest.importorskip("sklearn.metrics")
stats = pytest.importorskip("scipy.stats")
Array = NDArray[Any]

RNG = np.random.default_rng(5)
N, K = 211, 4
BINARY = RNG.integers(0, 2, N)
SCORES = np.clip(RNG.normal(0.35 + 0.3 * BINARY, 0.25), 0, 1)
LABELS = RNG.integers(0, K, N)
PROBABILITIES = RNG.dirichlet(np.ones(K), N) * 0.6 + 0.4 * np.eye(K)[LABELS] * RNG.integers(0, 2, (N, 1))
PROBABILITIES /= PROBABILITIES.sum(axis=1, keepdims=True)
MANY = RNG.integers(0, 2, (N, K))
MANY_SCORES = np.clip(RNG.normal(0.35 + 0.3 * MANY, 0.25), 0, 1)
REALS = RNG.normal(100, 2, (N, 3))
NEAR = REALS + RNG.normal(0.5, 1, (N, 3))
WEIGHT = RNG.integers(0, 4, N) / 2
HOT = np.eye(K)[LABELS]
Q = PROBABILITIES.argmax(axis=1)


def brier(t: Array, p: Array, w: Array | None) -> float:
    return float(np.average(((p - t) ** 2).sum(axis=1), weights=w))


def calibration(w: Array | None) -> float:
    weight, total = np.ones(N) if w is None else w, 0.0
    for low in np.arange(15) / 15:
        inside = (PROBABILITIES.max(axis=1) > low) & (PROBABILITIES.max(axis=1) <= low + 1 / 15 + 1e-15)
        total += abs((weight * inside * (1.0 * (Q == LABELS) - PROBABILITIES.max(axis=1))).sum())
    return float(total / weight.sum())


def pearson(w: Array | None) -> float:
    if w is None:
        return float(np.mean([stats.pearsonr(REALS[:, j], NEAR[:, j])[0] for j in range(3)]))
    covariances = [np.cov(REALS[:, j], NEAR[:, j], aweights=w, ddof=0) for j in range(3)]
    return float(np.mean([c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]) for c in covariances]))


def concordance(w: Array | None) -> float:
    found = []
    for t, p in zip(REALS.T, NEAR.T, strict=True):
        c = np.cov(t, p, aweights=w, ddof=0)
        apart = np.average(t, weights=w) - np.average(p, weights=w)
        found.append(2 * c[0, 1] / (c[0, 0] + c[1, 1] + apart**2))
    return float(np.mean(found))


def average(values: Array, w: Array | None) -> float:
    return float(np.average(values, weights=w))


#: metric, targets, predictions, what it should be with given weights of rows
CASES: list[tuple[Any, Array, Array, Any]] = [
    (metrics.AUC(num_thresholds=5000), BINARY, SCORES,
     lambda w: sklearn.roc_auc_score(BINARY, SCORES, sample_weight=w)),
    (metrics.AUC(num_thresholds=5000, multi_label=True), MANY, MANY_SCORES,
     lambda w: sklearn.roc_auc_score(MANY, MANY_SCORES, sample_weight=w)),
    (metrics.AUC(num_thresholds=5000), MANY, MANY_SCORES,
     lambda w: sklearn.roc_auc_score(MANY, MANY_SCORES, sample_weight=w, average="micro")),
    (metrics.AUC(num_thresholds=5000, multi_label=True), LABELS, PROBABILITIES,
     lambda w: sklearn.roc_auc_score(HOT, PROBABILITIES, sample_weight=w)),
    (metrics.AUC(None), BINARY, SCORES.round(2),
     lambda w: sklearn.roc_auc_score(BINARY, SCORES.round(2), sample_weight=w)),
    (metrics.AUC(None, multi_label=True), LABELS, PROBABILITIES,
     lambda w: sklearn.roc_auc_score(HOT, PROBABILITIES, sample_weight=w)),
    (metrics.Precision(), BINARY, SCORES, lambda w: sklearn.precision_score(BINARY, SCORES > 0.5, sample_weight=w)),
    (metrics.Recall(), BINARY, SCORES, lambda w: sklearn.recall_score(BINARY, SCORES > 0.5, sample_weight=w)),
    (metrics.Precision(class_id=2), MANY, MANY_SCORES,
     lambda w: sklearn.precision_score(MANY[:, 2], MANY_SCORES[:, 2] > 0.5, sample_weight=w)),
    (metrics.Recall(thresholds=[0.7, 0.2]), BINARY, SCORES,
     lambda w: [sklearn.recall_score(BINARY, t < SCORES, sample_weight=w) for t in (0.7, 0.2)]),
    (metrics.TruePositives(), BINARY, SCORES,
     lambda w: ((BINARY == 1) & (SCORES > 0.5)) @ (w if w is not None else np.ones(N))),
    (metrics.FalsePositives([0.3]), BINARY, SCORES,
     lambda w: ((BINARY == 0) & (SCORES > 0.3)) @ (w if w is not None else np.ones(N))),
    (metrics.F1Score(), LABELS, PROBABILITIES, lambda w: sklearn.f1_score(LABELS, Q, average=None, sample_weight=w)),
    (metrics.F1Score("macro"), HOT, PROBABILITIES,
     lambda w: sklearn.f1_score(LABELS, Q, average="macro", sample_weight=w)),
    (metrics.F1Score("weighted", 0.4), MANY, MANY_SCORES,
     lambda w: sklearn.f1_score(MANY, MANY_SCORES > 0.4, average="weighted", sample_weight=w)),
    (metrics.FBetaScore("micro", 2.0, 0.5), MANY, MANY_SCORES,
     lambda w: sklearn.fbeta_score(MANY, MANY_SCORES > 0.5, beta=2, average="micro", sample_weight=w)),
    (metrics.ConfusionMatrix(), LABELS, PROBABILITIES, lambda w: sklearn.confusion_matrix(LABELS, Q, sample_weight=w)),
    (metrics.ConfusionMatrix(normalize="true"), HOT, PROBABILITIES,
     lambda w: sklearn.confusion_matrix(LABELS, Q, sample_weight=w, normalize="true")),
    (metrics.ConfusionMatrix(num_classes=4), LABELS, Q, lambda w: sklearn.confusion_matrix(LABELS, Q, sample_weight=w)),
    (metrics.MatthewsCorrelation(), LABELS, PROBABILITIES,
     lambda w: sklearn.matthews_corrcoef(LABELS, Q, sample_weight=w)),
    (metrics.MatthewsCorrelation(), BINARY, SCORES,
     lambda w: sklearn.matthews_corrcoef(BINARY, SCORES > 0.5, sample_weight=w)),
    (metrics.CohenKappa(), LABELS, PROBABILITIES, lambda w: sklearn.cohen_kappa_score(LABELS, Q, sample_weight=w)),
    (metrics.CohenKappa(weights="linear"), LABELS, PROBABILITIES,
     lambda w: sklearn.cohen_kappa_score(LABELS, Q, weights="linear", sample_weight=w)),
    (metrics.CohenKappa(weights="quadratic"), HOT, PROBABILITIES,
     lambda w: sklearn.cohen_kappa_score(LABELS, Q, weights="quadratic", sample_weight=w)),
    (metrics.MeanIoU(K, sparse_y_pred=False), LABELS, PROBABILITIES,
     lambda w: sklearn.jaccard_score(LABELS, Q, average="macro", sample_weight=w)),
    (metrics.OneHotIoU(K, [1]), HOT, PROBABILITIES,
     lambda w: sklearn.jaccard_score(LABELS, Q, labels=[1], average="macro", sample_weight=w)),
    (metrics.OneHotMeanIoU(K), HOT, PROBABILITIES,
     lambda w: sklearn.jaccard_score(LABELS, Q, average="macro", sample_weight=w)),
    (metrics.IoU(K, [0, 2]), LABELS, Q,
     lambda w: sklearn.jaccard_score(LABELS, Q, labels=[0, 2], average="macro", sample_weight=w)),
    (metrics.BinaryIoU([1]), BINARY, SCORES, lambda w: sklearn.jaccard_score(BINARY, SCORES >= 0.5, sample_weight=w)),
    (metrics.R2Score(), REALS, NEAR, lambda w: sklearn.r2_score(REALS, NEAR, sample_weight=w)),
    (metrics.R2Score(None), REALS, NEAR,
     lambda w: sklearn.r2_score(REALS, NEAR, multioutput="raw_values", sample_weight=w)),
    (metrics.R2Score("variance_weighted_average"), REALS, NEAR,
     lambda w: sklearn.r2_score(REALS, NEAR, multioutput="variance_weighted", sample_weight=w)),
    (metrics.ExplainedVariance(), REALS, NEAR,
     lambda w: sklearn.explained_variance_score(REALS, NEAR, sample_weight=w)),
    (metrics.PearsonCorrelation(axis=0), REALS, NEAR, pearson),
    (metrics.ConcordanceCorrelation(axis=0), REALS, NEAR, concordance),
    (metrics.PearsonCorrelation(), REALS, NEAR,
     lambda w: average(np.array([np.corrcoef(t, p)[0, 1] for t, p in zip(REALS, NEAR, strict=True)]), w)),
    (metrics.MeanSquaredError(), REALS, NEAR, lambda w: sklearn.mean_squared_error(REALS, NEAR, sample_weight=w)),
    (metrics.RootMeanSquaredError(), REALS, NEAR,
     lambda w: np.sqrt(sklearn.mean_squared_error(REALS, NEAR, sample_weight=w))),
    (metrics.MeanAbsoluteError(), REALS, NEAR, lambda w: sklearn.mean_absolute_error(REALS, NEAR, sample_weight=w)),
    (metrics.MeanAbsolutePercentageError(), REALS, NEAR,
     lambda w: 100 * sklearn.mean_absolute_percentage_error(REALS, NEAR, sample_weight=w)),
    (metrics.MeanSquaredLogarithmicError(), REALS, NEAR,
     lambda w: sklearn.mean_squared_log_error(REALS, NEAR, sample_weight=w)),
    (metrics.LogCoshError(), REALS, NEAR, lambda w: average(np.log(np.cosh(NEAR - REALS)).mean(axis=1), w)),
    (metrics.CosineSimilarity(), REALS, NEAR,
     lambda w: average((REALS * NEAR).sum(1) / np.linalg.norm(REALS, axis=1) / np.linalg.norm(NEAR, axis=1), w)),
    (metrics.Hinge(), 2 * BINARY - 1, SCORES, lambda w: sklearn.hinge_loss(2 * BINARY - 1, SCORES, sample_weight=w)),
    (metrics.SquaredHinge(), BINARY, SCORES, lambda w: average(np.maximum(1 - (2 * BINARY - 1) * SCORES, 0) ** 2, w)),
    (metrics.CategoricalHinge(), HOT, PROBABILITIES,
     lambda w: average(np.maximum(((1 - HOT) * PROBABILITIES).max(1) - (HOT * PROBABILITIES).sum(1) + 1, 0), w)),
    (metrics.Poisson(), REALS, NEAR, lambda w: average((NEAR - REALS * np.log(NEAR + 1e-7)).mean(axis=1), w)),
    (metrics.KLDivergence(), PROBABILITIES, PROBABILITIES[::-1],
     lambda w: average(stats.entropy(PROBABILITIES.T, PROBABILITIES[::-1].T), w)),
    (metrics.LogLoss(), BINARY, np.clip(SCORES, 0.01, 0.99),
     lambda w: sklearn.log_loss(BINARY, np.clip(SCORES, 0.01, 0.99), sample_weight=w)),
    (metrics.LogLoss(), LABELS, PROBABILITIES, lambda w: sklearn.log_loss(LABELS, PROBABILITIES, sample_weight=w)),
    (metrics.BinaryCrossentropy(), BINARY, np.clip(SCORES, 0.01, 0.99),
     lambda w: sklearn.log_loss(BINARY, np.clip(SCORES, 0.01, 0.99), sample_weight=w)),
    (metrics.CategoricalCrossentropy(), HOT, PROBABILITIES,
     lambda w: sklearn.log_loss(HOT, PROBABILITIES, sample_weight=w)),
    (metrics.SparseCategoricalCrossentropy(), LABELS, PROBABILITIES,
     lambda w: sklearn.log_loss(LABELS, PROBABILITIES, sample_weight=w)),
    (metrics.BrierScore(), BINARY, SCORES, lambda w: sklearn.brier_score_loss(BINARY, SCORES, sample_weight=w)),
    (metrics.BrierScore(), LABELS, PROBABILITIES, lambda w: brier(HOT, PROBABILITIES, w)),
    (metrics.ExpectedCalibrationError(), LABELS, PROBABILITIES, calibration),
    (metrics.Accuracy(), LABELS, Q, lambda w: sklearn.accuracy_score(LABELS, Q, sample_weight=w)),
    (metrics.BinaryAccuracy(), BINARY, SCORES, lambda w: sklearn.accuracy_score(BINARY, SCORES > 0.5, sample_weight=w)),
    (metrics.CategoricalAccuracy(), HOT, PROBABILITIES, lambda w: sklearn.accuracy_score(LABELS, Q, sample_weight=w)),
    (metrics.SparseCategoricalAccuracy(), LABELS, PROBABILITIES,
     lambda w: sklearn.accuracy_score(LABELS, Q, sample_weight=w)),
    (metrics.TopKCategoricalAccuracy(2), HOT, PROBABILITIES,
     lambda w: sklearn.top_k_accuracy_score(LABELS, PROBABILITIES, k=2, sample_weight=w)),
    (metrics.SparseTopKCategoricalAccuracy(3), LABELS, PROBABILITIES,
     lambda w: sklearn.top_k_accuracy_score(LABELS, PROBABILITIES, k=3, sample_weight=w)),
    (metrics.SensitivityAtSpecificity(0.7), BINARY, SCORES, lambda w: at(w, "recall", "specificity", 0.7)),
    (metrics.SpecificityAtSensitivity(0.7), BINARY, SCORES, lambda w: at(w, "specificity", "recall", 0.7)),
    (metrics.PrecisionAtRecall(0.6), BINARY, SCORES, lambda w: at(w, "precision", "recall", 0.6)),
    (metrics.RecallAtPrecision(0.8), BINARY, SCORES, lambda w: at(w, "recall", "precision", 0.8)),
    (metrics.MeanMetricWrapper(lambda t, p: abs(t - p), name="own"), BINARY, SCORES,
     lambda w: average(abs(BINARY - SCORES), w)),
]  # fmt: skip


def at(w: Array | None, sought: str, other: str, least: float) -> float:
    """The best of one rate where the other is enough, over 200 thresholds."""
    weight, found = np.ones(N) if w is None else w, [0.0]
    for threshold in np.arange(200) / 199:
        above = threshold < SCORES
        tp, fp = weight @ (above & (BINARY == 1)), weight @ (above & (BINARY == 0))
        rates = {
            "recall": tp / (weight @ BINARY),
            "specificity": 1 - fp / (weight @ (1 - BINARY)),
            "precision": tp / (tp + fp) if tp + fp else 0,
        }
        if rates[other] >= least:
            found.append(rates[sought])
    return max(found)


def tolerance(metric: Any) -> float:
    """By a number of thresholds, the area of all distinct scores is only near."""
    return 1e-3 if isinstance(metric, metrics.AUC) and metric.num_thresholds else 2e-7


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("metric", "t", "p", "expected"), CASES, ids=[f"{i} {c[0]!r}"[:60] for i, c in enumerate(CASES)]
)
def test_a_metric_is_what_others_say(metric: Any, t: Array, p: Array, expected: Any, weighted: bool) -> None:
    w = WEIGHT if weighted else None
    metric.reset_state()
    got = metric(t, p, w)
    np.testing.assert_allclose(got, expected(w), rtol=tolerance(metric), atol=1e-12)
    whole = np.asarray(got).tobytes()
    metric.reset_state()
    for part in (slice(0, 5), slice(5, 37), slice(37, 38), slice(38, None)):  # the same bits
        metric.update_state(t[part], p[part], None if w is None else w[part])
    assert np.asarray(metric.result()).tobytes() == whole
    metric.reset_state()


def test_every_metric_has_a_case() -> None:
    others = {"mean", "sum", "true_negatives", "false_negatives"}
    assert {METRICS.name_of(case[0]) for case in CASES} | others == set(METRICS.names())


@pytest.mark.parametrize("name", METRICS.names())
def test_an_object_without_rows_is_equal_to_one_with_them(name: str) -> None:
    metric = next((case[0] for case in CASES if METRICS.name_of(case[0]) == name), None)
    if metric is None or name == "mean_metric_wrapper":
        return
    [twin] = [metrics.get(serialize(metric))]
    twin.update_state(*next(case for case in CASES if case[0] is metric)[1:3])
    assert twin == metric and twin.get_config() == metric.get_config()
    for again in (pickle.loads(pickle.dumps(twin)), copy.deepcopy(twin)):
        assert again == twin and np.array_equal(again.result(), twin.result())
    twin.reset_state()
    np.testing.assert_array_equal(twin.result(), type(twin).from_config(twin.get_config()).result())


def test_four_counts_are_all_there_are() -> None:
    kinds = [metrics.TruePositives, metrics.FalsePositives, metrics.TrueNegatives, metrics.FalseNegatives]
    counts = np.array([kind([0.8, 0.3])(BINARY, SCORES, WEIGHT) for kind in kinds])
    np.testing.assert_allclose(counts.sum(axis=0), WEIGHT.sum())
    tn, fn = counts[2:, 1]
    assert tn == WEIGHT @ ((BINARY == 0) & (SCORES <= 0.3)) and fn == WEIGHT @ ((BINARY == 1) & (SCORES <= 0.3))


def test_areas_of_few_thresholds_by_hand() -> None:
    """TP 2, 1, 0; FP 2, 0, 0 of two true and two false targets."""
    t, p = [0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9]
    wanted = {"interpolation": 0.75, "majoring": 1.0, "minoring": 0.5}
    for way, area in wanted.items():
        assert metrics.AUC(3, summation_method=way)(t, p) == pytest.approx(area)
    # precision 1/2, 1, 0 over recall 1, 1/2, 0
    assert metrics.AUC(3, "PR", "majoring")(t, p) == pytest.approx(1.0)
    assert metrics.AUC(3, "PR", "minoring")(t, p) == pytest.approx(0.25)
    # from (0, 0) to TP 1 of 1, where precision is 1; then s = 1/3, c = 2/3: 1/3 (1 + 2/3 log 4) / 2
    assert metrics.AUC(3, "PR")(t, p) == pytest.approx((1 + (1 + 2 / 3 * np.log(4)) / 3) / 2)


def test_the_area_under_precision_is_near_the_average_precision() -> None:
    wanted = sklearn.average_precision_score(BINARY, SCORES)
    assert metrics.AUC(5000, "PR")(BINARY, SCORES) == pytest.approx(wanted, rel=0.01)
    assert 0 < metrics.AUC(5000, "PRGAIN")(BINARY, SCORES) < 1


def test_scores_that_are_no_numbers_have_no_area() -> None:
    for metric in (metrics.AUC(), metrics.AUC(None), metrics.AUC(curve="PR"), metrics.AUC(multi_label=True)):
        assert np.isnan(metric([[0], [1], [1]], [[np.nan], [0.2], [0.7]]))
    with_weights = metrics.AUC(3)([0, 1, 0, 1], [np.nan, 0.2, 0.1, 0.7], [0, 1, 1, 1])
    assert with_weights == pytest.approx(0.75)  # of TP 2, 1, 0 and FP 1, 0, 0
    both = metrics.AUC(multi_label=True)
    assert np.isnan(both([[0, 1], [1, 0]], [[np.nan, 0.3], [0.2, 0.1]]))
    nothing = np.full((1, 2), np.nan)
    assert metrics.ConfusionMatrix()([0], nothing).sum() == 0
    assert metrics.SparseCategoricalAccuracy()([0], nothing) == 0
    np.testing.assert_array_equal(metrics.ConfusionMatrix()([1], [np.nan]), [[0, 0], [1, 0]])


def test_an_area_is_shown_as_it_is_made() -> None:
    for metric in (metrics.AUC(), metrics.AUC(thresholds=[0.5, 0.25]), metrics.AUC(50, "PR", label_weights=[1, 2])):
        again = eval(repr(metric), {"AUC": metrics.AUC})
        assert again == metric and len(repr(metric)) < 250


def test_logits_are_counted_as_probabilities() -> None:
    logits = np.log(SCORES + 1e-9) - np.log(1 - SCORES + 1e-9)
    assert metrics.AUC(from_logits=True)(BINARY, logits) == pytest.approx(metrics.AUC()(BINARY, SCORES), abs=1e-9)


def test_weights_of_elements_and_of_outputs() -> None:
    weight = RNG.integers(0, 3, MANY.shape)
    got = metrics.Precision()(MANY, MANY_SCORES, weight)
    assert got == pytest.approx(
        sklearn.precision_score(MANY.ravel(), MANY_SCORES.ravel() > 0.5, sample_weight=weight.ravel())
    )
    areas = np.array([metrics.AUC()(MANY[:, j], MANY_SCORES[:, j]) for j in range(K)])
    shares = [1.0, 2.0, 3.0, 4.0]
    assert metrics.AUC(multi_label=True, label_weights=shares)(MANY, MANY_SCORES) == pytest.approx(areas @ shares / 10)
    flat = np.broadcast_to(shares, MANY.shape)
    assert metrics.AUC(label_weights=shares)(MANY, MANY_SCORES) == metrics.AUC()(MANY, MANY_SCORES, flat)
    assert metrics.BinaryAccuracy()(MANY, MANY_SCORES, weight) == pytest.approx(
        np.average((MANY_SCORES > 0.5) == MANY, weights=weight)
    )
    with pytest.raises(ValueError, match="^sample_weight: expected a weight for each row"):
        metrics.CosineSimilarity()(MANY, MANY_SCORES, weight)


def test_functions_give_values_of_samples() -> None:
    np.testing.assert_allclose(metrics.mean_squared_error(REALS, NEAR), ((REALS - NEAR) ** 2).mean(axis=1))
    np.testing.assert_array_equal(metrics.binary_accuracy(BINARY, SCORES, threshold=0.3), (SCORES > 0.3) == BINARY)
    np.testing.assert_array_equal(metrics.top_k_categorical_accuracy(HOT, PROBABILITIES, k=K), np.ones(N))
    assert metrics.mse is metrics.mean_squared_error


def test_all_that_equal_the_kth_largest_are_among_k() -> None:
    """As Keras's in_top_k has it; a softmax that starts at zero has them all."""
    assert metrics.SparseTopKCategoricalAccuracy(k=2)([2], [[0.3, 0.3, 0.3]]) == 1
    assert metrics.TopKCategoricalAccuracy(k=1)([[0, 1, 0], [0, 0, 1]], [[0.4, 0.4, 0.2], [0.4, 0.4, 0.2]]) == 0.5
    assert metrics.SparseTopKCategoricalAccuracy()(np.arange(10), np.full((10, 10), 0.1)) == 1
    assert metrics.SparseCategoricalAccuracy()(np.arange(10), np.full((10, 10), 0.1)) == 0.1
    assert metrics.Precision(top_k=2)([0, 1, 1], [0.3, 0.3, 0.3]) == 0.5  # there the first count, as in Keras


def test_sums_and_means() -> None:
    total, mean = metrics.Sum(), metrics.Mean()
    assert (total.result(), mean.result()) == (0, 0)
    total.update_state([1, 3, 5, 7], sample_weight=[1, 1, 0, 0])
    assert total.result() == 4 and total(10) == 14
    assert mean([[1, 3], [5, 7]], sample_weight=[[1, 1], [1, 0]]) == 3 and mean.variables == [9, 3]
    assert mean([[1, 1]], sample_weight=[[3]]) == pytest.approx((9 + 6) / 9)


def test_results_have_the_dtype_that_is_asked_for() -> None:
    assert metrics.Mean()([1.5]).dtype == np.float64
    assert metrics.MeanSquaredError(dtype="float32")([[1.0]], [[2.0]]).dtype == np.float32
    assert metrics.F1Score(dtype=np.float32)(HOT, PROBABILITIES).dtype == np.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: metrics.Precision(thresholds=[0.5, 2]),
            r"^thresholds: expected numbers from 0 to 1, got \[2\] \(Threshold values must be in \[0, 1\]",
        ),
        (
            lambda: metrics.AUC(curve="ROCK"),
            r"^curve: expected one of ROC, PR, PRGAIN, got 'ROCK' \(Invalid AUC curve value: \"ROCK\"\)$",
        ),
        (
            lambda: metrics.AUC(summation_method="all"),
            "^summation_method: expected one of interpolation, minoring, majoring, got 'all' .Invalid AUC",
        ),
        (
            lambda: metrics.AUC(1),
            r"^num_thresholds: expected a whole number above 1, got 1 \(Argument `num_thresholds` must be an int",
        ),
        (lambda: metrics.PrecisionAtRecall(0.5, 0), "^num_thresholds: expected a whole number above 0, got 0"),
        (
            lambda: metrics.RecallAtPrecision(1.5),
            r"^precision: expected a number from 0 to 1, got 1.5. It is a rate: divide percent by 100 \(Arg",
        ),
        (lambda: metrics.AUC(num_labels=3), "num_labels: expected None without multi_label=True"),
        (
            lambda: metrics.F1Score("mean"),
            "^average: expected one of None, 'micro', 'macro', 'weighted', got 'mean' .Invalid `average`",
        ),
        (
            lambda: metrics.FBetaScore(beta=0.0),
            "^beta: expected a float > 0, got 0.0 .Invalid `beta` argument value. It should be > 0. Rec",
        ),
        (
            lambda: metrics.FBetaScore(beta=1),
            "^beta: expected a float > 0, got 1 .Invalid `beta` argument value. It should be a Python fl",
        ),
        (
            lambda: metrics.F1Score(threshold=2.0),
            r"^threshold: expected a float in \(0, 1\], or None, got 2.0 .*should verify 0 < threshold <= 1",
        ),
        (lambda: metrics.CohenKappa(weights="cubic"), "weights: expected None, 'linear' or 'quadratic', got 'cubic'"),
        (lambda: metrics.IoU(1, [0]), "num_classes: expected a whole number of at least 2, got 1"),
        (lambda: metrics.IoU(3, [5]), "target_class_ids: expected numbers of classes, from 0 to 2, got 5"),
        (lambda: metrics.PearsonCorrelation(axis=1), "axis: expected -1, the outputs of a row, or 0, all rows, got 1"),
        (lambda: metrics.Mean(dtype="complex64"), "dtype: expected one of real numbers"),
        (
            lambda: metrics.Precision(class_id=3)(BINARY, SCORES),
            r"^class_id: expected y_pred to be a 2D array, \(samples, classes\), of which it is a column, got shape \(",
        ),
        (lambda: metrics.Precision(class_id=4)(HOT, PROBABILITIES), "class_id: expected one of 4 outputs, from 0"),
        (lambda: metrics.MeanSquaredError()(REALS, NEAR[:, :2]), r"y_true: expected the shape of y_pred, \(211, 2\)"),
        (lambda: metrics.SparseCategoricalAccuracy()(LABELS + 3, PROBABILITIES), "y_true: expected labels from 0 to 3"),
        (lambda: metrics.MeanSquaredError()(REALS, NEAR, WEIGHT[1:]), r"sample_weight: expected a weight for each"),
        (lambda: metrics.R2Score("mean"), r"^class_aggregation: expected None, .*, got 'mean' \(Invalid value"),
        (lambda: metrics.MeanMetricWrapper("unknown"), "fn: expected the name of a registered function, got 'unknown'"),
        (lambda: metrics.MeanMetricWrapper(lambda t, p: 1.0)(BINARY, SCORES), "of the function <lambda> a number"),
        (lambda: metrics.get("acuracy"), "metrics: expected a known metric, got 'acuracy'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_classes_of_a_mean_are_a_list() -> None:
    with pytest.raises(TypeError, match="^target_class_ids: expected a list of numbers of classes, from 0 to 2, got 1"):
        metrics.IoU(3, target_class_ids=1)
    with pytest.raises(TypeError, match="^target_class_ids: expected an argument of IoU, got none"):
        metrics.IoU(3)
    with pytest.raises(TypeError, match="^recall: expected an argument of PrecisionAtRecall, got none"):
        metrics.PrecisionAtRecall()
    with pytest.raises(TypeError, match="^recall: expected a number from 0 to 1, got 'half'"):
        metrics.PrecisionAtRecall("half")


def test_means_before_the_first_value_are_zero() -> None:
    """By themselves, as in Keras; those of a model are NaN."""
    own = metrics.MeanMetricWrapper(lambda t, p: p, name="own")
    for mean in (metrics.MeanSquaredError(), metrics.CosineSimilarity(), metrics.Mean(), own):
        assert mean.result() == 0 and np.isnan(mean.of(np.zeros(1), 0.0, 0))
        assert mean.of(np.zeros(1), 0.0, 3) == 0


def test_more_outputs_than_before_are_refused() -> None:
    metric = metrics.F1Score()
    metric.update_state(HOT, PROBABILITIES)
    with pytest.raises(ValueError, match="expected as many outputs as before, got 3. Call reset_state"):
        metric.update_state(np.eye(3), np.eye(3))
    assert nn.metrics.get(None) is None

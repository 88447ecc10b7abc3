"""Metrics of compiled models: fit and evaluate, weights, several outputs, resumes, files, threads and batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import metrics
from nncore.metrics import METRICS

Array = NDArray[Any]
N, FEATURES, K = 203, 5, 4
RNG = np.random.default_rng(7)
X = RNG.standard_normal((N, FEATURES)).astype("float32")
LABELS = (X @ RNG.standard_normal((FEATURES, K)) + RNG.standard_normal((N, K))).argmax(axis=1)
HOT = np.eye(K, dtype="float32")[LABELS]
MANY = (X @ RNG.standard_normal((FEATURES, K)) > 0).astype("float32")
REALS = (X @ RNG.standard_normal((FEATURES, 3)) + 30).astype("float32")
WEIGHT = (RNG.integers(0, 4, N) / 2).astype("float32")

#: What an output and its targets are, the loss and the last activation.
KINDS: dict[str, tuple[Array, str | nn.losses.Loss | None, str | None, int]] = {
    "labels": (LABELS, "sparse_categorical_crossentropy", "softmax", K),
    "one-hot": (HOT, "categorical_crossentropy", "softmax", K),
    "several": (MANY, "binary_crossentropy", "sigmoid", K),
    "binary": (MANY[:, :1], "binary_crossentropy", "sigmoid", 1),
    "logits": (LABELS, nn.losses.SparseCategoricalCrossentropy(from_logits=True), None, K),
    "logit": (MANY[:, :1], nn.losses.BinaryCrossentropy(from_logits=True), None, 1),
    "reals": (REALS, "mse", None, 3),
}

#: Arguments, and the kinds of targets that a metric is for.
LABELLED, VALUED, BOTH = (
    ["labels", "logits"],
    ["one-hot", "several", "reals"],
    ["labels", "several", "binary", "logits", "logit"],
)
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "sparse_categorical_accuracy": ({}, LABELLED),
    "sparse_top_k_categorical_accuracy": ({"k": 2}, LABELLED),
    "sparse_categorical_crossentropy": ({}, LABELLED),
    "top_k_categorical_accuracy": ({"k": 2}, ["one-hot"]),
    "pearson_correlation": ({"axis": 0}, VALUED),
    "concordance_correlation": ({"axis": 0}, VALUED),
    "categorical_crossentropy": ({}, ["one-hot"]),
    "categorical_hinge": ({}, ["one-hot"]),
    "kl_divergence": ({}, ["one-hot"]),
    "binary_crossentropy": ({}, ["several", "binary", "logit"]),
    "poisson": ({}, ["several"]),
    "accuracy": ({}, []),  # in a model, another one
    "mean": ({}, []),
    "sum": ({}, []),
    "iou": ({"num_classes": K, "target_class_ids": [0, 2], "sparse_y_pred": False}, LABELLED),
    "mean_iou": ({"num_classes": K, "sparse_y_pred": False}, LABELLED),
    "one_hot_iou": ({"num_classes": K, "target_class_ids": [0, 2]}, ["one-hot"]),
    "one_hot_mean_iou": ({"num_classes": K}, ["one-hot"]),
    "binary_iou": ({"threshold": 0.4}, ["several", "binary"]),
    "sensitivity_at_specificity": ({"specificity": 0.5}, BOTH),
    "specificity_at_sensitivity": ({"sensitivity": 0.5}, BOTH),
    "precision_at_recall": ({"recall": 0.5}, BOTH),
    "recall_at_precision": ({"precision": 0.5}, BOTH),
    "mean_metric_wrapper": ({"fn": lambda t, p: np.square(p).sum(axis=-1) * (1 + t.reshape(len(t), -1)[:, 0])},
                            list(KINDS)),
}  # fmt: skip
for every in ("auc", "precision", "recall", "true_positives", "false_positives", "true_negatives", "false_negatives"):
    CASES[every] = ({}, BOTH)
for every in ("brier_score", "log_loss", "expected_calibration_error", "confusion_matrix", "cohen_kappa"):
    CASES[every] = ({}, BOTH)
for every in ("f1_score", "fbeta_score", "matthews_correlation"):
    CASES[every] = ({}, BOTH)


def case(name: str) -> tuple[dict[str, Any], list[str]]:
    """By default one of values."""
    return CASES.get(name, ({}, VALUED))


PAIRS = [(name, kind) for name in METRICS.names() for kind in case(name)[1]]


def model_of(kind: str, plain: Any = None, weighted: Any = None, **options: Any) -> tuple[nn.Sequential, Array]:
    y, loss, activation, units = KINDS[kind]
    layers = [nn.layers.Dense(7, activation="tanh"), nn.layers.Dense(units, activation=activation)]
    model = nn.Sequential(layers, seed=3, **options)
    model.compile(nn.SGD(0.1 if kind != "reals" else 1e-3), loss, metrics=plain, weighted_metrics=weighted)
    return model, y


def probabilities(kind: str, z: Array) -> Array:
    if kind == "logits":
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)
    return 1 / (1 + np.exp(-z)) if kind == "logit" else z


def test_every_metric_is_in_some_model() -> None:
    assert {name for name, _ in PAIRS} | {"accuracy", "mean", "sum"} == set(METRICS.names())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_evaluate_is_what_the_metric_by_itself_says(name: str, kind: str, dtype: str) -> None:
    """With and without weights, of the predictions; and the object has the sums of the pass."""
    make = METRICS.classes[name]
    plain, weighted = make(**case(name)[0]), make(**case(name)[0])
    model, y = model_of(kind, [plain], [weighted], dtype=dtype)
    logs = model.evaluate(X, y, sample_weight=WEIGHT, verbose=0, return_dict=True)
    p = model.predict(X)
    reads_logits = name in ("mean_metric_wrapper", "f1_score", "fbeta_score")  # or what gives the same
    p = p if reads_logits else probabilities(kind, p.astype("float64"))
    shown = plain.name
    got, again = logs[shown], logs[f"weighted_{shown}"]
    assert plain.result() == pytest.approx(got) and weighted.result() == pytest.approx(again)
    alone = make(**case(name)[0])
    tolerance = {"rtol": 2e-5 if dtype == "float32" else 1e-9, "atol": 1e-6}
    np.testing.assert_allclose(got, alone(y, p), **tolerance)
    alone.reset_state()
    np.testing.assert_allclose(again, alone(y, p, WEIGHT), **tolerance)


@pytest.mark.parametrize("kind", ["labels", "one-hot", "several"])
def test_outputs_that_are_said_to_be_logits_are_read_as_such(kind: str) -> None:
    """Of a softmax or sigmoid beside a loss that is fused with it, too: as the metric itself reads them."""
    model, y = model_of(kind, dtype="float64")
    name = model.loss.name
    model.compile("sgd", model.loss, metrics=[METRICS.classes[name](from_logits=True)])
    logs, z = model.evaluate(X, y, verbose=0, return_dict=True), model.predict(X)
    if kind == "several":
        wanted = (np.log1p(np.exp(z)) - y * z).mean()
    else:
        wanted = (np.log(np.exp(z).sum(axis=1)) - z[np.arange(N), LABELS]).mean()
    assert logs[name] == pytest.approx(wanted, rel=1e-9)


def bits(logs: dict[str, Any]) -> dict[str, bytes]:
    return {name: np.asarray(value).tobytes() for name, value in logs.items()}


ALL = {
    kind: [METRICS.classes[name](**case(name)[0]) for name, own in PAIRS if own == kind]
    for kind in ("labels", "several", "reals")
}


@pytest.mark.parametrize("kind", ALL)
def test_threads_and_resumes_within_an_epoch_have_the_same_bits(kind: str, tmp_path: Path) -> None:
    plain = [m for m in ALL[kind] if METRICS.name_of(m) != "mean_metric_wrapper"]

    def history(threads: int, stop: int | None = None) -> dict[str, Any]:
        model, y = model_of(kind, plain, plain, n_threads=threads)
        backup = nn.callbacks.BackupAndRestore(tmp_path / f"{kind}{threads}", save_freq=1)
        callbacks = [backup, Stop(stop)] if stop is not None else []
        return dict(
            model.fit(X, y, sample_weight=WEIGHT, batch_size=32, epochs=2, verbose=0, callbacks=callbacks).history
        )

    whole = history(1)
    assert {name: list(map(np.ravel, value)) for name, value in whole.items()}
    other = history(2)
    for name, values in whole.items():
        for a, b in zip(values, other[name], strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes(), name
    with pytest.raises(RuntimeError, match="on purpose"):
        history(1, stop=9)
    model, y = model_of(kind, plain, plain)
    backup = nn.callbacks.BackupAndRestore(tmp_path / f"{kind}1", save_freq=1)
    resumed = model.fit(X, y, sample_weight=WEIGHT, batch_size=32, epochs=2, verbose=0, callbacks=[backup]).history
    for name, values in whole.items():
        np.testing.assert_array_equal(np.asarray(resumed[name]), np.asarray(values), err_msg=name)


class Stop(nn.Callback):
    """Breaks a fit off, once."""

    def __init__(self, at: int | None) -> None:
        self.left = at

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        assert self.left is not None
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("on purpose")


class Batches(nn.Callback):
    """Has evaluate go by batches of the user's size."""

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        pass


@pytest.mark.parametrize("kind", ALL)
def test_counts_and_powers_have_the_same_bits_for_any_batches(kind: str) -> None:
    model, y = model_of(kind, ALL[kind], ALL[kind])
    plans = {m.name: m.plan(metrics.Given(KINDS[kind][3], kind == "labels")).sums for m in ALL[kind]}
    found = [
        model.evaluate(X, y, sample_weight=WEIGHT, verbose=0, return_dict=True, batch_size=b, callbacks=[Batches()])
        for b in (1, 13, 64, N)
    ]
    for name, value in found[0].items():
        exact = plans.get(name.removeprefix("weighted_")) in ("tally", "moments")
        for other in found[1:]:
            if exact:
                assert np.asarray(other[name]).tobytes() == np.asarray(value).tobytes(), name
            np.testing.assert_allclose(other[name], value, rtol=1e-6)


@pytest.mark.parametrize("kind", ALL)
def test_a_saved_model_has_the_same_metrics(kind: str, tmp_path: Path) -> None:
    metrics.register_function(own)
    plain = [m for m in ALL[kind] if METRICS.name_of(m) != "mean_metric_wrapper"] + [metrics.get(own)]
    model, y = model_of(kind, plain, plain[:2])
    before = model.evaluate(X, y, sample_weight=WEIGHT, verbose=0, return_dict=True)
    model.save(tmp_path / "m")
    loaded = nn.models.load_model(tmp_path / "m")
    assert loaded.metrics == model.metrics
    assert bits(loaded.evaluate(X, y, sample_weight=WEIGHT, verbose=0, return_dict=True)) == bits(before)


def own(y_true: Array, y_pred: Array) -> Array:
    """A metric of a user's."""
    assert not y_true.flags.writeable and not y_pred.flags.writeable
    return np.abs(y_pred).max(axis=-1)


def test_a_function_in_fit_is_averaged_over_samples() -> None:
    model, y = model_of("several", [own, metrics.MeanMetricWrapper(own, name="other")], [own])
    logs = model.fit(X, y, sample_weight=WEIGHT, epochs=1, batch_size=N, verbose=0).history
    twin, _ = model_of("several")
    values = np.abs(twin.predict(X) if twin.built else 0)
    assert logs["own"] == logs["other"]
    final = model.evaluate(X, y, sample_weight=WEIGHT, verbose=0, return_dict=True)
    values = np.abs(model.predict(X)).max(axis=1)
    assert final["own"] == pytest.approx(values.mean(), rel=1e-6)
    assert final["weighted_own"] == pytest.approx(np.average(values, weights=WEIGHT), rel=1e-6)


def test_a_function_that_returns_one_number_is_told() -> None:
    model, y = model_of("several", [lambda t, p: np.abs(t - p).mean()])
    before = [w.copy() for w in model.get_weights()] if model.built else None
    with pytest.raises(ValueError, match=r"metrics: expected of the function <lambda> a number for each of \d+"):
        model.fit(X, y, verbose=0)
    assert before is None or all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_several_outputs_and_several_of_a_kind() -> None:
    x = nn.Input((FEATURES,))
    a = nn.layers.Dense(K, activation="softmax", name="a")(x)
    b = nn.layers.Dense(3, name="b")(x)
    model = nn.Model(x, [a, b], seed=1)
    given = {"a": ["AUC", metrics.Precision(class_id=0), metrics.Precision(class_id=1)], "b": ["r2_score"]}
    model.compile("sgd", ["sparse_categorical_crossentropy", "mse"], metrics=given)
    logs = model.evaluate(X, [LABELS, REALS], verbose=0, return_dict=True)
    assert list(logs) == ["loss", "a_loss", "b_loss", "a_AUC", "a_precision", "a_precision_1", "b_r2_score"]
    p, q = model.predict(X)
    assert logs["a_AUC"] == pytest.approx(metrics.AUC()(LABELS, p))
    assert logs["a_precision_1"] == pytest.approx(metrics.Precision(class_id=1)(LABELS, p))
    assert logs["b_r2_score"] == pytest.approx(metrics.R2Score()(REALS, q))


def test_steps_of_time_have_one_weight() -> None:
    x = RNG.standard_normal((50, 6, FEATURES)).astype("float32")
    y = (x.sum(axis=-1, keepdims=True) > 0).astype("float32")
    w = (RNG.integers(0, 3, 50) / 2).astype("float32")
    model = nn.Sequential([nn.Input((6, FEATURES)), nn.layers.Dense(1, activation="sigmoid")], seed=1)
    names = ["AUC", "precision", "cohen_kappa", "r2_score", "mse", "ece"]
    model.compile("sgd", "binary_crossentropy", weighted_metrics=names)
    logs = model.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True)
    p = model.predict(x)
    for name in names:
        assert logs[name] == pytest.approx(metrics.get(name)(y, p, w), rel=1e-5), name


@pytest.mark.parametrize(
    ("metric", "kind", "message"),
    [
        (metrics.PearsonCorrelation(), "binary", "pearson_correlation expects several outputs"),
        (metrics.Mean(), "reals", "mean expects values, got the targets and predictions of a model"),
        (metrics.AUC(num_labels=3, multi_label=True), "several", "num_labels: expected 4, as there are outputs"),
        (metrics.AUC(None), "binary", "num_thresholds: expected a whole number in a model, got None"),
        (metrics.R2Score(), "labels", "r2_score expects a row of values per sample as targets, but the loss"),
        (metrics.MeanIoU(K, sparse_y_pred=False), "one-hot", "mean_iou expects integer labels as targets, but"),
        (metrics.SparseTopKCategoricalAccuracy(from_sorted_ids=True), "labels", "expects numbers of classes"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(metric: Any, kind: str, message: str) -> None:
    model, y = model_of(kind, [metric])
    with pytest.raises(ValueError, match=message):
        model.evaluate(X, y, verbose=0)


@pytest.mark.parametrize("labels", [False, True])
def test_means_of_steps_that_have_weights_of_their_own(labels: bool) -> None:
    rng = np.random.default_rng(3)
    x, weight = rng.standard_normal((20, 6, 4)), rng.random((20, 6))
    model = nn.Model([nn.Input((6, 4)), nn.Dense(3, "softmax" if labels else "linear")], dtype="float64")
    y = rng.integers(0, 3, (20, 6)) if labels else rng.standard_normal((20, 6, 3))
    names = ["sparse_categorical_accuracy"] if labels else ["mae", nn.metrics.CosineSimilarity(name="cosine")]
    model.compile("sgd", "sparse_categorical_crossentropy" if labels else "mse", weighted_metrics=names)
    found = model.evaluate(x, y, batch_size=7, sample_weight=weight, verbose=0, return_dict=True)
    p = model.predict(x)
    if labels:
        expected = {names[0]: p.argmax(-1) == y}
    else:
        lengths = np.linalg.norm(p, axis=-1) * np.linalg.norm(y, axis=-1)
        expected = {"mae": abs(p - y).mean(-1), "cosine": (p * y).sum(-1) / lengths}
    for name, values in expected.items():
        assert found[name] == pytest.approx(np.average(values, weights=weight), rel=1e-9)


def test_elements_of_masked_steps_have_the_weights_of_these() -> None:
    rng = np.random.default_rng(4)
    x, weight = rng.standard_normal((20, 6, 4)), rng.random((20, 6))
    x[:, 4:] = 0
    model = nn.Model([nn.Input((6, 4)), nn.Masking(), nn.Dense(3, "sigmoid")], dtype="float64")
    model.compile("sgd", "binary_crossentropy", weighted_metrics=[nn.metrics.BinaryAccuracy(name="hits")])
    y, p = rng.integers(0, 2, (20, 6, 3)), model.predict(x)
    for w in (weight, weight[:, 0]):
        found = model.evaluate(x, y, batch_size=7, sample_weight=w, verbose=0, return_dict=True)["hits"]
        each = np.broadcast_to(w.reshape(20, -1), (20, 6)) * (np.arange(6) < 4)
        assert found == pytest.approx(np.average(((p > 0.5) == y).mean(-1), weights=each), rel=1e-9)


def test_a_tally_of_steps_takes_no_weights_of_their_own() -> None:
    model = nn.Model([nn.Input((6, 4)), nn.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy", weighted_metrics=[nn.metrics.AUC()])
    with pytest.raises(ValueError, match="weighted_metrics: auc takes a weight for each sample, got 6 for each"):
        model.evaluate(np.zeros((5, 6, 4)), np.zeros((5, 6, 1)), sample_weight=np.ones((5, 6)), verbose=0)

"""`MLPClassifier` and `MLPRegressor` beside scikit-learn's, and what they have beyond them."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.sklearn
theirs = pytest.importorskip("sklearn.neural_network", reason="scikit-learn is not installed")

from sklearn import config_context, datasets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

import nncore as nn
import nncore.sklearn as ours

CLASSES = {
    "iris": datasets.load_iris, "wine": datasets.load_wine, "cancer": datasets.load_breast_cancer,
    "digits": lambda return_X_y: tuple(a[:300] for a in datasets.load_digits(return_X_y=return_X_y)),
}  # fmt: skip
pytestmark = [pytest.mark.sklearn, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]


def classes(name: str) -> Any:
    X, y = CLASSES[name](return_X_y=True)
    return scale(X), y


def numbers() -> Any:
    X, y = datasets.load_diabetes(return_X_y=True)
    return scale(X), scale(y)


def test_weights_are_drawn_as_theirs_also_where_rows_are_kept_for_validation() -> None:
    X, y = classes("iris")
    settings: Any = {"hidden_layer_sizes": (7,), "early_stopping": True, "random_state": 5, "max_iter": 1}
    a, b = (m.MLPClassifier(learning_rate_init=1e-12, **settings).fit(X, y) for m in (ours, theirs))
    for p, q in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        np.testing.assert_allclose(p, q, 0, 1e-10)


def unshuffled(module: Any, kind: str, **settings: Any) -> Any:
    """A fit in which nothing depends on chance but the weights at the start, which both draw alike."""
    settings = {"hidden_layer_sizes": (7, 5), "random_state": 3, "shuffle": False, "tol": 0, "max_iter": 5} | settings
    return getattr(module, kind)(**settings)


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize(
    "solver",
    [
        {"solver": "adam"}, {"solver": "sgd", "learning_rate_init": 0.1},
        {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.5, "learning_rate_init": 0.1},
        {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3, "learning_rate_init": 0.1},
    ],
    ids=["adam", "nesterov", "momentum", "invscaling"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["iris", "cancer"])
def test_the_same_numbers_without_chance(name: str, solver: Any, activation: str) -> None:
    """Softmax and logistic outputs, an alpha that shows, batches that divide the rows, five epochs: step by step."""
    X, y = classes(name)
    X, y = X[: len(X) // 30 * 30], y[: len(X) // 30 * 30]
    a, b = (
        unshuffled(m, "MLPClassifier", activation=activation, alpha=0.5, batch_size=30, **solver)
        for m in (ours, theirs)
    )
    for model in (a, b):
        model.fit(X, y)
    np.testing.assert_allclose(a.loss_curve_, b.loss_curve_, 1e-6)
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), 1e-4, 1e-7)
    for p, q in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        np.testing.assert_allclose(p, q, 1e-3, 1e-6)
    assert (a.t_, a.n_iter_, a.n_layers_, a.n_outputs_, a.out_activation_) == (
        b.t_, b.n_iter_, b.n_layers_, b.n_outputs_, b.out_activation_
    )  # fmt: skip


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_the_same_numbers_of_regressions(loss: str, weighted: bool, outputs: int) -> None:
    X, y = numbers()
    y = np.stack([y, -y, X[:, 0]], axis=1)[:, :outputs] if outputs > 1 else y
    y = y**2 if loss == "poisson" else y
    X, y, w = X[:400], y[:400], np.random.default_rng(0).uniform(0.5, 2, 400) if weighted else None
    a, b = (
        unshuffled(m, "MLPRegressor", loss=loss, batch_size=50, alpha=0.0 if weighted else 1.0) for m in (ours, theirs)
    )
    for model in (a, b):
        model.fit(X, y, w)
    np.testing.assert_allclose(a.loss_curve_, b.loss_curve_, 2e-3 if outputs > 1 else 1e-6)
    np.testing.assert_allclose(a.predict(X), b.predict(X), 1e-4, 1e-5)


@pytest.mark.parametrize("name", CLASSES)
def test_lbfgs_reaches_the_same_optimum(name: str) -> None:
    """Where the penalty makes the problem smooth and nearly convex."""
    X, y = classes(name)
    found = [
        m.MLPClassifier((5,), "tanh", solver="lbfgs", alpha=10.0, tol=1e-6, max_iter=3000, random_state=0).fit(X, y)
        for m in (ours, theirs)
    ]
    assert found[0].loss_ <= found[1].loss_ * (1 + 1e-4)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("name", [*CLASSES, "diabetes"])
def test_loss_curves_are_of_one_distribution(name: str, solver: str) -> None:
    """Twenty seeds each: losses after the first and the last epoch, by the test of Kolmogorov and Smirnov."""
    stats = pytest.importorskip("scipy.stats")
    X, y = numbers() if name == "diabetes" else classes(name)
    kind = "MLPRegressor" if name == "diabetes" else "MLPClassifier"
    curves = []
    for module in (ours, theirs):
        settings: Any = {"solver": solver, "max_iter": 8, "batch_size": 50, "learning_rate_init": 0.01}
        fits = [
            getattr(module, kind)(hidden_layer_sizes=(10,), random_state=seed + 100 * (module is ours), **settings)
            for seed in range(20)
        ]
        curves.append(np.array([model.fit(X, y).loss_curve_ for model in fits]))
    for epoch in (0, -1):
        assert stats.ks_2samp(curves[0][:, epoch], curves[1][:, epoch]).pvalue > 1e-3


def test_what_users_set_is_what_is_used() -> None:
    X, y = classes("iris")
    model = ours.MLPClassifier((4,), max_iter=5, random_state=0).fit(X, y)
    before = model.predict_proba(X)
    model.coefs_[0][:] = 0  # the memory of the network
    assert not np.array_equal(model.predict_proba(X), before)
    model.coefs_ = [np.zeros_like(w) for w in model.coefs_]
    model.intercepts_ = [np.zeros_like(b) for b in model.intercepts_]
    np.testing.assert_allclose(model.predict_proba(X), 1 / 3)
    model.partial_fit(X, y)
    assert (model.intercepts_[1] != 0).any()


@pytest.mark.parametrize("way", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
@pytest.mark.parametrize("ensemble", [1, 2])
def test_copies_go_on_by_themselves(ensemble: int, way: Any) -> None:
    X, y = classes("iris")
    model = ours.MLPClassifier((4,), max_iter=5, random_state=0, ensemble=ensemble).fit(X, y)
    twin = way(model)
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    for m in (model, twin):
        m.partial_fit(X, y)
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(twin.coefs_[0], model.coefs_[0])
    model.coefs_[0][:] = 0
    assert twin.coefs_[0].any()


def test_pipelines_searches_and_clones() -> None:
    X, y = datasets.load_iris(return_X_y=True)
    pipeline = make_pipeline(
        StandardScaler(), ours.MLPClassifier((8,), max_iter=60, learning_rate_init=0.02, random_state=0)
    )
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1e-2]}, cv=3, n_jobs=2).fit(X, y)
    assert search.best_score_ > 0.9
    assert clone(pipeline).get_params()["mlpclassifier__max_iter"] == 60


def test_frames_sparse_rows_and_sample_weights_in_routing() -> None:
    scipy = pytest.importorskip("scipy.sparse")
    X, y = classes("digits")
    dense = ours.MLPClassifier((8,), max_iter=10, random_state=0, shuffle=False).fit(X, y)
    sparse = ours.MLPClassifier((8,), max_iter=10, random_state=0, shuffle=False).fit(scipy.csr_matrix(X), y)
    np.testing.assert_allclose(sparse.predict_proba(scipy.csc_matrix(X)), dense.predict_proba(X), 1e-9)
    with config_context(enable_metadata_routing=True):
        routed = ours.MLPClassifier().set_fit_request(sample_weight=True).get_metadata_routing()
    assert routed.fit.requests["sample_weight"] is True


# -- beyond scikit-learn's -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"dropout": 0.2}, {"batch_norm": True}, {"activation": "gelu"}, {"activation": nn.activations.Mish()},
        {"dtype": "float32"}, {"loss": "categorical_focal_crossentropy"}, {"class_weight": "balanced"},
        {"n_jobs": 1}, {"ensemble": 3, "n_jobs": 2},
        {"learning_rate_init": nn.optimizers.schedules.CosineDecay(0.02, 400)}, {"callbacks": [nn.callbacks.History()]},
    ],
    ids=str,
)  # fmt: skip
def test_settings_of_ours(settings: Any) -> None:
    X, y = classes("wine")
    model = ours.MLPClassifier(**{"max_iter": 100, "learning_rate_init": 0.01, "random_state": 0} | settings).fit(X, y)
    assert model.score(X, y) > 0.97
    assert model.coefs_[0].dtype == settings.get("dtype", "float64")
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    "loss",
    [
        "categorical_crossentropy", "categorical_focal_crossentropy", "sparse_categorical_crossentropy",
        "kl_divergence", "binary_crossentropy", "binary_focal_crossentropy",
        nn.losses.CategoricalCrossentropy(label_smoothing=0.1),
    ],
    ids=str,
)  # fmt: skip
def test_losses_of_two_classes(loss: Any) -> None:
    X, y = classes("cancer")
    model = ours.MLPClassifier((8,), max_iter=40, learning_rate_init=0.02, random_state=0, loss=loss).fit(X, y)
    assert model.score(X, y) > 0.95 and model.predict_proba(X).shape == (len(X), 2)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, 1, 2], np.int8), np.array([2.0, -1.0, 0.0], np.float32), np.array([True, False, True]),
        np.array(["b", "a", "c"], "U9"), np.array(["b", "a", "c"], object), [["x"], ["y"], ["x"]],
        [[0, 1], [1, 0], [1, 1]],
    ],
)  # fmt: skip
def test_labels_are_theirs(labels: Any) -> None:
    """Of any type: which there are, and in which type they are known and predicted."""
    x, y = np.arange(12.0).reshape(12, 1), np.asarray(labels)[np.arange(12) % 3]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own, their = (of(max_iter=2, random_state=0).fit(x, y) for of in (ours.MLPClassifier, theirs.MLPClassifier))
    assert own.classes_.dtype == their.classes_.dtype and own.classes_.tolist() == their.classes_.tolist()
    assert own.predict(x).dtype == their.predict(x).dtype and own.n_outputs_ == their.n_outputs_


def test_class_weights_multiply_those_of_rows() -> None:
    X, y = classes("iris")
    w = np.linspace(1, 2, len(y))
    settings: Any = {"max_iter": 5, "random_state": 0}
    a = ours.MLPClassifier(class_weight={0: 3.0}, **settings).fit(X, y, w)
    b = ours.MLPClassifier(**settings).fit(X, y, w * np.where(y == 0, 3, 1))
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), 1e-9)


def test_rows_for_validation_may_be_given() -> None:
    X, y = classes("cancer")
    settings: Any = {"early_stopping": True, "random_state": 0, "max_iter": 50, "learning_rate_init": 0.05}
    model = ours.MLPClassifier(**settings).fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    assert model.best_validation_score_ == max(model.validation_scores_) == model.score(X[300:], y[300:])
    last = ours.MLPClassifier(restore_best=False, **settings).fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    assert last.validation_scores_ == model.validation_scores_
    assert last.score(X[300:], y[300:]) == last.validation_scores_[-1]
    with pytest.raises(ValueError, match="X_val: expected early_stopping=True"):
        ours.MLPClassifier().fit(X, y, X_val=X, y_val=y)
    with pytest.raises(ValueError, match="X_val, y_val: expected both or none"):
        ours.MLPClassifier(early_stopping=True).fit(X, y, X_val=X)


def noisy(n: int, seed: int) -> tuple[Any, Any]:
    """Targets whose spread depends on the inputs."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, X[:, 0] + X[:, 1] ** 2 + (0.3 + abs(X[:, 2])) * rng.normal(size=n)


@pytest.mark.parametrize("loss", ["squared_error", nn.losses.Pinball([0.05, 0.5, 0.95])], ids=["mean", "quantiles"])
@pytest.mark.parametrize("ensemble", [1, 3])
def test_intervals_cover(loss: Any, ensemble: int) -> None:
    X, y = noisy(3000, 0)
    settings: Any = {"early_stopping": True, "validation_fraction": 0.3, "learning_rate_init": 0.01, "random_state": 0}
    model = ours.MLPRegressor(loss, (32,), ensemble=ensemble, **settings).fit(X, y)
    T, target = noisy(4000, 1)
    widths = []
    for coverage in (0.5, 0.9):
        low, high = model.predict_interval(T, coverage).T
        assert ((low <= target) & (target <= high)).mean() == pytest.approx(coverage, abs=0.04)
        widths.append(high - low)
    assert (widths[1] > widths[0]).all()
    assert (np.ptp(widths[1]) > 1e-9) == (loss != "squared_error")  # those of quantiles follow the spread
    if loss != "squared_error":
        quantiles = model.predict_quantiles(T)
        assert quantiles.shape == (4000, 3) and (np.diff(quantiles) >= 0).all()
        np.testing.assert_array_equal(model.predict(T), quantiles[:, 1])


def test_intervals_need_rows_for_validation() -> None:
    X, y = noisy(100, 0)
    with pytest.raises(ValueError, match="predict_interval: expected rows for validation and one target"):
        ours.MLPRegressor(hidden_layer_sizes=(4,), max_iter=3).fit(X, y).predict_interval(X)
    model = ours.MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, early_stopping=True).fit(X, y)
    with pytest.raises(ValueError, match="coverage: expected at most 10 / 11 for 10 rows"):
        model.predict_interval(X, 0.95)
    with pytest.raises(ValueError, match="coverage: expected a number between 0 and 1"):
        model.predict_interval(X, 1.5)


def test_bits_are_those_of_any_number_of_threads() -> None:
    X, y = classes("digits")
    found = [ours.MLPClassifier((64, 32), max_iter=3, random_state=0, n_jobs=n).fit(X, y) for n in (1, 2)]
    for a, b in zip(found[0].coefs_, found[1].coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("settings", [{}, {"activation": "tanh"}, {"batch_norm": True}, {"ensemble": 2}], ids=str)
@pytest.mark.parametrize("loss", ["squared_error", nn.losses.Pinball([0.2, 0.8])], ids=["mean", "quantiles"])
def test_monotonic_regressions(loss: Any, settings: Any) -> None:
    """Rising in one, falling in another, free in a third, where the data would have it otherwise in places."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (2000, 3))
    y = np.sin(2 * X[:, 0]) + X[:, 0] - np.tanh(2 * X[:, 1]) + np.sin(3 * X[:, 2]) + 0.3 * rng.normal(size=2000)
    shared: Any = {"hidden_layer_sizes": (64, 64), "max_iter": 150, "learning_rate_init": 0.01, "random_state": 0}
    model = ours.MLPRegressor(loss, monotonic_cst=[1, -1, 0], **shared | settings).fit(X, y)
    grid = np.linspace(-3, 3, 400)
    for column, sign in ((0, 1), (1, -1)):
        for row in X[:20]:
            rows = np.tile(row, (400, 1))
            rows[:, column] = grid
            assert (sign * np.diff(model.predict(rows)) >= -1e-12).all()
    free = ours.MLPRegressor(loss, **shared | settings).fit(X, y)
    assert model.score(X, y) > (0.6 if loss == "squared_error" else 0.4)
    rows = np.tile(X[0], (400, 1))
    rows[:, 0] = grid
    assert (np.diff(free.predict(rows)) < 0).any() and np.ptp(model.predict(X)) > 1


def test_monotonic_classes_by_names_of_columns() -> None:
    pandas = pytest.importorskip("pandas")
    X, y = classes("cancer")
    frame = pandas.DataFrame(X[:, :4], columns=list("abcd"))
    model = ours.MLPClassifier((8,), max_iter=50, learning_rate_init=0.02, monotonic_cst={"a": -1}, random_state=0).fit(
        frame, y
    )
    assert model.score(frame, y) > 0.85
    rows = pandas.DataFrame(np.tile(X[:1, :4], (50, 1)), columns=list("abcd")).assign(a=np.linspace(-4, 4, 50))
    assert (np.diff(model.predict_proba(rows)[:, 1]) <= 1e-12).all()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"monotonic_cst": [1, 2, 0, 0]}, "monotonic_cst: expected -1, 0 or 1 for each of 4 features"),
        ({"monotonic_cst": [1]}, "monotonic_cst: expected -1, 0 or 1 for each of 4 features"),
        ({"monotonic_cst": {"x": 1}}, "monotonic_cst: expected names of columns, got 'x'"),
        ({"monotonic_cst": [1, 0, 0, 0], "activation": "gelu"}, "activation: expected one that increases"),
        ({"monotonic_cst": [1, 0, 0, 0], "solver": "lbfgs"}, "monotonic_cst: expected solver 'adam' or 'sgd'"),
    ],
    ids=str,
)
def test_what_cannot_be_monotonic(settings: Any, match: str) -> None:
    X, y = classes("iris")
    with pytest.raises(ValueError, match=match):
        ours.MLPClassifier(**settings).fit(X, y > 0)
    with pytest.raises(ValueError, match="monotonic_cst: expected two classes"):
        ours.MLPClassifier(monotonic_cst=[1, 0, 0, 0]).fit(X, y)


def test_to_model(tmp_path: Path) -> None:
    X, y = classes("wine")
    model = ours.MLPClassifier((8,), max_iter=5, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="to_model: expected one network, got an ensemble"):
        ours.MLPClassifier((8,), max_iter=5, ensemble=2).fit(X, y).to_model()
    network = model.to_model()
    network.save(tmp_path / "m")
    np.testing.assert_array_equal(nn.load_model(tmp_path / "m").predict(X, verbose=0), model.predict_proba(X))


def test_from_model() -> None:
    X, y = classes("wine")
    network = nn.Sequential([nn.Input(13), nn.Dense(8, "tanh"), nn.Dense(3, "softmax")], seed=0, dtype="float64")
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(X, y, epochs=3, verbose=0)
    model = ours.MLPClassifier.from_model(network, classes=["a", "b", "c"], random_state=0)
    np.testing.assert_array_equal(model.predict_proba(X), network.predict(X, verbose=0))
    assert (
        model.hidden_layer_sizes == (8,) and model.out_activation_ == "softmax" and set(model.predict(X)) <= set("abc")
    )
    model.partial_fit(X, np.array(list("abc"))[y])
    number = ours.MLPRegressor.from_model(nn.Sequential([nn.Input(13), nn.Dense(8, "relu"), nn.Dense(1)]))
    assert number.predict(X.astype("float32")).shape == (len(X),)
    with pytest.raises(ValueError, match="model: expected a built stack of Dense"):
        ours.MLPRegressor.from_model(nn.Sequential([nn.Input(13), nn.Dropout(0.5), nn.Dense(1)]))
    with pytest.raises(ValueError, match="classes: expected 3 labels"):
        ours.MLPClassifier.from_model(network, classes=[0, 1])


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be > 0"),
        ({"hidden_layer_sizes": "many"}, "hidden_layer_sizes: expected a whole number of units"),
        ({"activation": "rleu"}, "activation: expected a known activation, got 'rleu'. Did you mean 'relu'"),
        ({"solver": "adm"}, "solver: expected one of 'adam', 'sgd', 'lbfgs', got 'adm'"),
        ({"alpha": -1}, "alpha: expected a finite number ≥ 0"),
        ({"batch_size": 0}, "batch_size: expected a whole number of at least 1"),
        ({"learning_rate_init": 0.0}, "learning_rate_init: expected a finite number > 0"),
        ({"validation_fraction": 1.0}, r"validation_fraction: expected a number in \[0, 1\)"),
        ({"max_iter": 1.5}, "max_iter: expected a whole number"),
        ({"loss": "log_los"}, "loss: expected a known loss"),
    ],
    ids=str,
)
def test_bad_arguments(settings: Any, match: str) -> None:
    X, y = classes("iris")
    with pytest.raises(ValueError, match=match):
        ours.MLPClassifier(**settings).fit(X, y)


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(
        TypeError, match="hidden_layers: expected an argument of MLPClassifier.*Did you mean 'hidden_layer_s"
    ):
        ours.MLPClassifier(hidden_layers=3)
    with pytest.raises(ValueError, match="dropout: expected 0 with solver='lbfgs'"):
        ours.MLPClassifier(solver="lbfgs", dropout=0.5).fit(*classes("iris"))


def test_warnings_say_what_to_do() -> None:
    X, y = classes("iris")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning, match=r"lbfgs failed to converge after 3 iteration\(s\): max_iter=3"):
            ours.MLPClassifier(solver="lbfgs", max_iter=3, random_state=0).fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_rows_that_become_infinite_are_named(solver: str) -> None:
    """Such as those of a file mapped into memory, which are checked before the fit: no learning rate is at fault."""
    X, y = numbers()

    class Spoils(nn.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            X[3, 0] = np.inf

    network = ours.MLPRegressor(hidden_layer_sizes=5, solver=solver, max_iter=3, callbacks=[Spoils()])
    with pytest.raises(nn.BadDataError, match="x: expected finite values, but row 3 of x"):
        network.fit(X, y)

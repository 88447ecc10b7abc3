"""`TabularClassifier` and `TabularRegressor`: quality beside plain models, frames, files."""

from __future__ import annotations

import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.sklearn
pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split
from sklearn.utils.estimator_checks import check_estimator

import nncore as nn
from nncore import files
from nncore.sklearn import TabularClassifier, TabularRegressor, saving
from nncore.sklearn.tabular import factor

NAN = float("nan")


def frame(rows: int = 600) -> tuple[dict[str, Any], Any, Any]:
    """Columns of all kinds, a class and a number that follow from them."""
    rng = np.random.default_rng(0)
    size, group = rng.normal(size=rows), rng.integers(0, 3, rows)
    town = rng.integers(0, 20, rows)
    effect = np.sin(town) * 2
    number = 2 * np.abs(size) + group + effect + 0.2 * rng.normal(size=rows)
    size_seen = np.where(rng.random(rows) < 0.05, NAN, size)
    columns = {
        "size": size_seen, "group": np.array(list("abc"), object)[group],
        "town": np.array([f"t{t}" for t in town], object),
        "flag": rng.random(rows) < 0.5, "day": np.datetime64("2024-01-01") + rng.integers(0, 900, rows).astype("m8[D]"),
    }  # fmt: skip
    return columns, np.where(number > np.median(number), "high", "low"), number


def as_made_by(library: str, columns: dict[str, Any]) -> Any:
    """The columns as a dict, or a frame of this library."""
    if library == "dict":
        return columns
    if library == "pyarrow":
        return pytest.importorskip(library).table(columns)
    return pytest.importorskip(library).DataFrame(columns)


@pytest.mark.parametrize("library", ["dict", "pandas", "polars", "pyarrow"])
def test_frames(library: str, tmp_path: Path) -> None:
    columns, label, number = frame()
    X = as_made_by(library, columns)
    classifier = TabularClassifier(ensemble=2, epochs=30, random_state=0).fit(X, label)
    regressor = TabularRegressor(ensemble=2, epochs=40, random_state=0).fit(X, number)
    assert classifier.score(X, label) > 0.9 and regressor.score(X, number) > 0.9
    assert classifier.classes_.tolist() == ["high", "low"]
    probabilities = classifier.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(classifier.predict_log_proba(X), np.log(probabilities))
    for model in (classifier, regressor):
        model.save(tmp_path / "m.safetensors")
        again = type(model).load(tmp_path / "m.safetensors")
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        pickled = pickle.dumps(model)  # as joblib does it for GridSearchCV(n_jobs=2); files have none
        assert len(pickled) < 6 * 4 * model.model_.count_params()  # float32, and without the optimizers
        np.testing.assert_array_equal(pickle.loads(pickled).predict(X), model.predict(X))
    with pytest.raises(nn.FormatError, match="expected a TabularClassifier of version 2, got TabularRegressor of"):
        TabularClassifier.load(tmp_path / "m.safetensors")


def test_unseen_and_missing_values_of_predictions() -> None:
    columns, label, _ = frame()
    model = TabularClassifier(ensemble=1, epochs=5, random_state=0).fit(columns, label)
    row = {"size": [NAN], "group": ["z"], "town": [None], "flag": [True], "day": [np.datetime64("NaT")]}
    assert np.isfinite(model.predict_proba(row)).all()
    with pytest.raises(ValueError, match="X: expected the columns of fit, got none named 'town'"):
        model.predict({name: values for name, values in row.items() if name != "town"})


def test_columns_by_place_where_there_are_no_names() -> None:
    """As of scikit-learn's estimators, which warn."""
    pd = pytest.importorskip("pandas")
    array, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2
    named, numbered = pd.DataFrame(array, columns=["b", "a"]), pd.DataFrame(array)
    for X, Z, warns in ((named, array, True), (array, named, True), (numbered, array, False), (array, numbered, False)):
        model = TabularClassifier(ensemble=1, epochs=2, random_state=0).fit(X, y)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            np.testing.assert_array_equal(model.predict_proba(Z), model.predict_proba(X))
        assert bool(found) == warns
    with pytest.raises(ValueError, match="X has 1 features"):
        model.predict(array[:, :1])


def test_a_frame_with_names_of_its_own() -> None:
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"column_names": [1.0, 2.0] * 10, "columns": [3.0, 4.0] * 10})
    model = TabularClassifier(ensemble=1, epochs=1).fit(X, [0, 1] * 10)
    assert [column.name for column in model.columns_.known] == ["column_names", "columns"]


def test_a_category_without_values() -> None:
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"empty": pd.Categorical([None] * 20)})
    model = TabularClassifier(ensemble=1, epochs=2, random_state=0).fit(X, [0, 1] * 10)
    assert model.predict_proba({"empty": ["seen", None]}).tolist() == model.predict_proba(X)[:2].tolist()


@pytest.mark.parametrize("X", [{"a": np.ones(200)}, {"a": np.full(200, NAN), "b": ["x"] * 200}])
def test_columns_that_tell_nothing_give_the_mean(X: Any) -> None:
    y = np.random.default_rng(0).normal(3, size=200)
    found = TabularRegressor(ensemble=2, random_state=0).fit(X, y).predict(X)
    assert np.ptp(found) == 0 and found[0] == pytest.approx(y.mean(), abs=0.2)


@pytest.mark.parametrize("absent", [None, NAN])
def test_a_class_that_is_missing(absent: Any) -> None:
    y = np.array(["a", "b", absent, "a"], object)
    with pytest.raises(ValueError, match=r"y: expected a class of each row, got (None|nan) in row 2\. Leave these out"):
        TabularClassifier().fit(np.ones((4, 2)), y)


@pytest.mark.parametrize("library", ["dict", "pandas", "polars", "pyarrow"])
def test_no_rows(library: str) -> None:
    model = TabularClassifier(ensemble=1, epochs=1).fit({"a": np.arange(20.0)}, [0, 1] * 10)
    with pytest.raises(ValueError, match=r"X: expected at least one row, got 0 sample"):
        model.predict(as_made_by(library, {"a": np.zeros(0)}))


def test_better_than_a_line_and_than_a_guess() -> None:
    X, y = datasets.make_friedman1(1500, noise=0.5, random_state=0)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    model = TabularRegressor(random_state=0, n_jobs=2).fit(X_train, y_train)
    line = Ridge().fit(X_train, y_train)
    assert 1 - model.score(X_test, y_test) < 0.3 * (1 - line.score(X_test, y_test))
    assert y_train.min() <= model.predict(X_test).min() and model.predict(X_test).max() <= y_train.max()
    X, y = datasets.load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    assert TabularClassifier(random_state=0, epochs=30, n_jobs=2).fit(X_train, y_train).score(X_test, y_test) > 0.97


def test_bits_are_those_of_any_number_of_threads() -> None:
    columns, label, _ = frame(300)
    found = [
        TabularClassifier(ensemble=3, epochs=4, random_state=1, n_jobs=n).fit(columns, label).predict_proba(columns)
        for n in (1, 2)
    ]
    np.testing.assert_array_equal(found[0], found[1])


def test_clones_and_errors() -> None:
    assert clone(TabularClassifier(ensemble=2)).ensemble == 2
    with pytest.raises(TypeError, match="max_epochs: expected an argument of TabularRegressor"):
        TabularRegressor(max_epochs=3)
    with pytest.raises(ValueError, match="y: expected at least two classes"):
        TabularClassifier().fit(np.ones((5, 2)), np.ones(5))
    with pytest.raises(ValueError, match="ensemble: expected a whole number of at least 1"):
        TabularClassifier(ensemble=0).fit(np.ones((5, 2)), np.arange(5))
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        TabularClassifier().fit(np.ones(5), np.arange(5))


CHECKED = {"ensemble": 1, "epochs": 16, "random_state": 0}

#: A row of weight 2 is not two rows: these are shuffled, and one of them may be for validation.
NOT_OF_BATCHES = "check_sample_weight_equivalence_on_dense_data"


@pytest.mark.parametrize("make", [TabularClassifier, TabularRegressor])
def test_by_checks_of_scikit_learn(make: Any) -> None:
    found = check_estimator(make(**CHECKED), on_fail=None, on_skip=None)
    passed = {check["check_name"] for check in found if check["status"] == "passed"}
    assert {check["check_name"] for check in found} - passed == {NOT_OF_BATCHES, "check_array_api_input"}
    assert len(passed) > 40


def test_rows_that_are_dicts() -> None:
    with pytest.raises(TypeError, match=r"X: expected a frame, .*, got dicts\. Give pandas\.DataFrame\(X\)"):
        TabularClassifier().fit([{"a": 1.0}, {"a": 2.0}], [0, 1])


def test_frames_that_are_none() -> None:
    pl = pytest.importorskip("polars")
    X, y = np.ones((4, 2)), [0, 1, 0, 1]
    with pytest.raises(TypeError, match=r"Give X\.collect\(\)"):
        TabularClassifier().fit(pl.DataFrame({"a": y}).lazy(), y)
    with pytest.raises(ValueError, match=r"X: expected columns of one axis, got shape \(4, 2\) of 'a'"):
        TabularClassifier().fit({"a": X}, y)
    with pytest.raises(ValueError, match="n_jobs: expected None or a whole number other than 0, got 'a'"):
        TabularClassifier(n_jobs="a").fit(X, y)


def test_weights_of_rows() -> None:
    """Rows without weight are as if they were not there: what is learned is the other rows' target."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    wrong = rng.random(400) < 0.5
    y = np.where(wrong, 5.0, X[:, 0])
    model = TabularRegressor(ensemble=1, epochs=40, random_state=0).fit(X, y, np.where(wrong, 0.0, 1.0))
    assert np.mean((model.predict(X) - X[:, 0]) ** 2) < 0.1
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        model.fit(X, y, -np.ones(400))


def test_classes_of_rows_without_weight_change_nothing() -> None:
    rng = np.random.default_rng(0)
    X, weightless = rng.normal(size=(200, 1)), rng.random(200) < 0.5
    found = [
        TabularClassifier(ensemble=1, epochs=8, random_state=0).fit(X, y, np.where(weightless, 0.0, 1.0))
        for y in (X[:, 0] > 0, (X[:, 0] > 0) ^ weightless)
    ]
    np.testing.assert_allclose(found[0].predict_proba(X), found[1].predict_proba(X), 1e-5)


def test_several_targets() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = np.stack([1e6 + X[:, 0], np.abs(X[:, 1])], axis=1)  # one that float32 cannot hold
    model = TabularRegressor(ensemble=2, epochs=40, random_state=0).fit(X, y)
    found = model.predict(X)
    assert found.shape == (300, 2) and ((found - y) ** 2).mean(axis=0).max() < 0.1
    assert (found.min(axis=0) >= y.min(axis=0)).all() and (found.max(axis=0) <= y.max(axis=0)).all()


def test_inspection_of_scikit_learn() -> None:
    pd = pytest.importorskip("pandas")
    columns, label, number = frame()
    X = pd.DataFrame(columns)
    model = TabularRegressor(ensemble=2, epochs=30, random_state=0).fit(X, number)
    means = permutation_importance(model, X, number, random_state=0).importances_mean
    assert min(means[[0, 1, 2]]) > 0.05 > max(abs(means[[3, 4]]))  # size, group and town make the number
    known = partial_dependence(model, X.dropna(), ["size"], grid_resolution=9)["average"][0]
    assert known[0] > known[4] + 1 < known[-1]  # |size|
    levels = partial_dependence(model, X, ["group"], categorical_features=["group"])["average"][0]
    np.testing.assert_allclose(np.diff(levels), 1, atol=0.3)
    classifier = TabularClassifier(ensemble=1, epochs=10, random_state=0).fit(X, label)
    assert partial_dependence(classifier, X.dropna(), ["size"], grid_resolution=5)["average"].shape == (1, 5)


def test_one_row_is_as_in_a_table() -> None:
    columns, label, _ = frame()
    model = TabularClassifier(ensemble=2, epochs=5, random_state=0).fit(columns, label)
    together = model.predict_proba(columns)
    for i in range(20):
        row = {name: column[i] for name, column in columns.items()}
        np.testing.assert_allclose(model.predict_proba(row), together[[i]], rtol=1e-5)
        assert model.predict(row).tolist() == model.predict(columns)[[i]].tolist()


def test_a_temperature_by_hand() -> None:
    logits = np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
    targets = np.eye(2)[[0, 0, 0, 1]]  # ¾ of them: the logit should be ln 3
    assert factor(logits, targets) == pytest.approx(math.log(3) / 2, rel=1e-4)
    assert factor(logits, np.zeros((4, 2))) == 1  # rows without weight tell nothing
    sure = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert factor(sure, np.eye(2)) == pytest.approx(math.exp(1.5), rel=1e-3)  # at most


def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = TabularClassifier(ensemble=1, epochs=1).fit(np.arange(40.0).reshape(20, 2), np.arange(20) % 2)
    model.model_.save(path)
    with pytest.raises(nn.FormatError, match="expected a TabularClassifier of version 2, got another file"):
        TabularClassifier.load(path)
    model.save(path)
    with pytest.raises(nn.FormatError, match="expected a model, got an estimator of nncore.sklearn"):
        nn.load_model(path)
    with pytest.raises(NotFittedError):
        TabularClassifier().save(path)


@pytest.mark.parametrize("part", ["arguments", "names", "columns", "model", "weights", "fitted"])
def test_a_file_in_which_something_lacks(part: str, tmp_path: Path) -> None:
    model = TabularClassifier(ensemble=1, epochs=1).fit(np.arange(40.0).reshape(20, 2), np.arange(20) % 2)
    tensors, document = saving.documented(model)
    whole = files.decode(document["estimator"], tensors)
    for other in ({k: v for k, v in whole.items() if k != part}, whole | {part: 3}, whole | {part: [{"levels": 3}]}):
        found: dict[str, Any] = {}
        text = files.encode(other, found, "estimator")
        files.write(tmp_path / "m.safetensors", found, {"estimator": text})
        with pytest.raises(nn.FormatError):
            TabularClassifier.load(tmp_path / "m.safetensors")


def test_arguments_in_a_file(tmp_path: Path) -> None:
    """NumPy's numbers, as of searches, too."""
    model = TabularClassifier(ensemble=np.int64(1), epochs=np.int64(1), dropout=np.float32(0.5))
    model.fit(np.arange(40.0).reshape(20, 2), np.arange(20) % 2).save(tmp_path / "m.safetensors")
    assert TabularClassifier.load(tmp_path / "m.safetensors").get_params() == model.get_params()


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float64", "bool", "U3", "U9", "object"])
def test_classes_in_a_file(dtype: str, tmp_path: Path) -> None:
    y = np.array([0, 1] * 10) if dtype not in ("U3", "U9", "object") else np.array(["no", "yes"] * 10)
    model = TabularClassifier(ensemble=1, epochs=1).fit(np.arange(40.0).reshape(20, 2), y.astype(dtype))
    model.save(tmp_path / "m.safetensors")
    classes = TabularClassifier.load(tmp_path / "m.safetensors").classes_
    assert classes.tolist() == model.classes_.tolist()
    assert classes.dtype.kind == model.classes_.dtype.kind and (dtype.startswith("U") or classes.dtype == dtype)


def test_networks_have_one_dtype_whatever_that_of_models_is() -> None:
    X = np.random.default_rng(0).standard_normal((40, 2))
    found = []
    for dtype in ("float32", "float64"):
        nn.backend.set_floatx(dtype)
        try:
            found.append(TabularRegressor(ensemble=2, epochs=4, random_state=0).fit(X, X[:, 0]).predict(X))
        finally:
            nn.backend.set_floatx("float32")
    np.testing.assert_array_equal(*found)

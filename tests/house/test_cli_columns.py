"""What `nncore fit` guesses of columns and targets, which rows it holds out, and how these are scored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.tables
pd = pytest.importorskip("pandas", reason="pandas is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from nncore.cli import columns, fitting, scores


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2.5", "-3e4", None], "number"),
        (["0", "0.5"], "number"),
        (["007", "12"], "text"),
        (["True", "FALSE", None], "boolean"),
        (["2024-01-05", "2023-12-31 10:00", None], "date"),
        (["2024-01-05T10:00:00+02:00"], "date"),
        (["05/01/2024"], "text"),
        (["1", "x"], "text"),
        ([1, None], "number"),
        ([True, False], "boolean"),
        ([True, None], "boolean"),
        (pd.to_datetime(["2024-01-05"]), "date"),
        (pd.to_datetime(["2024-01-05"]).tz_localize("Asia/Tokyo"), "date"),
        (pd.to_datetime(["2024-01-05"]).date, "date"),
        (pd.Categorical([1, 2]), "text"),
        (pd.array([1, None], dtype="Int64"), "number"),
        (pd.array([True, None], dtype="boolean"), "boolean"),
        ([[1], [2, 3]], None),
        ([b"a"], None),
    ],
)
def test_kinds_of_columns(values: Any, kind: str | None) -> None:
    assert columns.kind_of(pd.Series(values)) == kind


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"] * 10, "classification"),
        (["true", "false"] * 10, "classification"),
        ([7, 9] * 10, "classification"),
        ([*range(10)] * 5, "classification"),
        ([*range(10)] * 4, "regression"),
        ([*range(11)] * 6, "regression"),
        ([0.5, 1, 2] * 10, "regression"),
    ],
)
def test_tasks(values: list[Any], task: str) -> None:
    found, y, _ = fitting.target_of(pd.Series(values, name="y"), "auto", "t.csv")
    assert found == task and y.tolist() == values
    assert y.dtype.kind == ("f" if task == "regression" else "O" if isinstance(values[0], str) else "i")


def test_tasks_that_are_told() -> None:
    halves = pd.Series([0.5, 1.5] * 10, name="y")
    for task, expected in (("auto", ["0.5", "1.5"]), ("classification", ["0.5", "1.5"]), ("regression", [0.5, 1.5])):
        found, y, _ = fitting.target_of(halves, task, "t.csv")
        assert found == ("regression" if task == "regression" else "classification") and y[:2].tolist() == expected
    found, y, _ = fitting.target_of(pd.Series([7, 9] * 10, name="y"), "regression", "t.csv")
    assert found == "regression" and y.dtype == np.float64


def test_columns_that_tell_nothing() -> None:
    rows = 12
    some = np.arange(rows) % 3 != 0
    table = pd.DataFrame(
        {
            "Unnamed: 0": np.arange(rows) * 2, "empty": None, "lists": [[i] for i in range(rows)], "n": range(rows),
            "from one": range(1, rows + 1), "year": range(2000, 2000 + rows), "half": [1.0, None] * (rows // 2),
            "mixed": ["1", "2", "?", "3"] * 3, "same there": some.astype(float),
            "names": ["1", "2", "?", *"34567890-"],
        }
    )  # fmt: skip
    chosen, X, left = columns.choose(table, pd.Series(some), list(table), "t")
    assert list(X) == ["year", "half", "mixed"] and X["year"].tolist() == table["year"][some].tolist()
    assert [(c.name, c.kind, c.levels) for c in chosen] == [
        ("year", "number", None), ("half", "number", None), ("mixed", "text", ["1", "2", "3", "?"])
    ]  # fmt: skip
    assert left == {
        "Unnamed: 0": "it has no name",
        "empty": "it is empty",
        "lists": "it holds neither numbers, texts, booleans nor dates",
        "n": "it numbers the rows",
        "from one": "it numbers the rows",
        "same there": "the same in all rows",
        "names": "a text of its own in nearly every row; numbers, but for '?'",
    }
    assert columns.described(chosen[2], table["mixed"]) == "4 values: 1, 2, ?, ...; numbers, but for '?'"
    assert columns.described(chosen[1], table["half"]) == "1 to 1; 6 missing"


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        (["72,5", "1.072,25", "-3,0", None], "; numbers have decimal points, not '72,5'"),
        (["1,234.50", "12,000.00", "7.25"], "; numbers have no commas between thousands, not '1,234.50'"),
        (["1,234", "567", "1,234,567"], "; numbers have no commas between thousands, not '1,234'"),
        (["1,234,567", "7"], "; numbers have no commas between thousands, not '1,234,567'"),
        (["$12.50", "€ -3", "7"], "; numbers have no signs of units, not '$12.50'"),
        (["12.5%", "3 %"], "; numbers have no signs of units, not '12.5%'"),
        (["31/12/2023", "1/2/2024", "05.07.24"], "; dates are as 2024-12-31, not '31/12/2023'"),
        (["Bonn, 5", "Oslo", "a,b"], ""),
        ([None, None], ""),
    ],
)
def test_numbers_and_dates_as_others_write_them(values: list[Any], hint: str) -> None:
    assert columns.oddity(pd.Series(values)) == hint


def test_long_names_and_texts_are_cut_to_a_line() -> None:
    text = "of two\nlines " + "x" * 50
    table = pd.DataFrame({text: [text, "b"] * 6, "": ["a"] * 12})
    chosen, X, left = columns.choose(table, pd.Series([True] * 12), list(table), "t")
    cut = "of two lines " + "x" * 24 + "..."
    assert fitting.listed(chosen, X, left) == [
        f"  {cut}  text  2 values: {cut}, b",
        f"  {'':40}  -     left out: it has no name",
    ]
    assert fitting.target_of(table[text], "auto", "t")[2] == f"classification, 2 classes: b (6), {cut} (6)"


def test_values_of_kinds() -> None:
    table = pd.DataFrame({"d": ["2024-01-05T10:00:00+02:00", "2024-01-05", None], "b": ["TRUE", None, "false"]})
    dates = columns.Column("d", "date").values(table, "t")
    assert dates.isna().tolist() == [False, False, True]
    assert dates[0] == pd.Timestamp("2024-01-05 08:00") and dates[1] == pd.Timestamp("2024-01-05")
    assert columns.Column("b", "boolean").values(table, "t").tolist() == ["true", None, "false"]
    assert columns.Column("b", "text").values(pd.DataFrame({"b": [1, 2]}), "t").tolist() == ["1", "2"]


def test_rows_held_out() -> None:
    y = np.array(["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    used, held = scores.split(y, "classification", 0.2, 0)
    assert sorted([*used, *held]) == list(range(100))
    assert [int((y[held] == c).sum()) for c in "abc"] == [12, 6, 2]
    y = np.array(["a"] * 19 + ["b"])
    for seed in range(20):
        used, held = scores.split(y, "classification", 0.5, seed)
        assert sorted([*used, *held]) == list(range(20)) and "b" in y[used] and "b" not in y[held]
    y = np.array(["a"] * 8 + ["b", "c"])
    for seed in range(20):
        for fraction, n in ((0.1, 1), (0.5, 5)):
            used, held = scores.split(y, "classification", fraction, seed)
            assert len(held) == n and {*y[used]} == {*"abc"} and {*y[held]} == {"a"}
    y = np.array([*"abcdefgha"])  # hardly more rows than classes
    used, held = scores.split(y, "classification", 0.2, 0)
    assert {*y[used]} == {*"abcdefgh"} and y[held].tolist() == ["a"]
    used, held = scores.split(np.arange(10.0), "regression", 0.01, 0)
    assert (len(used), len(held)) == (9, 1)
    with pytest.raises(ValueError, match="--held-out: expected a fraction that leaves 5 rows to fit, got 0.9 of 10"):
        scores.split(np.arange(10.0), "regression", 0.9, 0)


def test_scores_by_hand() -> None:
    class Numbers:
        def predict(self, X: Any) -> Any:
            return np.array([1.0, 2.0, 6.0])

    class Classes:
        classes_ = np.array(["a", "b"])

        def predict(self, X: Any) -> Any:
            return np.array(["a", "b", "b", "a"])

        def predict_proba(self, X: Any) -> Any:
            return np.array([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9], [0.5, 0.5]])

    found = scores.table(Numbers(), None, np.array([2.0, 4.0]), np.array([1.0, 4.0, 5.0]), "regression")
    assert [name for name, *_ in found] == ["RMSE", "MAE"]
    np.testing.assert_allclose(found[0][1:], [(5 / 3) ** 0.5, 3**0.5])  # 0, −2, 1; of 3: −2, 1, 2
    np.testing.assert_allclose(found[1][1:], [1, 5 / 3])
    y_used, y = np.array(list("aaab")), np.array(list("abba"))
    found = scores.table(Classes(), None, y_used, y, "classification")
    assert [name for name, *_ in found] == ["accuracy", "log loss"]
    np.testing.assert_allclose(found[0][1:], [1, 0.5])
    np.testing.assert_allclose(
        found[1][1:],
        [-np.log([0.8, 0.6, 0.9, 0.5]).mean(), -np.log([0.75, 0.25, 0.25, 0.75]).mean()],
    )

"""Columns of a table as a network reads them, by hand: scaling, levels, dates, what is missing."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.sklearn
pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from nncore.sklearn.columns import Column, Columns, columns_of, is_category

NAN = float("nan")


def fitted(given: dict[str, Any]) -> Columns:
    """The statistics of these columns."""
    columns = columns_of(given)
    return Columns.fitted(
        {n: np.asarray(c) for n, c in columns.items()}, {n: is_category(c) for n, c in columns.items()}
    )


def clipped(z: Any) -> Any:
    """z / √(1 + (z / 3)²)."""
    return np.asarray(z) / np.sqrt(1 + (np.asarray(z) / 3) ** 2)


def test_columns_by_hand() -> None:
    given = {
        "a": np.array([1.0, 2.0, 3.0, 4.0, NAN]),
        "b": np.array(["x", "y", "x", None, "x"], object),
        "c": np.array(["u", "v", "w", "u", "v"]),
        "same": np.ones(5),
        "flag": [True, False, True, True, True],
        "day": np.array(["2020-01-01", "2020-01-03", "NaT", "2020-01-02", "2020-01-02"], "datetime64[D]"),
    }
    columns = fitted(given)
    arrays = {name: np.asarray(column) for name, column in given.items()}
    found = columns(arrays, np.arange(5))
    a = (np.array([1, 2, 3, 4, 2.5]) - 2.5) / (3.25 - 1.75)  # by the quartiles of what is there; missing: the median
    day = np.array([-1, 1, 0, 0, 0]) / 0.5
    gaps = [2 * np.eye(5)[4], 2 * np.eye(5)[2]]  # of a and day; no range between the quartiles: 2 / (max − min)
    b = (np.array([1, -1, 1, 0, 1.0]) - 1) / 1  # of two levels ±1, and 0 where it is missing: quartiles 0, 1, 1
    levels = [np.array([1, 0, 0, 1, 0.0]), np.array([0, 1, 0, 0, 1.0]), 2 * np.eye(5)[2]]  # quartiles 0, 0, 1 of both
    flag = np.array([-1, 1, -1, -1, -1]) + 1.0  # False is the first: median −1, and quartiles alike
    expected = clipped(np.stack([a, np.zeros(5), day, *gaps, b, *levels, flag], axis=1))
    np.testing.assert_allclose(found["features"], expected, 1e-5, 1e-12)
    assert columns.numbers == 3
    rows = [columns.row({name: column[i] for name, column in arrays.items()}) for i in range(5)]
    np.testing.assert_array_equal(np.concatenate([row["features"] for row in rows]), found["features"])
    order = np.array([3, 0])
    np.testing.assert_array_equal(columns(arrays, order)["features"], found["features"][order])


def test_numbers_far_off_are_at_the_ends() -> None:
    """Also those whose squares, or whose distances from the median, are infinite."""
    columns = fitted({"a": np.array([1.0, 2.0, 3.0]), "wide": np.array([-1e308, 0.0, 1e308])})
    found = [columns.row({"a": v, "wide": 0.0})["features"][0, 0] for v in (1e200, -1e200, 1.7e308, -1.7e308)]
    np.testing.assert_array_equal(found, [3, -3, 3, -3])
    np.testing.assert_allclose(columns.row({"a": 2.0, "wide": 1e308})["features"], [[0, clipped(1.0)]])


def test_knots_are_features_of_quantiles() -> None:
    often = np.array([0.0] * 14 + [1, 2, 3, 4])
    columns = fitted(
        {"a": np.array([*range(17), NAN]), "k": np.array([*"xyz"] * 6), "b": often, "none": np.full(18, NAN)}
    )
    a = clipped((np.arange(0, 17, 2) - 8) / 8)
    b = clipped(2 * np.quantile(often, np.arange(9) / 8) / 4)  # quartiles alike: by the whole range
    np.testing.assert_allclose(columns.knots(), [a, b, np.zeros(9)], 1e-6)


@pytest.mark.parametrize("most", [1e308, 1.7e308])
def test_knots_of_the_largest_numbers_are_finite(most: float) -> None:
    knots = fitted({"a": np.array([-most, most])}).knots()
    assert np.isfinite(knots).all() and (np.diff(knots) >= 0).all()


def test_many_levels_are_numbers_of_vectors() -> None:
    names = [f"n{i:02d}" for i in range(12)]
    columns = fitted({"who": names, "where": [*names[:10], "n00", "n01"]})  # of 12 levels, and of 10
    given = {"who": np.array(["n00", "n11", "other", None], object), "where": np.array(["n09", None, 5, "n00"], object)}
    for known in (columns, Columns.of(columns.described())):
        found = known(given, np.arange(4))
        assert found["codes"].tolist() == [[1, 13 + 10], [12, 13], [0, 13], [0, 13 + 1]]
        assert known.widths == {"codes": 2} and known.n_codes == 13 + 11


def test_levels_and_dates_of_several_types_are_the_same() -> None:
    columns = fitted({"k": np.array(["1", "2", "3"]), "when": np.array(["2024-01-01", "2024-03-01"] * 2, "M8[ns]")[:3]})
    pd = pytest.importorskip("pandas")
    day = datetime.datetime(2024, 3, 1)
    alike: list[Any] = [day, np.datetime64(day), day.date(), pd.Timestamp(day), day.replace(tzinfo=datetime.UTC)]
    rows = [columns.row({"k": k, "when": when}) for k in ("2", 2, 2.0, np.float32(2)) for when in alike]
    for row in rows[1:]:
        np.testing.assert_array_equal(row["features"], rows[0]["features"])
    assert rows[0]["features"][0, 0] == clipped(2 * (60 - 0) / 60).astype(np.float32)  # days; 1 January is the median


def test_parts_of_seconds() -> None:
    times = np.array([0, 250, 500, 750, 1000], "m8[ms]")
    for given in (times, times.astype("m8[ns]"), times + np.datetime64("1970-01-01")):
        found = fitted({"t": given})({"t": given}, np.arange(5))["features"]
        np.testing.assert_allclose(found[:, 0], clipped([-1, -0.5, 0, 0.5, 1]), 1e-6)


def test_times_are_numbers_in_any_zone() -> None:
    pd = pytest.importorskip("pandas")
    for zone in (None, "Europe/Berlin", "Australia/Sydney"):
        X = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=9, tz=zone)})
        assert not is_category(X["when"])


def test_where_a_text_is_does_not_matter() -> None:
    column = np.array([None, 1.0] * 2000 + ["a"], object)
    assert is_category(column) and is_category(column[::-1]) and not is_category(column[:-1])


def test_truth_values_are_also_0_and_1() -> None:
    columns = fitted({"flag": [True, False, True]})
    rows = [columns.row({"flag": flag})["features"] for flag in (True, 1, 1.0, False, 0, 0.0)]
    assert [row[0, 0] for row in rows] == [rows[0][0, 0]] * 3 + [rows[3][0, 0]] * 3 and rows[0] != rows[3]
    numbers = fitted({"k": np.array(["True", "1", "0"], object)})  # and where they are levels, these are others
    assert numbers.row({"k": 1})["features"].tolist() != numbers.row({"k": True})["features"].tolist()


def test_values_of_a_column_are_those_of_each() -> None:
    """Also of levels that are equal but are not the same, and of such as have no hash."""
    given = ["1", 1, 1.0, np.float32(1), True, "True", np.True_, None, NAN, np.float64(NAN), [1], "other", 0, False]
    array = np.empty(len(given), object)
    array[:] = given
    for levels in (["1", "True"], ["False", "True"], ["[1]", "other"]):
        column = Column("k", levels)
        for part in (array, array[np.arange(len(given)) != given.index([1])]):
            assert column.values(part).tolist() == [column.value(v) for v in part.tolist()]
    assert Column("k", ["1", "True"]).values(array[:8]).tolist() == [1, 1, 1, 1, 2, 2, 2, 0]


def test_errors_of_columns() -> None:
    columns = fitted({"age": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match="X: expected numbers in column 'age', got 'old'"):
        columns.row({"age": "old"})
    with pytest.raises(ValueError, match="got infinity in column 'age'"):
        columns.row({"age": float("inf")})
    with pytest.raises(ValueError, match="got infinity in column 'age'"):
        columns({"age": np.array([float("inf")])}, np.arange(1))
    lists = np.array([None, np.ones(2), np.ones(3)], object)
    with pytest.raises(ValueError, match="X: expected numbers in column 'lists', got array.* make texts of the column"):
        fitted({"lists": lists})


def test_dates_of_a_row_may_be_texts() -> None:
    days = np.array(["2024-01-01", "2024-03-01", "2024-02-01"], "M8[s]")
    for given in (days, np.array([None, *days.astype(object)], object)):
        columns = Columns.of(fitted({"when": given}).described())
        expected = columns.row({"when": datetime.datetime(2024, 2, 10, 12)})["features"]
        for text in ("2024-02-10T12:00", "2024-02-10 12:00:00", "2024-02-10T14:00:00+02:00"):
            np.testing.assert_array_equal(columns.row({"when": text})["features"], expected)
            found = columns({"when": np.array([text, None], object)}, np.arange(2))["features"]
            np.testing.assert_array_equal(found[:1], expected)
        with pytest.raises(ValueError, match="expected dates, such as 2024-12-31, in column 'when', got 'soon'"):
            columns.row({"when": "soon"})
    with pytest.raises(ValueError, match="expected numbers in column 'x', got '2024-02-10'"):
        fitted({"x": np.arange(3.0)}).row({"x": "2024-02-10"})

"""Columns of a table as the numbers that a network reads: statistics of those that were fitted, applied to any."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from nncore._kernels import scaling
from nncore.columns import column_names
from nncore.state import Array

FEW = 8  # levels, up to which a category has a feature for each; beyond, a vector that is learned
CLIP = 3.0  # numbers end within ± this many interquartile ranges of the median
PIECES = 8  # between quantiles of a column of numbers
BLOCK = 16384  # rows that are float64 at a time
DAY = 86400.0  # seconds
DTYPES = {"features": "float32", "codes": "int32"}  # of a network's inputs
TRUTH = {"False": "0", "True": "1"}  # texts of truth values, and of the same as numbers


@dataclass
class Column:
    """What is known of one column.

    Attributes
    ----------
    name : str
    levels : list of str, optional
        Of a category, sorted; None: numbers.
    missing : bool
        Whether some numbers were missing, so that a feature says which.
    scaling : list of (float, float)
        Of each of its features what is subtracted, and then the factor; see `Columns`.
    dates : bool
        Numbers are days: texts are read as dates, such as 2024-12-31.
    quantiles : list of float
        Of numbers: the least, those between 8 parts with as many rows each, the most; zeros if there are none.
    """

    name: str
    levels: list[str] | None = None
    missing: bool = False
    scaling: list[tuple[float, float]] = field(default_factory=list)
    dates: bool = False
    quantiles: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.codes = {level: i + 1 for i, level in enumerate(self.levels or ())}
        if self.codes and self.codes.keys() <= TRUTH.keys():  # pandas makes numbers of truth values, beside gaps
            self.codes |= {TRUTH[level]: code for level, code in self.codes.items()}

    @property
    def many(self) -> bool:
        """Whether its levels have vectors that are learned."""
        return self.levels is not None and len(self.levels) > FEW

    def value(self, given: Any) -> float:
        """A number, NaN where it is missing; of a category the place of its level from 1 on, 0 where it has none."""
        if self.levels is not None:
            if type(given) is str:  # a way of its own, for one row is to take microseconds
                return self.codes.get(given, 0)
            return 0 if gone(given) else self.codes.get(text(given), 0)
        if type(given) is float:
            return given
        try:
            if self.dates and isinstance(given, str):
                given = datetime.fromisoformat(given)
            return math.nan if gone(given) else number(given)
        except (TypeError, ValueError) as error:
            what = "dates, such as 2024-12-31," if self.dates else "numbers"
            remedy = "make texts of the column if it is a category"
            raise type(error)(
                f"X: expected {what} in column {self.name!r}, got {given!r} ({error}); {remedy}"
            ) from None

    def values(self, given: Array) -> Array:
        """`value` of each, as float64."""
        if self.levels is not None:
            code = self.codes.get  # texts, as most levels are, need no more than this
            return np.array([code(v, 0) if type(v) is str else self.value(v) for v in given.tolist()], np.float64)
        if given.dtype.kind in "fiu":
            return given.astype(np.float64)
        if given.dtype.kind in "mM":
            return days(given)
        return np.array([self.value(v) for v in given.tolist()], np.float64)


class Columns:
    """The columns of a table, and how they become the inputs of a network.

    The input "features" has one for each column of numbers, then some of 0 and 1: whether a number is missing, whether
    a category of up to 8 levels has a level (of two levels one feature, ±1). The input "codes" has the levels of the
    other categories as whole numbers, of each column others. A feature x becomes z = (x − median) / (q₇₅ − q₂₅), where
    that range is 0 (x − median) 2 / (max − min), and then z / √(1 + (z / 3)²), within ±3. Missing numbers are 0.

    Parameters
    ----------
    known : list of Column

    Attributes
    ----------
    numbers : int
        Columns of numbers, which are the first features.
    n_codes : int
        The numbers in "codes" are 0 … n_codes − 1.
    widths : dict of str to int
        The features of each input.
    """

    def __init__(self, known: list[Column]) -> None:
        self.known = known
        places = list(enumerate(known))
        few = [(i, c) for i, c in places if c.levels is not None and not c.many]
        none = (math.nan, math.nan)  # no levels
        features = [
            *((i, *c.scaling[0], *none) for i, c in places if c.levels is None),
            *((i, *c.scaling[1], *none) for i, c in places if c.missing),
            *((i, *scale, *pair) for i, c in few for scale, pair in zip(c.scaling, pairs(c), strict=True)),
        ]
        self.numbers = sum(c.levels is None for c in known)
        self._indicators = self.numbers + sum(c.missing for c in known)  # where those of levels begin
        table: Array = np.array(features, np.float64).reshape(-1, 5)
        self._column = table[:, 0].astype(np.intp)
        self._scaling = table.T[1:].copy()  # (4, features): center, factor, the levels that are 1 and −1
        self._many = [i for i, c in places if c.many]
        sizes = [len(c.levels or ()) + 1 for c in known if c.many]  # 0: another level than those of fit, or none
        self.n_codes = sum(sizes)
        self._first_codes = np.cumsum([0, *sizes])[:-1].astype(np.int32)
        widths = {"features": len(features), "codes": len(sizes)}
        self.widths = {name: width for name, width in widths.items() if width}
        self._readers = [(c.name, c.value) for c in known]

    @classmethod
    def fitted(cls, given: Mapping[str, Array], categories: Mapping[str, bool]) -> Columns:
        """Statistics of the columns of rows for training, of which some are categories."""
        return cls([learned(name, values, categories[name]) for name, values in given.items()])

    def described(self) -> list[dict[str, Any]]:
        """All of it, as `of` takes it."""
        return [asdict(c) for c in self.known]

    @classmethod
    def of(cls, described: list[dict[str, Any]]) -> Columns:
        """What `described` told."""
        return cls([Column(**column) for column in described])

    def row(self, given: Mapping[str, Any]) -> dict[str, Array]:
        """The inputs of one row, a dict from column to value."""
        try:
            values = [value(given[name]) for name, value in self._readers]
        except KeyError:
            self.require(given)
            raise
        inputs = self.room(1)
        self.fill(inputs, np.array([values], np.float64))
        return inputs

    def __call__(self, given: Mapping[str, Array], rows: Array) -> dict[str, Array]:
        """The inputs of rows, in this order."""
        self.require(given)
        inputs = self.room(len(rows))
        for first in range(0, len(rows), BLOCK):
            block = rows[first : first + BLOCK]
            values = np.empty((len(block), len(self.known)))
            for i, column in enumerate(self.known):
                values[:, i] = column.values(given[column.name][block])
            self.fill({name: array[first : first + BLOCK] for name, array in inputs.items()}, values)
        return inputs

    def room(self, rows: int) -> dict[str, Array]:
        """Room for the inputs of rows."""
        return {name: np.empty((rows, width), DTYPES[name]) for name, width in self.widths.items()}

    def knots(self) -> Array:
        """What the quantiles become, of each column of numbers (numbers, 9)."""
        values = np.zeros((PIECES + 1, len(self.known)))
        for i, column in enumerate(self.known):
            if column.levels is None:
                values[:, i] = column.quantiles
        inputs = self.room(len(values))
        self.fill(inputs, values)
        return inputs["features"][:, : self.numbers].T

    def require(self, given: Mapping[str, Any]) -> None:
        """A ValueError where a column lacks."""
        for c in self.known:
            if c.name not in given:
                raise ValueError(f"X: expected the columns of fit, got none named {c.name!r}")

    def fill(self, inputs: dict[str, Array], values: Array) -> None:
        """Write the inputs of float64 (rows, columns), each as `Column.value` has it."""
        if "features" in inputs:
            place = (self._column, self._scaling, self.numbers, self._indicators, CLIP)
            if (infinite := scaling.features(values, *place, inputs["features"])) >= 0:
                raise infinity(self.known[infinite].name)
        if "codes" in inputs:
            np.add(values.take(self._many, axis=1), self._first_codes, out=inputs["codes"], casting="unsafe")


def pairs(column: Column) -> list[tuple[float, float]]:
    """For each feature of a category with few levels the level that is 1 and the one that is −1 (NaN: none)."""
    assert column.levels is not None
    levels = range(1, max(1, len(column.levels)) + 1)  # without any a feature that is 0: networks have an input
    return [(1.0, 2.0)] if len(levels) == 2 else [(float(level), math.nan) for level in levels]


def learned(name: str, given: Array, category: bool) -> Column:
    """What is known of a column of the rows for training."""
    if category:
        values = given.tolist()
        others = (v for v in values if type(v) is not str and not gone(v))
        column = Column(name, sorted({v for v in values if type(v) is str} | {text(v) for v in others}))
        if column.many:
            return column
        codes = column.values(given)
        parts = [quantiles((codes == yes) * 1.0 - (codes == no)) for yes, no in pairs(column)]
    else:
        dated = given.dtype == object and any(isinstance(v, (date, np.datetime64)) for v in given.tolist())
        column = Column(name, dates=dated or given.dtype.kind == "M")
        numbers = column.values(given)
        if np.isinf(numbers).any():
            raise infinity(name)
        absent = np.isnan(numbers)
        column.missing = bool(absent.any())
        parts = [quantiles(numbers[~absent]), *([quantiles(absent * 1.0)] if column.missing else [])]
        column.quantiles = parts[0].tolist()
    column.scaling = [median_and_factor(part) for part in parts]
    return column


def infinity(name: str) -> ValueError:
    """The error where a column has it."""
    return ValueError(f"X: expected finite numbers or missing ones, got infinity in column {name!r}; make NaN of it")


def quantiles(feature: Array) -> Array:
    """The least, those between parts with as many rows each, the most; zeros without any."""
    if not feature.size:
        return np.zeros(PIECES + 1)
    return 2 * np.quantile(feature / 2, np.arange(PIECES + 1) / PIECES)  # the distance of two may be infinite


def median_and_factor(quantiles: Array) -> tuple[float, float]:
    """The median, and what brings the range between the quartiles to 1; see `Columns`."""
    least, low, median, high, most = quantiles[:: PIECES // 4].tolist()
    spread = high - low if high > low else most / 2 - least / 2
    return median, 1 / spread if 0 < spread < math.inf else 0.0


def columns_of(X: Any) -> dict[str, Any]:
    """The columns of a frame (pandas, polars, pyarrow), a dict or an array, by name; x0, x1, … of an array."""
    if (names := column_names(X)) is not None:
        return {str(name): X[name] for name in names}
    array = np.asarray(X)
    return {f"x{i}": array[:, i] for i in range(array.shape[1])}


def is_category(column: Any) -> bool:
    """Whether a column holds texts, categories or truth values rather than numbers or dates."""
    whole = str(getattr(column, "dtype", getattr(column, "type", ""))).lower()
    dtype = re.split(r"[\[(<]", whole)[0]  # what follows may be a time zone, such as Australia/Sydney
    if any(word in dtype for word in ("categor", "str", "bool", "enum", "utf8", "dictionary")):
        return True
    array = np.asarray(column)
    if array.dtype.kind in "USb":
        return True
    return array.dtype == object and any(isinstance(v, (str, bool)) for v in array.tolist())


def gone(value: Any) -> bool:
    """Whether a value is missing: None, NaN, NaT or NA."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def text(value: Any) -> str:
    """A level as text, the same for 1 and 1.0."""
    return str(int(value)) if isinstance(value, (float, np.floating)) and value.is_integer() else str(value)


def number(value: Any) -> float:
    """A value as a number; dates and times are days, since 1970."""
    if isinstance(value, (date, timedelta, np.datetime64, np.timedelta64)):
        if isinstance(value, datetime) and value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        return float(days(np.array(value, "m8[us]" if isinstance(value, (timedelta, np.timedelta64)) else "M8[us]")))
    return float(value)


def days(times: Array) -> Array:
    """Times or spans as days, NaN where they are missing."""
    seconds = times.astype("M8[s]" if times.dtype.kind == "M" else "m8[s]")
    rest = (times - seconds.astype(times.dtype)).astype("m8[ns]").astype(np.int64) / 1e9
    return np.where(np.isnat(seconds), np.nan, (seconds.astype(np.int64) + rest) / DAY)

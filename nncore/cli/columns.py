"""What the columns of a table hold: guessed where a model is fitted, required where it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.api import types

Kind = Literal["number", "boolean", "date", "text"]

DIFFERENT = 0.9  # of the texts of a column: beyond, they are names of rows
FOREIGN = {  # texts that mean something else, and what is read
    r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?": "numbers have no commas between thousands",
    r"[-+]?[\d.]*\d,\d+": "numbers have decimal points",
    r"[-+]?[$€£¥]\s?[-+]?[\d.,]+|[-+]?[\d.,]+\s?[%$€£¥]": "numbers have no signs of units",
    r"\d{1,2}[./-]\d{1,2}[./-](\d\d){1,2}": "dates are as 2024-12-31",
}
UNNAMED = "Unnamed: "  # what pandas calls columns whose name is empty
LONGEST = 40  # characters of a name or a text that are printed
EXPECTED = {"number": "finite numbers", "date": "dates (ISO 8601)"}


@dataclass
class Column:
    """A column that a model reads.

    Attributes
    ----------
    name : str
    kind : {"number", "boolean", "date", "text"}
    levels : list of str, optional
        The texts that were there where the model was fitted.
    """

    name: str
    kind: Kind
    levels: list[str] | None = None

    def values(self, frame: pd.DataFrame, where: str) -> pd.Series:
        """Return the column of a table as float64, datetime64 or texts.

        Raises
        ------
        ValueError
            A value is none of these; `where` is the table's name.
        """
        values = frame[self.name]
        if self.kind == "text":
            return texts(values)
        if self.kind == "boolean":
            return texts(values).str.lower()
        made = numbers(values) if self.kind == "number" else dates(values)
        bad = made.isna() & values.notna() if self.kind == "date" else np.isinf(made) | (made.isna() & values.notna())
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f"{where}: column {self.name!r}: expected {EXPECTED[self.kind]}, got {str(values.iloc[row])!r} "
                f"in row {values.index[row] + 1}"
            )
        return made


def typed(columns: list[Column], X: pd.DataFrame) -> pd.DataFrame:
    """Return columns of texts as categories, which they are, also where all rows of a part have none."""
    return X.astype({column.name: "category" for column in columns if column.kind in ("text", "boolean")})


def kind_of(values: pd.Series) -> Kind | None:
    """Guess the kind of a column; None where it holds something else, such as lists."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "text"
    if types.is_bool_dtype(values.dtype):
        return "boolean"
    if types.is_numeric_dtype(values.dtype):
        return "number"
    if types.is_datetime64_any_dtype(values.dtype):
        return "date"
    inferred = types.infer_dtype(values, skipna=True)
    if inferred == "string":
        return kind_of_texts(pd.Series(values.dropna().unique()))
    if inferred in ("integer", "floating", "mixed-integer-float", "decimal", "empty"):
        return "number"
    if inferred in ("date", "datetime", "datetime64"):
        return "date"
    return "boolean" if inferred == "boolean" else None


def kind_of_texts(known: pd.Series) -> Kind:
    """Guess what different texts stand for; 007 is no number, and 2024 no date."""
    if numbers(known).notna().all() and not known.str.match(r"0\d").any():
        return "number"
    if set(known.str.lower()) <= {"true", "false"}:
        return "boolean"
    return "date" if known.str.match(r"\d{4}-\d\d").all() and dates(known).notna().all() else "text"


def numbers(values: pd.Series) -> pd.Series:
    """Return float64, NaN for what is missing or no number."""
    if types.is_datetime64_any_dtype(values.dtype):
        return pd.Series(np.nan, values.index)
    made = pd.to_numeric(values, errors="coerce")
    return pd.Series(made.to_numpy(np.float64, na_value=np.nan), values.index)


def dates(values: pd.Series) -> pd.Series:
    """Return datetime64 in UTC, NaT for what is missing or no date."""
    if types.is_numeric_dtype(values.dtype):
        return pd.Series(pd.NaT, values.index, dtype="datetime64[s]")
    format = None if types.is_datetime64_any_dtype(values.dtype) else "ISO8601"
    return pd.to_datetime(values, format=format, errors="coerce", utc=True).dt.tz_localize(None)


def texts(values: pd.Series) -> pd.Series:
    """Return Python's texts, None for what is missing."""
    made = values.astype(object)
    if not isinstance(values.dtype, pd.StringDtype):
        made = made.map(str)
    return made.where(values.notna(), None)


def choose(
    frame: pd.DataFrame, there: pd.Series, names: list[str], where: str
) -> tuple[list[Column], pd.DataFrame, dict[str, str]]:
    """Choose the columns that a model can learn from; their values in the rows `there`; why the others are left out."""
    chosen, made, left = list[Column](), dict[str, pd.Series](), dict[str, str]()
    for name in names:
        kind = kind_of(frame[name])
        if name.startswith(UNNAMED) or not name:
            left[name] = "it has no name"
        elif kind is None:
            left[name] = "it holds neither numbers, texts, booleans nor dates"
        else:
            column = Column(name, kind)
            whole = column.values(frame, where)
            values = whole[there]
            if why := nothing_in(kind, values, whole):
                left[name] = why
                continue
            if kind in ("text", "boolean"):
                column.levels = sorted(values.dropna().unique())
            chosen.append(column)
            made[name] = values
    return chosen, pd.DataFrame(made), left


def nothing_in(kind: Kind, values: pd.Series, whole: pd.Series) -> str:
    """Say why a column tells nothing of new rows; "" where it may."""
    different, known = values.nunique(), int(values.notna().sum())
    if not different:
        return "it is empty"
    if different == 1 and known == len(values):
        return "the same in all rows"
    if kind == "number" and counts_rows(whole):
        return "it numbers the rows"
    if kind == "text" and different > max(2, DIFFERENT * known):
        return "a text of its own in nearly every row" + oddity(values)
    return ""


def counts_rows(values: pd.Series) -> bool:
    """Whether numbers go from 0 or 1 on, in order: they tell one row from another, and nothing of a new row."""
    found = values.to_numpy()
    return found[0] in (0, 1) and bool((found == found[0] + np.arange(len(found))).all())


def oddity(values: pd.Series) -> str:
    """Name what keeps a column of texts from being one of numbers or dates, if most of the texts are."""
    known = pd.Series(values.dropna().unique(), dtype=object)
    strange = known[numbers(known).isna()]
    for pattern, rule in FOREIGN.items():
        if len(strange) and (like := strange.astype(str).str.fullmatch(pattern)).mean() > 0.5:
            return f"; {rule}, not {strange[like].iloc[0]!r}"
    return f"; numbers, but for {strange.iloc[0]!r}" if 0 < len(strange) < len(known) / 2 else ""


def described(column: Column, values: pd.Series) -> str:
    """Say on a line what the values of a column are."""
    if column.levels is None:
        parts = [f"{shown(values.min())} to {shown(values.max())}"]
    else:
        common = [brief(level) for level in values.value_counts().index[:3]]
        more = ", ..." if len(column.levels) > len(common) else ""
        parts = [f"{len(column.levels)} values: {', '.join(common)}{more}{oddity(values)}"]
    if gaps := int(values.isna().sum()):
        parts.append(f"{gaps} missing")
    return "; ".join(parts)


def brief(text: Any) -> str:
    """Return a name or a text on one line, cut where it is long."""
    line = " ".join(str(text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def shown(value: Any) -> str:
    """Return a number or a date, as short as may be."""
    return f"{value:.6g}" if isinstance(value, float) else str(value).removesuffix(" 00:00:00")


def unknown(column: Column, values: pd.Series) -> str | None:
    """Say which values were not there where the model was fitted, and how often; None where all were."""
    if column.levels is None:
        return None
    strange = values[values.notna() & ~values.isin(column.levels)]
    if not len(strange):
        return None
    counts = strange.value_counts()
    listed = ", ".join(f"{value!r} ({n})" for value, n in counts.head(5).items())
    more = f", and {len(counts) - 5} more" if len(counts) > 5 else ""
    rows = f"{len(strange)} of {len(values)} rows"
    return f"column {column.name!r}: {rows} have values that fit has not seen: {listed}{more}"

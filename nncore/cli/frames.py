"""Tables in files: CSV and Parquet, read and written, and the error for a column that is not there."""

from __future__ import annotations

import difflib
import io
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nncore.arguments import printable
from nncore.cli.packages import need
from nncore.files.atomic import replace, write_all

PARQUET = (".parquet", ".pq")
SEPARATORS = ";\t|"  # where the header has no comma
MISSING = ["?"]  # stands for a missing value in many public tables, beside what pandas knows: NA, nan, null, nothing
SHOWN = 10  # names in an error


def read(path: Path) -> pd.DataFrame:
    """Read a table of at least one row; the values of a CSV file stay texts, so that each means the same in any file.

    Raises
    ------
    ValueError
        The file is empty, or no such table.
    """
    name = printable(str(path))
    try:
        frame = read_parquet(path) if path.suffix.lower() in PARQUET else read_csv(path)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{name}: expected a header and rows, got an empty file") from None
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ValueError(f"{name}: expected text in UTF-8, got the byte {byte:#04x}; convert it (iconv)") from None
    except (ValueError, pd.errors.ParserWarning) as error:  # of pandas and pyarrow
        raise ValueError(f"{name}: expected a table in {kind_of_file(path)}: {error}") from None
    if not len(frame):
        raise ValueError(f"{name}: expected rows, got a header alone")
    return frame.reset_index(drop=True).set_axis([str(column) for column in frame.columns], axis=1)


def kind_of_file(path: Path) -> str:
    """What the name says of the content."""
    return "Parquet" if path.suffix.lower() in PARQUET else "CSV"


def read_csv(path: Path) -> pd.DataFrame:
    """Read texts; the separator is the comma, or what the header has instead."""
    arguments: dict[str, Any] = {"index_col": False, "skipinitialspace": True, "encoding": "utf-8-sig", "dtype": str}
    arguments["na_values"] = MISSING
    piped = None if path.is_file() else path.read_bytes()  # what can be read once

    def source() -> Any:
        return path if piped is None else io.BytesIO(piped)

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows that are longer than the header
        [*names] = pd.read_csv(source(), nrows=0, **arguments).columns
        separator = next((s for s in SEPARATORS if len(names) == 1 and s in names[0]), ",")
        return pd.read_csv(source(), sep=separator, **arguments)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read all columns, those that pandas wrote as an index with a name, too."""
    need("Parquet", "pyarrow")
    with path.open("rb") as file:
        frame = pd.read_parquet(file)
    return frame.reset_index() if any(frame.index.names) else frame


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a table, all or nothing."""
    if path.suffix.lower() in PARQUET:
        need("Parquet", "pyarrow")
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        data = buffer.getvalue()
    else:
        data = csv(frame)
    replace(str(path.resolve()), lambda file: write_all(file, data))


def csv(frame: pd.DataFrame) -> bytes:
    """Return a table as CSV."""
    return str(frame.to_csv(index=False, lineterminator="\n")).encode(errors="surrogateescape")


def check_columns(given: Iterable[str], names: Sequence[str], what: str) -> None:
    """Raise a ValueError unless all that are `given` are among the `names`; it begins with `what` was expected."""
    if absent := [name for name in given if name not in names]:
        same = [name for name in names if name.lower().strip() == absent[0].lower().strip()]
        near = same or difflib.get_close_matches(absent[0], names, n=1)
        more = f", ... ({len(names)})" if len(names) > SHOWN else ""
        hint = f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(names[:SHOWN])}{more}"
        lacking = ", ".join(map(repr, absent[:SHOWN])) + (f" and {len(absent) - SHOWN} more" if absent[SHOWN:] else "")
        raise ValueError(f"{what}, got none named {lacking}. {hint}")

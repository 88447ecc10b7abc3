"""`nncore fit` and `nncore predict`: their options. What these run needs other packages, and is imported then."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nncore.cli.options import natural, positive, share, writable
from nncore.cli.packages import need
from nncore.errors import DivergedError

PACKED = (".bz2", ".gz", ".tar", ".xz", ".zip", ".zst")


class Refused(Exception):
    """A table, a model or an option that does not fit the others; its text is all that the user needs."""


def add_commands(commands: Any) -> None:
    """Add `fit` and `predict` to the commands."""
    command = commands.add_parser(
        "fit",
        help="fit a model to a table, CSV or Parquet",
        description="Fit networks to a column of a table by all others, say how well they predict, and write them to a "
        "file. What the columns are is guessed and printed. The score is of networks that were fitted without "
        "the rows that are held out; those in the file are fitted to all rows.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.set_defaults(run=fit)
    add = command.add_argument
    add("data", type=Path, metavar="TABLE", help="CSV with a header (also compressed), or Parquet")
    add("--target", required=True, metavar="COLUMN", help="what is to be predicted")
    add("--task", choices=["auto", "classification", "regression"], default="auto", help="what the target is")
    add("-o", "--output", type=writable, default="model.safetensors", metavar="FILE", help="where the model goes")
    add("--held-out", type=share, default=0.2, metavar="F", help="fraction of the rows for the score; 0: no score")
    add("--drop", action="extend", nargs="+", default=[], metavar="COLUMN", help="columns to leave out")
    add("--seed", type=natural, default=0, metavar="N", help="gives the rows held out, initial weights and dropout")
    add("--threads", type=positive, default=None, metavar="N", help="threads; None: as many as there are cores to use")
    add("--quiet", action="store_true", help="print the score and nothing else")

    command = commands.add_parser(
        "predict",
        help="predict the rows of a table by a model that fit wrote",
        description="Predict each row of a table by a model that `nncore fit` wrote, in the order of the rows.",
    )
    command.set_defaults(run=predict)
    add = command.add_argument
    add("model", type=Path, metavar="MODEL", help="the file that `nncore fit` wrote")
    add("data", type=Path, metavar="TABLE", help="CSV or Parquet with the columns of the table of fit")
    add("-o", "--output", type=table, metavar="FILE", help="CSV, or Parquet by its name (default: CSV to stdout)")
    add("--probabilities", action="store_true", help="add a column of probabilities for each class")
    add("--keep", action="extend", nargs="+", default=[], metavar="COLUMN", help="columns of TABLE to copy")


def table(text: str) -> Path:
    """Parse the path of a table to write."""
    if Path(text).suffix.lower() in PACKED:
        raise argparse.ArgumentTypeError(f"expected the name of a CSV or Parquet file, got {text!r}")
    return writable(text)


def fit(options: argparse.Namespace) -> None:
    """Fit, as the options say."""
    with refusing():
        need("nncore fit", "sklearn", "pandas")
        from nncore.cli import fitting

        fitting.run(options)


def predict(options: argparse.Namespace) -> None:
    """Predict, as the options say."""
    with refusing():
        need("nncore predict", "sklearn", "pandas")
        from nncore.cli import predicting

        predicting.run(options)


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Make of what is raised because of the user's table a line of text, without a traceback."""
    try:
        yield
    except (DivergedError, ImportError, ValueError) as error:
        raise Refused(" ".join(str(error).splitlines())) from error

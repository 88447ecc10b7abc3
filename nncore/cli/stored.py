"""The file between `nncore fit` and `nncore predict`: an estimator, and what its table looked like."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from nncore import files
from nncore.arguments import printable
from nncore.cli.columns import Column, Kind
from nncore.errors import FormatError
from nncore.sklearn import TabularClassifier, TabularRegressor
from nncore.sklearn.saving import documented

TASKS = {"classification": TabularClassifier, "regression": TabularRegressor}
VERSION = 1


def save(path: Path, estimator: Any, task: str, target: str, columns: list[Column]) -> None:
    """Write one safetensors file, all or nothing; `load` of the estimator's class reads it, too."""
    tensors, document = documented(estimator)
    kinds = [column.kind for column in columns]
    files.write(
        path, tensors, document | {"table": {"version": VERSION, "task": task, "target": target, "kinds": kinds}}
    )


def load(path: Path) -> tuple[Any, str, list[Column]]:
    """Read an estimator, the name of its target, and its columns.

    Raises
    ------
    FormatError
        The file is damaged, or `save` did not write it.
    """
    name = printable(str(path))
    with files.File(path) as file:
        table = file.document.get("table")
    if not isinstance(table, dict) or table.get("version") != VERSION:
        raise FormatError(f"{name}: expected a model that `nncore fit` wrote, got another file")
    task, target, kinds = (table.get(key) for key in ("task", "target", "kinds"))
    if not (isinstance(task, str) and task in TASKS and isinstance(target, str) and isinstance(kinds, list)):
        raise FormatError(f"{name}: expected a task, a target and kinds of columns, got {table}; fit it again")
    estimator = TASKS[task].load(path)
    known = estimator.columns_.known
    if len(kinds) != len(known) or not all(kind in get_args(Kind) for kind in kinds):
        raise FormatError(f"{name}: expected the kinds of {len(known)} columns, got {kinds}; fit it again")
    return estimator, target, [Column(c.name, kind, c.levels) for c, kind in zip(known, kinds, strict=True)]

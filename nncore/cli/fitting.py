"""What `nncore fit` does: guess, score on rows held out, fit all rows, write."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from nncore import output, progress
from nncore.arguments import printable
from nncore.callbacks import Callback
from nncore.cli import columns, frames, scores, stored
from nncore.cli.columns import Column
from nncore.state import Array

LEAST_ROWS = 10
MOST_CLASSES = 10  # of a target of whole numbers, if each has five rows: beyond, they are quantities
SHOWN = 30  # columns that are printed one by one


def run(options: argparse.Namespace) -> None:
    """Fit, as the options say."""
    say: Callable[[str], None] = (lambda _: None) if options.quiet else output.say
    if options.output.exists() and options.data.exists() and options.output.samefile(options.data):
        raise ValueError(f"--output: expected a file of its own, got the table {options.data}")
    name = printable(str(options.data))
    frame = frames.read(options.data)
    frames.check_columns([options.target], list(frame), f"--target: expected a column of {name}")
    frames.check_columns(options.drop, list(frame), f"--drop: expected columns of {name}")
    if options.target in options.drop:
        raise ValueError(f"--drop: expected columns other than the target, got {options.target!r}")
    there = frame[options.target].notna()
    if there.sum() < LEAST_ROWS:
        raise ValueError(
            f"{name}: expected at least {LEAST_ROWS} rows with a value of {options.target!r}, got {there.sum()}"
        )
    task, y, why = target_of(frame[options.target][there], options.task, name)
    names = [column for column in frame if column not in (options.target, *options.drop)]
    chosen, X, left = columns.choose(frame, there, names, name)
    if not chosen:
        reasons = "".join(f"; {column!r} is left out: {why}" for column, why in left.items())
        raise ValueError(f"{name}: expected a column to learn from beside {options.target!r}, got none{reasons}")
    gaps = len(frame) - len(X)
    say(f"{name}: {len(X)} rows" + (f" ({gaps} without {options.target} are left out)" if gaps else ""))
    say("\n".join(listed(chosen, X, left)))
    say(f"target {options.target}: {why}\n")
    X = columns.typed(chosen, X)
    if options.held_out:
        score(X, y, task, options, say)
    say(f"Fitting all {len(X)} rows")
    estimator = fitted(task, X, y, options)
    stored.save(options.output, estimator, task, options.target, chosen)
    say(f"Written to {printable(str(options.output))}")


def target_of(values: pd.Series, task: str, name: str) -> tuple[str, Array, str]:
    """The task, the targets, and both in words."""
    kind, where = columns.kind_of(values), f"{name}: column {values.name!r}"
    if kind is None or (kind == "date" and task != "classification"):
        raise ValueError(f"{where}: expected a target of numbers or classes, got {kind or 'something else'}s")
    y = labels = columns.texts(values).to_numpy()
    if kind == "number" or task == "regression":
        y = Column(str(values.name), "number").values(values.to_frame(), name).to_numpy()
        y = y.astype(np.int64) if (y == np.round(y)).all() and np.abs(y).max() < 2**53 else y
    if task == "auto":
        n = len(np.unique(y))
        few = n == 2 or (y.dtype.kind == "i" and n <= min(MOST_CLASSES, len(y) / 5))
        task = "classification" if kind != "number" or few else "regression"
    if task == "classification" and y.dtype.kind == "f":
        y = labels
    different, counts = np.unique(y, return_counts=True)
    if len(different) == 1:
        raise ValueError(f"{where}: expected a target that varies, got {different[0]!s} in all {len(y)} rows")
    if task == "regression":
        return task, y.astype(np.float64), f"regression, {y.min():.6g} to {y.max():.6g}"
    if 2 * len(different) > len(y):
        found = f"{len(different)} values in {len(y)} rows{columns.oddity(values)}"
        raise ValueError(f"{where}: expected classes that several rows share, got {found}")
    common = np.argsort(-counts, kind="stable")[:10]
    classes = ", ".join(f"{columns.brief(different[i])} ({counts[i]})" for i in common)
    classes += ", ..." if len(counts) > 10 else ""
    return task, y, f"classification, {len(different)} classes: {classes}"


def listed(chosen: list[Column], X: pd.DataFrame, left: dict[str, str]) -> list[str]:
    """A line for each column, up to a number of them."""
    rows = [(columns.brief(c.name), str(c.kind), columns.described(c, X[c.name])) for c in chosen[:SHOWN]]
    rows += [(columns.brief(name), "-", f"left out: {why}") for name, why in list(left.items())[:SHOWN]]
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    lines = [f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {words}" for name, kind, words in rows]
    if more := len(chosen) + len(left) - len(rows):
        lines.append(f"  ... and {more} more columns")
    return lines


def score(X: pd.DataFrame, y: Array, task: str, options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Print how well networks predict rows that they were not fitted to, and what a constant would reach."""
    used, held = scores.split(y, task, options.held_out, options.seed)
    say(f"Fitting {len(used)} rows; {len(held)} are held out for the score")
    estimator = fitted(task, X.iloc[used], y[used], options)
    found = scores.table(estimator, X.iloc[held], y[used], y[held], task)
    if options.quiet:
        output.say(", ".join(f"{name} {model:#.4g} (baseline {base:#.4g})" for name, model, base in found))
        return
    say("\n".join(scores.lines(found)) + "\n")


def fitted(task: str, X: pd.DataFrame, y: Array, options: argparse.Namespace) -> Any:
    """An estimator that was fitted, with a bar on terminals."""
    estimator = made(task, options)
    if options.quiet or not output.is_terminal(sys.stdout):
        return estimator.fit(X, y)
    shown = Shown(estimator.ensemble)
    estimator._callbacks = lambda: [Watch(shown)]
    try:
        estimator.fit(X, y)
        shown.end()
    finally:
        del estimator._callbacks
        shown.close()
    return estimator


def made(task: str, options: argparse.Namespace) -> Any:
    """An estimator to be fitted."""
    return stored.TASKS[task](random_state=options.seed, n_jobs=options.threads)


class Shown:
    """A bar of the rows that networks went through, by several threads."""

    def __init__(self, networks: int) -> None:
        self.networks, self.done = networks, 0
        self.bar: progress.Progress | None = None
        self.lock = threading.Lock()

    def begin(self, epochs: int, samples: int) -> None:
        """Show that a network begins."""
        with self.lock:
            self.bar = self.bar or progress.make(1, None, self.networks * epochs * samples)

    def add(self, samples: int) -> None:
        """Show that a network went through its samples once more."""
        with self.lock:
            assert self.bar is not None
            self.done += samples
            self.bar.update(self.done)

    def end(self) -> None:
        """Show that all are fitted."""
        if self.bar:
            self.bar.end_epoch()

    def close(self) -> None:
        """Go to the next line."""
        if self.bar:
            self.bar.close()


class Watch(Callback):
    """Tells of each epoch of a network."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Tell what follows."""
        self.shown.begin(self.params["epochs"], self.params["samples"])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell of this one."""
        self.shown.add(self.params["samples"])

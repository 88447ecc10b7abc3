"""Keeping and showing the logs: in memory, in a CSV file, on the terminal."""

from __future__ import annotations

import copy
import csv
import io
import os
import pickle
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

from nncore import files, plots, progress
from nncore.arguments import check_flag, check_path, explained
from nncore.callbacks.base import Callback
from nncore.display import history_table, history_text
from nncore.files.atomic import naming, write_all
from nncore.warning import warn

INTS = {int, *(np.dtype(code).type for code in "bhilqBHILQ")}  # neither bools nor spans of time


class History(Callback, guarded=False):
    """What `fit` returns: the logs of every epoch.

    Whatever a callback adds to the logs is here, and never keeps a model from being saved, copied or pickled: the names
    of which that cannot take the values are named in one warning, and left out. Files hold None, bools, ints, floats,
    strings, arrays of numbers, and lists and dicts (with strings as keys) of them.

    Attributes
    ----------
    epoch : list of int
        The epochs that ended, counted from 0.
    history : dict of str to list
        ``{"loss": [0.5, 0.3], "val_loss": […]}``; a name that was missing in some epoch has a shorter list.
    """

    warned: frozenset[Any] = frozenset()  # names that were left out with a warning

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start with nothing, as `model.history`."""
        self.epoch, self.history = [], {}
        self.model.history = self

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the epoch."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def get_state(self) -> dict[str, Any]:
        """The lists; those of floats, of ints, and of arrays of one shape as one array: faster, in less space."""
        stored = self.each(_stored, "a file")
        return {"epoch": np.array(self.epoch, np.int64), "names": list(stored), "values": list(stored.values())}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from `get_state`."""
        self.epoch = state["epoch"].tolist()
        self.history = {name: _listed(values) for name, values in zip(state["names"], state["values"], strict=True)}
        if self.model is not None:  # a restored model brought a history of its own
            self.model.history = self

    def plot(self, names: Any = None, figure: Any = None) -> Any:
        """Draw the values by epoch, by matplotlib: a name and its ``val_…`` together.

        Parameters
        ----------
        names : list of str, optional
            Default: all whose values are numbers.
        figure : matplotlib figure, optional
            To draw on; default a new one.

        Returns
        -------
        matplotlib.figure.Figure
            ``history.plot().savefig("history.png")``.

        Raises
        ------
        ImportError
            There is no matplotlib.
        ValueError
            There is nothing to draw, or `names` has others.
        """
        return plots.drawn(self.history, self.epoch, names, figure)

    def __repr__(self) -> str:
        return history_text(self)

    def _repr_html_(self) -> str:
        return history_table(self)

    def each(self, attempt: Callable[[str, list[Any]], Any], where: str) -> dict[str, Any]:
        """What `attempt` makes of each name and its values, but for those where it raises: of them a warning, once."""
        made, lost = {}, {}
        for name, values in self.history.items():
            try:
                made[name] = attempt(name, values)
            except Exception as error:  # a value may be anything, and raise anything
                lost[name] = error
        if not lost.keys() <= self.warned:
            self.warned |= lost.keys()
            names = ", ".join(f"{name!r} ({error})" for name, error in lost.items())
            warn(
                f"history: {where} cannot hold what a callback added to the logs: {names}; left out. Add numbers, "
                "strings, arrays, or lists and dicts of them"
            )
        return made

    def __getstate__(self) -> dict[str, Any]:
        kept = self.each(lambda name, values: pickle.dumps((name, values)), "a pickle")
        return super().__getstate__() | {"history": {name: self.history[name] for name in kept}}

    def __deepcopy__(self, memo: dict[int, Any]) -> History:
        made: History = type(self).__new__(type(self))
        memo[id(self)] = made
        history = self.each(lambda name, values: copy.deepcopy(values, memo), "a copy")
        vars(made).update(copy.deepcopy(super().__getstate__() | {"history": {}}, memo), history=history)
        return made


def _stored(name: str, values: list[Any]) -> Any:
    """The values as a file holds them; a TypeError if it cannot."""
    if not isinstance(name, str):
        raise TypeError("expected a string for a name")
    stored = _array(values)
    if fault := files.fault(name) or files.fault(stored):
        raise TypeError(fault)
    return stored


def _array(values: list[Any]) -> Any:
    """The values as one array, if `_listed` can undo that; else as they are."""
    if all(type(v) is float or (isinstance(v, np.floating) and (v == float(v) or v != v)) for v in values):
        return np.array(values, np.float64)
    if all(type(v) in INTS and -(2**63) <= int(v) < 2**63 for v in values):
        return np.array([int(v) for v in values], np.int64)
    first = values[0]
    if type(first) is np.ndarray and first.ndim and first.dtype.kind in "biuf":
        same = first.dtype, first.shape
        if all(type(v) is np.ndarray and (v.dtype, v.shape) == same for v in values):
            return np.stack(values)
    return values


def _listed(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) and values.ndim == 1 else list(values)


class CSVLogger(Callback):
    """Write the logs of every epoch to a CSV file, which any program may read meanwhile.

    The columns are ``epoch`` (counted from 0) and the sorted names of the first epoch's logs, then those that
    `params["metrics"]` announces for later, such as ``val_loss`` with ``validation_freq=2``; or those of the file that
    is continued. After a resume the file is what it would have been without interruption.

    Parameters
    ----------
    filename : str, bytes or PathLike
        The file; it is made when the first epoch ends.
    separator : str, default ","
        One character, but no quote or end of a line.
    append : bool, default False
        Whether to add to a file that exists, or to begin it anew.
    """

    @explained
    def __init__(self, filename: str | bytes | os.PathLike[Any], separator: str = ",", append: bool = False) -> None:
        if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
            raise ValueError(f"separator: expected one character that is no quote or end of a line, got {separator!r}")
        self.filename, self.sep = check_path(filename, "filename"), separator
        self.append = check_flag(append, "append")
        self.keys: list[str] | None = None
        self.file: io.FileIO | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Touch nothing yet: a resume may still want to continue the file."""
        self.on_close()
        self.keys = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a row; what is not in the logs is NA."""
        logs = {_text(name): value for name, value in (logs or {}).items()}
        if self.file is None:
            self.file = io.FileIO(self.filename, "a+" if self.append else "w")
            self.keys = self.columns() if self.append else None
        if self.keys is None:
            later = [name for name in self.params.get("metrics", []) if name not in logs]
            self.keys = sorted(logs) + later
        self.write([epoch, *(_cell(logs.get(key, "NA")) for key in self.keys)])

    def columns(self) -> list[str] | None:
        """Those of the file that is continued, after ``epoch``; None if it is empty, or another program's."""
        assert self.file is not None
        self.file.seek(0)
        names = next(csv.reader([self.file.readline().decode("utf-8", "replace")], delimiter=self.sep), [])
        self.file.seek(0, os.SEEK_END)
        return names[1:] if names[:1] == ["epoch"] else None

    def write(self, row: list[Any]) -> None:
        """Append a row, below the names if it is the first of the file."""
        assert self.file is not None and self.keys is not None
        text = io.StringIO()
        rows = csv.writer(text, delimiter=self.sep, lineterminator="\n")
        if self.file.tell() == 0:
            rows.writerow(["epoch", *self.keys])
        rows.writerow(row)
        with naming(self.filename):
            write_all(self.file, text.getvalue().encode())

    def on_close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()
        self.file = None

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the file."""
        self.on_close()

    def get_state(self) -> dict[str, Any]:
        """How much is written, and surely on the disk."""
        if self.file is None:
            return {"position": None, "keys": None}
        os.fsync(self.file.fileno())
        return {"position": self.file.tell(), "keys": self.keys}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue the file at the position that was saved, without the rows after it."""
        self.on_close()
        self.keys = state["keys"]
        if state["position"] is None:
            return
        self.file = io.FileIO(os.open(self.filename, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+")
        if (size := self.file.seek(0, os.SEEK_END)) < state["position"]:
            warn(
                f"filename: {self.filename!r} has lost rows since the backup (expected {state['position']} bytes, got "
                f"{size}); appending to what is left"
            )
        else:
            self.file.truncate(state["position"])
            self.file.seek(state["position"])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    try:
        several = isinstance(value, (list, tuple)) or np.ndim(value)
        return _text(f"[{', '.join(map(str, value))}]" if several else value)
    except Exception:  # an int of more digits than Python prints, an object of the user's
        return f"<{type(value).__name__}>"


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair is no text


def display(verbose: Any) -> list[Callback]:
    """What shows a run: a `ProgressBar`, unless `verbose` asks for silence."""
    return [] if verbose is None or (isinstance(verbose, int) and verbose == 0) else [ProgressBar()]


class ProgressBar(Callback, guarded=False):
    """Show how a run goes: what `verbose` does.

    Parameters
    ----------
    verbose : {"auto", 0, 1, 2}, optional
        See `nncore.progress.make`; by default that of the run.
    stream : file, optional
        Where to write; by default what `sys.stdout` is when the run begins.
    """

    @explained
    def __init__(self, verbose: str | int | None = None, stream: TextIO | None = None) -> None:
        self.verbose, self.stream = verbose, stream
        self.shown: progress.Progress | None = None
        self.begun = False

    def begin(self, epochs: int | None) -> None:
        """Begin the display of a run."""
        verbose = self.params.get("verbose", "auto") if self.verbose is None else self.verbose
        self.shown = progress.make(verbose, epochs, self.params.get("samples"), self.stream)
        self.begun = epochs is None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin to show a fit."""
        self.begin(self.params.get("epochs", 1))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Begin to show an epoch."""
        if self.shown is not None:
            self.shown.begin_epoch(epoch)
            self.begun = True

    def on_tick(self, samples_done: int, logs: dict[str, Any] | None = None) -> None:
        """Show how far it is."""
        if self.shown is None:
            return
        if not self.begun:  # resumed in the middle of an epoch
            self.shown.begin_epoch(self.model.fit_state.epoch, samples_done)
            self.begun = True
        self.shown.update(samples_done, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the epoch's results."""
        if self.shown is None:
            return
        if not self.begun:
            self.shown.begin_epoch(epoch)
        self.shown.end_epoch(logs)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin to show an evaluation, unless it belongs to a fit."""
        if self.shown is None:
            self.begin(None)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Show its results."""
        if self.shown is not None and self.shown.epochs is None:
            self.shown.end_epoch(logs)
            self.on_close()

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin to show a prediction."""
        self.on_test_begin()

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """Show that it is done."""
        self.on_test_end()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """End the display."""
        self.on_close()

    def on_close(self) -> None:
        """End the display."""
        if self.shown is not None:
            self.shown.close()
        self.shown = None

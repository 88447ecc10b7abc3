"""Keeping and showing the logs: in memory, in a CSV file, on the terminal."""

from __future__ import annotations

import csv
import io
import os
import warnings
from typing import Any, TextIO

import numpy as np

from nncore import progress
from nncore.arguments import check_flag, check_path, explained
from nncore.callbacks.base import Callback


class History(Callback):
    """What `fit` returns: the logs of every epoch.

    Attributes
    ----------
    epoch : list of int
        The epochs that ended, counted from 0.
    history : dict of str to list
        ``{"loss": [0.5, 0.3], "val_loss": […]}``; a name that was missing in some epoch has a shorter list.
    """

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
        """The lists; those of floats as arrays, which are stored faster and in less space."""
        return {
            "epoch": np.array(self.epoch, np.int64),
            "names": list(self.history),
            "values": [
                np.array(values) if all(type(value) is float for value in values) else values
                for values in self.history.values()
            ],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from `get_state`."""
        self.epoch = state["epoch"].tolist()
        lists = [values.tolist() if isinstance(values, np.ndarray) else list(values) for values in state["values"]]
        self.history = dict(zip(state["names"], lists, strict=True))
        if self.model is not None:  # a restored model brought a history of its own
            self.model.history = self


class CSVLogger(Callback):
    """Write the logs of every epoch to a CSV file, which any program may read meanwhile.

    The columns are ``epoch`` (counted from 0) and the sorted names of the first epoch's logs, then those that
    `params["metrics"]` announces for later. After a resume the file is what it would have been without interruption.

    Parameters
    ----------
    filename : str or PathLike
        The file; it is made when the first epoch ends.
    separator : str, default ","
        One character, but no quote or end of a line.
    append : bool, default False
        Whether to add to a file that exists, or to begin it anew.
    """

    @explained
    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
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
        logs = logs or {}
        if self.keys is None:
            later = [name for name in self.params.get("metrics", []) if name not in logs]
            self.keys = sorted(logs) + later
        if self.file is None:
            self.file = io.FileIO(self.filename, "a" if self.append else "w")
        self.write([epoch, *(_cell(logs.get(key, "NA")) for key in self.keys)])

    def write(self, row: list[Any]) -> None:
        """Append a row, below the names if it is the first of the file."""
        assert self.file is not None and self.keys is not None
        text = io.StringIO()
        rows = csv.writer(text, delimiter=self.sep, lineterminator="\n")
        if self.file.tell() == 0:
            rows.writerow(["epoch", *self.keys])
        rows.writerow(row)
        self.file.write(text.getvalue().encode())

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
            warnings.warn(
                f"filename: {self.filename!r} has lost rows since the backup (expected {state['position']} bytes, got "
                f"{size}); appending to what is left",
                stacklevel=2,
            )
        else:
            self.file.truncate(state["position"])
            self.file.seek(state["position"])


def _cell(value: Any) -> Any:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, (list, tuple)) or np.ndim(value) else value


class ProgressBar(Callback):
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

"""A picture of the history that follows the fit."""

from __future__ import annotations

from typing import Any

from nncore import plots
from nncore.arguments import check_count, check_path, explained
from nncore.callbacks.base import Callback


class LivePlot(Callback):
    """Draw the history anew after epochs, by matplotlib: in a notebook in place of the last picture, or to a file.

    Parameters
    ----------
    names : list of str, optional
        What of the logs; default all numbers.
    freq : int, default 1
        Epochs from one picture to the next; there is one of the last epoch in any case.
    filename : str or path-like, optional
        Write the picture there, in the format that its ending says.

    Raises
    ------
    ImportError
        There is no matplotlib.
    """

    @explained
    def __init__(self, names: Any = None, freq: int = 1, filename: Any = None) -> None:
        self.names, self.freq = names, check_count(freq, "freq")
        self.filename = None if filename is None else check_path(filename, "filename")
        self._pyplot = plots.pyplot()
        self._figure: Any = None
        self._shown: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin a picture of its own."""
        self._figure = self._shown = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draw, if it is time; the history has this epoch only after all callbacks, so its logs are added here."""
        if (epoch + 1) % self.freq == 0:
            self.draw(epoch, logs or {})

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Draw the last epoch, if that was not done."""
        if self.model.history.epoch and (self.model.history.epoch[-1] + 1) % self.freq:
            self.draw(None, {})
        self.on_close()

    def on_close(self) -> None:
        """Let go of the figure."""
        if self._figure is not None:
            self._pyplot.close(self._figure)
        self._figure = None

    def draw(self, epoch: int | None, logs: dict[str, Any]) -> None:
        """Draw the history so far, with these logs of another epoch."""
        known = self.model.history
        series = {name: list(values) for name, values in known.history.items()}
        epochs = list(known.epoch)
        if epoch is not None and epoch not in epochs:
            epochs.append(epoch)
            for name, value in logs.items():
                series.setdefault(name, []).append(value)
        names = None if self.names is None else [name for name in self.names if name in series]
        if not plots.panels(series, names):
            return
        if self._figure is not None:
            self._figure.clear()
        self._figure = plots.drawn(series, epochs, names, self._figure)
        if self.filename is not None:
            self._figure.savefig(self.filename)
        if (display := notebook()) is not None:
            if self._shown is None:
                self._shown = display(self._figure, display_id=True)
            else:
                self._shown.update(self._figure)


def notebook() -> Any:
    """IPython's `display`, within a notebook."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    return display if get_ipython() is not None else None

"""Watching one number of the logs and telling better from worse."""

from __future__ import annotations

import difflib
import math
import re
from typing import Any, ClassVar

import numpy as np

from nncore.arguments import check_number
from nncore.callbacks.base import Callback
from nncore.warning import warn

# Parts of names of which less or more is better.
LOWER = re.compile(r"error|crossentropy|divergence|hinge|poisson|perplexity|logcosh|false_|brier|(^|_)ece$")
LOWER_ENDS = re.compile(r"loss$|(^|_)r?(mse|mae|mape|msle)$")  # whatever the name of the output before it
HIGHER = re.compile(
    r"acc|auc|precision|recall|(?<!brier_)score|f1|fbeta|(^|_)r2|io_?u|similarity|sensitivity|specificity|true_"
    r"|kappa|correlation|explained_variance|(^|_)(mcc|ccc)$"
)


def check_threshold(value: Any, argument: str) -> float | None:
    """What a user wants surpassed, as a float; None stays."""
    return None if value is None else check_number(value, argument, "a number, not NaN", lambda v: v == v)


class MonitorCallback(Callback):
    """Base of the callbacks that watch a quantity.

    Parameters
    ----------
    monitor : str, default "val_loss"
        Its name in the logs.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better; "auto" judges by the name.
    min_delta : float, default 0
        The least change that counts; its sign does not.
    verbose : {0, 1}, default 0
        Whether to print what is decided.

    Attributes
    ----------
    best : float or None
        The best value so far. NaN is never better than anything, not even than nothing.

    Raises
    ------
    ValueError, TypeError
        `mode` is unknown, or "auto" and the name does not tell (Keras takes an unknown mode for "auto"); or another
        argument is wrong.
    """

    remedies: ClassVar[dict[str, str]] = {"monitor": "What is better was settled with it; make another."}

    def __init__(self, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0, verbose: int = 0) -> None:
        if not isinstance(monitor, str) or not monitor:
            raise TypeError(f"monitor: expected a name in the logs, such as 'val_loss', got {monitor!r}")
        if not isinstance(verbose, int) or verbose not in (0, 1):
            raise ValueError(f"verbose: expected 0 or 1, got {verbose!r}")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode: expected 'auto', 'min' or 'max', got {mode!r}")
        if mode == "auto":
            ends = bool(LOWER_ENDS.search(monitor))
            lower = ends or bool(LOWER.search(monitor))
            higher = not ends and bool(HIGHER.search(monitor))
            if lower == higher:
                raise ValueError(
                    f"mode: {monitor!r} does not tell whether less or more of it is better; pass 'min' or 'max'"
                )
            mode = "min" if lower else "max"
        self.monitor, self.mode, self.verbose = monitor, mode, verbose
        self.min_delta = abs(check_number(min_delta, "min_delta", "a finite number", math.isfinite))
        self.best: float | None = None
        self.warned = False

    def current(self, logs: dict[str, Any] | None) -> float | None:
        """The monitored value; None where the logs have none. Warns, once, if those of no epoch can, or of NaN."""
        logs = logs or {}
        if (value := logs.get(self.monitor)) is not None:
            try:
                number = float(value.item() if isinstance(value, np.ndarray) else value)  # of one output, F1Score's
            except (TypeError, ValueError):
                raise TypeError(
                    f"monitor: {type(self).__name__} expected one number in logs[{self.monitor!r}], got {value!r}"
                ) from None
            if math.isnan(number):
                self.warn(f"got NaN for {self.monitor!r}, which is never better. Look for NaN in its data")
            return number
        if not self.awaited(logs):
            self.warn(f"expected {self.monitor!r} in the logs, which have {_names(logs) or 'nothing'}{self.hint(logs)}")
        return None

    def awaited(self, logs: dict[str, Any]) -> bool:
        """Whether the logs of some epochs have the value, though maybe not these: `validation_freq` leaves some out."""
        return self.monitor in logs or self.monitor in self.params.get("metrics", ())

    def hint(self, logs: dict[str, Any]) -> str:
        """What may be the reason that the logs never have the value."""
        known = [name for name in (*self.params.get("metrics", ()), *logs) if isinstance(name, str)]
        if self.monitor.startswith("val_") and not any(name.startswith("val_") for name in known):
            freq, epochs = self.params.get("validation_freq"), self.params.get("epochs")
            if freq is None:
                return "; pass validation_data or validation_split to fit"
            return f"; validation_freq={freq} validates after none of the epochs to {epochs}; pass a smaller one"
        near = difflib.get_close_matches(self.monitor, known, n=1)
        return f"; did you mean {near[0]!r}?" if near else ""

    @property
    def monitor_op(self) -> np.ufunc:
        """What tells a better value from a worse one: `numpy.less` or `numpy.greater`."""
        return np.less if self.mode == "min" else np.greater

    def warn(self, text: str) -> None:
        """Warn about the monitored quantity, once."""
        if not self.warned:
            self.warned = True
            warn(f"monitor: {type(self).__name__} {text}")

    def better(self, value: float, than: float | None) -> bool:
        """Whether `value` improves on `than` by more than `min_delta`; anything but NaN improves on None."""
        if math.isnan(value) or than is None:
            return not math.isnan(value)
        return value + self.min_delta < than if self.mode == "min" else value - self.min_delta > than


def _names(logs: dict[str, Any]) -> str:
    return ", ".join(map(str, logs))

"""Ending a fit early: no more improvement, or numbers that are not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nncore.arguments import check_count, check_flag, explained
from nncore.callbacks.base import Callback, take_state
from nncore.callbacks.monitor import MonitorCallback, check_threshold
from nncore.output import say

STATE = ("best", "wait", "best_epoch", "stopped_epoch", "best_weights", "warned")  # of EarlyStopping


class EarlyStopping(MonitorCallback):
    """Stop when the monitored quantity has stopped improving.

    What counts: epochs from `start_from_epoch` on whose logs have the quantity, so with ``validation_freq=2`` every
    other one. Such an epoch is *the best* if it is the first, or better than all before it by more than `min_delta`. It
    is *an improvement* if it is the best and better than `baseline`, too, also by more than `min_delta`. Training stops
    after `patience` epochs in a row that are no improvement, counted from the last improvement or, without one, from
    the start: a baseline that is never reached stops it `patience` epochs in, also if each epoch is better than the one
    before. (Keras 3.15 counts such epochs, too, but waits for one that is not the best.) As in Keras, epoch 0 alone
    never stops a fit, and a `patience` of 0 means that of 1. NaN is never better than anything.

    Parameters
    ----------
    monitor : str, default "val_loss"
        Its name in the logs. If no epoch of the fit is to have it there is a warning, and training goes on.
    min_delta : float, default 0
        The least change that counts.
    patience : int, default 0
        Epochs without improvement after which training stops.
    verbose : {0, 1}, default 0
        Whether to say so.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better; "auto" judges by the name.
    baseline : float, optional
        Stop as well if this is not surpassed within `patience` epochs.
    restore_best_weights : bool, default False
        Whether the model gets the weights of the best epoch when training ends, however it ends: stopped here or by
        another callback, after all epochs, by Ctrl-C, by an exception. They need not have surpassed `baseline`.
    start_from_epoch : int, default 0
        Epochs at the start that do not count.

    Attributes
    ----------
    best : float or None
        The best value; NaN never is.
    best_epoch : int
        Its epoch, counted from 0.
    stopped_epoch : int
        The epoch after which training stopped, counted from 0; 0 if it did not.

    Raises
    ------
    ValueError, TypeError
        An argument is wrong, or `mode` must be said; see `MonitorCallback`.

    References
    ----------
    L. Prechelt, "Early Stopping — But When?", in Neural Networks: Tricks of the Trade, Springer 1998.
    """

    @explained
    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta, verbose)
        self.patience = check_count(patience, "patience", 0)
        self.baseline = check_threshold(baseline, "baseline")
        self.restore_best_weights = check_flag(restore_best_weights, "restore_best_weights")
        self.start_from_epoch = check_count(start_from_epoch, "start_from_epoch", 0)
        self.on_train_begin()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forget an earlier fit."""
        self.best = None
        self.wait = self.best_epoch = self.stopped_epoch = 0
        self.best_weights: list[npt.NDArray[Any]] | None = None
        self.restored = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare, remember, count, and maybe stop."""
        value = self.current(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        best = self.better(value, self.best)
        if best:
            weights = [np.array(w) for w in self.model.get_weights()] if self.restore_best_weights else None
            self.best, self.best_epoch, self.best_weights = value, epoch, weights  # together, also under Ctrl-C
        if best and (self.baseline is None or self.better(value, self.baseline)):
            self.wait = 0
            return
        self.wait += 1
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the best weights, if asked to."""
        if self.verbose and self.stopped_epoch:
            say(f"Epoch {self.stopped_epoch + 1}: early stopping")
        self.restore()

    def on_close(self) -> None:
        """Restore them after an exception, too."""
        self.restore()

    def restore(self) -> None:
        """Give the model the best weights, once a fit."""
        if self.best_weights is None or self.restored:
            return
        if self.verbose:
            say(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
        self.model.set_weights(self.best_weights)
        self.restored = True

    def get_state(self) -> dict[str, Any]:
        """All that was remembered and counted."""
        return {name: getattr(self, name) for name in STATE}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from `get_state`."""
        take_state(self, state, STATE)


class TerminateOnNaN(Callback):
    """End `fit` normally, instead of by DivergedError, at a loss or gradient that is not finite.

    The step is not applied: the model keeps the last finite weights. (Keras notices after the update, and only at the
    loss.)

    Parameters
    ----------
    raise_error : bool, default False
        True: raise DivergedError, as `fit` does without this callback.
    """

    @explained
    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = check_flag(raise_error, "raise_error")

    def on_diverged(self, epoch: int, batch: int) -> bool:
        """Say so and stop, unless it is to be an error."""
        if self.raise_error:
            return False
        say(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True
        return True

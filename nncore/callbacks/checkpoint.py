"""Saving the model every so often."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from nncore.arguments import check_flag, check_path, explained, is_whole, printable
from nncore.callbacks.base import Callback, Phase, take_state
from nncore.callbacks.monitor import MonitorCallback, check_threshold
from nncore.files.foreign import check_ending
from nncore.output import say


class Periodic(Callback):
    """Base of the callbacks that save after epochs or batches: calls `save`.

    Parameters
    ----------
    save_freq : "epoch" or int, default "epoch"
        After each epoch, or after every so many batches, counted over epochs.
    """

    remembered: ClassVar[tuple[str, ...]] = ("epoch", "batches")  # attributes that an exact resume needs

    def __init__(self, save_freq: str | int = "epoch") -> None:
        if save_freq != "epoch" and not (is_whole(save_freq) and int(save_freq) > 0):
            raise ValueError(
                f"save_freq: expected 'epoch' or a positive number of batches, got {save_freq!r} (Invalid value for "
                f"argument `save_freq`; Unrecognized save_freq: {save_freq})"
            )
        self.save_freq = save_freq if save_freq == "epoch" else int(save_freq)
        self.epoch, self.batches = 0, 0

    def save(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> None:
        """Save after this epoch, or after this batch of it."""
        raise NotImplementedError

    def wants(self, phase: Phase) -> bool:
        """Batches count only if `save_freq` is in batches."""
        idle = self.save_freq == "epoch" and type(self).on_train_batch_end is Periodic.on_train_batch_end
        return super().wants(phase) and not (phase == "train" and idle)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember the epoch."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count, and maybe save."""
        if isinstance(self.save_freq, int):
            self.batches = (self.batches + 1) % self.save_freq
            if self.batches == 0:
                self.save(self.epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save, unless batches are counted."""
        if self.save_freq == "epoch":
            self.save(epoch, None, logs or {})

    def get_state(self) -> dict[str, Any]:
        """Epoch and batches since the last save."""
        return {name: getattr(self, name) for name in self.remembered}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from `get_state`."""
        take_state(self, state, self.remembered)


class ModelCheckpoint(Periodic, MonitorCallback):
    """Save the model after epochs or batches, each time or only when it is better than ever.

    Parameters
    ----------
    filepath : str, bytes or PathLike
        The file; may hold ``{epoch}`` and ``{batch}``, counted from 1, and names of the logs with a format:
        ``"model-{epoch:02d}-{val_loss:.2f}.safetensors"``. Missing directories are made.
    monitor : str, default "val_loss"
        What decides which model is the best. An epoch that lacks it, since `validation_freq` leaves it out, saves
        nothing, with a warning, once. If it is in none of the logs (a wrong name, no validation data), every model is
        saved until one has it, with a warning, as in Keras.
    verbose : {0, 1}, default 0
        Whether to say what is saved and why.
    save_best_only : bool, default False
        Whether to save only what improves on the best so far, also that of earlier fits with this object. With a
        `save_freq` in batches a quantity of the validation, ``val_…``, is looked at after epochs, where it is known.
    save_weights_only : bool, default False
        Whether to call `model.save_weights` instead of `model.save`.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better; "auto" judges by the name.
    save_freq : "epoch" or int, default "epoch"
        After each epoch, or after every so many batches, counted over epochs.
    initial_value_threshold : float, optional
        What the first model must surpass, with `save_best_only`.

    Raises
    ------
    ValueError, TypeError
        An argument is wrong; or, when saving, a name in `filepath` is not in the logs.
    """

    remembered = (*Periodic.remembered, "best", "warned")
    remedies = MonitorCallback.remedies | {"save_best_only": MonitorCallback.remedies["monitor"]}

    @explained
    def __init__(
        self,
        filepath: str | bytes | os.PathLike[Any],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        Periodic.__init__(self, save_freq)
        # What is not compared needs no direction.
        self.save_best_only = check_flag(save_best_only, "save_best_only")
        mode = mode if self.save_best_only or mode != "auto" else "min"
        MonitorCallback.__init__(self, monitor, mode, verbose=verbose)
        self.save_weights_only = check_flag(save_weights_only, "save_weights_only")
        self.filepath = check_path(filepath, "filepath")
        check_ending(self.filepath, "filepath")
        self.best = check_threshold(initial_value_threshold, "initial_value_threshold")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save, unless batches are counted, and their logs say what is the best."""
        if self.save_best_only and self.save_freq != "epoch" and self.monitor.startswith("val_"):
            if self.monitor in (logs or {}):
                self.save(epoch, None, logs or {})
        else:
            super().on_epoch_end(epoch, logs)

    def save(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> None:
        """Save the model, if it is to be saved."""
        reason = ""
        if self.save_best_only:
            best = "None" if self.best is None else f"{self.best:.5f}"
            value = self.current(logs)
            if value is None:
                if self.awaited(logs) and self.monitor not in logs:
                    self.warn_of_frequency(batch)
                if self.awaited(logs) or self.best is not None:
                    return
            elif not self.better(value, self.best):
                self.say(f"Epoch {epoch + 1}: {self.monitor} did not improve from {best}")
                return
            else:
                reason = f"{self.monitor} improved from {best} to {value:.5f}, "
        path = self.path(epoch, batch, logs)
        self.say(f"Epoch {epoch + 1}: {reason}saving model to {printable(path)}")
        if directory := os.path.dirname(path):
            os.makedirs(directory, exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if reason:
            self.best = value

    def warn_of_frequency(self, batch: int | None) -> None:
        """Say which models are not considered for the best one."""
        if batch is not None:
            self.warn(
                f"saves the best after epochs, not after every {self.save_freq} batches, whose logs lack "
                f"{self.monitor!r}; pass save_freq='epoch', or monitor='loss'"
            )
            return
        freq = self.params.get("validation_freq")
        self.warn(
            f"saves nothing after epochs without {self.monitor!r}, which validation_freq={freq} leaves out; "
            "to consider every epoch pass validation_freq=1"
        )

    def say(self, text: str) -> None:
        """Print, if asked to."""
        if self.verbose:
            say(text)

    def path(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> str:
        """The file's name for this occasion."""
        known = dict(logs) | {"epoch": epoch + 1} | ({} if batch is None else {"batch": batch + 1})
        names = ", ".join(map(str, known))
        try:
            return self.filepath.format_map(known)
        except KeyError as error:
            later = " only after a validation" if error.args[0] in self.params.get("metrics", ()) else ""
            raise ValueError(f"filepath: {self.filepath!r} names {error}{later}, known are {names}") from None
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"filepath: cannot fill in {self.filepath!r}: {error}; known are {names}") from None

"""Surviving interruptions of a fit."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from nncore.arguments import check_flag, check_path, explained
from nncore.callbacks.checkpoint import Periodic


class BackupAndRestore(Periodic):
    """Continue an interrupted `fit` where it was, to the bit, when the same program runs again.

    The backup holds the weights, the optimizer, the position in the epoch and the state of every callback, in one
    file that is replaced atomically: a kill at any moment, also during a save, loses at most what came after the last
    one.

    Parameters
    ----------
    backup_dir : str or PathLike
        Where ``backup.safetensors`` is kept, one directory for each fit. (Keras removes the whole directory in the end;
        here only the file, and the directory if it is then empty.)
    save_freq : "epoch" or int, default "epoch"
        After each epoch, or after every so many batches, counted over epochs.
    delete_checkpoint : bool, default True
        Whether to delete the file when training has ended normally.
    """

    comes_last = True

    @explained
    def __init__(
        self, backup_dir: str | os.PathLike[str], save_freq: str | int = "epoch", delete_checkpoint: bool = True
    ) -> None:
        super().__init__(save_freq)
        self.backup_dir = check_path(backup_dir, "backup_dir")
        self.delete_checkpoint = check_flag(delete_checkpoint, "delete_checkpoint")
        self.path = os.path.join(self.backup_dir, "backup.safetensors")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Continue from the backup, if there is one."""
        self.epoch, self.batches = 0, 0
        if os.path.exists(self.path):
            self.model.fit_state.restore(self.path)

    def save(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> None:
        """Write the backup."""
        os.makedirs(self.backup_dir, exist_ok=True)
        self.model.fit_state.save(self.path)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Delete the backup, since there is nothing to continue."""
        if self.delete_checkpoint:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
            with contextlib.suppress(OSError):  # not empty, or never made
                os.rmdir(self.backup_dir)

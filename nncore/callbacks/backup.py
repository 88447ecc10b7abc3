"""Surviving interruptions of a fit."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from nncore.arguments import check_flag, check_path, explained, printable
from nncore.callbacks.checkpoint import Periodic
from nncore.files import FileLock


class BackupAndRestore(Periodic):
    """Continue an interrupted `fit` where it was, to the bit, when the same program runs again.

    The backup holds the weights, the optimizer, the position in the epoch and the state of every callback, in one
    file that is replaced atomically: a kill at any moment, also during a save, loses at most what came after the last
    one. It knows the data by a digest (y, weights and up to 1 GiB of x whole, a sample of a larger x), the arguments of
    the fit, and the arithmetic; the number of threads does not matter.

    Parameters
    ----------
    backup_dir : str, bytes or PathLike
        Where ``backup.safetensors`` is kept, one directory for each fit. (Keras removes the whole directory in the end;
        here only the file, and the directory if it is then empty.)
    save_freq : "epoch" or int, default "epoch"
        After each epoch, or after every so many batches, counted over epochs.
    double_checkpoint : bool, default False
        Of no consequence: whatever happens during a save, the last backup is whole.
    delete_checkpoint : bool, default True
        Whether to delete the file when training has ended normally.
    allow_other_bits : bool, default False
        Whether to go on also where results have other bits than those of an uninterrupted fit: with another
        instruction set, another `matmul_precision`, or a version of nncore that computes otherwise.

    Raises
    ------
    RuntimeError
        At the begin of the fit: another one, of whatever process, is using the directory. (File systems without locks
        cannot tell.)
    FormatError
        At the begin of the fit: the backup is that of another fit, or damaged.
    """

    comes_last = True

    @explained
    def __init__(
        self,
        backup_dir: str | bytes | os.PathLike[Any],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
        allow_other_bits: bool = False,
    ) -> None:
        super().__init__(save_freq)
        self.backup_dir = check_path(backup_dir, "backup_dir")
        self.double_checkpoint = check_flag(double_checkpoint, "double_checkpoint")
        self.delete_checkpoint = check_flag(delete_checkpoint, "delete_checkpoint")
        self.allow_other_bits = check_flag(allow_other_bits, "allow_other_bits")
        self.lock: FileLock | None = None

    @property
    def path(self) -> str:
        """The file."""
        return os.path.join(self.backup_dir, "backup.safetensors")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keep other fits out, and continue from the backup, if there is one."""
        if self.model.fit_state is None:
            raise RuntimeError(
                f"{type(self).__name__}: expected a fit, whose place it holds, got a loop of your own. Call model.save "
                "there"
            )
        self.epoch, self.batches = 0, 0
        self.lock = self.locked()
        if os.path.exists(self.path):
            self.model.fit_state.restore(self.path, self.allow_other_bits)

    def locked(self) -> FileLock:
        """The lock on the directory, which may be new."""
        while True:
            os.makedirs(self.backup_dir, exist_ok=True)
            try:
                return FileLock(os.path.join(self.backup_dir, "backup.lock"))
            except FileNotFoundError:
                continue  # another fit has just ended, and removed its directory
            except BlockingIOError as error:
                raise RuntimeError(
                    f"backup_dir: expected a directory of this fit alone, got {printable(self.backup_dir)!r}, which "
                    f"the fit of {error} is using. Wait for it, or give each fit a directory of its own"
                ) from None

    def save(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> None:
        """Write the backup."""
        self.model.fit_state.save(self.path)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Delete the backup, since there is nothing to continue."""
        if self.delete_checkpoint:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        self.on_close()

    def on_close(self) -> None:
        """Let other fits in; a directory without a backup goes."""
        if self.lock is not None:
            self.lock.release()
            with contextlib.suppress(OSError):  # not empty
                os.rmdir(self.backup_dir)
        self.lock = None

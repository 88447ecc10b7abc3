"""The exceptions that nncore adds to Python's own.

Bad arguments raise ValueError or TypeError, with the argument, what was expected, what came, and the remedy.
"""

from __future__ import annotations


class FormatError(ValueError):
    """A file is truncated, damaged, of another version, or was not written by nncore."""


class DivergedError(ArithmeticError, RuntimeError):
    """Training met a loss or gradient that is not finite; the step was not applied.

    The model keeps the last finite weights and stays usable; `model.history` holds the epochs that ended. Where an
    absurd learning rate made the update itself overflow, from a finite gradient, the message says so.

    Attributes
    ----------
    epoch : int
        Epoch of the step, counted from 0.
    batch : int
        Batch of the step within its epoch, counted from 0.
    """

    def __init__(self, message: str, epoch: int, batch: int) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.batch = batch

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.args[0], self.epoch, self.batch)


class BadDataError(DivergedError, ValueError):
    """The same, because rows of the data are not finite: the message names one."""

"""The fit loop: passes, epochs, events for callbacks, and a position from which it can be taken up again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import checkpoint
from nncore._kernels import engine
from nncore._kernels.table import permutation
from nncore.callbacks import CallbackList, History, ProgressBar
from nncore.data import Source
from nncore.errors import DivergedError, FormatError
from nncore.evaluation import Data, evaluate
from nncore.running import EVALUATION_ROWS, Stepper
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.model import Model

SHUFFLE_STREAM = 1 << 63  # keeps the shuffles' random numbers apart from dropout's
FINGERPRINT_ROWS = 256


@dataclass
class Plan:
    """What fit was asked for, checked."""

    epochs: int
    batch_size: int
    shuffle: bool
    initial_epoch: int
    steps_per_epoch: int | None
    validation_freq: int
    validation_batch_size: int
    verbose: Any


class Fit:
    """One call of fit.

    Attributes
    ----------
    epoch : int
        Epochs done; while one runs, its number, counted from 0.
    batch : int
        Batches done in this epoch.
    """

    def __init__(
        self,
        model: Model,
        plan: Plan,
        data: Data,
        validation: Data | None,
        callbacks: Any,
    ) -> None:
        self.model, self.plan, self.data, self.validation = model, plan, data, validation
        self.epoch, self.batch = plan.initial_epoch, 0
        self.history = History()
        self.callbacks = CallbackList([callbacks, ProgressBar()], model, self.history)
        self.stepper: Stepper = model.stepper(True, data[2] is not None, plan.batch_size)
        self.stepper.attach(*data, shuffled=plan.shuffle)
        self.evaluator: Stepper | None = None
        rows = data[0].rows
        self.batches_per_pass = -(-rows // plan.batch_size)
        self.steps = plan.steps_per_epoch or self.batches_per_pass
        self.order: Array | None = np.empty(rows, np.int64) if plan.shuffle else None
        self.row = rows  # of the pass; at its end: the next step begins a new one
        self.stepper.sums[:] = 0

    # -- the loop --------------------------------------------------------------------------------------------------

    def run(self) -> History:
        """Train until all epochs are done or a callback stops."""
        model, plan = self.model, self.plan
        samples = min(self.steps * plan.batch_size, -(-self.steps // self.batches_per_pass) * self.data[0].rows)
        model.stop_training = False
        model.history = self.history
        model.fit_state = self
        self.callbacks.set_params(
            {"epochs": plan.epochs, "steps": self.steps, "samples": samples, "verbose": plan.verbose}
        )
        try:
            self.callbacks.on_train_begin()
            logs: dict[str, float] = {}
            while self.epoch < plan.epochs and not model.stop_training:
                logs = self.run_epoch()
            self.callbacks.on_train_end(logs)
        finally:
            self.callbacks.on_close()
            self.stepper.run.abandon()
            self.stepper.release()
            if self.evaluator:
                self.evaluator.release()
            model.fit_state = None
        return self.history

    def run_epoch(self) -> dict[str, float]:
        """Train and validate one epoch, or what is left of it after a resume."""
        epoch = self.epoch
        if self.batch == 0:
            self.stepper.sums[:] = 0
            self.callbacks.on_epoch_begin(epoch)
        if self.row < self.data[0].rows:
            self.begin_pass(self.row)
        while self.batch < self.steps and not self.model.stop_training:
            if self.row >= self.data[0].rows:
                self.model.counters[1] += 1
                self.begin_pass(0)
            if self.callbacks.wants_batches:
                self.callbacks.on_train_batch_begin(self.batch)
            if not self.advance(1 if self.callbacks.wants_batches else self.steps - self.batch):
                break
        logs = self.stepper.logs()
        if self.batch < self.steps and not self.callbacks.wants_batches:
            return logs  # stopped within the epoch: it does not count
        if self.validation and (epoch + 1 - self.plan.initial_epoch) % self.plan.validation_freq == 0:
            logs |= {f"val_{name}": value for name, value in self.validate().items()}
        self.epoch, self.batch = epoch + 1, 0
        self.callbacks.on_epoch_end(epoch, logs)
        return logs

    def begin_pass(self, row: int) -> None:
        """Shuffle by (seed, number of the pass), and start at `row`."""
        if self.order is not None:
            permutation(self.model.seed, SHUFFLE_STREAM | int(self.model.counters[1]), self.order)
        self.stepper.begin(self.order, row)
        self.row = row

    def advance(self, steps: int) -> bool:
        """Run up to `steps` steps of this pass; False where the fit is to end."""
        done, target = self.batch, self.batch + steps
        while True:
            before = self.row
            reason = self.stepper.advance(target - self.batch)
            self.row = self.stepper.run.row
            self.batch += -(-(self.row - before) // self.plan.batch_size)
            if reason == engine.DIVERGED:
                return self.diverged()
            if reason in (engine.STEPS, engine.END):
                break
            self.callbacks.on_tick(self.samples_done(), self.stepper.logs())
        if self.callbacks.wants_batches and self.batch > done:
            self.callbacks.on_train_batch_end(self.batch - 1, self.stepper.logs())
        return True

    def samples_done(self) -> int:
        """Samples of this epoch so far."""
        passes, batches = divmod(self.batch, self.batches_per_pass)
        return passes * self.data[0].rows + batches * self.plan.batch_size

    def validate(self) -> dict[str, float]:
        """Loss and metrics of the validation data."""
        assert self.validation is not None
        if self.evaluator is None:
            self.evaluator = self.model.stepper(False, self.validation[2] is not None, EVALUATION_ROWS)
            self.evaluator.attach(*self.validation, shuffled=False)
        return evaluate(self.evaluator, self.callbacks, self.plan.validation_batch_size)

    def diverged(self) -> bool:
        """A step met something not finite: end the fit if a callback says so, else raise what explains it."""
        rows = self.stepper.batch_rows()
        self.stepper.run.abandon()
        if self.callbacks.on_diverged(self.epoch, self.batch):
            self.model.stop_training = True
            return False
        place = f"epoch {self.epoch}, batch {self.batch}"
        where = f"{place}; the step was not applied, the weights are the last finite ones"
        for source in self.data:
            if source is not None and (found := source.nonfinite(rows)):
                raise ValueError(f"{source.argument}: expected finite values, but {found} ({where}). Clean the data")
        raise DivergedError(
            f"training diverged: a loss or gradient is not finite ({where}). "
            "Lower learning_rate, scale the inputs, or clip gradients with the optimizer's clipnorm",
            self.epoch,
            self.batch,
        )

    # -- the position ----------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """All that `set_state` needs to go on from here with the same bits."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "row": self.row,
            "sums": self.stepper.sums.copy(),
            "stop_training": self.model.stop_training,
            "batch_size": self.plan.batch_size,
            "steps": self.steps,
            "shuffle": self.plan.shuffle,
            "fingerprint": fingerprint(self.data),
            "callbacks": self.callbacks.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where `get_state` was called, in a fit of the same data with the same arguments."""
        mine = self.get_state()
        for key, argument in (
            ("fingerprint", "x, y, sample_weight"),
            ("batch_size", "batch_size"),
            ("steps", "steps_per_epoch"),
            ("shuffle", "shuffle"),
        ):
            if state[key] != mine[key]:
                raise ValueError(
                    f"{argument}: expected what the interrupted fit was given, to resume it, got something else "
                    f"({key} {mine[key]!r}, was {state[key]!r}). Give the same, or delete the backup to start anew"
                )
        if state["sums"].shape != self.stepper.sums.shape:
            raise ValueError("metrics: expected those of the interrupted fit, to resume it. Compile with the same")
        self.epoch, self.batch, self.row = state["epoch"], state["batch"], state["row"]
        self.stepper.sums[:] = state["sums"]
        self.model.stop_training = state["stop_training"]
        self.callbacks.set_state(state["callbacks"])

    def save(self, path: Any) -> None:
        """Write model, optimizer, position and callbacks to one file, atomically."""
        checkpoint.write(path, self.model, self.get_state())

    def restore(self, path: Any) -> None:
        """Take up what `save` wrote."""
        state = checkpoint.restore(path, self.model)
        if state is None:
            raise FormatError(
                f"{path}: expected the backup of a running fit, got a saved model. Delete it to start anew"
            )
        self.set_state(state)


def fingerprint(data: tuple[Source | None, ...]) -> str:
    """A digest of shapes, dtypes and some rows of the data: enough to notice other data."""
    digest = hashlib.blake2b(digest_size=16)
    for source in data:
        if source is None:
            digest.update(b"none")
            continue
        digest.update(repr((source.array.shape, source.array.dtype.str)).encode())
        rows = np.linspace(0, source.rows - 1, min(source.rows, FINGERPRINT_ROWS)).astype(np.int64)
        digest.update(np.ascontiguousarray(source.array[rows]).tobytes())
    return digest.hexdigest()

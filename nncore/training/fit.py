"""The fit loop: passes, epochs, events for callbacks, and a position from which it can be taken up again."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import checkpoint, runtime
from nncore._kernels import engine
from nncore._kernels.table import permutation
from nncore.arguments import check_flag, check_whole
from nncore.callbacks import CallbackList, History
from nncore.callbacks.logs import display
from nncore.data import Dataset
from nncore.data.streams import Stream
from nncore.errors import BadDataError, DivergedError
from nncore.execution.stepping import Stepper, Steppers
from nncore.execution.tuning import SLICE
from nncore.state import Array
from nncore.training import averages, evaluation, feeding, resuming
from nncore.training.fingerprint import fingerprint

if TYPE_CHECKING:
    from nncore.model import Model

SHUFFLE_STREAM = 1 << 63  # keeps the shuffles' random numbers apart from dropout's


@dataclass
class FitSettings:
    """What fit was asked for, checked."""

    epochs: int
    batch_size: int
    shuffle: bool
    initial_epoch: int
    steps_per_epoch: int | None
    validation_freq: int
    validation_steps: int | None
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
    stepped : bool
        Whether a callback wants to see each step: asked once, behind their `on_train_begin`.
    """

    def __init__(
        self,
        model: Model,
        settings: FitSettings,
        data: Dataset,
        validation: Dataset | Stream | None,
        callbacks: Any,
    ) -> None:
        self.model, self.settings, self.data, self.validation = model, settings, data, validation
        self.epoch, self.batch = settings.initial_epoch, 0
        self.history = History()
        self.callbacks = CallbackList([callbacks, display(settings.verbose)], model=model, history=self.history)
        self.steppers: Steppers | None = None  # of the compilation that the stepper belongs to
        self.stepper: Stepper
        rows = data.rows
        self.batches_per_pass = -(-rows // settings.batch_size)
        self.steps: float = settings.steps_per_epoch or self.batches_per_pass
        self.order: Array | None = np.empty(rows, np.int64) if settings.shuffle else None
        self.row = rows  # of the pass; at its end: the next step begins a new one
        self._fingerprint: str | None = None

    # -- the loop --------------------------------------------------------------------------------------------------

    def run(self) -> History:
        """Train until all epochs are done or a callback stops."""
        model, settings, turn = self.model, self.settings, self.model.turn
        try:
            turn.begin(self)
            self.take_stepper()
            model.stop_training = False
            model.history = self.history
            self.callbacks.set_params(self.facts())
            self.callbacks.on_train_begin()
            self.stepped = self.callbacks.wants_batches
            logs: dict[str, float] = {}
            while self.epoch < settings.epochs and not model.stop_training:
                logs = self.run_epoch() or logs
            averages.finish(model)
            self.callbacks.on_train_end(logs)
        finally:
            while turn.joined is not None:  # its root, without a call, at which Ctrl-C could come between
                turn = turn.joined
            if turn.fit is self:
                try:
                    if self.steppers:
                        self.give_back()
                finally:
                    try:
                        self.callbacks.on_close()  # may still write to the model
                    finally:
                        turn.fit = None  # not a call, at which Ctrl-C could come between
        return self.history

    def give_back(self) -> None:
        """Let go of the data, and let others have the stepper."""
        assert self.steppers is not None
        self.steppers.give(self.stepper)

    def facts(self) -> dict[str, Any]:
        """`Callback.params` of this fit."""
        settings, metrics = self.settings, self.stepper.program.names()
        freq = settings.validation_freq if self.validation else None
        if freq and settings.epochs // freq > self.epoch // freq:  # some epoch is validated
            metrics += [f"val_{name}" for name in metrics]
        return {
            "epochs": settings.epochs,
            "steps": self.steps,
            "samples": self.samples_of_epoch(),
            "verbose": settings.verbose,
            "metrics": metrics,
            "validation_freq": freq,
        }

    def samples_of_epoch(self) -> int | None:
        """Samples of a whole epoch."""
        passes = -(-self.steps // self.batches_per_pass)
        return int(min(self.steps * self.settings.batch_size, passes * self.data.rows))

    def take_stepper(self) -> bool:
        """Have the stepper that a callback's compile or reseed calls for; True if it is another than before."""
        if self.steppers is not None and self.steppers is self.model.steppers():
            return False
        before = (self.stepper.program.sums, self.stepper.sums) if self.steppers else None
        steppers = self.model.steppers()
        self.stepper = self.model.stepper(True, self.data, self.settings.batch_size, self.settings.shuffle)
        self.steppers = steppers
        if before and [s.means for s in before[0]] == [s.means for s in self.stepper.program.sums]:
            self.stepper.sums[:] = before[1]
        return True

    def run_epoch(self) -> dict[str, float]:
        """Train and validate one epoch, or what is left of it after a resume; its logs, {} if it was never begun."""
        epoch, self.ticked = self.epoch, time.perf_counter()
        if self.batch == 0:
            self.stepper.sums.fill(0)
            self.callbacks.on_epoch_begin(epoch)
        else:
            self.callbacks.on_tick(self.samples_done(), self.stepper.logs())  # a resume: the clock starts here
        self.train_epoch()
        if not self.stepper.program.rows(self.stepper.sums):  # stopped before the first step: nothing to record
            return {}
        logs = self.stepper.logs()
        self.stepper.tell_metrics()
        if self.validation and (epoch + 1) % self.settings.validation_freq == 0:
            logs |= {f"val_{name}": value for name, value in self.validate().items()}
        self.epoch, self.batch = epoch + 1, 0
        self.callbacks.on_epoch_end(epoch, logs)
        return logs

    def train_epoch(self) -> None:
        """The steps of the epoch."""
        if self.row < self.data.rows:
            self.begin_pass(self.row)
        while self.batch < self.steps and not self.model.stop_training:
            if self.row >= self.data.rows:
                if time.perf_counter() - self.ticked > SLICE:  # many short passes in one epoch
                    self.tick()
                self.model.counters[1] += 1
                self.begin_pass(0)
            if self.stepped:
                self.callbacks.on_train_batch_begin(self.batch)
            self.advance(1 if self.stepped else int(min(self.steps - self.batch, self.batches_per_pass)))

    def begin_pass(self, row: int) -> None:
        """Shuffle by (seed, number of the pass), and start at `row`."""
        if self.order is not None:
            permutation(self.model.seed, SHUFFLE_STREAM | int(self.model.counters[1]), self.order)
        self.stepper.begin(self.settings.batch_size, self.order, row)
        self.row = row

    def advance(self, steps: int) -> None:
        """Run up to `steps` steps of this pass; fewer where it ends, or the fit is to end."""
        done, target = self.batch, self.batch + steps
        while True:
            if self.take_stepper():
                self.stepper.begin(self.settings.batch_size, self.order, self.row)
            before = self.row
            reason = self.stepper.advance(target - self.batch)
            self.row = self.stepper.run.row
            self.batch += -(-(self.row - before) // self.settings.batch_size)
            if reason == engine.DIVERGED:
                self.diverged()
                return
            if reason in (engine.STEPS, engine.END):
                break
            self.tick()
            if self.model.stop_training:
                break
        if self.stepped and self.batch > done:
            self.callbacks.on_train_batch_end(self.batch - 1, self.stepper.logs())

    def tick(self) -> None:
        """Let callbacks see how far the epoch is."""
        self.ticked = time.perf_counter()
        self.callbacks.on_tick(self.samples_done(), self.stepper.logs())

    def samples_done(self) -> int:
        """Samples of this epoch so far."""
        passes, batches = divmod(self.batch, self.batches_per_pass)
        return passes * self.data.rows + batches * self.settings.batch_size

    def validate(self) -> dict[str, float]:
        """Loss and metrics of the validation data."""
        assert self.validation is not None
        if isinstance(self.validation, Stream):
            steps = self.settings.validation_steps
            return feeding.evaluate(self.model, self.validation, steps, self.callbacks, "validation ")
        steppers, size = self.model.steppers(), self.settings.validation_batch_size
        evaluator, rows = evaluation.taken(self.model, self.validation, self.callbacks, size)
        try:
            return evaluation.evaluate(self.model, evaluator, self.callbacks, rows)
        finally:
            steppers.give(evaluator)  # a callback may have compiled meanwhile

    def diverged(self) -> None:
        """A step met something not finite: end the fit if a callback says so, else raise what explains it."""
        if not self.callbacks.on_diverged(self.epoch, self.batch):
            raise explain_divergence(self.model, self.data, self.stepper.batch_rows(), self.epoch, self.batch)
        self.model.stop_training = True

    # -- the position ----------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """All that `set_state` needs to go on from here with the same bits."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "row": self.row,
            "sums": self.stepper.sums.copy(),
            "stop_training": self.model.stop_training,
            "identity": self.identity(),
            "bits": self.bits(),
            "callbacks": self.callbacks.get_state(),
        }

    @property
    def fingerprint(self) -> str:
        """Of the data; only backups ask for it."""
        if self._fingerprint is None:
            both = (self.data, self.validation)
            self._fingerprint = fingerprint(*(data for data in both if isinstance(data, Dataset)))
        return self._fingerprint

    def identity(self) -> dict[str, Any]:
        """What must be the same where a fit goes on: by the name of the argument."""
        return {
            "x, y, sample_weight, validation_data": self.data_identity(),
            "batch_size": self.settings.batch_size,
            "steps_per_epoch": None if self.steps == math.inf else self.steps,
            "shuffle": self.settings.shuffle,
            "metrics": self.stepper.sums.size,
        }

    def data_identity(self) -> Any:
        """What is compared of the data."""
        return self.fingerprint

    def most_rows(self) -> float:
        """What `row` may be at most."""
        return self.data.rows

    def bits(self) -> dict[str, Any]:
        """What the bits of the results depend on besides."""
        return runtime.arithmetic(self.model.dtype, self.model.matmul_precision)

    def check_state(self, state: dict[str, Any], allow_other_bits: bool = False) -> None:
        """Raise a ValueError unless `set_state` can take this state."""
        resuming.check_identity(self.identity(), state)
        if not allow_other_bits:
            resuming.check_bits(self.bits(), state)
        for name, most in (("epoch", math.inf), ("batch", self.steps), ("row", self.most_rows())):
            check_whole(state[name], name, f"a position within the fit, 0 to {most}", 0, most)
        check_flag(state["stop_training"], "stop_training")
        self.callbacks.check_state(state["callbacks"])

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where `get_state` was called, in a fit of the same data with the same arguments."""
        self.epoch, self.batch, self.row = state["epoch"], state["batch"], state["row"]
        self.stepper.sums[:] = np.ravel(state["sums"])
        self.stepper.run.bind_random(self.model.seed, self.model.counters)  # the seed is now that of the backup
        self.model.stop_training = state["stop_training"]
        self.callbacks.set_state(state["callbacks"])

    def save(self, path: Any) -> None:
        """Write model, optimizer, position and callbacks to one file, atomically."""
        checkpoint.write(path, self.model, self.get_state())

    def restore(self, path: Any, allow_other_bits: bool = False) -> None:
        """Take up what `save` wrote."""
        check = partial(self.check_state, allow_other_bits=allow_other_bits)
        ignored = resuming.FREE | (resuming.PRECISION if allow_other_bits else set())
        checkpoint.restore(path, self.model, check, self.set_state, ignored)


def explain_divergence(model: Model, data: Dataset, rows: Array, epoch: int, batch: int) -> Exception:
    """The error for a step that was not finite: bad data if there are any among its rows."""
    finite = bool(np.isfinite(model.state.values).all())
    kept = "the weights are the last finite ones" if finite else "but an earlier one made weights overflow"
    where = f"epoch {epoch}, batch {batch}, from 0; the step was not applied, {kept}"
    for binding in data.bindings:
        found = binding.nonfinite(rows) if binding else None
        if binding and found:
            message = f"{binding.argument}: expected finite values, but {found} ({where}). Clean the data"
            return BadDataError(message, epoch, batch)
    return DivergedError(
        f"training diverged: a loss or gradient is not finite ({where}). "
        "Lower learning_rate, scale the inputs, or clip gradients with the optimizer's clipnorm",
        epoch,
        batch,
    )

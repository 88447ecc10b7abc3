"""Fits on data that come batch by batch, and which kind of fit data ask for."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import data
from nncore._kernels import engine
from nncore._kernels.table import permutation
from nncore.data import Dataset
from nncore.data.streams import Batch, Stream, is_stream
from nncore.execution.tuning import SLICE
from nncore.training.feeding import Feeder, dataset_of
from nncore.training.fit import SHUFFLE_STREAM, Fit, FitSettings
from nncore.training.full_batch import FullBatchFit
from nncore.warning import warn

if TYPE_CHECKING:
    from nncore.model import Model


class StreamedFit(Fit):
    """A fit on batches that come one after another.

    A pass ends where the stream does, an epoch after `steps_per_epoch` batches, by default with the pass. Its position
    is the number of batches given out in the pass: a resume passes over as many, or, where batches have numbers, goes
    on with the next.
    """

    def __init__(
        self,
        model: Model,
        settings: FitSettings,
        stream: Stream,
        validation: Dataset | Stream | None,
        class_weight: Any,
        callbacks: Any,
    ) -> None:
        self.stream, self.class_weight = stream, class_weight
        first = dataset_of(model, stream.peek(), class_weight)
        self.feeder, self.samples = Feeder(model, training=True), 0
        settings.batch_size = first.rows
        super().__init__(model, settings, first, validation, callbacks)
        self.order, self.row = None, 0
        self.running = False  # a pass
        self.batches_per_pass = stream.length or 0  # 0: not known
        self.steps = settings.steps_per_epoch or stream.length or math.inf

    def facts(self) -> dict[str, Any]:
        """`Callback.params` of this fit."""
        known = self.steps if self.steps != math.inf else None
        return super().facts() | {"steps": known}

    def samples_of_epoch(self) -> int | None:
        """About how many there are, where the number of batches is known."""
        return None if self.steps == math.inf else int(self.steps) * self.settings.batch_size

    def take_stepper(self) -> bool:
        """See `Fit.take_stepper`: one for the batch at hand, at its beginning."""
        stepper = self.feeder.feed(self.data)
        again = self.steppers is not None and (stepper is not self.stepper or self.feeder.steppers is not self.steppers)
        self.stepper, self.steppers = stepper, self.feeder.steppers
        return again

    def give_back(self) -> None:
        """See `Fit.give_back`."""
        self.feeder.close()

    def train_epoch(self) -> None:
        """The steps of the epoch."""
        if self.batch == 0:
            self.samples = 0
            self.stream.tell("on_epoch_begin")
        if self.row and not self.running:  # a resume
            self.begin_pass(self.row)
        empty = False  # the pass that was begun last
        while self.batch < self.steps and not self.model.stop_training:
            if not self.running:
                self.model.counters[1] += 1
                self.begin_pass(0)
                empty = True
            batch = self.stream.next()
            if batch is not None:
                empty = False
                self.do_step(batch)
                continue
            self.running, self.row = False, 0
            if self.settings.steps_per_epoch is None and self.batch:
                break
            if empty or not self.stream.passes:
                self.exhausted()
                break
        self.stream.tell("on_epoch_end")
        if self.batch:
            self.tick()  # how many samples there were

    def exhausted(self) -> None:
        """An iterator has come to its end before the epoch has."""
        warn(
            f"x: expected batches for {self.settings.epochs} epochs, got no more after {self.batch} batches of epoch "
            f"{self.epoch + 1}; training ends here. Give a function that returns the generator, so that it can be "
            "started anew, or ask for less by steps_per_epoch or epochs"
        )
        self.model.stop_training = True

    def begin_pass(self, row: int) -> None:
        """Begin a pass, at batch `row` of it; the order of numbers is drawn by (seed, number of the pass)."""
        order, length = None, self.stream.length
        if self.stream.numbered and self.settings.shuffle and length:
            order = np.empty(length, np.int64)
            permutation(self.model.seed, SHUFFLE_STREAM | int(self.model.counters[1]), order)
        self.stream.start(order)
        self.stream.skip(row)
        self.row, self.running = row, True

    def do_step(self, batch: Batch) -> None:
        """One step."""
        if self.stepped:
            self.callbacks.on_train_batch_begin(self.batch)
        self.data = dataset_of(self.model, batch, self.class_weight)
        self.take_stepper()
        while (reason := self.stepper.advance(1)) == engine.TIME:
            self.tick()
            if self.model.stop_training:
                return
            if self.steppers is not self.model.steppers():  # a callback has compiled
                self.take_stepper()
        if reason == engine.DIVERGED:
            self.diverged()
            return
        self.batch, self.row = self.batch + 1, self.stream.done
        self.samples += self.data.rows
        if self.stream.passes and self.row == self.stream.length:
            self.running, self.row = False, 0
        if self.stepped:
            self.callbacks.on_train_batch_end(self.batch - 1, self.stepper.logs())
        if time.perf_counter() - self.ticked > SLICE:
            self.tick()

    def samples_done(self) -> int:
        """Samples of this epoch so far; of batches before a resume about."""
        return self.samples or self.batch * self.settings.batch_size

    def data_identity(self) -> Any:
        """What a batch looks like: its values may differ from run to run, and sizes from batch to batch if any may."""
        free = self.model._built().open
        looks = [b and [b.array.ndim if free else list(b.array.shape[1:]), b.dtype.name] for b in self.data.bindings]
        return [type(self.stream.source).__name__, self.stream.length, looks]

    def most_rows(self) -> float:
        """Batches of a pass."""
        return self.batches_per_pass or math.inf


def fitting(
    model: Model,
    settings: FitSettings,
    callbacks: Any,
    train: tuple[Any, Any, Any],
    class_weight: Any,
    validation_split: Any,
    validation_data: Any,
) -> Fit:
    """The fit that `Model.fit` is asked for, on `train`, which is x, y and sample_weight."""
    x, y, sample_weight = train
    streamed = y is None and is_stream(x)
    validation: Dataset | Stream | None = None
    held_out = None
    if is_stream(validation_data):
        data.held_out(validation_split, None)
        validation = Stream(validation_data, "validation_data")
    else:
        held_out = data.held_out(validation_split, validation_data)
    if streamed:
        if model._compiled().optimizer.full_batch:
            raise ValueError(
                f"x: expected arrays for {type(model.optimizer).__name__}, which goes over all rows in each step, got "
                "data that come batch by batch"
            )
        for name, given in (("sample_weight", sample_weight), ("validation_split", validation_split or None)):
            if given is not None:
                raise ValueError(
                    f"{name}: expected None with data that come batch by batch, got {given!r}. Batches may be (x, y, "
                    "sample_weight); data to validate on go to validation_data"
                )
        if isinstance(class_weight, str):
            raise ValueError(
                f"class_weight: expected a dict with data that come batch by batch, got {class_weight!r}: how many "
                "there are of each class is not known"
            )
        stream = Stream(x)
        stream.peek()
    else:
        train_data = model._dataset(x, y, sample_weight)
    if held_out:
        steps, size = settings.validation_steps, settings.validation_batch_size
        validation = model._dataset(*held_out, prefix="validation ").part(slice(steps and steps * size))
    elif validation_split:
        train_data, validation = train_data.split(validation_split)
    if streamed:
        return StreamedFit(model, settings, stream, validation, class_weight, callbacks)
    train_data = train_data.weigh_classes(class_weight, model._built().outputs[0].sample_shape)
    settings.batch_size = min(settings.batch_size, train_data.rows)
    kind = FullBatchFit if model.optimizer.full_batch else Fit
    return kind(model, settings, train_data, validation, callbacks)

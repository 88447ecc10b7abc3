"""Data that come batch by batch, given to steps; evaluation and prediction on them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore._kernels import engine
from nncore.callbacks import CallbackList
from nncore.data import Dataset
from nncore.data.streams import Batch, Stream, is_stream
from nncore.execution.stepping import Stepper, Steppers
from nncore.training import evaluation

if TYPE_CHECKING:
    from nncore.model import Model


class Feeder:
    """Steps on batches of any size, one after another, whose sums go on.

    Parameters
    ----------
    model : Model
    training : bool

    Attributes
    ----------
    stepper : Stepper
        The last one.
    steppers : Steppers or None
        Those that it is of.
    """

    def __init__(self, model: Model, training: bool) -> None:
        self.model, self.training = model, training
        self.steppers: Steppers | None = None
        self.stepper: Stepper

    def feed(self, data: Dataset) -> Stepper:
        """A stepper with these data at its beginning; where it is another than before, it has the sums of that."""
        steppers, before, old = self.model.steppers(), self.steppers, None
        if self.steppers is not None:
            old = self.stepper
            if steppers is self.steppers and old.max_samples >= data.rows and old.serves(data, steppers.graph):
                data.require(steppers.configuration.heads)
                old.feed(data)
                old.begin(data.rows)
                return old
            sums = old.sums.copy()
            self.close()
        stepper = self.stepper = self.model.stepper(self.training, data, data.rows)
        self.steppers = steppers
        if old is not None and [s.means for s in old.program.sums] == [s.means for s in stepper.program.sums]:
            stepper.sums[:] = sums
        elif old is not None and steppers is before:
            raise ValueError(
                f"metrics: expected those whose sums have no axis of a size that is open, got batches of samples "
                f"{old.sizes}, then {stepper.sizes}. Leave out the metric that has a value for each output"
            )
        stepper.begin(data.rows)
        return stepper

    def close(self) -> None:
        """Give the stepper back."""
        if self.steppers is not None:
            steppers, self.steppers = self.steppers, None
            steppers.give(self.stepper)


def dataset_of(model: Model, batch: Batch, class_weight: Any = None, prefix: str = "") -> Dataset:
    """The rows of a batch, checked."""
    x, y, weight = batch
    data = model._dataset(x, y, weight, prefix=prefix)
    return data.weigh_classes(class_weight, model._built().outputs[0].sample_shape)


def batches(stream: Stream, steps: int | None) -> Iterator[Batch]:
    """Those of a pass from its beginning, or of an iterator from where it is; `steps` at most."""
    stream.start()
    return itertools.islice(iter(stream.next, None), steps)


def evaluate(
    model: Model, stream: Stream, steps: int | None, callbacks: CallbackList, prefix: str = ""
) -> dict[str, Any]:
    """Loss and metrics over the batches of a stream, unless a callback ends it."""
    stepped, feeder, done, rows = callbacks.wants_test_batches, Feeder(model, training=False), 0, 0
    model.stop_evaluating = False
    callbacks.on_test_begin()
    try:
        for batch in batches(stream, steps):
            if stepped:
                callbacks.on_test_batch_begin(done)
            data = dataset_of(model, batch, prefix=prefix)
            stepper = feeder.feed(data)
            while stepper.advance() == engine.TIME:
                callbacks.on_tick(rows + stepper.run.row, stepper.logs())
            done, rows = done + 1, rows + data.rows
            if stepped:
                callbacks.on_test_batch_end(done - 1, stepper.logs())
            if model.stop_evaluating:
                break
        if not done:
            remedy = "" if stream.passes else ". Give a function that returns it, so that it can be started anew"
            raise ValueError(f"{stream.argument}: expected batches, got none{remedy}")
        callbacks.on_tick(rows, stepper.logs())
        logs = stepper.logs()
        stepper.tell_metrics()
    finally:
        feeder.close()
    callbacks.on_test_end(logs)
    return logs


def predict(model: Model, stream: Stream, steps: int | None, callbacks: CallbackList) -> Any:
    """The outputs for the inputs of all batches, one after another, unless a callback ends it."""
    model.stop_predicting = False
    callbacks.on_predict_begin()
    made, rows = [], 0
    for done, (x, _, _) in enumerate(batches(stream, steps)):
        callbacks.on_predict_batch_begin(done)
        out = model(x)
        parts = model._built().gives.flat(out)
        made.append(parts)
        rows += len(parts[0])
        callbacks.on_tick(rows)
        callbacks.on_predict_batch_end(done, {"outputs": out})
        if model.stop_predicting:
            break
    if not made:
        raise ValueError(f"{stream.argument}: expected batches, got none")
    for arrays in zip(*made, strict=True):
        if len(shapes := dict.fromkeys(array.shape[1:] for array in arrays)) > 1:
            raise ValueError(
                f"{stream.argument}: expected batches whose outputs have one shape, to join them, got "
                f"{', '.join(map(str, shapes))} of a sample. Call model(x) for each"
            )
    callbacks.on_predict_end()
    return model._built().gives.pack([np.concatenate(parts) for parts in zip(*made, strict=True)])


def evaluated(
    model: Model, rows: tuple[Any, Any, Any], batch: int, verbose: Any, steps: int | None, callbacks: Any
) -> dict[str, Any]:
    """Loss and metrics on x, y and sample_weight, or on the batches that x gives."""
    x, y, sample_weight = rows
    listeners = model._listeners(callbacks, verbose)
    try:
        if y is None and sample_weight is None and is_stream(x):
            stream = Stream(x)
            dataset_of(model, stream.peek())  # builds the model
            names = model.configuration.log_names(model.output_names) if model.configuration else []
            known = stream.length if steps is None else steps
            listeners.set_params({"steps": known, "samples": None, "verbose": verbose, "metrics": names})
            return evaluate(model, stream, steps, listeners)
        dataset = model._dataset(x, y, sample_weight)
        if steps is not None:
            dataset = dataset.part(slice(steps * batch))
        steppers = model.steppers()
        stepper, size = evaluation.taken(model, dataset, listeners, batch)
        try:
            listeners.set_params(evaluation.facts(dataset.rows, batch, verbose, stepper.program.names()))
            with model.state.reading():
                return evaluation.evaluate(model, stepper, listeners, size)
        finally:
            steppers.give(stepper)
    finally:
        listeners.on_close()


def predicted(model: Any, x: Any, batch: int, verbose: Any, steps: int | None, callbacks: Any) -> Any:
    """The outputs for x, or for the batches that it gives."""
    listeners = model._listeners(callbacks, verbose)
    try:
        if is_stream(x):
            stream = Stream(x)
            known = stream.length if steps is None else steps
            listeners.set_params({"steps": known, "samples": None, "verbose": verbose, "metrics": []})
            return predict(model, stream, steps, listeners)
        inputs = model._inputs(x)
        if steps is not None:
            inputs = [part.part(slice(steps * batch)) for part in inputs]
        listeners.set_params(evaluation.facts(inputs[0].rows, batch, verbose, []))
        arranged = model._built().gives.pack
        predictor, threads = model.predictor(inputs), model.threads()
        return arranged(evaluation.predict(model, predictor, inputs, threads, listeners, batch, arranged))
    finally:
        listeners.on_close()

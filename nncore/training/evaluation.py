"""Passes over data that change nothing: evaluation, and prediction with callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nncore._kernels import engine
from nncore.bindings import Binding
from nncore.callbacks import CallbackList
from nncore.data import Dataset
from nncore.execution.prediction import Predictor
from nncore.execution.stepping import Stepper
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.model import Model
    from nncore.predicting import Predicting

EVALUATION_ROWS = 256  # per batch, which has no influence on means over samples


def taken(model: Model, dataset: Dataset, callbacks: CallbackList, batch_size: int) -> tuple[Stepper, int]:
    """What evaluates data, to be given back, and by how many rows.

    That is `batch_size` where a callback wants to see batches, or a loss is no mean over samples: then a pass has the
    mean of its batches' losses, as in Keras.
    """
    asked = min(batch_size, dataset.rows)
    rows = asked if callbacks.wants_test_batches else EVALUATION_ROWS
    stepper = model.stepper(False, dataset, rows)
    if rows != asked and any(one.of_batch for one in stepper.program.sums):
        model.steppers().give(stepper)
        rows, stepper = asked, model.stepper(False, dataset, asked)
    return stepper, rows


def evaluate(model: Model, stepper: Stepper, callbacks: CallbackList, batch_size: int) -> dict[str, float]:
    """Loss and metrics over the attached data, unless a callback ends it."""
    stepped = callbacks.wants_test_batches
    stepper.begin(batch_size)
    model.stop_evaluating = False
    callbacks.on_test_begin()
    batch = 0
    while stepper.run.row < stepper.rows:
        if stepped:
            callbacks.on_test_batch_begin(batch)
        while stepper.advance(1 if stepped else -1) == engine.TIME:
            callbacks.on_tick(stepper.run.row, stepper.logs())
        if stepped:
            callbacks.on_test_batch_end(batch, stepper.logs())
            batch += 1
        if model.stop_evaluating:
            break
    logs = stepper.logs()
    stepper.tell_metrics()
    callbacks.on_test_end(logs)
    return logs


def predict(
    model: Predicting,
    predictor: Predictor,
    inputs: list[Binding],
    threads: int,
    callbacks: CallbackList,
    batch_size: int,
    arranged: Callable[[list[Array]], Any],
) -> list[Array]:
    """The outputs for all rows; in batches of `batch_size` only if a callback wants to see them, `arranged`.

    Such a callback may end it: then of the rows so far.
    """
    model.stop_predicting = False
    callbacks.on_predict_begin()
    if not callbacks.wants_predict_batches:
        outputs = predictor.outputs(inputs, threads)
    else:
        outputs = predictor.empty(inputs[0].rows)
        for batch, start in enumerate(range(0, inputs[0].rows, batch_size)):
            callbacks.on_predict_batch_begin(batch)
            rows = slice(start, start + batch_size)
            made = [out[rows] for out in outputs]
            for part, out in zip(made, predictor.outputs([x.part(rows) for x in inputs], threads), strict=True):
                part[...] = out
            callbacks.on_predict_batch_end(batch, {"outputs": arranged(made)})
            if model.stop_predicting:
                outputs = [out[: rows.stop] for out in outputs]
                break
    callbacks.on_predict_end()
    return outputs


def facts(samples: int, batch: int, verbose: Any, metrics: list[str]) -> dict[str, Any]:
    """`Callback.params` of an evaluation or prediction."""
    return {"steps": -(-samples // batch), "samples": samples, "verbose": verbose, "metrics": metrics}

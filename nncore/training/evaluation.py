"""Passes over data that change nothing: evaluation, and prediction with callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nncore._kernels import engine
from nncore.bindings import Binding
from nncore.callbacks import CallbackList
from nncore.execution.prediction import Predictor
from nncore.execution.stepping import Stepper
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.model import Model
    from nncore.predicting import Predicting

EVALUATION_ROWS = 256  # per batch; has no influence on the result


def rows_at_once(callbacks: CallbackList, batch_size: int, rows: int) -> int:
    """Rows of a batch of an evaluation: `batch_size` only if a callback wants to see them."""
    return min(batch_size, rows) if callbacks.wants_test_batches else EVALUATION_ROWS


def evaluate(model: Model, stepper: Stepper, callbacks: CallbackList, batch_size: int) -> dict[str, float]:
    """Loss and metrics over the attached data, unless a callback ends it."""
    stepped = callbacks.wants_test_batches
    stepper.begin(batch_size)
    model.stop_evaluating = False
    callbacks.on_test_begin()
    batch = 0
    while stepper.run.row < stepper.rows and not model.stop_evaluating:
        if stepped:
            callbacks.on_test_batch_begin(batch)
        while stepper.advance(1 if stepped else -1) == engine.TIME:
            callbacks.on_tick(stepper.run.row, stepper.logs())
        if stepped:
            callbacks.on_test_batch_end(batch, stepper.logs())
            batch += 1
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

"""Fits by whole data sets: L-BFGS.

All that is done with vectors of weights are native products: the direction is a combination of the last increments,
changes of the gradient and the gradient itself, whose coefficients follow from the products of each with each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore._kernels import engine
from nncore.data import Dataset
from nncore.errors import DivergedError
from nncore.execution.stepping import Stepper, Steppers
from nncore.products import matmul
from nncore.state import Array
from nncore.training.fit import Fit

if TYPE_CHECKING:
    from nncore.model import Model

SUFFICIENT, FLATTER = 1e-4, 0.9  # of Wolfe's conditions


@dataclass
class Point:
    """A place along a direction.

    Attributes
    ----------
    step : float
    loss, slope : float
        And its derivative by the step.
    gradient : ndarray
        All of it.
    """

    step: float
    loss: float
    slope: float
    gradient: Array


class Evaluator:
    """Loss and gradient of a model on a data set, as functions of its trainable weights in one vector.

    Parameters
    ----------
    model : Model
    data : Dataset
    batch : int
        Rows that are computed at once: all where a loss is no mean over samples.
    """

    def __init__(self, model: Model, data: Dataset, batch: int) -> None:
        steppers = model.steppers()
        self.model, self.data, self.batch = model, data, min(batch, data.rows)
        self.stepper = self.stepper_for(steppers)
        if self.batch < data.rows and any(s.of_batch for s in self.stepper.program.sums):
            self.batch = data.rows
            self.stepper = self.stepper_for(steppers)
        self.stepper.attach(data, shuffled=False)
        state = self.stepper.state
        where = np.arange(len(state.values))
        self.places = np.concatenate([where[:0], *(state.view(p, where).ravel() for p in steppers.graph.trained)])
        self.size = len(self.places)
        self.total, self.finite = np.zeros(self.size, state.dtype), True
        self.evaluations = 0

    def stepper_for(self, steppers: Steppers) -> Stepper:
        """One for batches of the evaluator's size."""
        kind: dict[str, Any] = {"training": True, "weighted": self.data.weighted, "reduce": self.collect}
        return Stepper(
            steppers.graph,
            steppers.configuration,
            max_samples=self.batch,
            threads=self.model.threads(),
            sizes=steppers.graph.sizes(self.data.inputs),
            **kind,
            **steppers.settings,
        )

    def gather(self, flat: Array) -> Array:
        """The trainable elements of an array laid out as the weights."""
        return flat.take(self.places)

    def scatter(self, vector: Array, flat: Array) -> None:
        """The inverse."""
        flat[self.places] = vector

    def put(self, weights: Array) -> None:
        """Let the model have these weights."""
        state = self.stepper.state
        with state.turn.taken("fit"), state.writing():
            self.scatter(weights, state.values)

    def collect(self, stepper: Stepper) -> bool:
        """Add a batch's gradient, by its part of the rows; nothing is updated."""
        part = stepper.run.samples / self.data.rows
        gradient = self.gather(stepper.state.gradients)
        self.total = combined([1.0, part], [self.total, gradient])
        self.finite = self.finite and bool(stepper.run.finite)
        return False

    def __call__(self, weights: Array) -> tuple[float, Array]:
        """Loss, penalties included, and gradient at these weights, which the model has from then on."""
        self.put(weights)
        self.evaluations += 1
        self.total = np.zeros_like(weights)
        self.finite = True
        self.stepper.sums[:] = 0
        self.stepper.begin(self.batch)
        reason = engine.TIME
        while reason == engine.TIME:
            reason = self.stepper.advance()
        loss = self.stepper.logs()["loss"]
        if reason != engine.END or not self.finite or not math.isfinite(loss):
            return math.inf, self.total
        return loss, self.total


def combined(coefficients: list[float], vectors: list[Array]) -> Array:
    """Σ cᵢ vᵢ."""
    dtype = vectors[0].dtype
    return matmul(np.array([coefficients], dtype), np.stack(vectors)).reshape(-1)


def dot(a: Array, b: Array) -> float:
    """a · b."""
    return float(matmul(a[None], b[:, None])[0, 0])


def direction(gradient: Array, increments: list[Array], changes: list[Array]) -> Array:
    """−H g, where pairs of increments s and changes y of the gradient, the oldest first, make H of the last s·y / y·y.

    The two loops are on coefficients of these vectors.
    """
    vectors = np.stack([*increments, *changes, gradient])
    products = matmul(vectors, np.ascontiguousarray(vectors.T)).astype(np.float64)
    m = len(increments)
    d = np.zeros(2 * m + 1)
    d[-1] = -1
    good = [i for i in range(m) if products[i, m + i] > 1e-12 * products[m + i, m + i] > 0]
    alpha = {}
    for i in reversed(good):
        alpha[i] = (d @ products[i]) / products[i, m + i]
        d[m + i] -= alpha[i]
    if good:
        d *= products[good[-1], m + good[-1]] / products[m + good[-1], m + good[-1]]
    for i in good:
        d[i] += alpha[i] - (d @ products[m + i]) / products[i, m + i]
    return matmul(d[None].astype(vectors.dtype), vectors).reshape(-1)


def cubic(a: Point, b: Point) -> float:
    """The minimum of the cubic through two points with their slopes, kept away from both."""
    low, high = sorted((a.step, b.step))
    width = high - low
    with np.errstate(all="ignore"):
        first = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.step - b.step)
        root = first * first - a.slope * b.slope
        second = math.copysign(math.sqrt(root), b.step - a.step) if root >= 0 else math.nan
        bottom = b.slope - a.slope + 2 * second
        found = b.step - (b.step - a.step) * (b.slope + second - first) / bottom if bottom else math.nan
    if not math.isfinite(found) or not low + 0.1 * width <= found <= high - 0.1 * width:
        return low + width / 2
    return found


def search(evaluate: Callable[[float], Point], start: Point, first: float, most: int) -> Point:
    """A point that meets the strong conditions of Wolfe, or the best of `most` trials (Nocedal & Wright 3.5, 3.6)."""
    best = before = start
    low: Point | None = None
    high: Point | None = None
    step = first
    for _ in range(most):
        now = evaluate(step)
        if now.loss < best.loss:
            best = now
        enough = now.loss <= start.loss + SUFFICIENT * now.step * start.slope
        anchor = before if low is None else low
        if not enough or (anchor is not start and now.loss >= anchor.loss):
            low, high = anchor, now
        elif abs(now.slope) <= -FLATTER * start.slope:
            return now
        elif low is None and now.slope < 0:
            before, step = now, 2 * step
            continue
        elif low is None:
            low, high = now, before
        else:
            assert high is not None
            if now.slope * (high.step - low.step) >= 0:
                high = low
            low = now
        if not math.isfinite(high.loss):
            step = low.step + 0.1 * (high.step - low.step)
        else:
            step = cubic(low, high)
        if abs(high.step - low.step) <= 1e-12 * max(1.0, abs(low.step)):
            break
    return best


class FullBatchFit(Fit):
    """A fit whose epochs are iterations of L-BFGS."""

    evaluator: Evaluator
    gradient: Array | None = None  # at the weights of the model, if nobody else has changed these
    loss = math.nan
    moment: tuple[int, int] | None = None

    def take_stepper(self) -> bool:
        """Have an evaluator; True if it is another than before."""
        if self.steppers is not None and self.steppers is self.model.steppers():
            return False
        self.steppers = self.model.steppers()
        self.evaluator = Evaluator(self.model, self.data, self.settings.batch_size)
        self.stepper = self.evaluator.stepper
        self.gradient = None
        return True

    def give_back(self) -> None:
        """Let go of the data; its program is of no use to others."""
        self.stepper.release()

    def run_epoch(self) -> dict[str, float]:
        """One iteration, and a validation."""
        epoch = self.epoch
        self.take_stepper()
        self.callbacks.on_epoch_begin(epoch)
        if self.model.stop_training:
            return {}
        self.take_stepper()  # a callback may have compiled
        done = self.iterate()
        logs = self.stepper.logs() | {"loss": self.loss}
        if self.validation and (epoch + 1) % self.settings.validation_freq == 0:
            logs |= {f"val_{name}": value for name, value in self.validate().items()}
        self.epoch, self.batch = epoch + 1, 0
        if done:
            self.model.stop_training = True
        self.callbacks.on_epoch_end(epoch, logs)
        return logs

    def iterate(self) -> bool:
        """A direction, and a search along it; whether a tolerance is met."""
        optimizer, evaluator = self.model.optimizer, self.evaluator
        arrays, m = self.model.optimizer_state, optimizer.history_size
        weights = evaluator.gather(evaluator.stepper.state.values)
        if self.gradient is None or self.moment != evaluator.stepper.moment():
            self.loss, self.gradient = evaluator(weights)
            if not math.isfinite(self.loss):
                raise DivergedError(
                    "training diverged: the loss is not finite before the first step of LBFGS. Scale the inputs",
                    self.epoch,
                    0,
                )
        gradient = self.gradient
        k = optimizer.iterations
        kept = [i % m for i in range(max(0, k - m), k)]
        pairs = [[evaluator.gather(arrays[f"{kind}{i}"]) for i in kept] for kind in "sy"]
        d = direction(gradient, *pairs)
        start = Point(0.0, self.loss, dot(gradient, d), gradient)
        if not start.slope < 0:  # of rounding: begin anew
            d = combined([-1.0], [gradient])
            start.slope = -dot(gradient, gradient)
            pairs = [[], []]

        last = 0.0  # where the model is

        def at(step: float) -> Point:
            nonlocal last
            last = step
            loss, found = evaluator(combined([1.0, step], [weights, d]))
            return Point(step, loss, dot(found, d) if math.isfinite(loss) else math.inf, found)

        length = math.sqrt(dot(d, d))
        first = 1.0 if pairs[0] else min(1.0, 1.0 / length) if length else 1.0
        try:
            best = search(at, start, first, optimizer.max_evaluations) if start.slope < 0 else start
            after = best.loss if best.step == last != 0 else at(best.step).loss  # whose sums the logs are to be of
        except BaseException:
            evaluator.put(weights)
            raise
        for kind, vector in (
            ("s", combined([best.step], [d])),
            ("y", combined([1.0, -1.0], [best.gradient, gradient])),
        ):
            evaluator.scatter(vector, arrays[f"{kind}{k % m}"])
        before, self.loss, self.gradient = self.loss, after, best.gradient
        self.moment = evaluator.stepper.moment()
        optimizer.iterations = k + 1
        small = float(np.abs(self.gradient).max(initial=0)) <= optimizer.gtol
        return small or before - after <= optimizer.ftol * max(abs(before), abs(after), 1.0)

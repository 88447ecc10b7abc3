"""The learning-rate range test: losses of steps whose learning rate rises from step to step."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nncore._kernels import engine
from nncore._kernels.table import permutation
from nncore.data import Dataset
from nncore.schedules import LearningRateSchedule
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.model import Model

STREAM = 1 << 62  # keeps the orders of rows apart from those of fits, and from dropout


class Rising(LearningRateSchedule):
    """low (high / low)^((t − first) / (steps − 1)): the same factor from step to step."""

    def __init__(self, low: float, high: float, steps: int, first: int) -> None:
        self.low, self.high, self.steps, self.first = low, high, steps, first

    def at(self, step: Array) -> Array:
        """See `LearningRateSchedule`."""
        passed = np.clip((step - self.first) / max(self.steps - 1, 1), 0, 1)
        return self.low * (self.high / self.low) ** passed


class RangeTest(NamedTuple):
    """What `Model.find_learning_rate` returns.

    Attributes
    ----------
    rates, losses : ndarray of float64
        Of each step: its learning rate, and the loss of its batch before it.
    """

    rates: Array
    losses: Array

    @property
    def suggestion(self) -> float:
        """The rate at which a smoothed loss falls fastest on a logarithmic axis, before it is least, or NaN.

        The smoothing lags behind, so it is rather too large: with momentum, or for a whole fit, begin with a third.
        """
        smooth = smoothed(self.losses)
        best = int(np.argmin(smooth)) if len(smooth) else 0
        if best < 2:
            return math.nan
        slopes = np.gradient(smooth[: best + 1], np.log(self.rates[: best + 1]))
        return float(self.rates[int(np.argmin(slopes))])

    def plot(self, ax: Any = None) -> Any:
        """Draw losses over rates, on axes of matplotlib or new ones, which are returned."""
        if ax is None:
            try:
                from matplotlib import pyplot
            except ImportError:
                raise ImportError("plot: expected matplotlib to be installed: pip install matplotlib") from None
            ax = pyplot.subplots()[1]
        ax.plot(self.rates, self.losses, alpha=0.4)
        ax.plot(self.rates, smoothed(self.losses))
        if math.isfinite(self.suggestion):
            ax.axvline(self.suggestion, linestyle=":")
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
        return ax


def smoothed(losses: Array) -> Array:
    """A running mean of memory 0.9, corrected for its start."""
    mean, found = 0.0, []
    for t, loss in enumerate(losses, start=1):
        mean = 0.9 * mean + 0.1 * float(loss)
        found.append(mean / (1 - 0.9**t))
    return np.array(found)


def range_test(
    model: Model, data: Dataset, batch: int, low: float, high: float, steps: int, stop_factor: float
) -> RangeTest:
    """See `Model.find_learning_rate`."""
    twin = copy.copy(model)
    optimizer, first = twin.optimizer, twin.optimizer.iterations
    optimizer.batches = first * optimizer.steps
    for part in optimizer.parts:
        part.learning_rate = Rising(low, high, steps, first)
    rates, losses = optimizer.parts[0]._learning_rate(first + np.arange(steps)), []
    stepper = twin.stepper(True, data, batch, shuffled=True)
    order, passes, row = np.empty(data.rows, np.int64), 0, data.rows
    for _ in range(steps):
        if row >= data.rows:
            permutation(twin.seed, STREAM | passes, order)
            stepper.begin(batch, order)
            passes, row = passes + 1, 0
        stepper.sums[:] = 0
        if stepper.whole_step() == engine.DIVERGED:
            break
        row = stepper.run.row
        loss = stepper.logs()["loss"]
        losses.append(loss)
        if not loss <= stop_factor * max(min(losses), 1e-300):
            break
    stepper.release()
    return RangeTest(rates[: len(losses)], np.array(losses))

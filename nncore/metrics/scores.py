"""F-scores: precision and recall of each class in one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.metrics.base import METRICS, Given, Metric, Plan, Targets, ratio
from nncore.metrics.thresholds import Counts
from nncore.registry import immutable

if TYPE_CHECKING:
    from nncore.conversion import Array

AVERAGES = (None, "micro", "macro", "weighted")


def check_float(value: Any, argument: str, wanted: str, condition: str, fits: Callable[[float], bool]) -> None:
    """A ValueError unless it is a float for which the condition holds, with Keras's words behind it."""
    if isinstance(value, float) and fits(value):
        return
    should, kind = (condition, "") if isinstance(value, float) else ("be a Python float", f" of type '{type(value)}'")
    phrase = f"Invalid `{argument}` argument value. It should {should}. Received: {argument}={value}{kind}"
    raise ValueError(f"{argument}: expected {wanted}, got {value!r} ({phrase})")


@immutable
class FScore(Metric):
    """Base of the F-scores."""

    @property
    def targets(self) -> Targets:
        """See `Metric.targets`."""
        return "either"

    def check(self) -> None:
        """See `Metric.check`."""
        if self.average not in AVERAGES:
            known = ", ".join(map(repr, AVERAGES))
            phrase = f"Invalid `average` argument value. Expected one of: {{{known}}}. Received: average={self.average}"
            raise ValueError(f"average: expected one of {known}, got {self.average!r} ({phrase})")
        check_float(self.beta, "beta", "a float > 0", "be > 0", lambda b: 0 < b < np.inf)
        if self.threshold is not None:
            should = "verify 0 < threshold <= 1"
            check_float(self.threshold, "threshold", "a float in (0, 1], or None", should, lambda t: 0 < t <= 1)

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        width, events = 4 * given.outputs, given.outputs
        if self.threshold is None:
            return Plan("largest", (), "outputs", "tally", width, events)
        numbers = (float(self.threshold),)
        return Plan("thresholds", (-1.0, 0.0, 1.0), "probabilities", "tally", width, events, numbers, 1)

    def of(self, sums: Array, weight: float, rows: float) -> Any:
        """See `Metric.of`."""
        counts = Counts.of(sums, 1, outputs=True)
        tp, fp, fn = (count[:, 0] for count in (counts.tp, counts.fp, counts.fn))
        support = tp + fn
        if self.average == "micro":
            tp, fp, fn = tp.sum(), fp.sum(), fn.sum()
        square = self.beta * self.beta
        scores = ratio((1 + square) * tp, (1 + square) * tp + square * fn + fp)
        if self.average == "macro":
            return float(scores.mean())
        if self.average == "weighted":
            return float(ratio((scores * support).sum(), support.sum()))
        return scores if self.average is None else float(scores)

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """See `Metric.parts`."""
        counts = Counts.of(sums, 1, outputs=True)
        return {
            "true_positives": counts.tp[:, 0],
            "false_positives": counts.fp[:, 0],
            "false_negatives": counts.fn[:, 0],
            "intermediate_weights": (counts.tp + counts.fn)[:, 0],
        }


@METRICS.register(name="fbeta_score")
@immutable
class FBetaScore(FScore):
    """(1 + β²) TP / ((1 + β²) TP + β² FN + FP) of each output: a mean of precision and recall, this β times as heavy.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        None: an array, of each output; "micro": of the counts of all; "macro": the mean; "weighted": the mean by how
        many true targets there are.
    beta : float, default 1.0
    threshold : float in (0, 1], optional
        A score above it is positive. Default: the largest of each row is, and what equals it.
    name, dtype
        See `Metric`.

    Raises
    ------
    ValueError
        An argument is not one of these.
    """

    average: Any = None
    beta: Any = 1.0
    threshold: Any = None
    name: Any = None
    dtype: Any = None

    default_name = "fbeta_score"


@METRICS.register("f1")
@immutable
class F1Score(FScore):
    """2 TP / (2 TP + FN + FP) of each output: `FBetaScore` of β = 1, the harmonic mean of precision and recall.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        See `FBetaScore`.
    threshold : float in (0, 1], optional
        A score above it is positive. Default: the largest of each row is, and what equals it.
    name, dtype
        See `Metric`.

    Raises
    ------
    ValueError
        An argument is not one of these.
    """

    average: Any = None
    threshold: Any = None
    name: Any = None
    dtype: Any = None

    beta = 1.0

"""Right and wrong decisions of scores against thresholds: counts, precision, recall, and points of their curves.

Scores are counted in bins between thresholds, apart for true and false targets, so that any number of thresholds
costs a search among them. A target is true where it is not 0, or, of integer labels, for the output of that number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from nncore.arguments import check_count, check_whole, is_number, is_whole
from nncore.metrics.base import METRICS, Given, Metric, Plan, Targets, ratio
from nncore.registry import immutable

if TYPE_CHECKING:
    from nncore.conversion import Array


@dataclass
class Counts:
    """Right and wrong decisions at each threshold, in ascending order: the last axis.

    Attributes
    ----------
    tp, fp, tn, fn : ndarray
        True and false positives and negatives; a score is positive where it is above the threshold.
    """

    tp: Array
    fp: Array
    tn: Array
    fn: Array

    @classmethod
    def of(cls, sums: Array, thresholds: int, outputs: bool = False) -> Counts:
        """From sums of the tally `thresholds`; of several outputs the first axis, if these are counted apart."""
        bins = sums.reshape(-1, 2, thresholds + 1)
        above = np.cumsum(bins[..., ::-1], -1)[..., ::-1][..., 1:]
        below = np.cumsum(bins, -1)[..., :-1]
        counts = above[:, 1], above[:, 0], below[:, 0], below[:, 1]
        return cls(*counts) if outputs else cls(*(count[0] for count in counts))

    @property
    def precision(self) -> Array:
        """TP / (TP + FP); 0 where nothing is positive."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> Array:
        """TP / (TP + FN); 0 where nothing is true."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> Array:
        """TN / (TN + FP); 0 where nothing is false."""
        return ratio(self.tn, self.tn + self.fp)


def check_thresholds(given: Any) -> list[Any]:
    """Thresholds as a list of numbers in [0, 1]."""
    listed = list(given) if isinstance(given, (Sequence, np.ndarray)) else [given]
    wrong = [t for t in listed if not is_number(t) or not 0 <= t <= 1]
    if wrong or not listed:
        phrase = f"Threshold values must be in [0, 1]. Received: {wrong}"
        raise ValueError(f"thresholds: expected numbers from 0 to 1, got {wrong} ({phrase})")
    return listed


def check_thresholds_number(given: Any, above: int) -> int:
    """How many thresholds there are, more than `above`."""
    if not is_whole(given) or int(given) <= above:
        raise ValueError(
            f"num_thresholds: expected a whole number above {above}, got {given!r} "
            f"(Argument `num_thresholds` must be an integer > {above})"
        )
    return int(given)


def logit(t: float) -> float:
    """log t / (1 − t), without an end."""
    return -math.inf if t <= 0 else math.inf if t >= 1 else math.log(t / (1 - t))


@immutable
class Decisions(Metric):
    """Base of the metrics that are made of counts by thresholds."""

    top_k = None
    class_id = None

    @property
    def targets(self) -> Targets:
        """See `Metric.targets`."""
        return "either"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """See `Metric.update_state`; with `top_k`, arrays of one axis are one row."""
        if self.class_id and np.ndim(y_pred) == 1:
            raise ValueError(
                "class_id: expected y_pred to be a 2D array, (samples, classes), of which it is a column, got shape "
                f"{np.shape(y_pred)}. Leave class_id out (When class_id is provided, y_pred must "
                f"be a 2D array with shape (num_samples, num_classes), found shape: {np.shape(y_pred)})"
            )
        if self.top_k is not None and np.ndim(y_pred) == 1:
            y_true, y_pred = np.asarray(y_true)[None], np.asarray(y_pred)[None]
            sample_weight = None if sample_weight is None else np.asarray(sample_weight)[None]
        super().update_state(y_true, y_pred, sample_weight)

    def limits(self) -> list[float]:
        """The thresholds, in ascending order."""
        raise NotImplementedError

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        limits = self.limits()
        if self.class_id is not None and not self.class_id < given.outputs:
            raise ValueError(f"class_id: expected one of {given.outputs} outputs, from 0 on, got {self.class_id}")
        chosen = -1.0 if self.class_id is None else float(self.class_id)
        return Plan(
            "thresholds",
            (chosen, float(self.top_k or 0)),
            "probabilities",
            "tally",
            width=2 * (len(limits) + 1),
            events=given.outputs if self.class_id is None else 1,
            numbers=tuple(limits),
            thresholds=len(limits),
        )

    def counts(self, sums: Array) -> Counts:
        """What the sums say."""
        return Counts.of(sums, len(self.limits()))

    def of_counts(self, counts: Counts) -> Any:
        """What the counts come to: of each threshold, or of the whole."""
        raise NotImplementedError

    def of(self, sums: Array, weight: float, rows: float) -> Any:
        """See `Metric.of`."""
        return self.of_counts(self.counts(sums))

    def _count(self, kind: str) -> Any:
        sums = vars(self).get("_sums")
        if sums is None:
            sums = np.zeros(self.plan(self.unseen()).width + 1)
        return self.ordered(getattr(self.counts(sums[:-1]), kind))

    def unseen(self) -> Given:
        """See `Metric.unseen`."""
        return Given(1 if self.class_id is None else self.class_id + 1)

    def ordered(self, values: Array) -> Any:
        """Values of thresholds, in the order in which these were given."""
        return values

    @property
    def true_positives(self) -> Any:
        """Counted so far, of each threshold."""
        return self._count("tp")

    @property
    def false_positives(self) -> Any:
        """Counted so far, of each threshold."""
        return self._count("fp")

    @property
    def true_negatives(self) -> Any:
        """Counted so far, of each threshold."""
        return self._count("tn")

    @property
    def false_negatives(self) -> Any:
        """Counted so far, of each threshold."""
        return self._count("fn")


@immutable
class OfThresholds(Decisions):
    """Base of those with thresholds of the user's: a number for one of them, an array for a list."""

    thresholds: Any = None

    def check(self) -> None:
        """See `Metric.check`."""
        given = self.thresholds
        if given is None:
            given = 0.5 if self.top_k is None else []
        object.__setattr__(self, "_limits", check_thresholds(given) if given != [] else [-math.inf])

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        if given.logits and self.limits() in ([0.0], [1.0]):
            raise ValueError(
                f"thresholds: expected a probability between 0 and 1, also where the model gives logits, got "
                f"{self.thresholds!r}, which no probability passes. 0.5, the default, is the logit 0"
            )
        return super().plan(given)

    def limits(self) -> list[float]:
        """See `Decisions.limits`."""
        return sorted(float(t) for t in vars(self)["_limits"])

    def ordered(self, values: Array) -> Any:
        """See `Decisions.ordered`."""
        return values[..., np.argsort(np.argsort(np.array(vars(self)["_limits"], np.float64), kind="stable"))]

    def of(self, sums: Array, weight: float, rows: float) -> Any:
        """See `Metric.of`."""
        values = self.ordered(self.of_counts(self.counts(sums)))
        return float(values[0]) if len(values) == 1 else values


@immutable
class CountOf(OfThresholds):
    """Base of the four counts."""

    name: Any = None
    dtype: Any = None
    kind: ClassVar[str]

    def of_counts(self, counts: Counts) -> Any:
        """See `Decisions.of_counts`."""
        return getattr(counts, self.kind)

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """See `Metric.parts`."""
        return {"accumulator": self.ordered(self.of_counts(self.counts(sums)))}


@METRICS.register()
@immutable
class TruePositives(CountOf):
    """How many true targets have a score above the threshold, by weight.

    Parameters
    ----------
    thresholds : float or list of float in [0, 1], optional
        Of a list, the result is an array. Default None, which is 0.5.
    name, dtype
        See `Metric`.

    Raises
    ------
    ValueError
        A threshold is no number in [0, 1].
    """

    kind = "tp"


@METRICS.register()
@immutable
class FalsePositives(CountOf):
    """How many false targets have a score above the threshold, by weight.

    Parameters
    ----------
    thresholds : float or list of float in [0, 1], optional
        Of a list, the result is an array. Default None, which is 0.5.
    name, dtype
        See `Metric`.

    Raises
    ------
    ValueError
        A threshold is no number in [0, 1].
    """

    kind = "fp"


@METRICS.register()
@immutable
class TrueNegatives(CountOf):
    """How many false targets have a score that is not above the threshold, by weight.

    Parameters
    ----------
    thresholds : float or list of float in [0, 1], optional
        Of a list, the result is an array. Default None, which is 0.5.
    name, dtype
        See `Metric`.

    Raises
    ------
    ValueError
        A threshold is no number in [0, 1].
    """

    kind = "tn"


@METRICS.register()
@immutable
class FalseNegatives(CountOf):
    """How many true targets have a score that is not above the threshold, by weight.

    Parameters
    ----------
    thresholds : float or list of float in [0, 1], optional
        Of a list, the result is an array. Default None, which is 0.5.
    name, dtype
        See `Metric`.

    Raises
    ------
    ValueError
        A threshold is no number in [0, 1].
    """

    kind = "fn"


@immutable
class ShareOf(OfThresholds):
    """Base of precision and recall.

    Attributes
    ----------
    wrong : {"false_positives", "false_negatives"}
        What stands beside the true positives.
    """

    wrong: ClassVar[Literal["false_positives", "false_negatives"]]
    top_k: Any = None
    class_id: Any = None
    name: Any = None
    dtype: Any = None

    def check(self) -> None:
        """See `Metric.check`."""
        if self.top_k is not None:
            check_count(self.top_k, "top_k")
        if self.class_id is not None:
            check_whole(self.class_id, "class_id", "the number of an output, from 0 on", 0)
        super().check()

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """See `Metric.parts`."""
        counts = self.counts(sums)
        return {"true_positives": self.ordered(counts.tp), self.wrong: self.ordered(self.wrong_of(counts))}

    def wrong_of(self, counts: Counts) -> Any:
        """How many of these there are."""
        return {"false_positives": counts.fp, "false_negatives": counts.fn}[self.wrong]

    def of_counts(self, counts: Counts) -> Any:
        """See `Decisions.of_counts`."""
        return ratio(counts.tp, counts.tp + self.wrong_of(counts))


@METRICS.register()
@immutable
class Precision(ShareOf):
    """TP / (TP + FP): the share of positive decisions that is right; 0 where there is none.

    Parameters
    ----------
    thresholds : float or list of float in [0, 1], optional
        A score above it is positive, a probability, also where the model gives logits; of a list, the result is an
        array. Default 0.5, or none with `top_k`.
    top_k : int, optional
        Only the k largest scores of a row may be positive; of equal ones the first count.
    class_id : int, optional
        Only this output counts; default all of them, as if they were one.
    name, dtype
        See `Metric`.

    Raises
    ------
    ValueError
        An argument is out of range.
    """

    wrong = "false_positives"


@METRICS.register()
@immutable
class Recall(ShareOf):
    """TP / (TP + FN): the share of true targets that is found; 0 where there is none.

    Parameters
    ----------
    thresholds : float or list of float in [0, 1], optional
        A score above it is positive, a probability, also where the model gives logits; of a list, the result is an
        array. Default 0.5, or none with `top_k`.
    top_k : int, optional
        Only the k largest scores of a row may be positive; of equal ones the first count.
    class_id : int, optional
        Only this output counts; default all of them, as if they were one.
    name, dtype
        See `Metric`.

    Raises
    ------
    ValueError
        An argument is out of range.
    """

    wrong = "false_negatives"


def four_counts(counts: Counts) -> dict[str, Any]:
    """Counts by the names that Keras's variables have."""
    return {
        "true_positives": counts.tp,
        "true_negatives": counts.tn,
        "false_positives": counts.fp,
        "false_negatives": counts.fn,
    }

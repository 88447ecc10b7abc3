"""Points on curves of decisions by thresholds: the best of one rate where another is good enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nncore.arguments import check_whole, is_number
from nncore.metrics.base import METRICS
from nncore.metrics.thresholds import Counts, Decisions, check_thresholds_number, four_counts
from nncore.registry import immutable

if TYPE_CHECKING:
    from nncore.conversion import Array


@immutable
class PointOf(Decisions):
    """Base of those that are the best of one rate where another is at least a value.

    Attributes
    ----------
    sought, bounded : str
        The rates of `Counts`: which is to be large, and which must reach the value.
    """

    sought: ClassVar[str]
    bounded: ClassVar[str]

    def check(self) -> None:
        """See `Metric.check`."""
        bound = self.config_names()[0]
        if not is_number(self.least()):
            raise TypeError(f"{bound}: expected a number from 0 to 1, got {self.least()!r}")
        if not 0 <= self.least() <= 1:
            raise ValueError(
                f"{bound}: expected a number from 0 to 1, got {self.least()!r}. It is a rate: divide percent by 100 "
                f"(Argument `{bound}` must be in the range [0, 1])"
            )
        check_thresholds_number(self.num_thresholds, 0)
        if self.class_id is not None:
            check_whole(self.class_id, "class_id", "the number of an output, from 0 on", 0)

    def least(self) -> Any:
        """What the other rate must reach."""
        return getattr(self, self.config_names()[0])

    def limits(self) -> list[float]:
        """See `Decisions.limits`."""
        n: int = self.num_thresholds
        return [0.5] if n == 1 else [i / (n - 1) for i in range(n)]

    @property
    def thresholds(self) -> list[float]:
        """Evenly from 0 to 1; a single one is 0.5."""
        return self.limits()

    def of_counts(self, counts: Counts) -> float:
        """See `Decisions.of_counts`."""
        sought, other = getattr(counts, self.sought), getattr(counts, self.bounded)
        return float(np.max(sought[other >= float(self.least())], initial=0.0))

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """See `Metric.parts`."""
        return four_counts(self.counts(sums))


@METRICS.register()
@immutable
class SensitivityAtSpecificity(PointOf):
    """The largest TP / (TP + FN) of a threshold at which TN / (TN + FP) ≥ specificity; 0 where there is none.

    Parameters
    ----------
    specificity : float in [0, 1]
    num_thresholds : int, default 200
        Evenly from 0 to 1.
    class_id : int, optional
        Only this output counts; default all of them, as if they were one.
    name, dtype
        See `Metric`.

    Raises
    ------
    TypeError, ValueError
        An argument is out of range.
    """

    sought: ClassVar[str] = "recall"
    bounded: ClassVar[str] = "specificity"

    specificity: Any
    num_thresholds: Any = 200
    class_id: Any = None
    name: Any = None
    dtype: Any = None


@METRICS.register()
@immutable
class SpecificityAtSensitivity(PointOf):
    """The largest TN / (TN + FP) of a threshold at which TP / (TP + FN) ≥ sensitivity; 0 where there is none.

    Parameters
    ----------
    sensitivity : float in [0, 1]
    num_thresholds : int, default 200
        Evenly from 0 to 1.
    class_id : int, optional
        Only this output counts; default all of them, as if they were one.
    name, dtype
        See `Metric`.

    Raises
    ------
    TypeError, ValueError
        An argument is out of range.
    """

    sought: ClassVar[str] = "specificity"
    bounded: ClassVar[str] = "recall"

    sensitivity: Any
    num_thresholds: Any = 200
    class_id: Any = None
    name: Any = None
    dtype: Any = None


@METRICS.register()
@immutable
class PrecisionAtRecall(PointOf):
    """The largest TP / (TP + FP) of a threshold at which TP / (TP + FN) ≥ recall; 0 where there is none.

    Parameters
    ----------
    recall : float in [0, 1]
    num_thresholds : int, default 200
        Evenly from 0 to 1.
    class_id : int, optional
        Only this output counts; default all of them, as if they were one.
    name, dtype
        See `Metric`.

    Raises
    ------
    TypeError, ValueError
        An argument is out of range.
    """

    sought: ClassVar[str] = "precision"
    bounded: ClassVar[str] = "recall"

    recall: Any
    num_thresholds: Any = 200
    class_id: Any = None
    name: Any = None
    dtype: Any = None


@METRICS.register()
@immutable
class RecallAtPrecision(PointOf):
    """The largest TP / (TP + FN) of a threshold at which TP / (TP + FP) ≥ precision; 0 where there is none.

    Parameters
    ----------
    precision : float in [0, 1]
    num_thresholds : int, default 200
        Evenly from 0 to 1.
    class_id : int, optional
        Only this output counts; default all of them, as if they were one.
    name, dtype
        See `Metric`.

    Raises
    ------
    TypeError, ValueError
        An argument is out of range.
    """

    sought: ClassVar[str] = "recall"
    bounded: ClassVar[str] = "precision"

    precision: Any
    num_thresholds: Any = 200
    class_id: Any = None
    name: Any = None
    dtype: Any = None

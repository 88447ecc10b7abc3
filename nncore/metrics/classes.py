"""What is made of a confusion matrix: how often each class was taken for each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.arguments import check_number, check_whole
from nncore.metrics.base import METRICS, Given, Metric, Plan, Targets, ratio
from nncore.registry import immutable

if TYPE_CHECKING:
    from nncore.conversion import Array

# How a row says a class: see TALLY(confusion) of kernels.def.
BY_NUMBER, BY_PLACE, BY_THRESHOLD, FROM_THRESHOLD = 0.0, 1.0, 2.0, 3.0


def tally(
    given: Given, classes: int, true_by: float, predicted_by: float, ignored: int | None, threshold: float = 0.5
) -> Plan:
    """Count rows in a confusion matrix."""
    compares = max(true_by, predicted_by) >= BY_THRESHOLD
    return Plan(
        "confusion",
        (float(classes), true_by, predicted_by, -1.0 if ignored is None else float(ignored)),
        "probabilities" if compares else "outputs",
        "tally",
        width=classes * classes,
        events=1,
        numbers=(threshold,) if compares else (),
        thresholds=int(compares),
        flat=predicted_by != BY_PLACE and given.outputs > 1 and not given.labels,
    )


def matrix_of(sums: Array) -> Array:
    """Rows are true, columns predicted classes."""
    n = math.isqrt(sums.size)
    return sums.reshape(n, n)


# -- of the class of each row ------------------------------------------------------------------------------------------


@immutable
class OfClasses(Metric):
    """Base of those that compare the class of each row.

    A row of several predictions says the class of the largest, a single one class 1 where it is above the threshold.
    Targets are labels or one-hot rows, or the values 0 and 1 of a single output. By itself, on arrays, single
    predictions may also be the numbers of more than two classes.
    """

    @property
    def targets(self) -> Targets:
        """See `Metric.targets`."""
        return "either"

    def check(self) -> None:
        """See `Metric.check`."""
        if self.num_classes is not None:
            check_whole(self.num_classes, "num_classes", "a whole number of at least 2", 2)
        check_number(self.threshold, "threshold", "a number between 0 and 1", lambda t: 0 < t < 1)

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        n, classes = given.outputs, self.num_classes
        if n > 1:
            if classes is not None and classes < n:
                raise ValueError(f"num_classes: expected at least {n}, as there are outputs, got {classes}")
            return tally(given, classes or n, BY_PLACE, BY_PLACE, None)
        by = BY_THRESHOLD if classes in (None, 2) else BY_NUMBER
        return tally(given, classes or 2, by, by, None, float(self.threshold))

    def unseen(self) -> Given:
        """See `Metric.unseen`."""
        return Given(1)

    def of(self, sums: Array, weight: float, rows: float) -> Any:
        """See `Metric.of`."""
        return self.of_matrix(matrix_of(sums))

    def of_matrix(self, matrix: Array) -> Any:
        """What a confusion matrix comes to; rows are true, columns predicted classes."""
        raise NotImplementedError

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """See `Metric.parts`."""
        return {"confusion_matrix": matrix_of(sums)}


@METRICS.register()
@immutable
class ConfusionMatrix(OfClasses):
    """How often, by weight, each class (row) was taken for each (column): an array, (classes, classes).

    A row of several predictions says the class of the largest, a single one class 1 where it is above the threshold.
    Targets are labels or one-hot rows, or the values 0 and 1 of a single output. By itself, on arrays, single
    predictions may also be the numbers of more than two classes. Rows of several predictions that are all NaN count
    nowhere; a single one that is NaN says class 0.

    Parameters
    ----------
    num_classes : int, optional
        Default: as many as there are outputs, two for a single one.
    normalize : {None, "true", "pred", "all"}
        Divide by the sums of rows, of columns, or by the sum of all, as scikit-learn does.
    threshold : float, default 0.5
        Of a single output.
    name, dtype
        See `Metric`.

    Raises
    ------
    TypeError, ValueError
        An argument is not one of these.
    """

    num_classes: Any = None
    normalize: Any = None
    threshold: Any = 0.5
    name: Any = None
    dtype: Any = None

    def check(self) -> None:
        """See `Metric.check`."""
        super().check()
        if self.normalize not in (None, "true", "pred", "all"):
            raise ValueError(f"normalize: expected None, 'true', 'pred' or 'all', got {self.normalize!r}")

    def of_matrix(self, matrix: Array) -> Any:
        """See `OfClasses.of_matrix`."""
        if self.normalize is None:
            return matrix.copy()
        axis: Any = {"true": 1, "pred": 0, "all": (0, 1)}[self.normalize]
        return ratio(matrix, matrix.sum(axis=axis, keepdims=True))


@METRICS.register("mcc")
@immutable
class MatthewsCorrelation(OfClasses):
    """Correlation of true and predicted classes, in [−1, 1]; 0 where one of them is always the same.

    (s c − Σₖ tₖ pₖ) / √((s² − Σ pₖ²) (s² − Σ tₖ²)), with s all rows, c the right ones, tₖ and pₖ those whose true,
    and predicted, class is k; of two classes (TP TN − FP FN) / √((TP + FP) (TP + FN) (TN + FP) (TN + FN)).

    Parameters
    ----------
    num_classes : int, optional
        Default: as many as there are outputs, two for a single one.
    threshold : float, default 0.5
        Of a single output.
    name, dtype
        See `Metric`.

    Raises
    ------
    TypeError, ValueError
        An argument is not one of these.

    References
    ----------
    J. Gorodkin: Comparing two K-category assignments by a K-category correlation coefficient, Comput. Biol. Chem. 28
    (2004) 367-374.
    """

    num_classes: Any = None
    threshold: Any = 0.5
    name: Any = None
    dtype: Any = None

    def of_matrix(self, matrix: Array) -> float:
        """See `OfClasses.of_matrix`."""
        s, right = matrix.sum(), np.trace(matrix)
        t, p = matrix.sum(axis=1), matrix.sum(axis=0)
        size = math.sqrt(max(s * s - p @ p, 0.0)) * math.sqrt(max(s * s - t @ t, 0.0))
        return float(ratio(right * s - t @ p, size))


@METRICS.register()
@immutable
class CohenKappa(OfClasses):
    """Agreement of true and predicted classes beyond chance, at most 1: 1 − Σ wᵢⱼ mᵢⱼ / Σ wᵢⱼ eᵢⱼ.

    m is the confusion matrix, e = t pᵀ / s what chance would make of the same sums of its rows and columns, and w the
    weight of a mistake; 0 where there is none to be made.

    Parameters
    ----------
    num_classes : int, optional
        Default: as many as there are outputs, two for a single one.
    weights : {None, "linear", "quadratic"}
        wᵢⱼ = [i ≠ j], |i − j| or (i − j)²: of classes that are in order.
    threshold : float, default 0.5
        Of a single output.
    name, dtype
        See `Metric`.

    Raises
    ------
    TypeError, ValueError
        An argument is not one of these.

    References
    ----------
    J. Cohen: Weighted kappa, Psychol. Bull. 70 (1968) 213-220.
    """

    num_classes: Any = None
    weights: Any = None
    threshold: Any = 0.5
    name: Any = None
    dtype: Any = None

    def check(self) -> None:
        """See `Metric.check`."""
        super().check()
        if self.weights not in (None, "linear", "quadratic"):
            raise ValueError(f"weights: expected None, 'linear' or 'quadratic', got {self.weights!r}")

    def of_matrix(self, matrix: Array) -> float:
        """See `OfClasses.of_matrix`."""
        n = len(matrix)
        apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
        cost = {None: (apart > 0).astype(float), "linear": apart, "quadratic": apart**2}[self.weights]
        chance = ratio(np.outer(matrix.sum(axis=1), matrix.sum(axis=0)), matrix.sum())
        expected = (cost * chance).sum()
        return float(1 - (cost * matrix).sum() / expected) if expected else 0.0

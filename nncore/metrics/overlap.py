"""Intersection over union, of a confusion matrix."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.arguments import check_flag, check_number, check_whole
from nncore.conversion import as_array
from nncore.metrics.arrays import spread
from nncore.metrics.axes import AlongAxis
from nncore.metrics.base import METRICS, Given, Metric, Plan, Targets, refuse_targets
from nncore.metrics.classes import BY_NUMBER, BY_PLACE, FROM_THRESHOLD, matrix_of, tally
from nncore.registry import immutable

if TYPE_CHECKING:
    from nncore.conversion import Array


@immutable
class Overlap(AlongAxis):
    """Base of the metrics that are a mean over classes of TP / (TP + FP + FN), with what Keras's have for arguments."""

    ignore_class = None
    sparse_y_true = True
    sparse_y_pred = True

    def check(self) -> None:
        """See `Metric.check`."""
        super().check()
        check_whole(self.num_classes, "num_classes", "a whole number of at least 2", 2)
        check_flag(self.sparse_y_true, "sparse_y_true")
        check_flag(self.sparse_y_pred, "sparse_y_pred")
        if self.ignore_class is not None:
            check_whole(self.ignore_class, "ignore_class", "the number of a class, or None", -(2**31))
        if hasattr(self, "target_class_ids"):
            expected = f"numbers of classes, from 0 to {self.num_classes - 1}"
            if np.ndim(self.counted()) != 1:
                raise TypeError(f"target_class_ids: expected a list of {expected}, got {self.counted()!r}")
            ids = [check_whole(c, "target_class_ids", expected, 0, self.num_classes - 1) for c in self.counted()]
            object.__setattr__(self, "target_class_ids", ids)

    def counted(self) -> Any:
        """The classes of the mean."""
        return getattr(self, "target_class_ids", range(self.num_classes))

    @property
    def targets(self) -> Targets:
        """See `Metric.targets`."""
        return "labels" if self.sparse_y_true and not self.sparse_y_pred else "values"

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        refuse_targets(self, given)
        by_true = BY_NUMBER if self.sparse_y_true or self.sparse_y_pred else BY_PLACE
        by_predicted = BY_NUMBER if self.sparse_y_pred else BY_PLACE
        return tally(given, self.num_classes, by_true, by_predicted, self.ignore_class)

    def of(self, sums: Array, weight: float, rows: float) -> float:
        """See `Metric.of`."""
        matrix = matrix_of(sums)
        true, union = np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1) - np.diag(matrix)
        shares = [true[c] / union[c] for c in self.counted() if union[c]]
        return float(np.mean(shares)) if shares else 0.0

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """See `Metric.parts`."""
        return {"total_confusion_matrix": matrix_of(sums)}

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """See `Metric.update_state`; numbers of classes are compared one by one, whatever the shape."""
        if self.sparse_y_pred:
            t = as_array(y_true, "y_true")
            t = t if self.sparse_y_true else t.argmax(axis=self.axis)
            p = as_array(y_pred, "y_pred")
            if sample_weight is not None and t.size == p.size:
                sample_weight = spread(as_array(sample_weight, "sample_weight"), t.shape, "targets").reshape(-1)
            Metric.update_state(self, t.reshape(-1, 1), p.reshape(-1, 1), sample_weight)
        else:
            super().update_state(y_true, y_pred, sample_weight)

    @property
    def ignored(self) -> Any:
        """See `Metric.ignored`."""
        return self.ignore_class


@METRICS.register(name="iou")
@immutable
class IoU(Overlap):
    """Mean over some classes of TP / (TP + FP + FN), intersection over union; those that never occur do not count.

    Parameters
    ----------
    num_classes : int
    target_class_ids : list of int
        The classes of the mean.
    name, dtype
        See `Metric`.
    ignore_class : int, optional
        Rows of this true class do not count; it need not be one of the classes.
    sparse_y_true, sparse_y_pred : bool, default True
        Targets, or predictions, are the numbers of classes; else a row for each, of which the largest counts: in a
        model with a softmax, ``sparse_y_pred=False``.
    axis : int, default −1
        Along which the classes lie, where they are no numbers; in a model along the last one.

    Raises
    ------
    TypeError, ValueError
        An argument is not one of these.
    """

    num_classes: Any
    target_class_ids: Any
    name: Any = None
    dtype: Any = None
    ignore_class: Any = None
    sparse_y_true: Any = True
    sparse_y_pred: Any = True
    axis: Any = -1

    default_name = "io_u"


@METRICS.register(name="binary_iou")
@immutable
class BinaryIoU(Overlap):
    """`IoU` of two classes: 1 where a prediction is at least the threshold.

    Parameters
    ----------
    target_class_ids : list of int, default (0, 1)
    threshold : float, default 0.5
    name, dtype
        See `Metric`.

    Raises
    ------
    TypeError, ValueError
        An argument is out of range.
    """

    target_class_ids: Any = (0, 1)
    threshold: Any = 0.5
    name: Any = None
    dtype: Any = None

    num_classes = 2
    default_name = "binary_io_u"

    def check(self) -> None:
        """See `Metric.check`."""
        check_number(self.threshold, "threshold", "a finite number", math.isfinite)
        super().check()

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        return tally(given, 2, BY_NUMBER, FROM_THRESHOLD, None, float(self.threshold))


@METRICS.register(name="mean_iou")
@immutable
class MeanIoU(Overlap):
    """Mean over all classes that occur of TP / (TP + FP + FN), intersection over union.

    Parameters
    ----------
    num_classes : int
    name, dtype
        See `Metric`.
    ignore_class : int, optional
        Rows of this true class do not count; it need not be one of the classes.
    sparse_y_true, sparse_y_pred : bool, default True
        Targets, or predictions, are the numbers of classes; else a row for each, of which the largest counts: in a
        model with a softmax, ``sparse_y_pred=False``.
    axis : int, default −1
        Along which the classes lie, where they are no numbers; in a model along the last one.

    Raises
    ------
    TypeError, ValueError
        An argument is not one of these.
    """

    num_classes: Any
    name: Any = None
    dtype: Any = None
    ignore_class: Any = None
    sparse_y_true: Any = True
    sparse_y_pred: Any = True
    axis: Any = -1

    default_name = "mean_io_u"


@METRICS.register(name="one_hot_iou")
@immutable
class OneHotIoU(Overlap):
    """`IoU` of one-hot targets, and of predictions of which the largest of a row counts.

    Parameters
    ----------
    num_classes : int
    target_class_ids : list of int
        The classes of the mean.
    name, dtype
        See `Metric`.
    ignore_class : int, optional
        Rows of this true class do not count.
    sparse_y_pred : bool, default False
        Predictions are the numbers of classes.
    axis : int, default −1
        Along which the classes lie, where they are no numbers; in a model along the last one.

    Raises
    ------
    TypeError, ValueError
        An argument is not one of these.
    """

    num_classes: Any
    target_class_ids: Any
    name: Any = None
    dtype: Any = None
    ignore_class: Any = None
    sparse_y_pred: Any = False
    axis: Any = -1

    sparse_y_true = False
    default_name = "one_hot_io_u"


@METRICS.register(name="one_hot_mean_iou")
@immutable
class OneHotMeanIoU(Overlap):
    """`MeanIoU` of one-hot targets, and of predictions of which the largest of a row counts.

    Parameters
    ----------
    num_classes : int
    name, dtype
        See `Metric`.
    ignore_class : int, optional
        Rows of this true class do not count.
    sparse_y_pred : bool, default False
        Predictions are the numbers of classes.
    axis : int, default −1
        Along which the classes lie, where they are no numbers; in a model along the last one.

    Raises
    ------
    TypeError, ValueError
        An argument is not one of these.
    """

    num_classes: Any
    name: Any = None
    dtype: Any = None
    ignore_class: Any = None
    sparse_y_pred: Any = False
    axis: Any = -1

    sparse_y_true = False
    default_name = "one_hot_mean_io_u"

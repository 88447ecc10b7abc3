"""Means of crossentropies, one of each row: the kernels of losses."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from nncore.arguments import check_flag, check_number, check_whole
from nncore.metrics import arrays
from nncore.metrics.axes import AlongAxis
from nncore.metrics.base import METRICS, Given, MeanOfRows, Plan, Targets, refuse_targets
from nncore.registry import immutable


@immutable
class Crossentropy(AlongAxis, MeanOfRows):
    """Base of the crossentropies: of outputs that are said to be logits, of those at hand, else of probabilities."""

    partner: ClassVar[str] = "softmax"

    label_smoothing = 0.0

    def check(self) -> None:
        """See `Metric.check`."""
        check_flag(self.from_logits, "from_logits", "True if the predictions are no probabilities")
        super().check()
        check_number(self.label_smoothing, "label_smoothing", "a number from 0 to 1", lambda s: 0 <= s <= 1)

    @property
    def parameters(self) -> tuple[float, ...]:
        """See `MeanOfRows.parameters`."""
        return (float(self.label_smoothing),)

    @property
    def targets(self) -> Targets:
        """See `Metric.targets`."""
        return "values"

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        refuse_targets(self, given)
        kernel = self.registry.name_of(self)
        through = given.fused and given.activation == self.partner and not self.from_logits
        if through or self.from_logits or (given.logits and given.loss is not None):
            return Plan(f"{kernel}_logits", self.parameters, "logits" if through else "outputs")
        return Plan(kernel, self.parameters)

    def compute(self, y_true: Any, y_pred: Any) -> Any:
        """The value of each row."""
        return super().compute(*self.turned(y_true, y_pred))


@METRICS.register("bce")
@immutable
class BinaryCrossentropy(Crossentropy):
    """−1/n Σⱼ (tⱼ log pⱼ + (1 − tⱼ) log(1 − pⱼ)), p in [1e-7, 1 − 1e-7]; each output is a question of its own.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    from_logits : bool, default False
        Predictions are logits. Those of a model whose loss says so need no word of it.
    label_smoothing : float in [0, 1], default 0
        Targets t become t (1 − s) + s / 2.

    Raises
    ------
    TypeError, ValueError
        An argument is not one of these.
    """

    name: Any = None
    dtype: Any = None
    from_logits: Any = False
    label_smoothing: Any = 0

    partner = "sigmoid"


@METRICS.register()
@immutable
class CategoricalCrossentropy(Crossentropy):
    """−Σⱼ tⱼ log pⱼ for one-hot targets, or any that are ≥ 0 and sum to one; p divided by its sum.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    from_logits : bool, default False
        Predictions are logits. Those of a model whose loss says so need no word of it.
    label_smoothing : float in [0, 1], default 0
        Targets t become t (1 − s) + s / n.
    axis : int, default −1
        Along which the classes lie; in a model along the last one.

    Raises
    ------
    TypeError, ValueError
        An argument is not one of these.
    """

    name: Any = None
    dtype: Any = None
    from_logits: Any = False
    label_smoothing: Any = 0
    axis: Any = -1


@METRICS.register()
@immutable
class SparseCategoricalCrossentropy(Crossentropy):
    """−log p_c for the integer label c; p divided by its sum.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    from_logits : bool, default False
        Predictions are logits. Those of a model whose loss says so need no word of it.
    ignore_class : int, optional
        Rows of this label count as 0, and where there are weights not at all, as in Keras; it need not be one of the
        classes. Not in a model: there give them the sample_weight 0, and the metric to `weighted_metrics`.
    axis : int, default −1
        Along which the classes lie; in a model along the last one.

    Raises
    ------
    TypeError, ValueError
        An argument is not one of these.
    """

    name: Any = None
    dtype: Any = None
    from_logits: Any = False
    ignore_class: Any = None
    axis: Any = -1

    def check(self) -> None:
        """See `Metric.check`."""
        super().check()
        if self.ignore_class is not None:
            check_whole(self.ignore_class, "ignore_class", "a label, or None", -(2**31))

    @property
    def ignored(self) -> Any:
        """See `Metric.ignored`."""
        return self.ignore_class

    def plan_in_model(self, given: Given) -> Plan:
        """See `Metric.plan_in_model`."""
        if self.ignore_class is not None:
            raise ValueError(
                "metrics: sparse_categorical_crossentropy with ignore_class is for arrays alone. Give rows that should "
                "not count the sample_weight 0, and the metric without ignore_class to weighted_metrics"
            )
        return super().plan_in_model(given)

    def _add(self, rows: arrays.Rows) -> None:
        if self.ignore_class is None or rows.labels is None:
            super()._add(rows)
            return
        counts, unweighted = (rows.labels != self.ignore_class)[:, None], rows.weight is None
        rows.weight = (counts * (1 if rows.weight is None else rows.weight)).astype(rows.p.dtype)
        rows.labels = np.where(counts[:, 0], rows.labels, 0).astype(np.int32)
        super()._add(rows)
        if unweighted:
            vars(self)["_sums"][-1] += np.count_nonzero(~counts)

    @property
    def parameters(self) -> tuple[float, ...]:
        """See `MeanOfRows.parameters`; rows to be ignored weigh nothing."""
        return (-1.0,)

    @property
    def targets(self) -> Targets:
        """See `Metric.targets`."""
        return "labels"


@METRICS.register()
@immutable
class LogLoss(MeanOfRows):
    """−log of the probability that was given to what is true, in the form that suits the targets.

    `SparseCategoricalCrossentropy` for labels, `BinaryCrossentropy` for a single output, else
    `CategoricalCrossentropy`; scikit-learn's log_loss.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """

    name: Any = None
    dtype: Any = None

    @property
    def targets(self) -> Targets:
        """See `Metric.targets`."""
        return "either"

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        if given.labels:
            return SparseCategoricalCrossentropy().plan(given)
        return (BinaryCrossentropy() if given.outputs == 1 else CategoricalCrossentropy()).plan(given)

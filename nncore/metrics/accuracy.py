"""Shares of right answers."""

from __future__ import annotations

import math
from typing import Any

from nncore.arguments import check_count, check_flag, check_number
from nncore.conversion import as_array
from nncore.metrics.base import METRICS, Given, MeanOfRows, Plan
from nncore.registry import immutable


@METRICS.register("acc")
@immutable
class Accuracy(MeanOfRows):
    """Share of right answers, in the form that suits the loss, as Keras's name "accuracy" does.

    - integer labels: `SparseCategoricalAccuracy`;
    - a binary crossentropy, or a single output: `BinaryAccuracy` with the threshold 0.5;
    - else: `CategoricalAccuracy`.

    By itself, on arrays, it is 1/n Σⱼ [pⱼ = tⱼ], as Keras's class of this name. In a model Keras decides by shapes
    alone, so that it takes `CategoricalAccuracy` with a binary crossentropy over several outputs.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """

    name: Any = "accuracy"
    dtype: Any = None

    def plan_in_model(self, given: Given) -> Plan:
        """See `Metric.plan_in_model`."""
        loss = given.loss
        if given.labels:
            kind = "sparse_categorical_accuracy"
        elif given.outputs == 1:
            kind = "binary_accuracy"
        else:
            kind = (loss and loss.accuracy) or "categorical_accuracy"
        return METRICS.classes[kind]().plan_in_model(given)

    @property
    def targets_in_model(self) -> Any:
        """See `Metric.targets_in_model`."""
        return "either"


@METRICS.register()
@immutable
class BinaryAccuracy(MeanOfRows):
    """1/n Σⱼ [(pⱼ > threshold) = tⱼ] for targets 0 and 1.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    threshold : float, default 0.5
        A probability, in (0, 1). Where the predictions are logits z, because the loss is fused with a sigmoid or
        is a binary crossentropy with ``from_logits=True``, the comparison is z > log(threshold / (1 − threshold)),
        that is z > 0 by default. (In the latter case Keras compares z with the probability itself.)

    Raises
    ------
    TypeError, ValueError
        `threshold` is no number, or not between 0 and 1.
    """

    name: Any = None
    dtype: Any = None
    threshold: float = 0.5

    def check(self) -> None:
        """See `Metric.check`."""
        remedy = "it is a probability, also where the model gives logits, of which 0 is its default 0.5"
        check_number(self.threshold, "threshold", "a number between 0 and 1", lambda t: 0 < t < 1, remedy)

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        loss, plain = given.loss, super().plan(given)
        through = given.fused and given.activation == "sigmoid"
        t = float(self.threshold)
        if through or (loss is not None and loss.accuracy == self.kernel and loss.from_logits):
            t = math.log(t / (1 - t))
        return Plan(plain.kernel, (t,), "logits" if through else "outputs")


@METRICS.register()
@immutable
class CategoricalAccuracy(MeanOfRows):
    """[argmaxⱼ pⱼ = argmaxⱼ tⱼ] for one-hot targets; of equal values the first counts.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """

    name: Any = None
    dtype: Any = None

    ranks = True


@METRICS.register()
@immutable
class SparseCategoricalAccuracy(MeanOfRows):
    """[argmaxⱼ pⱼ = c] for the integer label c; of equal values the first counts.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """

    name: Any = None
    dtype: Any = None

    ranks = True


@immutable
class TopK(MeanOfRows):
    """Base of the accuracies that are content with one of the k largest predictions."""

    k: int = 5
    name: Any = None
    dtype: Any = None

    ranks = True

    def check(self) -> None:
        """See `Metric.check`."""
        check_count(self.k, "k")

    @property
    def parameters(self) -> tuple[float, ...]:
        """See `MeanOfRows.parameters`."""
        return (float(self.k),)


@METRICS.register()
@immutable
class TopKCategoricalAccuracy(TopK):
    """[fewer than k of a row are larger than p of argmaxⱼ tⱼ] for one-hot targets: all that equal the k-th count.

    Parameters
    ----------
    k : int, default 5
    name, dtype
        See `Metric`.

    Raises
    ------
    ValueError
        `k` is no whole number of at least 1.
    """


@METRICS.register()
@immutable
class SparseTopKCategoricalAccuracy(TopK):
    """[fewer than k of a row are larger than p_c] for the integer label c: all that equal the k-th largest count.

    Parameters
    ----------
    k : int, default 5
    name, dtype
        See `Metric`.
    from_sorted_ids : bool, default False
        Keras's: predictions are the numbers of classes, the likeliest first. Not in a model.

    Raises
    ------
    ValueError
        `k` is no whole number of at least 1.
    """

    from_sorted_ids: bool = False

    def check(self) -> None:
        """See `Metric.check`."""
        super().check()
        check_flag(self.from_sorted_ids, "from_sorted_ids")

    def plan_in_model(self, given: Given) -> Plan:
        """See `Metric.plan_in_model`."""
        if self.from_sorted_ids:
            raise ValueError(
                "metrics: sparse_top_k_categorical_accuracy with from_sorted_ids=True expects numbers of classes, got "
                "the outputs of a model. Leave from_sorted_ids out"
            )
        return self.plan(given)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """See `Metric.update_state`."""
        if not self.from_sorted_ids:
            super().update_state(y_true, y_pred, sample_weight)
            return
        first = as_array(y_pred, "y_pred")[..., : self.k]
        labels = as_array(y_true, "y_true").reshape((*first.shape[:-1], 1))
        self._add_values((first == labels).any(axis=-1), sample_weight)

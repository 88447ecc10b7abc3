"""Areas under curves of right and wrong decisions, over all thresholds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nncore.arguments import check_flag, check_whole
from nncore.attributes import shown
from nncore.metrics.base import METRICS, Given, Plan, ratio
from nncore.metrics.thresholds import (
    Counts,
    Decisions,
    check_thresholds,
    check_thresholds_number,
    four_counts,
    logit,
)
from nncore.registry import immutable

if TYPE_CHECKING:
    from nncore.conversion import Array
    from nncore.metrics.arrays import Rows

END = 1e-7  # beyond [0, 1], as Keras shows the ends
CURVES = ("ROC", "PR", "PRGAIN")
SUMMATIONS = ("interpolation", "minoring", "majoring")


@METRICS.register()
@immutable
class AUC(Decisions):
    """Area under the curve of decisions by thresholds, in [0, 1].

    With P = TP + FN true and N = TN + FP false targets, of all thresholds in turn:

    - "ROC": TP / P over FP / N: the probability that a true target has a larger score than a false one;
    - "PR": TP / (TP + FP) over TP / P;
    - "PRGAIN": 1 − P/N FP/TP over 1 − P/N FN/TP, where these are ≥ 0.

    NaN where a score that has a weight is NaN, or −∞.

    Parameters
    ----------
    num_thresholds : int or None, default 200
        Evenly over [0, 1], −∞ and ∞ in place of the ends. The finer, the nearer the area of all distinct scores, which
        None gives: it keeps all scores, and is for arrays alone, not for a model.
    curve : {"ROC", "PR", "PRGAIN"}
    summation_method : {"interpolation", "minoring", "majoring"}
        Between two points: trapezoids (for "PR" the interpolation of Davis and Goadrich, of counts rather than of the
        precision), or the lower, or the higher value.
    name, dtype
        See `Metric`.
    thresholds : list of float in [0, 1], optional
        In place of `num_thresholds`; the ends are added.
    multi_label : bool, default False
        Each output has a curve of its own, and the result is the mean of their areas. Otherwise all count as one.
    num_labels : int, optional
        How many outputs there are, with `multi_label`.
    label_weights : list of float, optional
        Weights of the outputs: in that mean, or of what they count.
    from_logits : bool, default False
        Scores are logits. Those of a model whose loss says so need no word of it.

    Raises
    ------
    TypeError, ValueError
        An argument is not one of these.

    References
    ----------
    J. Davis, M. Goadrich: The relationship between precision-recall and ROC curves, ICML 2006. P. Flach, M. Kull:
    Precision-recall-gain curves, NeurIPS 2015.
    """

    num_thresholds: Any = 200
    curve: Any = "ROC"
    summation_method: Any = "interpolation"
    name: Any = None
    dtype: Any = None
    thresholds: Any = None
    multi_label: Any = False
    num_labels: Any = None
    label_weights: Any = None
    from_logits: Any = False

    def check(self) -> None:
        """See `Metric.check`."""
        put = object.__setattr__
        if isinstance(self.curve, str) and self.curve.upper() in CURVES:
            put(self, "curve", self.curve.upper())
        else:
            raise ValueError(
                f"curve: expected one of {', '.join(CURVES)}, got {self.curve!r} "
                f'(Invalid AUC curve value: "{self.curve}")'
            )
        if isinstance(self.summation_method, str) and self.summation_method.lower() in SUMMATIONS:
            put(self, "summation_method", self.summation_method.lower())
        else:
            raise ValueError(
                f"summation_method: expected one of {', '.join(SUMMATIONS)}, got {self.summation_method!r} "
                f'(Invalid AUC summation method value: "{self.summation_method}")'
            )
        exact = self.thresholds is None and self.num_thresholds is None
        if exact:
            inner = []
        elif self.thresholds is None:
            n = check_thresholds_number(self.num_thresholds, 1)
            inner = [i / (n - 1) for i in range(1, n - 1)]
        else:
            inner = sorted(map(float, check_thresholds(self.thresholds)))
            put(self, "num_thresholds", len(inner) + 2)
        put(self, "_inner", inner)
        put(self, "_exact", exact)
        put(self, "_manual", self.thresholds is not None)
        put(self, "thresholds", [-END, *inner, 1 + END])
        check_flag(self.multi_label, "multi_label")
        check_flag(self.from_logits, "from_logits")
        if self.num_labels is not None:
            check_whole(self.num_labels, "num_labels", "the number of outputs, with multi_label=True", 1)
            if not self.multi_label:
                raise ValueError(f"num_labels: expected None without multi_label=True, got {self.num_labels!r}")
        if self.label_weights is not None:
            weights = np.asarray(self.label_weights, np.float64)
            if weights.ndim != 1 or not (weights >= 0).all():
                raise ValueError(f"label_weights: expected a number ≥ 0 for each output, got {self.label_weights!r}")
            put(self, "label_weights", weights.tolist())

    def limits(self) -> list[float]:
        """See `Decisions.limits`."""
        inner = vars(self)["_inner"]
        return [-math.inf, *(map(logit, inner) if self.from_logits else inner), math.inf]

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        limits, weights = self.limits(), self.label_weights
        for argument, expected in (("num_labels", self.num_labels), ("label_weights", weights and len(weights))):
            if expected is not None and expected != given.outputs:
                raise ValueError(f"{argument}: expected {given.outputs}, as there are outputs, got {expected}")
        weighs = weights is not None and not self.multi_label
        return Plan(
            "thresholds",
            (-1.0, 0.0, float(self.multi_label), float(weighs)),
            "outputs" if self.from_logits else "probabilities",
            "tally",
            width=2 * (len(limits) + 1) * (given.outputs if self.multi_label else 1),
            events=given.outputs,
            numbers=(*limits, *(weights if weighs else ())),
            thresholds=len(limits),
        )

    def plan_in_model(self, given: Given) -> Plan:
        """See `Metric.plan_in_model`."""
        if vars(self)["_exact"]:
            raise ValueError(
                "num_thresholds: expected a whole number in a model, got None, which keeps all scores. Give it, for "
                "example, 10_000, or call the metric on what predict returns"
            )
        return self.plan(given)

    def _add(self, rows: Rows) -> None:
        super()._add(rows)
        if vars(self)["_exact"]:
            vars(self).setdefault("_kept", []).append(scores_of(rows, self.label_weights, bool(self.multi_label)))

    def reset_state(self) -> None:
        """See `Metric.reset_state`."""
        super().reset_state()
        vars(self).pop("_kept", None)

    def unseen(self) -> Given:
        """See `Metric.unseen`."""
        return Given(self.num_labels or vars(self).get("_outputs") or len(self.label_weights or [0]))

    def argument(self, name: str) -> Any:
        """See `Configurable.argument`."""
        if name == "thresholds":
            return list(vars(self)["_inner"]) if vars(self)["_manual"] else None
        return super().argument(name)

    def get_config(self) -> dict[str, Any]:
        """See `Configurable.get_config`."""
        config = super().get_config()
        return config if vars(self)["_manual"] else {k: v for k, v in config.items() if k != "thresholds"}

    def __repr__(self) -> str:
        return shown(self, self.get_config())

    def counts(self, sums: Array) -> Counts:
        """See `Decisions.counts`."""
        if kept := vars(self).get("_kept"):
            scores, true, weights = (np.concatenate(parts) for parts in zip(*kept, strict=True))
            return distinct(scores, true, weights, bool(self.multi_label))
        return Counts.of(sums, len(self.limits()), bool(self.multi_label))

    def of_counts(self, counts: Counts) -> float:
        """See `Decisions.of_counts`."""
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = interpolated(counts)
        else:
            areas = under(*points(counts, self.curve), self.summation_method)
        areas = np.where((counts.fn[..., 0] != 0) | (counts.tn[..., 0] != 0), math.nan, areas)  # not even above −∞
        if not self.multi_label:
            return float(areas)
        if self.label_weights is None:
            return float(np.mean(areas))
        return float(ratio(np.sum(areas * self.label_weights), np.sum(self.label_weights)))

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """See `Metric.parts`; of several outputs they are the last axis, as in Keras."""
        return {name: np.moveaxis(count, -1, 0) for name, count in four_counts(self.counts(sums)).items()}

    def _count(self, kind: str) -> Any:
        return np.moveaxis(super()._count(kind), -1, 0)


def scores_of(rows: Rows, label_weights: Any, by_output: bool) -> tuple[Array, Array, Array]:
    """Scores, whether their targets are true, and weights: (rows, outputs), of all outputs as one (…, 1)."""
    hot: Any = rows.t if rows.labels is None else rows.labels[:, None] == np.arange(rows.outputs)
    weight = np.ones(rows.p.shape) * (1 if rows.weight is None else rows.weight)
    if label_weights is not None and not by_output:
        weight = weight * label_weights
    width = rows.outputs if by_output else 1
    return rows.p.copy().reshape(-1, width), (hot != 0).reshape(-1, width), weight.reshape(-1, width)


def distinct(scores: Array, true: Array, weights: Array, by_output: bool) -> Counts:
    """Counts with all distinct scores as thresholds, and one below them."""
    places = np.unique(scores, return_inverse=True)[1].reshape(scores.shape)
    places = np.where(np.isnan(scores), -1, places)
    bins = np.zeros((scores.shape[1], 2, places.max(initial=0) + 3))
    outputs = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    np.add.at(bins, (outputs, true.astype(int), places + 1), weights)  # in the order of the rows
    return Counts.of(bins.reshape(-1), bins.shape[2] - 1, by_output)


def points(counts: Counts, curve: Literal["ROC", "PR", "PRGAIN"]) -> tuple[Array, Array]:
    """x and y of a curve, at each threshold."""
    if curve == "ROC":
        return ratio(counts.fp, counts.fp + counts.tn), counts.recall
    if curve == "PR":
        return counts.recall, counts.precision
    odds = ratio(counts.tp + counts.fn, counts.tn + counts.fp)
    found = counts.tp > 0
    recall = np.where(found, np.maximum(1 - odds * ratio(counts.fn, counts.tp), 0), 0)
    return recall, np.where(found, 1 - odds * ratio(counts.fp, counts.tp), 1)


def under(x: Array, y: Array, summation: str) -> Any:
    """The area under points of which x falls, along the last axis."""
    left, right = y[..., :-1], y[..., 1:]
    if summation == "interpolation":
        heights = (left + right) / 2
    else:
        heights = (np.minimum if summation == "minoring" else np.maximum)(left, right)
    return ((x[..., :-1] - x[..., 1:]) * heights).sum(-1)


def interpolated(counts: Counts) -> Any:
    """The area under precision over recall, TP and TP + FP being linear between two thresholds.

    With slope s = ΔTP / Δ(TP + FP) and TP = s (TP + FP) + c between them, the integral of precision over TP is
    s (ΔTP + c Δ log(TP + FP)).
    """
    tp, positive = counts.tp, counts.tp + counts.fp
    more, less = positive[..., :-1], positive[..., 1:]
    gained = tp[..., :-1] - tp[..., 1:]
    slope = ratio(gained, np.maximum(more - less, 0))
    offset = tp[..., 1:] - slope * less
    both = (more > 0) & (less > 0)
    growth = np.log(np.divide(more, less, out=np.ones_like(more), where=both))
    true = np.maximum(tp[..., 1:] + counts.fn[..., 1:], 0)
    return ratio(slope * (gained + offset * growth), true).sum(-1)

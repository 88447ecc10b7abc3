"""Axes of arrays that metrics go along."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.arguments import is_whole
from nncore.conversion import as_array
from nncore.masks import masked
from nncore.metrics.base import Given, Metric, Plan
from nncore.registry import immutable


@immutable
class AlongAxis(Metric):
    """Base of those of which the values of a row may lie along any axis of arrays; in a model along the last."""

    axis = -1

    def check(self) -> None:
        """See `Metric.check`."""
        if not is_whole(self.axis):
            raise ValueError(f"axis: expected a whole number, got {self.axis!r}")

    def plan_in_model(self, given: Given) -> Plan:
        """See `Metric.plan_in_model`."""
        if self.axis not in (-1, given.axes):
            raise ValueError(
                f"metrics: {self.name} of a model goes along the last axis, got axis={self.axis}. Let "
                "nncore.layers.Permute come last"
            )
        return super().plan_in_model(given)

    def turned(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Targets, unless they are labels, and predictions with that axis as the last."""
        if self.axis == -1:
            return y_true, y_pred
        p = as_array(y_pred, "y_pred")
        if not -p.ndim <= self.axis < p.ndim:
            raise ValueError(f"axis: expected an axis of y_pred, of shape {p.shape}, got {self.axis}")
        t = as_array(y_true, "y_true")
        return t if self.targets == "labels" else np.moveaxis(t, self.axis, -1), np.moveaxis(p, self.axis, -1)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """See `Metric.update_state`."""
        if self.axis != -1:
            sample_weight = masked(y_pred, sample_weight)  # the mask stays behind when axes turn
        super().update_state(*self.turned(y_true, y_pred), sample_weight)

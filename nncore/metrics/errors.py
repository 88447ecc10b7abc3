"""Means of errors, likelihoods and similarities, one of each row: the kernels of losses, as a rule."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore.metrics.base import METRICS, MeanOfRows, Metric
from nncore.registry import immutable

if TYPE_CHECKING:
    from nncore.conversion import Array


@immutable
class Named(MeanOfRows):
    """Base of those without arguments of their own."""

    name: Any = None
    dtype: Any = None


@METRICS.register("mse", "MSE")
@immutable
class MeanSquaredError(Named):
    """1/n Σⱼ (pⱼ − tⱼ)².

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """


@METRICS.register("mae", "MAE")
@immutable
class MeanAbsoluteError(Named):
    """1/n Σⱼ |pⱼ − tⱼ|.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """


@METRICS.register("rmse", "RMSE")
@immutable
class RootMeanSquaredError(Named):
    """√(mean over all rows of 1/n Σⱼ (pⱼ − tⱼ)²).

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """

    @property
    def kernel(self) -> str:
        """See `MeanOfRows.kernel`."""
        return "mean_squared_error"

    elements = True

    def of(self, sums: Array, weight: float, rows: float) -> float:
        """See `Metric.of`."""
        mean = super().of(sums, weight, rows)
        return math.sqrt(mean) if mean >= 0 else math.nan

    def compute(self, y_true: Any, y_pred: Any) -> Any:
        """Its result for these arrays."""
        return Metric.compute(self, y_true, y_pred)

"""Means of errors and similarities, one of each row: the kernels of losses, as a rule."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore.metrics.axes import AlongAxis
from nncore.metrics.base import METRICS, MeanOfRows, Metric
from nncore.registry import immutable

if TYPE_CHECKING:
    from nncore.conversion import Array


@immutable
class Named(MeanOfRows):
    """Base of those without arguments of their own."""

    name: Any = None
    dtype: Any = None


@METRICS.register("mse")
@immutable
class MeanSquaredError(Named):
    """1/n Σⱼ (pⱼ − tⱼ)².

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """


@METRICS.register("mae")
@immutable
class MeanAbsoluteError(Named):
    """1/n Σⱼ |pⱼ − tⱼ|.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """


@METRICS.register("rmse")
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

    def of(self, sums: Array, weight: float, rows: float) -> float:
        """See `Metric.of`."""
        mean = super().of(sums, weight, rows)
        return math.sqrt(mean) if mean >= 0 else math.nan

    def compute(self, y_true: Any, y_pred: Any) -> Any:
        """Its result for these arrays."""
        return Metric.compute(self, y_true, y_pred)


@METRICS.register("mape")
@immutable
class MeanAbsolutePercentageError(Named):
    """100/n Σⱼ |pⱼ − tⱼ| / max(|tⱼ|, 1e-7).

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """


@METRICS.register("msle")
@immutable
class MeanSquaredLogarithmicError(Named):
    """1/n Σⱼ (log(1 + pⱼ) − log(1 + tⱼ))², of values that are at least 1e-7.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """


@METRICS.register("logcosh")
@immutable
class LogCoshError(Named):
    """1/n Σⱼ log cosh(pⱼ − tⱼ): half of the square near 0, and the distance less log 2 far from it.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """

    default_name = "logcosh"

    @property
    def kernel(self) -> str:
        """See `MeanOfRows.kernel`."""
        return "log_cosh"


@METRICS.register()
@immutable
class CosineSimilarity(AlongAxis, Named):
    """Σⱼ pⱼ tⱼ / (|p| |t|), in [−1, 1], of rows; 0 where one of them is 0.

    As a loss it has the other sign.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    axis : int, default −1
        Along which the vectors lie; in a model along the last one.

    Raises
    ------
    ValueError
        `axis` is no whole number.
    """

    axis: Any = -1

    def of(self, sums: Array, weight: float, rows: float) -> float:
        """See `Metric.of`."""
        return -super().of(sums, weight, rows)

    def compute(self, y_true: Any, y_pred: Any) -> Any:
        """The value of each row."""
        return -super().compute(*self.turned(y_true, y_pred))


# -- hinges --------------------------------------------------------------------------------------------------------


@METRICS.register()
@immutable
class Hinge(Named):
    """1/n Σⱼ max(1 − tⱼ pⱼ, 0) for targets −1 and 1; 0 counts as −1.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """


@METRICS.register()
@immutable
class SquaredHinge(Named):
    """1/n Σⱼ max(1 − tⱼ pⱼ, 0)² for targets −1 and 1; 0 counts as −1.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """


@METRICS.register()
@immutable
class CategoricalHinge(Named):
    """max(maxⱼ (1 − tⱼ) pⱼ − Σⱼ tⱼ pⱼ + 1, 0) for one-hot targets.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """


# -- likelihoods ---------------------------------------------------------------------------------------------------


@METRICS.register()
@immutable
class Poisson(Named):
    """1/n Σⱼ (pⱼ − tⱼ log(pⱼ + 1e-7)): minus the log-likelihood of counts t, but for what p does not change.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """


@METRICS.register("kld", "kullback_leibler_divergence")
@immutable
class KLDivergence(Named):
    """Σⱼ tⱼ log(tⱼ / pⱼ) of distributions, both at least 1e-7.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """

    reads = "probabilities"

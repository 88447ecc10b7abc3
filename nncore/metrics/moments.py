"""What is made of sums of powers of targets and predictions over all rows: shares of variance, correlations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nncore._kernels.table import MOMENTS
from nncore.arguments import check_whole
from nncore.metrics import arrays
from nncore.metrics.base import METRICS, Given, Metric, Plan, ratio, refuse_targets
from nncore.registry import immutable

if TYPE_CHECKING:
    from nncore.conversion import Array


class Moments:
    """Means over rows, by weight, of each output.

    Attributes
    ----------
    rows, weight : ndarray
    t, p : ndarray
        Means of targets and predictions.
    tt, pp, tp : ndarray
        Variances, and the covariance.
    bias, error, spread : ndarray
        Mean of e = t − p, of e², and variance of e.
    """

    def __init__(self, sums: Array) -> None:
        rows, weight, first_t, first_p, t, tt, p, pp, tp, e, ee = sums.reshape(MOMENTS, -1)
        t, tt, p, pp, tp, e, ee = (ratio(s, weight) for s in (t, tt, p, pp, tp, e, ee))
        self.rows, self.weight = rows, weight
        self.t, self.p = first_t + t, first_p + p
        self.tt, self.pp, self.tp = np.maximum(tt - t * t, 0), np.maximum(pp - p * p, 0), tp - t * p
        self.bias, self.error, self.spread = e, ee, np.maximum(ee - e * e, 0)


@immutable
class OfColumns(Metric):
    """Base of those that are made of sums of powers over all rows."""

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        refuse_targets(self, given)
        return Plan("moments", (), "outputs", "moments", width=MOMENTS * given.outputs)


def averaged(values: Array, way: str | None, weights: Array) -> Any:
    """Values of outputs in one number, or as they are."""
    if way is None:
        return values
    if way == "sum":
        return float(values.sum())
    if way == "uniform_average":
        return float(values.mean())
    return float(ratio((values * weights).sum(), weights.sum()))


@immutable
class ShareOfVariance(OfColumns):
    """Base of the two that are 1 − something / variance."""

    def check(self) -> None:
        """See `Metric.check`."""
        ways = (None, "sum", "uniform_average", "variance_weighted_average")
        if self.class_aggregation not in ways:
            raise ValueError(
                "class_aggregation: expected None, 'sum', 'uniform_average' or 'variance_weighted_average', got "
                f"{self.class_aggregation!r} (Invalid value for argument `class_aggregation`)"
            )

    def share(self, left: Array, m: Moments) -> Any:
        """1 − left / variance of each output, averaged; where there is no variance, 1 if nothing is left, else 0."""
        shares = np.where(m.tt > 0, 1 - ratio(left, m.tt), (left == 0).astype(float))
        return averaged(shares, self.class_aggregation, m.tt * m.weight)


@METRICS.register("r2")
@immutable
class R2Score(ShareOfVariance):
    """1 − Σ (t − p)² / Σ (t − mean t)² of each output: 1 is perfect, 0 as good as the mean, and there is no lower end.

    An output whose targets are all the same has the score 1 where it is right, else 0.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", "sum", None}
        How outputs are averaged; None: an array.
    num_regressors : int, default 0
        Of how many inputs p is a function: for more than 0, the adjusted 1 − (1 − R²) (n − 1) / (n − k − 1), where n
        is the number of targets, of all outputs, as in Keras.
    name, dtype
        See `Metric`.

    Raises
    ------
    ValueError
        An argument is not one of these.
    """

    class_aggregation: Any = "uniform_average"
    num_regressors: Any = 0
    name: Any = None
    dtype: Any = None

    def check(self) -> None:
        """See `Metric.check`."""
        super().check()
        phrase = "Invalid value for argument `num_regressors`. Expected a value >= 0."
        check_whole(self.num_regressors, "num_regressors", "a whole number of at least 0", 0, phrase=phrase)

    def of(self, sums: Array, weight: float, rows: float) -> Any:
        """See `Metric.of`."""
        m = Moments(sums)
        score = self.share(m.error, m)
        n = float(m.rows.sum())
        if self.num_regressors and n > self.num_regressors + 1:
            return 1 - (1 - score) * (n - 1) / (n - self.num_regressors - 1)
        return score

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """See `Metric.parts`."""
        m = Moments(sums)
        squares = (m.tt + m.t * m.t) * m.weight
        return {"squared_sum": squares, "sum": m.t * m.weight, "total_mse": m.error * m.weight, "count": m.weight}


@METRICS.register()
@immutable
class ExplainedVariance(ShareOfVariance):
    """1 − Var(t − p) / Var(t) of each output: R² but for a constant error.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", "sum", None}
        How outputs are averaged; None: an array.
    name, dtype
        See `Metric`.

    Raises
    ------
    ValueError
        `class_aggregation` is not one of these.
    """

    class_aggregation: Any = "uniform_average"
    name: Any = None
    dtype: Any = None

    def of(self, sums: Array, weight: float, rows: float) -> Any:
        """See `Metric.of`."""
        m = Moments(sums)
        return self.share(m.spread, m)


@immutable
class Correlation(Metric):
    """Base of the correlations: of the elements of each row, averaged; or of each output's, over all rows."""

    axis = -1

    @property
    def of_whole_rows(self) -> bool:
        """See `Metric.of_whole_rows`."""
        return bool(self.axis == -1)

    def check(self) -> None:
        """See `Metric.check`."""
        if self.axis not in (-1, 0):
            raise ValueError(f"axis: expected -1, the outputs of a row, or 0, all rows, got {self.axis!r}")

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        refuse_targets(self, given)
        if self.axis == 0:
            return Plan("moments", (), "outputs", "moments", width=MOMENTS * given.outputs)
        return Plan(self.registry.name_of(self))

    def plan_in_model(self, given: Given) -> Plan:
        """See `Metric.plan_in_model`."""
        if self.axis == -1 and given.outputs == 1:
            raise ValueError(
                f"metrics: {self.registry.name_of(self)} expects several outputs, to correlate those of a row, got "
                "one. Give it axis=0, to correlate all rows"
            )
        return self.plan(given)

    def of(self, sums: Array, weight: float, rows: float) -> float:
        """See `Metric.of`."""
        if self.axis == -1:
            return float(ratio(sums[0], weight))
        return float(self.of_moments(Moments(sums)).mean())

    def compute(self, y_true: Any, y_pred: Any) -> Any:
        """Of each row, or of each output over all rows."""
        rows = arrays.Rows.of(y_true, y_pred, None, "values", whole=self.of_whole_rows)
        plan = self.plan(Given(rows.outputs))
        if self.axis == -1:
            return arrays.values(plan, rows)
        sums = np.zeros(plan.width + 1)
        arrays.add(plan, rows, sums)
        return self.of_moments(Moments(sums[:-1]))

    def of_moments(self, m: Moments) -> Array:
        """The correlation of each output."""
        raise NotImplementedError

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """See `Metric.parts`."""
        return {"total": sums[0], "count": weight} if self.axis == -1 else super().parts(sums, weight)


@METRICS.register("pearson")
@immutable
class PearsonCorrelation(Correlation):
    """Cov(t, p) / √(Var(t) Var(p)), in [−1, 1]; 0 where one of them does not vary.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    axis : {−1, 0}
        −1: of the outputs of each row, averaged over rows; 0: of all rows, averaged over outputs. (There Keras averages
        over batches.)

    Raises
    ------
    ValueError
        `axis` is something else.
    """

    name: Any = None
    dtype: Any = None
    axis: Any = -1

    def of_moments(self, m: Moments) -> Array:
        """See `Correlation.of_moments`."""
        return ratio(m.tp, np.sqrt(m.tt) * np.sqrt(m.pp))


@METRICS.register("ccc")
@immutable
class ConcordanceCorrelation(Correlation):
    """2 Cov(t, p) / (Var(t) + Var(p) + (mean t − mean p)²), in [−1, 1]: how near points are to p = t.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    axis : {−1, 0}
        −1: of the outputs of each row, averaged over rows; 0: of all rows, averaged over outputs. (There Keras averages
        over batches.)

    Raises
    ------
    ValueError
        `axis` is something else.

    References
    ----------
    L. I.-K. Lin: A concordance correlation coefficient to evaluate reproducibility, Biometrics 45 (1989) 255-268.
    """

    name: Any = None
    dtype: Any = None
    axis: Any = -1

    def of_moments(self, m: Moments) -> Array:
        """See `Correlation.of_moments`."""
        return ratio(2 * m.tp, m.tt + m.pp + m.bias * m.bias)

"""Sums and means of values that a user computes, and of those of a function of a user's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore.conversion import as_array
from nncore.metrics.base import METRICS, Given, Metric, Plan, mean_of
from nncore.registry import immutable

if TYPE_CHECKING:
    from nncore.conversion import Array


@immutable
class Reduction(Metric):
    """Base of those of values alone, which are none of a model's: `update_state(values, sample_weight)`."""

    name: Any = None
    dtype: Any = None

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        return Plan("mean")

    def plan_in_model(self, given: Given) -> Plan:
        """See `Metric.plan_in_model`."""
        raise ValueError(
            f"metrics: {self.registry.name_of(self)} expects values, got the targets and predictions of a model. Give "
            "compile a function (y_true, y_pred) → value per sample"
        )

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Add values to the sums.

        Parameters
        ----------
        values : array_like
        sample_weight : array_like, optional
            Of a shape that NumPy broadcasts to that of the values, or of their first axes.

        Raises
        ------
        ValueError, TypeError
            The arrays do not fit.
        """
        self._add_values(as_array(values, "values"), sample_weight)

    def __call__(self, values: Any, sample_weight: Any = None) -> Any:  # type: ignore[override]
        """`update_state`, then `result`."""
        self.update_state(values, sample_weight)
        return self.result()


@METRICS.register()
@immutable
class Sum(Reduction):
    """Σ wᵢ valueᵢ of all elements.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """

    def of(self, sums: Array, weight: float, rows: float) -> float:
        """See `Metric.of`."""
        return float(sums[0])

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """See `Metric.parts`."""
        return {"total": sums[0]}


@METRICS.register()
@immutable
class Mean(Reduction):
    """Σ wᵢ valueᵢ / Σ wᵢ of all elements; 0 before the first.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """

    def of(self, sums: Array, weight: float, rows: float) -> float:
        """See `Metric.of`."""
        return mean_of(float(sums[0]), weight, rows) if rows else 0.0

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """See `Metric.parts`."""
        return {"total": sums[0], "count": weight}

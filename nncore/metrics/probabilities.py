"""How good probabilities are: scores that are proper, and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.arguments import check_count
from nncore.metrics.base import METRICS, Given, MeanOfRows, Metric, Plan, Targets, ratio
from nncore.registry import immutable

if TYPE_CHECKING:
    from nncore.conversion import Array


@METRICS.register("brier")
@immutable
class BrierScore(MeanOfRows):
    """Σⱼ (pⱼ − tⱼ)² over the classes of a row, tⱼ being 1 for the right one; of a single output (p − t)².

    Targets are labels or one-hot rows, or the values 0 and 1 of a single output.

    Parameters
    ----------
    name, dtype
        See `Metric`.

    References
    ----------
    G. W. Brier: Verification of forecasts expressed in terms of probability, Mon. Weather Rev. 78 (1950) 1-3.
    """

    name: Any = None
    dtype: Any = None

    @property
    def targets(self) -> Targets:
        """See `Metric.targets`."""
        return "either"

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        return Plan("sparse_brier_score" if given.labels else "brier_score", reads="probabilities")


@METRICS.register("ece")
@immutable
class ExpectedCalibrationError(Metric):
    """Σ over bins of |share of right predictions − mean confidence|, each by its share of the rows; in [0, 1].

    The confidence of a row is its largest probability, which is right where that is the row's class. Of a single
    output it is the probability itself, which is right where the target is 1. Bins are (k / n, (k + 1) / n].

    Parameters
    ----------
    num_bins : int, default 15
    name, dtype
        See `Metric`.

    Raises
    ------
    ValueError
        `num_bins` is no whole number of at least 1.

    References
    ----------
    M. P. Naeini, G. F. Cooper, M. Hauskrecht: Obtaining well calibrated probabilities using Bayesian binning, AAAI
    2015. C. Guo et al.: On calibration of modern neural networks, ICML 2017.
    """

    num_bins: Any = 15
    name: Any = None
    dtype: Any = None

    @property
    def targets(self) -> Targets:
        """See `Metric.targets`."""
        return "either"

    def check(self) -> None:
        """See `Metric.check`."""
        check_count(self.num_bins, "num_bins")

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        n: int = self.num_bins
        inner = tuple(i / n for i in range(1, n))
        return Plan("reliability", (), "probabilities", "tally", 3 * n, 3, inner, n - 1)

    def of(self, sums: Array, weight: float, rows: float) -> float:
        """See `Metric.of`."""
        weights, confidence, right = sums.reshape(-1, 3).T
        return float(ratio(np.abs(right - confidence).sum(), weights.sum()))

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """See `Metric.parts`; of each bin."""
        weights, confidence, right = sums.reshape(-1, 3).T
        return {"weights": weights, "confidence": confidence, "right": right}

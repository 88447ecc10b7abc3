"""Losses of values: errors, their logarithms, angles, quantiles."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from nncore.arguments import check_number
from nncore.losses.base import Loss, check_positive, entry, number_list


@entry("mse")
class MeanSquaredError(Loss):
    """ℓ = 1/n Σⱼ (pⱼ − tⱼ)², gradient 2/n (pⱼ − tⱼ).

    scikit-learn's MLPRegressor minimizes half of it. Arguments: see `Loss`.
    """


@entry("mae")
class MeanAbsoluteError(Loss):
    """ℓ = 1/n Σⱼ |pⱼ − tⱼ|, gradient sign(pⱼ − tⱼ) / n, which is 0 where pⱼ = tⱼ. Arguments: see `Loss`."""


@entry("mape")
class MeanAbsolutePercentageError(Loss):
    """ℓ = 100/n Σⱼ |pⱼ − tⱼ| / max(|tⱼ|, 1e-7). Arguments: see `Loss`."""


@entry("msle")
class MeanSquaredLogarithmicError(Loss):
    """ℓ = 1/n Σⱼ (log(1 + max(pⱼ, 1e-7)) − log(1 + max(tⱼ, 1e-7)))², flat where pⱼ < 1e-7. Arguments: see `Loss`."""


@entry("huber_loss")
class Huber(Loss):
    """ℓ = 1/n Σⱼ h(pⱼ − tⱼ), with h(e) = ½ e² for |e| ≤ delta, else delta (|e| − ½ delta).

    Squared near zero and linear beyond, so outliers pull with a bounded gradient: e / n clipped to ±delta / n.

    Parameters
    ----------
    delta : float, default 1.0
        Where the square becomes linear, in the units of the targets; > 0.

    Raises
    ------
    TypeError, ValueError
        `delta` is no number, or not finite, or not positive.

    References
    ----------
    P. J. Huber: Robust estimation of a location parameter, Ann. Math. Statist. 35 (1964) 73–101.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(
            self.delta, "delta", "for the limits 0 and infinity use mean_absolute_error and mean_squared_error"
        )


@entry("logcosh")
class LogCosh(Loss):
    """ℓ = 1/n Σⱼ log cosh(pⱼ − tⱼ), gradient tanh(pⱼ − tⱼ) / n: about ½ e² near 0, |e| − log 2 far away.

    Arguments: see `Loss`.
    """


@entry("cosine")
class CosineSimilarity(Loss):
    """ℓ = −Σⱼ pⱼ tⱼ / (|p| |t|), in [−1, 1] and −1 for vectors of one direction; norms count as at least 1e-7.

    Parameters
    ----------
    axis : int, default -1
        Along which the vectors lie; a model is trained along the last one.
    """

    axis: int = -1


@entry("quantile")
class Pinball(Loss):
    """ℓ = 1/k Σⱼ max(τⱼ eⱼ, (τⱼ − 1) eⱼ), eⱼ = t − pⱼ: the k columns of a target's predictions are its quantiles τ.

    Gradient −τⱼ / k where t > pⱼ, (1 − τⱼ) / k where t < pⱼ. scikit-learn's mean_pinball_loss is this for each
    quantile. For one target, (B,), the last layer has a unit for each quantile; for m targets, (B, m), it has m k,
    those of a target side by side. With ``nncore.layers.NonCrossing(k)`` as the last layer, quantiles never cross,
    whatever the weights.

    Parameters
    ----------
    quantiles : float or sequence of float, default 0.5
        In (0, 1), increasing.

    Raises
    ------
    TypeError, ValueError
        They are no numbers between 0 and 1, or do not increase.

    References
    ----------
    R. Koenker, G. Bassett: Regression quantiles, Econometrica 46 (1978) 33–50.
    """

    quantiles: Any = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        several = number_list(self.quantiles)
        levels = (self.quantiles,) if several is None else several
        for level in levels:
            check_number(level, "quantiles", "numbers between 0 and 1", lambda q: 0 < q < 1)
        if not levels or any(a >= b for a, b in pairwise(levels)):
            raise ValueError(f"quantiles: expected at least one, in increasing order, got {self.quantiles!r}")
        object.__setattr__(self, "quantiles", float(levels[0]) if several is None else levels)

    @property
    def columns(self) -> tuple[float, ...]:
        """See `Loss.columns`."""
        return self.quantiles if isinstance(self.quantiles, tuple) else (self.quantiles,)

    def row(self, shape: tuple[int, ...]) -> int:
        """See `Loss.row`."""
        k = len(self.columns)
        if shape[-1] % k:
            raise ValueError(
                f"loss: pinball expects outputs for each of {k} quantiles of each target, got {shape[-1]} outputs. "
                f"Give the last layer {k} units for one target, or {2 * k} for two"
            )
        return k

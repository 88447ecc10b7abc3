"""Losses that are the negative log-likelihood of a distribution of values, or its deviance."""

from __future__ import annotations

import math
from typing import Any

from nncore.arguments import check_flag, check_number
from nncore.losses.base import Loss, entry


@entry()
class Poisson(Loss):
    """ℓ = 1/n Σⱼ (pⱼ − tⱼ log(pⱼ + 1e-7)), gradient (1 − tⱼ / (pⱼ + 1e-7)) / n.

    Up to what depends on the targets alone, half of `PoissonDeviance`. Predictions should be positive: after a
    softplus or exponential activation. Arguments: see `Loss`.
    """


@entry()
class PoissonDeviance(Loss):
    """ℓ = 2/n Σⱼ (tⱼ log(tⱼ / pⱼ) − tⱼ + pⱼ) of counts or rates tⱼ ≥ 0; pⱼ counts as at least 1e-7, and is flat below.

    scikit-learn's mean_poisson_deviance. Predictions should be positive: after a softplus or exponential activation.
    Arguments: see `Loss`.
    """


@entry()
class GammaDeviance(Loss):
    """ℓ = 2/n Σⱼ (log(pⱼ / tⱼ) + tⱼ / pⱼ − 1) of targets tⱼ > 0; pⱼ counts as at least 1e-7, and is flat below.

    A relative error, such as of costs of claims; scikit-learn's mean_gamma_deviance. Predictions should be positive:
    after a softplus or exponential activation. Arguments: see `Loss`.
    """


@entry()
class TweedieDeviance(Loss):
    """Deviance of a Tweedie distribution, whose variance is in proportion to a power of its mean.

    ℓ = 2/n Σⱼ (max(tⱼ, 0)²⁻ᵃ / ((1 − a)(2 − a)) − tⱼ pⱼ¹⁻ᵃ / (1 − a) + pⱼ²⁻ᵃ / (2 − a)) for the power a; the limit for
    1 is `PoissonDeviance`, for 2 `GammaDeviance`, and 0 gives the squared error. pⱼ counts as at least 1e-7, and is
    flat below. scikit-learn's mean_tweedie_deviance.

    Parameters
    ----------
    power : float, default 1.5
        ≤ 0 for any targets, from 1 to 2 for targets ≥ 0 of which some are 0 (sums of random many claims), above for
        targets > 0.

    Raises
    ------
    TypeError, ValueError
        `power` is no number, not finite, or between 0 and 1, for which there is no such distribution.

    References
    ----------
    M. C. K. Tweedie: An index which distinguishes between some important exponential families (1984).
    B. Jørgensen: Exponential dispersion models, J. R. Statist. Soc. B 49 (1987) 127–162.
    """

    power: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = "a finite number outside of (0, 1)"
        check_number(self.power, "power", fits, lambda p: math.isfinite(p) and not 0 < p < 1)

    def kernel(self) -> str:
        """See `Loss.kernel`."""
        limits = {0.0: "mean_squared_error", 1.0: "poisson_deviance", 2.0: "gamma_deviance"}
        return limits.get(float(self.power), super().kernel())


#: How the variance is made of an output s, in the order of rows.h.
VARIANCES = ("identity", "exponential", "softplus")


@entry("gaussian_negative_log_likelihood", name="gaussian_nll")
class GaussianNLL(Loss):
    """ℓ = 1/n Σⱼ ½ (log vⱼ + (tⱼ − μⱼ)² / vⱼ): the model gives a mean and a variance for each of n targets.

    Of 2n outputs the first n are the means μ, the last n give the variances: v = softplus(s) + floor, or exp(s) +
    floor, or max(s, floor), flat below. So the last layer has 2n units and no activation;
    ``mean, s = np.split(model.predict(x), 2, axis=1)``. Gradients (μⱼ − tⱼ) / (n vⱼ) and
    ½ (1 / vⱼ − (tⱼ − μⱼ)² / vⱼ²) / n times ∂v/∂s. PyTorch's GaussianNLLLoss with variance="identity".

    Parameters
    ----------
    variance : {"softplus", "exponential", "identity"}, default "softplus"
        What is made of s.
    floor : float, default 1e-6
        What a variance is at least; > 0, in squared units of the targets.
    full : bool, default False
        Whether ½ log 2π is added.

    Raises
    ------
    TypeError, ValueError
        `variance` is none of these, or `floor` not positive.

    References
    ----------
    D. A. Nix, A. S. Weigend: Estimating the mean and variance of the target probability distribution, ICNN (1994).
    """

    variance: str = "softplus"
    floor: float = 1e-6
    full: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variance not in VARIANCES:
            raise ValueError(f"variance: expected one of {', '.join(VARIANCES)}, got {self.variance!r}")
        check_number(self.floor, "floor", "a finite number > 0", lambda v: 0 < v < math.inf)
        check_flag(self.full, "full")

    def numbers(self, kernel: str) -> tuple[float, ...]:
        """See `Loss.numbers`."""
        return float(VARIANCES.index(self.variance)), float(self.floor), float(self.full)

    def target_shape(self, shape: tuple[int, ...]) -> Any:
        """See `Loss.target_shape`."""
        if shape[-1] % 2 or not shape[-1]:
            raise ValueError(
                f"loss: gaussian_nll expects a mean and a variance for each target, got {shape[-1]} outputs. Give the "
                "last layer 2 units for one target, 4 for two"
            )
        return super().target_shape(shape)

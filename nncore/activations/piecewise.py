"""Activations made of pieces: ReLU and its kin, hard and sparse forms of smooth ones, shrinkage."""

from __future__ import annotations

import math
from typing import ClassVar

from nncore.activations.base import ACTIVATIONS, Activation
from nncore.arguments import check_nonnegative, check_number
from nncore.registry import immutable

SLOPE_REMEDY = "the derivative is computed from the outputs, whose sign must be that of the inputs"


@ACTIVATIONS.register()
@immutable
class Linear(Activation):
    """f(z) = z."""


@ACTIVATIONS.register()
@immutable
class Relu(Activation):
    """f(z) = max(z, 0), with f′(0) = 0.

    With other arguments it is max_value for z ≥ max_value, z for threshold < z < max_value, and else
    negative_slope (z − threshold).

    Parameters
    ----------
    negative_slope : float, default 0.0
        Slope below the threshold, ≥ 0.
    max_value : float, optional
        The largest value, ≥ 0; f′ is 0 where it is reached. None: there is no largest.
    threshold : float, default 0.0
        Below it, and at it, f is 0 or has the negative slope; ≥ 0.

    Raises
    ------
    TypeError, ValueError
        An argument is no number, or not finite, or negative.
    """

    negative_slope: float = 0.0
    max_value: float | None = None
    threshold: float = 0.0

    def __post_init__(self) -> None:
        phrase = "{} of a ReLU layer cannot be None or a negative value"
        check_nonnegative(self.negative_slope, "negative_slope", SLOPE_REMEDY, phrase.format("negative_slope"))
        if self.max_value is not None:
            words = "max_value of a ReLU layer cannot be a negative value"
            check_nonnegative(self.max_value, "max_value", "None is no largest value", words)
        check_nonnegative(self.threshold, "threshold", "subtract a shift from the inputs", phrase.format("threshold"))

    @property
    def kernel(self) -> str:
        """Name of the simplest kernel that does it."""
        if self.max_value is not None or self.threshold:
            return "relu_general"
        return "leaky_relu" if self.negative_slope else "relu"


@ACTIVATIONS.register()
@immutable
class Relu6(Activation):
    """f(z) = min(max(z, 0), 6), with f′ = 0 at both ends."""

    kernel: ClassVar[str] = "relu_general"
    negative_slope: ClassVar[float] = 0.0
    max_value: ClassVar[float] = 6.0
    threshold: ClassVar[float] = 0.0


@ACTIVATIONS.register()
@immutable
class LeakyRelu(Activation):
    """f(z) = z for z > 0, else negative_slope z.

    Parameters
    ----------
    negative_slope : float, default 0.2
        Slope below zero, ≥ 0. PyTorch's default is 0.01.

    Raises
    ------
    TypeError, ValueError
        `negative_slope` is no number, or not finite, or negative.

    References
    ----------
    A. L. Maas, A. Y. Hannun, A. Y. Ng: Rectifier nonlinearities improve neural network acoustic models, ICML 2013.
    """

    negative_slope: float = 0.2

    def __post_init__(self) -> None:
        check_nonnegative(self.negative_slope, "negative_slope", SLOPE_REMEDY)


@ACTIVATIONS.register()
@immutable
class Elu(Activation):
    """f(z) = z for z > 0, else alpha (eᶻ − 1).

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the limit for z → −∞, ≥ 0.

    Raises
    ------
    TypeError, ValueError
        `alpha` is no number, or not finite, or negative.

    References
    ----------
    D.-A. Clevert, T. Unterthiner, S. Hochreiter: Fast and accurate deep network learning by exponential linear
    units, ICLR 2016, arXiv:1511.07289.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_nonnegative(self.alpha, "alpha", SLOPE_REMEDY)


@ACTIVATIONS.register()
@immutable
class Selu(Activation):
    """f(z) = λ z for z > 0, else λ α (eᶻ − 1), with λ ≈ 1.0507 and α ≈ 1.6733.

    Keeps mean 0 and variance 1 from layer to layer if the kernels are initialized by "lecun_normal".

    References
    ----------
    G. Klambauer et al.: Self-normalizing neural networks, NeurIPS 2017, arXiv:1706.02515.
    """


@ACTIVATIONS.register()
@immutable
class Celu(Activation):
    """f(z) = z for z > 0, else alpha (e^(z / alpha) − 1): elu with a continuous derivative.

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the limit for z → −∞, > 0.

    Raises
    ------
    TypeError, ValueError
        `alpha` is no number, or not finite, or not positive.

    References
    ----------
    J. T. Barron: Continuously differentiable exponential linear units, arXiv:1704.07483.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_number(self.alpha, "alpha", "a finite number > 0", lambda v: 0 < v < math.inf, SLOPE_REMEDY)


@ACTIVATIONS.register()
@immutable
class HardSigmoid(Activation):
    """f(z) = min(max(z + 3, 0), 6) / 6, in [0, 1], with f′ = 0 at both ends."""


@ACTIVATIONS.register("hard_swish")
@immutable
class HardSilu(Activation):
    """f(z) = z min(max(z + 3, 0), 6) / 6, also called hard swish: 0 up to −3, z from 3 on; f′ is 0 and 1 there.

    References
    ----------
    A. Howard et al.: Searching for MobileNetV3, ICCV 2019, arXiv:1905.02244.
    """


@ACTIVATIONS.register()
@immutable
class HardTanh(Activation):
    """f(z) = min(max(z, −1), 1), with f′ = 0 at both ends."""


@ACTIVATIONS.register()
@immutable
class HardShrink(Activation):
    """f(z) = z where |z| > threshold, else 0.

    Parameters
    ----------
    threshold : float, default 0.5
        ≥ 0.

    Raises
    ------
    TypeError, ValueError
        `threshold` is no number, or not finite, or negative.
    """

    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_nonnegative(self.threshold, "threshold", "0 is no threshold")


@ACTIVATIONS.register()
@immutable
class SoftShrink(Activation):
    """f(z) = z − threshold above the threshold, z + threshold below minus the threshold, else 0.

    Parameters
    ----------
    threshold : float, default 0.5
        ≥ 0.

    Raises
    ------
    TypeError, ValueError
        `threshold` is no number, or not finite, or negative.
    """

    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_nonnegative(self.threshold, "threshold", "0 is no threshold")


@ACTIVATIONS.register()
@immutable
class SparsePlus(Activation):
    """f(z) = 0 for z ≤ −1, (z + 1)² / 4 up to 1, and z beyond: softplus with ends that are reached."""


@ACTIVATIONS.register()
@immutable
class SparseSigmoid(Activation):
    """f(z) = min(max((z + 1) / 2, 0), 1), with f′ = 0 at both ends: the derivative of `SparsePlus`.

    References
    ----------
    M. Blondel, A. F. T. Martins, V. Niculae: Learning classifiers with Fenchel-Young losses, AISTATS 2019,
    arXiv:1805.09717.
    """


@ACTIVATIONS.register()
@immutable
class Threshold(Activation):
    """f(z) = z for z > threshold, else default_value.

    Parameters
    ----------
    threshold : float, default 0.0
        Keras has no default.
    default_value : float, default 0.0
        Keras has no default.

    Raises
    ------
    TypeError, ValueError
        An argument is no number, or not finite.
    """

    threshold: float = 0.0
    default_value: float = 0.0

    def __post_init__(self) -> None:
        for name in ("threshold", "default_value"):
            check_number(getattr(self, name), name, "a finite number", math.isfinite)

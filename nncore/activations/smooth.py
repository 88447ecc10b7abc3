"""Smooth activations."""

from __future__ import annotations

import math

from nncore.activations.base import ACTIVATIONS, Activation
from nncore.arguments import check_flag, check_number
from nncore.registry import immutable


@ACTIVATIONS.register()
@immutable
class Sigmoid(Activation):
    """f(z) = 1 / (1 + e⁻ᶻ), in [0, 1]."""


@ACTIVATIONS.register()
@immutable
class LogSigmoid(Activation):
    """f(z) = −log(1 + e⁻ᶻ), the logarithm of sigmoid, which never overflows: min(z, 0) − log1p(e^−|z|)."""


@ACTIVATIONS.register()
@immutable
class Tanh(Activation):
    """f(z) = tanh z, in [−1, 1]."""


@ACTIVATIONS.register()
@immutable
class TanhShrink(Activation):
    """f(z) = z − tanh z, also where it is z³ / 3."""


@ACTIVATIONS.register()
@immutable
class Softplus(Activation):
    """f(z) = log(1 + eᶻ), which never overflows: max(z, 0) + log1p(e^−|z|)."""


@ACTIVATIONS.register()
@immutable
class Softsign(Activation):
    """f(z) = z / (1 + |z|), in [−1, 1].

    References
    ----------
    X. Glorot, Y. Bengio: Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010.
    """


@ACTIVATIONS.register()
@immutable
class Cospi(Activation):
    """f(z) = cos(π z), which C calls cospi: exact in its periods for any z. Of periodic features of numbers.

    References
    ----------
    A. Rahimi, B. Recht: Random features for large-scale kernel machines, NIPS 2007. Y. Gorishniy, I. Rubachev,
    A. Babenko: On embeddings for numerical features in tabular deep learning, NeurIPS 2022, arXiv:2203.05556.
    """


@ACTIVATIONS.register()
@immutable
class Squareplus(Activation):
    """f(z) = (z + √(z² + b)) / 2, without cancellation or overflow.

    Parameters
    ----------
    b : float, default 4
        How smooth it is, > 0; f(0) = √b / 2.

    Raises
    ------
    TypeError, ValueError
        `b` is no number, or not finite, or not positive.

    References
    ----------
    J. T. Barron: Squareplus: a softplus-like algebraic rectifier, arXiv:2112.11687.
    """

    b: float = 4

    def __post_init__(self) -> None:
        check_number(self.b, "b", "a finite number > 0", lambda v: 0 < v < math.inf, "relu is the limit for 0")


@ACTIVATIONS.register()
@immutable
class Exponential(Activation):
    """f(z) = eᶻ, which overflows beyond 88 in float32, beyond 709 in float64."""


@ACTIVATIONS.register()
@immutable
class Gelu(Activation):
    """f(z) = z Φ(z), Φ being the distribution function of the standard normal distribution.

    Parameters
    ----------
    approximate : bool, default False
        True: f(z) = ½ z (1 + tanh(√(2/π) (z + 0.044715 z³))).

    Raises
    ------
    TypeError
        `approximate` is no bool (PyTorch's "tanh" is True here).

    References
    ----------
    D. Hendrycks, K. Gimpel: Gaussian error linear units, arXiv:1606.08415.
    """

    approximate: bool = False

    def __post_init__(self) -> None:
        check_flag(self.approximate, "approximate", "True is the approximation by tanh")

    @property
    def kernel(self) -> str:
        """Name of the exact kernel, or of the approximate one."""
        return "gelu_tanh" if self.approximate else "gelu"


@ACTIVATIONS.register("swish")
@immutable
class Silu(Activation):
    """f(z) = z / (1 + e⁻ᶻ), also called swish.

    References
    ----------
    P. Ramachandran, B. Zoph, Q. V. Le: Searching for activation functions, arXiv:1710.05941.
    """


@ACTIVATIONS.register()
@immutable
class Mish(Activation):
    """f(z) = z tanh(log(1 + eᶻ)).

    References
    ----------
    D. Misra: Mish: a self regularized non-monotonic activation function, BMVC 2020, arXiv:1908.08681.
    """

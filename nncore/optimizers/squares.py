"""Rules that divide by roots of squares: native code, ``src_c/operations/parameters/rules.h``."""

from __future__ import annotations

from typing import Any, ClassVar

from nncore.optimizers.base import OPTIMIZERS, Optimizer
from nncore.schedules import Scheduled


@OPTIMIZERS.register("RMSprop", name="rmsprop")
class RMSprop(Optimizer):
    """Gradients divided by a running root of their mean square.

    v ← ρ v + (1 − ρ) g²,  d = g / √(v + ε),  W ← W − η d.
    With `centered`, ḡ ← ρ ḡ + (1 − ρ) g and d = g / √(max(v − ḡ², 0) + ε).
    With `momentum`, b ← momentum b + η d and W ← W − b.

    Parameters
    ----------
    learning_rate : float, default 0.001
        PyTorch's default is 0.01.
    rho : float, default 0.9
        Decay of the running means, in [0, 1); PyTorch calls it alpha, with the default 0.99.
    momentum : float, default 0.0
        In [0, 1]. PyTorch keeps b without the factor η.
    epsilon : float, default 1e-7
        ≥ 0, inside the root; in PyTorch, where it is 1e-8, outside: √v + ε.
    centered : bool, default False
        Divide by an estimate of the standard deviation.
    weight_decay, clipnorm, …, name
        See `Optimizer`.

    References
    ----------
    T. Tieleman, G. Hinton: Neural networks for machine learning, lecture 6.5, Coursera 2012.
    A. Graves: Generating sequences with recurrent neural networks, arXiv:1308.0850, equations 38–45 (centered).
    """

    kernel: ClassVar[str] = "rmsprop"
    spared: ClassVar[dict[str, str]] = {"momentum": "momentum", "average_gradient": "centered"}

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **common: Any,
    ) -> None:
        self.take(rho=rho, momentum=momentum, epsilon=epsilon, centered=centered)
        super().__init__(learning_rate, **common)


@OPTIMIZERS.register()
class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all their squares.

    a ← a + g²,  W ← W − η g / √(a + ε); a starts at initial_accumulator_value.

    Parameters
    ----------
    learning_rate : float, default 0.001
        PyTorch's default is 0.01.
    initial_accumulator_value : float, default 0.1
        ≥ 0; PyTorch's default is 0.
    epsilon : float, default 1e-7
        ≥ 0, inside the root; in PyTorch, where it is 1e-10, outside.
    weight_decay, clipnorm, …, name
        See `Optimizer`.

    References
    ----------
    J. Duchi, E. Hazan, Y. Singer: Adaptive subgradient methods for online learning and stochastic optimization, JMLR 12
    (2011) 2121–2159.
    """

    kernel: ClassVar[str] = "adagrad"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **common: Any,
    ) -> None:
        self.take(initial_accumulator_value=initial_accumulator_value, epsilon=epsilon)
        super().__init__(learning_rate, **common)


@OPTIMIZERS.register()
class Adadelta(Optimizer):
    """Gradients in units of the weights: divided by their own running root mean square, times that of the increments.

    v ← ρ v + (1 − ρ) g²,  d = √(u + ε) / √(v + ε) · g,  u ← ρ u + (1 − ρ) d²,  W ← W − η d.

    Parameters
    ----------
    learning_rate : float, default 0.001
        1.0 is that of the paper, and PyTorch's default.
    rho : float, default 0.95
        In [0, 1); PyTorch's default is 0.9.
    epsilon : float, default 1e-7
        ≥ 0; PyTorch's default is 1e-6.
    weight_decay, clipnorm, …, name
        See `Optimizer`.

    References
    ----------
    M. D. Zeiler: ADADELTA: an adaptive learning rate method, arXiv:1212.5701, algorithm 1.
    """

    kernel: ClassVar[str] = "adadelta"

    def __init__(
        self, learning_rate: Scheduled = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **common: Any
    ) -> None:
        self.take(rho=rho, epsilon=epsilon)
        super().__init__(learning_rate, **common)


@OPTIMIZERS.register()
class Ftrl(Optimizer):
    """Follow the regularized leader: weights that are a function of all gradients so far, many of them exactly 0.

    n ← n₋ + g²,  z ← z + g + 2 l2_shrinkage W − (nᵖ − n₋ᵖ) / η · W,
    W ← (clip(z, ±l1) − z) / (nᵖ / η + 2 l2 + β / η), where p = −learning_rate_power, and n starts at
    initial_accumulator_value. What W is before the first step hardly counts. While η is 0, W stays.

    Parameters
    ----------
    learning_rate : float, default 0.001
    learning_rate_power : float, default −0.5
        ≤ 0.
    initial_accumulator_value : float, default 0.1
        ≥ 0.
    l1_regularization_strength, l2_regularization_strength, l2_shrinkage_regularization_strength : float, default 0.0
        ≥ 0; the latter is a penalty on the loss itself.
    beta : float, default 0.0
        ≥ 0.
    weight_decay, clipnorm, …, name
        See `Optimizer`.

    References
    ----------
    H. B. McMahan et al.: Ad click prediction: a view from the trenches, KDD 2013, algorithm 1.
    """

    kernel: ClassVar[str] = "ftrl"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **common: Any,
    ) -> None:
        self.take(
            learning_rate_power=learning_rate_power,
            initial_accumulator_value=initial_accumulator_value,
            l1_regularization_strength=l1_regularization_strength,
            l2_regularization_strength=l2_regularization_strength,
            l2_shrinkage_regularization_strength=l2_shrinkage_regularization_strength,
            beta=beta,
        )
        super().__init__(learning_rate, **common)

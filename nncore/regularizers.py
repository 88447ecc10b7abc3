"""Regularizers: penalties on a layer's weights, added to the loss that is trained on and reported.

penalty(W) = l1 Σ|w| + l2 Σ w², with the gradient l1 sign(w) + 2 l2 w. The penalty is not divided by the
number of samples. PyTorch has none; the `weight_decay` of its SGD adds weight_decay w to the gradient, which
is ``L2(weight_decay / 2)`` here. scikit-learn's ``MLPClassifier(alpha)`` has alpha / 2 Σ w², divided by the
number of samples of the batch. For decay apart from the loss see `weight_decay` of the optimizers.
"""

from __future__ import annotations

from typing import Any

from nncore.arguments import check_nonnegative
from nncore.registry import Configurable, Registry, immutable
from nncore.registry import serialize as serialize


class Regularizer(Configurable):
    """Base of the regularizers; objects are immutable and equal where class and arguments are.

    Attributes
    ----------
    l1, l2 : float
        Factors of Σ|w| and Σ w², both ≥ 0; 0.0 where the class has no such argument.
    """

    @property
    def l1(self) -> float:
        """Factor of Σ|w|."""
        return 0.0

    @property
    def l2(self) -> float:
        """Factor of Σ w²."""
        return 0.0

    def __post_init__(self) -> None:
        for argument in self.config_names():
            check_nonnegative(getattr(self, argument), argument, "0.0 switches the penalty off")


REGULARIZERS: Registry[Regularizer] = Registry("regularizer")


def get(identifier: Any, argument: str = "regularizer") -> Regularizer | None:
    """Turn a name, configuration, class or object into a `Regularizer`; None (none) stays. See `Registry.get`."""
    return None if identifier is None else REGULARIZERS.get(identifier, argument, Regularizer)


@REGULARIZERS.register()
@immutable
class L1(Regularizer):
    """penalty(W) = l1 Σ|w|, which drives weights to exactly zero (lasso).

    Parameters
    ----------
    l1 : float, default 0.01
        Factor, finite and ≥ 0.

    Raises
    ------
    TypeError, ValueError
        `l1` is no number, or not finite, or negative.
    """

    l1: float = 0.01


@REGULARIZERS.register()
@immutable
class L2(Regularizer):
    """penalty(W) = l2 Σ w², whose gradient is 2 l2 w (ridge).

    Parameters
    ----------
    l2 : float, default 0.01
        Factor, finite and ≥ 0.

    Raises
    ------
    TypeError, ValueError
        `l2` is no number, or not finite, or negative.
    """

    l2: float = 0.01


@REGULARIZERS.register("l1l2")
@immutable
class L1L2(Regularizer):
    """penalty(W) = l1 Σ|w| + l2 Σ w² (elastic net).

    Parameters
    ----------
    l1, l2 : float, default 0.0
        Factors, finite and ≥ 0. With both defaults there is no penalty, as in Keras.

    Raises
    ------
    TypeError, ValueError
        A factor is no number, or not finite, or negative.
    """

    l1: float = 0.0
    l2: float = 0.0


deserialize = get


def __getattr__(name: str) -> type[Regularizer]:
    # The classes by Keras's other names, such as nncore.regularizers.l2
    return REGULARIZERS.named(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *REGULARIZERS.names(), *REGULARIZERS.aliases})

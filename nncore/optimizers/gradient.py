"""Gradient descent. The rules are native code: ``src_c/operations/parameters/rules.h``."""

from __future__ import annotations

from typing import Any, ClassVar

from nncore.optimizers.base import OPTIMIZERS, Optimizer
from nncore.schedules import Scheduled


@OPTIMIZERS.register()
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

    W ← W − η g without momentum; else v ← momentum v − η g and W ← W + v; with `nesterov` W ← W + momentum v − η g.

    Parameters
    ----------
    learning_rate : float, default 0.01
        PyTorch's default is 0.001, scikit-learn's (solver "sgd") 0.001.
    momentum : float, default 0.0
        In [0, 1]. PyTorch's default is 0 too, scikit-learn's 0.9 with Nesterov's form. PyTorch keeps v without the
        factor −η, which differs when the learning rate changes.
    nesterov : bool, default False
        Look ahead along v; with momentum 0 it changes nothing.
    weight_decay, clipnorm, …, name
        See `Optimizer`.

    References
    ----------
    I. Sutskever et al.: On the importance of initialization and momentum in deep learning, ICML 2013.
    """

    kernel: ClassVar[str] = "sgd"
    momentum: float
    nesterov: bool
    spared: ClassVar[dict[str, str]] = {"momentum": "momentum"}

    def __init__(
        self,
        learning_rate: Scheduled = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **common: Any,
    ) -> None:
        self.take(momentum=momentum, nesterov=nesterov)
        super().__init__(learning_rate, **common)

    @property
    def leaves_rows(self) -> bool:
        """See `Optimizer`: without momentum and weight decay W stays where g is 0."""
        plain = self.momentum == 0 and self.weight_decay == 0
        return (self.lazy or plain) and self.passes_by


@OPTIMIZERS.register("LazySGD", name="lazysgd")
class LazySGD(SGD):
    """`SGD` that leaves rows of an `Embedding` alone, with their velocity, in steps that do not read them.

    Momentum and weight decay of such a row stand still; a step costs in proportion to the rows that it reads. All of
    this only where the table is read once in the model and has no regularizer, no norm is clipped, and gradients are
    not summed up over batches; otherwise, and for all other weights, it is `SGD`.

    Parameters
    ----------
    learning_rate, momentum, nesterov, …, name
        As for `SGD`.
    """

    lazy: ClassVar[bool] = True

"""The optimizers, each with its rule, which is native code (``src_c/operations/parameters/update.h``)."""

from __future__ import annotations

from typing import ClassVar

from nncore.arguments import check_flag
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
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`.

    References
    ----------
    I. Sutskever et al.: On the importance of initialization and momentum in deep learning, ICML 2013.
    """

    kernel: ClassVar[str] = "sgd"
    spared: ClassVar[dict[str, str]] = {"momentum": "momentum"}

    def __init__(
        self,
        learning_rate: Scheduled = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: Scheduled | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        self.momentum = self.hyperparameter("momentum", momentum)
        self.nesterov = check_flag(nesterov, "nesterov")
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)

    @property
    def leaves_rows(self) -> bool:
        """See `Optimizer`: without momentum and weight decay W stays where g is 0."""
        plain = self.momentum == 0 and self.weight_decay == 0
        return (self.lazy or plain) and not self.clips_norm


@OPTIMIZERS.register("LazySGD", name="lazysgd")
class LazySGD(SGD):
    """`SGD` that leaves rows of an `Embedding` alone, with their velocity, in steps that do not read them.

    Momentum and weight decay of such a row stand still; a step costs in proportion to the rows that it reads. All of
    this only where the table is read once in the model and has no regularizer, no norm is clipped, and gradients are
    not summed up over batches; otherwise, and for all other weights, it is `SGD`.

    Parameters
    ----------
    learning_rate, momentum, nesterov, weight_decay, clipnorm, clipvalue, global_clipnorm, name
        As for `SGD`.
    """

    lazy: ClassVar[bool] = True


@OPTIMIZERS.register()
class Adam(Optimizer):
    """Adaptive moments.

    m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  W ← W − η √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε).

    Parameters
    ----------
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9, 0.999
        Decay of the two moments, in [0, 1).
    epsilon : float, default 1e-7
        ≥ 0. It stands beside √v before the correction of its bias (the paper's ε̂); in PyTorch and scikit-learn, where
        it is 1e-8, beside the corrected √(v / (1 − β₂ᵗ)).
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`. PyTorch's Adam adds weight_decay W to g; here it is decoupled, as in `AdamW`.

    References
    ----------
    D. P. Kingma, J. Ba: Adam: a method for stochastic optimization, ICLR 2015, arXiv:1412.6980, section 2
    (the more efficient order of computation).
    """

    kernel: ClassVar[str] = "adam"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: Scheduled | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        self.beta_1 = self.hyperparameter("beta_1", beta_1)
        self.beta_2 = self.hyperparameter("beta_2", beta_2)
        self.epsilon = self.hyperparameter("epsilon", epsilon)
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)


@OPTIMIZERS.register("LazyAdam", name="lazyadam")
class LazyAdam(Adam):
    """`Adam` that leaves rows of an `Embedding` alone, with their moments, in steps that do not read them.

    The moments of such a row do not decay; t counts all steps. A step costs in proportion to the rows that it reads. As
    PyTorch's SparseAdam, and LazyAdam of TensorFlow Addons. All of this only where the table is read once in the model
    and has no regularizer, no norm is clipped, and gradients are not summed up over batches; otherwise, and for all
    other weights, it is `Adam`.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, weight_decay, clipnorm, clipvalue, global_clipnorm, name
        As for `Adam`; weight decay, too, is only of rows that are read.
    """

    lazy: ClassVar[bool] = True


@OPTIMIZERS.register("AdamW", name="adamw")
class AdamW(Adam):
    """`Adam` with a default for the decoupled weight decay: W ← W − η weight_decay W, then Adam's rule.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon
        As for `Adam`.
    weight_decay : float, default 0.004
        ≥ 0; PyTorch's default is 0.01.
    clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`.

    References
    ----------
    I. Loshchilov, F. Hutter: Decoupled weight decay regularization, ICLR 2019, arXiv:1711.05101, algorithm 2.
    """

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: Scheduled | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, weight_decay, clipnorm, clipvalue, global_clipnorm, name
        )


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
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
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
        weight_decay: Scheduled | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        self.rho = self.hyperparameter("rho", rho)
        self.momentum = self.hyperparameter("momentum", momentum)
        self.epsilon = self.hyperparameter("epsilon", epsilon)
        self.centered = check_flag(centered, "centered")
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)

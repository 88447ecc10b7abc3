"""Rules with a running mean of gradients: native code, ``src_c/operations/parameters/moments.h``."""

from __future__ import annotations

from typing import Any, ClassVar

from nncore.optimizers.base import OPTIMIZERS, Optimizer
from nncore.parameter import Parameter
from nncore.schedules import Scheduled
from nncore.state import Settings


class TwoMoments(Optimizer):
    """Base of those with Adam's two moments and its defaults, without AMSGrad."""

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **common: Any,
    ) -> None:
        self.take(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)
        super().__init__(learning_rate, **common)


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
    amsgrad : bool, default False
        Take the greatest v so far in its place, element by element [2]_.
    weight_decay, clipnorm, …, name
        See `Optimizer`. PyTorch's Adam adds weight_decay W to g; here it is decoupled, as in `AdamW`.

    References
    ----------
    D. P. Kingma, J. Ba: Adam: a method for stochastic optimization, ICLR 2015, arXiv:1412.6980, section 2
    (the more efficient order of computation).

    .. [2] S. J. Reddi, S. Kale, S. Kumar: On the convergence of Adam and beyond, ICLR 2018, arXiv:1904.09237.
    """

    kernel: ClassVar[str] = "adam"
    spared: ClassVar[dict[str, str]] = {"v_max": "amsgrad"}

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **common: Any,
    ) -> None:
        self.take(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, amsgrad=amsgrad)
        super().__init__(learning_rate, **common)


@OPTIMIZERS.register("LazyAdam", name="lazyadam")
class LazyAdam(Adam):
    """`Adam` that leaves rows of an `Embedding` alone, with their moments, in steps that do not read them.

    The moments of such a row do not decay; t counts all steps. A step costs in proportion to the rows that it reads. As
    PyTorch's SparseAdam, and LazyAdam of TensorFlow Addons. All of this only where the table is read once in the model
    and has no regularizer, no norm is clipped, and gradients are not summed up over batches; otherwise, and for all
    other weights, it is `Adam`.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, amsgrad, …, name
        As for `Adam`; weight decay, too, is only of rows that are read.
    """

    lazy: ClassVar[bool] = True


@OPTIMIZERS.register("AdamW", name="adamw")
class AdamW(Adam):
    """`Adam` with a default for the decoupled weight decay: W ← W − η weight_decay W, then Adam's rule.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, amsgrad
        As for `Adam`.
    weight_decay : float, default 0.004
        ≥ 0; PyTorch's default is 0.01.
    clipnorm, clipvalue, …, name
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
        amsgrad: bool = False,
        weight_decay: Scheduled | None = 0.004,
        **common: Any,
    ) -> None:
        if weight_decay is None:
            raise ValueError(
                "weight_decay: expected a number ≥ 0 or a schedule, got None; Adam has none (Argument `weight_decay` "
                "must be a float. Received: weight_decay=None)"
            )
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **common)


@OPTIMIZERS.register()
class Adamax(TwoMoments):
    """`Adam` with the running maximum of |g| in place of √v.

    m ← β₁ m + (1 − β₁) g,  u ← max(β₂ u, |g|),  W ← W − η / (1 − β₁ᵗ) · m / (u + ε).

    Parameters
    ----------
    learning_rate : float, default 0.001
        PyTorch's default is 0.002.
    beta_1, beta_2 : float, default 0.9, 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        ≥ 0; PyTorch has max(β₂ u, |g| + eps).
    weight_decay, clipnorm, …, name
        See `Optimizer`.

    References
    ----------
    D. P. Kingma, J. Ba: Adam: a method for stochastic optimization, ICLR 2015, arXiv:1412.6980, algorithm 2.
    """

    kernel: ClassVar[str] = "adamax"


@OPTIMIZERS.register()
class Nadam(TwoMoments):
    """`Adam` with Nesterov's momentum.

    With μ_t = β₁ (1 − 0.96ᵗ / 2) and Π_t = μ₁ … μ_t: m and v as Adam's,
    m̂ = μ_{t+1} m / (1 − Π_{t+1}) + (1 − μ_t) g / (1 − Π_t),  W ← W − η m̂ / (√(v / (1 − β₂ᵗ)) + ε).

    Parameters
    ----------
    learning_rate : float, default 0.001
        PyTorch's default is 0.002.
    beta_1, beta_2 : float, default 0.9, 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        ≥ 0; PyTorch's default is 1e-8.
    weight_decay, clipnorm, …, name
        See `Optimizer`.

    References
    ----------
    T. Dozat: Incorporating Nesterov momentum into Adam, ICLR 2016 workshop.
    """

    kernel: ClassVar[str] = "nadam"


@OPTIMIZERS.register()
class Lion(Optimizer):
    """Steps of one length: the sign of a mean of gradients.

    W ← W − η sign(β₁ m + (1 − β₁) g),  m ← β₂ m + (1 − β₂) g.

    Parameters
    ----------
    learning_rate : float, default 0.001
        The authors take a third to a tenth of Adam's, and three to ten times its weight decay.
    beta_1, beta_2 : float, default 0.9, 0.99
        In (0, 1] and [0, 1].
    weight_decay, clipnorm, …, name
        See `Optimizer`.

    References
    ----------
    X. Chen et al.: Symbolic discovery of optimization algorithms, NeurIPS 2023, arXiv:2302.06675, algorithm 2.
    """

    kernel: ClassVar[str] = "lion"

    def __init__(
        self, learning_rate: Scheduled = 0.001, beta_1: float = 0.9, beta_2: float = 0.99, **common: Any
    ) -> None:
        self.take(beta_1=beta_1, beta_2=beta_2)
        super().__init__(learning_rate, **common)


@OPTIMIZERS.register("ScheduleFreeAdamW", name="schedulefreeadamw")
class ScheduleFreeAdamW(Optimizer):
    """AdamW on a sequence z, of whose mean x the weights W = (1 − β₁) z + β₁ x are close: no schedule is needed.

    v ← β₂ v + (1 − β₂) g²,  z ← z − ηₜ g / (√(v / (1 − β₂ᵗ)) + ε),  x ← x + (z − x) / t,
    ηₜ = η min(1, t / warmup_steps). z starts as W. As in Keras the model keeps W in evaluation too, not x, and weight
    decay is that of W.

    Parameters
    ----------
    learning_rate : float, default 0.0025
    beta_1 : float, default 0.9
        In (0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-8
        ≥ 0.
    warmup_steps : float, default 0
        In which η rises from 0 on a straight line.
    weight_decay, clipnorm, …, name
        See `Optimizer`.

    References
    ----------
    A. Defazio et al.: The road less scheduled, NeurIPS 2024, arXiv:2405.15682.
    """

    kernel: ClassVar[str] = "schedule_free_adamw"

    def __init__(
        self,
        learning_rate: Scheduled = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: float = 0,
        **common: Any,
    ) -> None:
        self.take(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, warmup_steps=warmup_steps)
        super().__init__(learning_rate, **common)


@OPTIMIZERS.register()
class Lamb(TwoMoments):
    """`Adam` with steps in proportion to each parameter's own norm, for large batches.

    u = m̂ / (√v̂ + ε) with Adam's moments, corrected for their bias;  W ← W − η ‖W‖ / ‖u‖ · u, or − η u where a norm
    is 0. Norms are those of each weight array.

    Parameters
    ----------
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9, 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        ≥ 0, beside the corrected root.
    weight_decay, clipnorm, …, name
        See `Optimizer`. The paper adds weight decay to u; here, as in Keras, it comes before, apart from the norms.

    References
    ----------
    Y. You et al.: Large batch optimization for deep learning: training BERT in 76 minutes, ICLR 2020, arXiv:1904.00962.
    """

    kernel: ClassVar[str] = "lamb"

    def settings(self, number: int, p: Parameter, path: str) -> Settings:
        """See `Optimizer`; norms are of each parameter."""
        return super().settings(number, p, path)._replace(parameter=number + 1)

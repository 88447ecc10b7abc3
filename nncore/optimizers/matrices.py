"""Rules for matrices of weights: native code, ``adafactor.h`` and ``muon.h`` of ``src_c/operations/parameters``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from nncore.arguments import check_flag, check_nonnegative, check_whole
from nncore.graph import Shape
from nncore.optimizers.base import OPTIMIZERS, Optimizer
from nncore.parameter import Parameter
from nncore.schedules import LearningRateSchedule, Scheduled
from nncore.state import Settings


@OPTIMIZERS.register()
class Adafactor(Optimizer):
    """Gradients divided by a root of their mean squares, of which a matrix keeps those of rows and columns alone.

    With β = 1 − t^beta_2_decay, r and c follow the means of g² + ε₁ over the columns and the rows of each matrix
    (of the last two axes), r ← β r + (1 − β) …, and v = r c / mean(r); of fewer axes, v itself follows.
    u = g / √v / max(1, RMS(g / √v) / clip_threshold),  W ← W − max(ε₂, RMS(W)) min(η, 1 / √t) u.

    Parameters
    ----------
    learning_rate : float, default 0.001
    beta_2_decay : float, default −0.8
        ≤ 0.
    epsilon_1, epsilon_2 : float, default 1e-30, 1e-3
        ≥ 0; the former is at least the least normal number.
    clip_threshold : float, default 1.0
        > 0.
    relative_step : bool, default True
        Without effect, as in Keras: a step is never longer than 1 / √t times the RMS of the weights.
    weight_decay, clipnorm, …, name
        See `Optimizer`.

    References
    ----------
    N. Shazeer, M. Stern: Adafactor: adaptive learning rates with sublinear memory cost, ICML 2018, arXiv:1804.04235.
    """

    kernel: ClassVar[str] = "adafactor"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **common: Any,
    ) -> None:
        self.take(
            beta_2_decay=beta_2_decay,
            epsilon_1=epsilon_1,
            epsilon_2=epsilon_2,
            clip_threshold=clip_threshold,
            relative_step=relative_step,
        )
        super().__init__(learning_rate, **common)

    def whole(self, p: Parameter, path: str) -> bool:
        """See `Optimizer`: every parameter."""
        return True

    def state_form(self, name: str, p: Parameter, path: str) -> Shape | None:
        """See `Optimizer`: a matrix has rows and columns, an array of fewer axes a number for each element."""
        if p.ndim < 2:
            return p.shape if name == "row" else None
        return p.shape[:-1] if name == "row" else (*p.shape[:-2], p.shape[-1])


@OPTIMIZERS.register()
class Muon(Optimizer):
    """Momentum made orthogonal, for matrices of weights; AdamW for all other weights.

    m ← μ m + g,  X = g + μ m (or m),  X ← X / ‖X‖, then ns_steps times X ← a X + (b S + c S²) X with S = X Xᵀ;
    W ← W − η rms_rate √max(rows, columns) X. Singular values of X come near 1.

    Parameters
    ----------
    learning_rate : float, default 0.001
    adam_beta_1, adam_beta_2, epsilon : float, default 0.9, 0.999, 1e-7
        Of `AdamW`, for what is not of two axes, for embeddings, and for what is excluded.
    adam_weight_decay : float or None, default 0.004
        Decoupled decay of those.
    weight_decay : float or None, default 0.004
        Decoupled decay of the matrices.
    clipnorm, clipvalue, …, name
        See `Optimizer`.
    exclude_layers : list of str, optional
        Regular expressions; weights whose names have one in them are left to AdamW.
    exclude_embeddings : bool, default True
        Whether "embedding" in a name does so, too.
    muon_a, muon_b, muon_c : float, default 3.4445, −4.775, 2.0315
        Coefficients of the iteration.
    adam_lr_ratio : float, default 1
        Factor of the learning rate for AdamW.
    momentum : float, default 0.95
        μ in [0, 1].
    ns_steps : int, default 5
    nesterov : bool, default True
    rms_rate : float or None, default 0.2
        None: the step is η X.

    References
    ----------
    K. Jordan et al.: Muon: an optimizer for hidden layers in neural networks, 2024.
    J. Liu et al.: Muon is scalable for LLM training, arXiv:2502.16982 (rms_rate).
    """

    kernel: ClassVar[str] = "muon"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        *,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **common: Any,
    ) -> None:
        self.take(adam_beta_1=adam_beta_1, adam_beta_2=adam_beta_2, epsilon=epsilon)
        self.take(muon_a=muon_a, muon_b=muon_b, muon_c=muon_c, momentum=momentum, nesterov=nesterov)
        if isinstance(exclude_layers, str) or not all(isinstance(e, str) for e in exclude_layers or ()):
            raise TypeError(f"exclude_layers: expected a list of regular expressions, got {exclude_layers!r}")
        self.exclude_layers = list(exclude_layers or ())
        self.exclude_embeddings = check_flag(exclude_embeddings, "exclude_embeddings")
        self.adam_weight_decay = 0.0 if adam_weight_decay is None else check_nonnegative(
            adam_weight_decay, "adam_weight_decay", "0.0 is none"
        )  # fmt: skip
        self.adam_lr_ratio = check_nonnegative(adam_lr_ratio, "adam_lr_ratio", "it is a factor")
        self.ns_steps = check_whole(ns_steps, "ns_steps", "a whole number ≥ 0", 0)
        self.rms_rate = None if rms_rate is None else check_nonnegative(rms_rate, "rms_rate", "it is a factor")
        if isinstance(weight_decay, LearningRateSchedule) or callable(weight_decay):
            raise TypeError(f"weight_decay: expected a number ≥ 0, got {weight_decay!r}; Muon's decay does not vary")
        super().__init__(learning_rate, weight_decay, **common)

    def _scheduled(self, name: str) -> Scheduled:
        # what chunks have as factors of it are the two decays
        return 1.0 if name == "weight_decay" else super()._scheduled(name)

    def argument(self, name: str) -> Any:
        """See `Configurable.argument`."""
        return self.weight_decay if name == "weight_decay" else super().argument(name)

    def is_matrix(self, p: Parameter, path: str) -> bool:
        """Whether a parameter's momentum is made orthogonal."""
        embedding = self.exclude_embeddings and "embedding" in path.lower()
        return p.ndim == 2 and not embedding and not any(re.search(e, path) for e in self.exclude_layers)

    def whole(self, p: Parameter, path: str) -> bool:
        """See `Optimizer`: every matrix."""
        return self.is_matrix(p, path)

    def settings(self, number: int, p: Parameter, path: str) -> Settings:
        """See `Optimizer`; AdamW has a decay and a learning rate of its own."""
        given = super().settings(number, p, path)
        matrix = self.is_matrix(p, path)
        decay, rate = (self.weight_decay, 1.0) if matrix else (self.adam_weight_decay, self.adam_lr_ratio)
        assert isinstance(decay, float)
        return given._replace(decay=given.decay * decay, rate=given.rate * rate)

    def state_form(self, name: str, p: Parameter, path: str) -> Shape | None:
        """See `Optimizer`: a matrix has no v."""
        return None if name == "v" and self.is_matrix(p, path) else p.shape

"""Losses of probabilities: crossentropies, plain and focal, divergences."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from nncore.arguments import check_nonnegative, check_number, is_whole
from nncore.losses.base import Loss, entry, number_list


class Crossentropy(Loss):
    """Base of the crossentropies: −log of the probability that the model gives to what is true.

    Attributes
    ----------
    accepted : tuple of str
        Activations beside the partner that give such probabilities; the loss is then computed on them, not fused.
    """

    probable = True
    partner = "softmax"
    accepted: ClassVar[tuple[str, ...]] = ()

    def doubt(self, activation: str) -> str | None:
        """See `Loss.doubt`."""
        name = self.registry.name_of(self)
        if self.from_logits:
            if activation not in ("softmax", "sigmoid"):
                return None
            return (
                f"loss: {name} with from_logits=True expects logits, but the last layer's activation {activation!r} "
                "gives probabilities. Either give the last layer activation=None, or give it "
                f'activation="{self.partner}" and the loss from_logits=False'
            )
        if activation in (self.partner, *self.accepted):
            return None
        fault = "gives units that do not sum to one" if activation == "sigmoid" else "gives none"
        return (
            f"loss: {name} expects probabilities, but the last layer's activation {activation!r} {fault}. Either give "
            f'the last layer activation="{self.partner}", or give it no activation and the loss from_logits=True'
        )


@entry("bce")
class BinaryCrossentropy(Crossentropy):
    """ℓ = −1/n Σⱼ (tⱼ log pⱼ + (1 − tⱼ) log(1 − pⱼ)) for targets in [0, 1]; each output is a question of its own.

    On logits, after a sigmoid or with `from_logits`, computed as 1/n Σⱼ (max(zⱼ, 0) − zⱼ tⱼ + log1p(e^−|zⱼ|)),
    which never overflows; the gradient is (σ(zⱼ) − tⱼ) / n. On other probabilities they are first clipped to
    [1e-7, 1 − 1e-7], as in Keras; the gradient is then (pⱼ − tⱼ) / (n pⱼ (1 − pⱼ)), or 0 where clipped. For several
    labels at once it is PyTorch's MultiLabelSoftMarginLoss.

    Parameters
    ----------
    from_logits : bool, default False
        True if the last layer has no activation that gives probabilities.
    label_smoothing : float, default 0.0
        s in [0, 1]: targets become t (1 − s) + s / 2.
    axis : int, default -1
        Over which the mean goes; a model is trained along the last one.

    Raises
    ------
    TypeError, ValueError
        An argument is none of these.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1

    partner = "sigmoid"
    accepted = ("softmax",)
    accuracy = "binary_accuracy"


@entry()
class BinaryFocalCrossentropy(Crossentropy):
    """ℓ = 1/n Σⱼ wⱼ uⱼᵞ bⱼ: `BinaryCrossentropy` b that counts less where little is missing to the truth.

    u = t (1 − p) + (1 − t) p; w = t alpha + (1 − t)(1 − alpha) with `apply_class_balancing`, else 1. Fused with a
    sigmoid, or with `from_logits`, computed on logits.

    Parameters
    ----------
    apply_class_balancing : bool, default False
    alpha : float, default 0.25
        The weight of class 1.
    gamma : float, default 2.0
        ≥ 0; 0 is the plain crossentropy.
    from_logits, label_smoothing, axis
        See `BinaryCrossentropy`.

    References
    ----------
    T. Lin et al.: Focal loss for dense object detection, ICCV (2017).
    """

    apply_class_balancing: bool = False
    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1

    partner = "sigmoid"
    accepted = ("softmax",)
    accuracy = "binary_accuracy"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.alpha, "alpha", "a finite number", math.isfinite)
        check_nonnegative(self.gamma, "gamma", "0 is the plain crossentropy")


@entry("cce")
class CategoricalCrossentropy(Crossentropy):
    """ℓ = −Σⱼ tⱼ log pⱼ for one-hot targets, or any that are ≥ 0 and sum to one.

    Computed on logits, after a softmax or with `from_logits`, as Σⱼ tⱼ (log Σₖ e^(zₖ − m) + m − zⱼ) with m = max z,
    which never overflows; the gradient is softmax(z)ⱼ Σₖ tₖ − tⱼ, hence p − t for targets that sum to one. Other
    probabilities are first divided by their sum and clipped to [1e-7, 1 − 1e-7], as in Keras.

    Parameters
    ----------
    from_logits : bool, default False
        True if the last layer has no softmax. Equal in value to a softmax followed by False.
    label_smoothing : float, default 0.0
        s in [0, 1]: targets become t (1 − s) + s / n.
    axis : int, default -1
        Along which the classes lie; a model is trained along the last one.

    Raises
    ------
    TypeError, ValueError
        An argument is none of these.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1

    accuracy = "categorical_accuracy"


@entry()
class CategoricalFocalCrossentropy(Crossentropy):
    """ℓ = −Σⱼ alpha (1 − pⱼ)ᵞ tⱼ log pⱼ: `CategoricalCrossentropy` that counts less for classes that are sure.

    Parameters
    ----------
    alpha : float or sequence of float, default 0.25
        A factor, or one for each class.
    gamma : float, default 2.0
        ≥ 0; 0 is the plain crossentropy, times alpha.
    from_logits, label_smoothing, axis
        See `CategoricalCrossentropy`.

    References
    ----------
    T. Lin et al.: Focal loss for dense object detection, ICCV (2017).
    """

    alpha: Any = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1

    accuracy = "categorical_accuracy"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_nonnegative(self.gamma, "gamma", "0 is the plain crossentropy")
        several = number_list(self.alpha)
        object.__setattr__(self, "alpha", self.alpha if several is None else several)
        for alpha in several or (self.alpha,):
            check_number(alpha, "alpha", "finite numbers that are not 0", lambda a: math.isfinite(a) and a != 0)

    def numbers(self, kernel: str) -> tuple[float, ...]:
        """See `Loss.numbers`."""
        return float(self.label_smoothing), float(self.gamma), 0.0 if self.columns else float(self.alpha)

    @property
    def columns(self) -> tuple[float, ...]:
        """See `Loss.columns`."""
        return self.alpha if isinstance(self.alpha, tuple) else ()

    def row(self, shape: tuple[int, ...]) -> int:
        """See `Loss.row`."""
        if self.columns and len(self.columns) != shape[-1]:
            raise ValueError(f"alpha: expected a number for each of {shape[-1]} classes, got {len(self.columns)}")
        return super().row(shape)


@entry("scce")
class SparseCategoricalCrossentropy(Crossentropy):
    """ℓ = −log p_c for the integer label c in [0, n): `CategoricalCrossentropy` without the one-hot targets.

    Computed on logits as log Σₖ e^(zₖ − m) + m − z_c with m = max z, which never overflows; the gradient is
    softmax(z)ⱼ − [j = c]. PyTorch's CrossEntropyLoss is this with from_logits=True.

    Parameters
    ----------
    from_logits : bool, default False
        True if the last layer has no softmax.
    ignore_class : int, optional
        A label, of any number, whose loss is 0; a mean is one over the others.
    axis : int, default -1
        Along which the classes lie; a model is trained along the last one.

    Raises
    ------
    TypeError, ValueError
        An argument is none of these.
    """

    from_logits: bool = False
    ignore_class: int | None = None
    axis: int = -1

    target = "labels"
    accuracy = "sparse_categorical_accuracy"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ignore_class is not None and not (
            is_whole(self.ignore_class) and -(2**31) <= self.ignore_class < 2**31
        ):
            raise ValueError(f"ignore_class: expected a whole number, or None, got {self.ignore_class!r}")

    def labels(self, outputs: int) -> tuple[int, int, int | None]:
        """See `Loss.labels`."""
        return 0, outputs, self.ignore_class

    def numbers(self, kernel: str) -> tuple[float, ...]:
        """See `Loss.numbers`."""
        return (-1.0 if self.ignore_class is None else float(self.ignore_class),)

    def counts(self, losses: Any, y_true: Any) -> Any:
        """See `Loss.counts`."""
        return None if self.ignore_class is None else np.reshape(y_true, losses.shape) != self.ignore_class


@entry()
class CategoricalGeneralizedCrossEntropy(Loss):
    """ℓ = (1 − p_cᵠ) / q for the integer label c: between the crossentropy (q → 0) and the absolute error (q = 1).

    Robust to wrong labels. Fused with a softmax; on other probabilities the slope is that of max(p_c, 1e-7).

    Parameters
    ----------
    q : float, default 0.5
        In (0, 1).

    References
    ----------
    Z. Zhang, M. R. Sabuncu: Generalized cross entropy loss for training deep neural networks with noisy labels, NeurIPS
    (2018).
    """

    q: float = 0.5

    target = "labels"
    partner = "softmax"
    accuracy = "sparse_categorical_accuracy"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.q, "q", "a number between 0 and 1", lambda q: 0 < q < 1)


@entry("kld", "kullback_leibler_divergence", name="kl_divergence")
class KLDivergence(Loss):
    """ℓ = Σⱼ tⱼ log(tⱼ / pⱼ) with t and p clipped to [1e-7, 1], for targets that are distributions, as of a teacher.

    Fused with a softmax, whose gradient is then p Σₖ tₖ − t. Arguments: see `Loss`.
    """

    probable = True
    partner = "softmax"
    accuracy = "categorical_accuracy"


@entry(name="corn")
class CORN(Loss):
    """ℓ = Σ_{k ≤ c} b(zₖ, [c > k]): ordinal regression for labels c = 0 … n from n logits, b the binary crossentropy.

    zₖ is the logit of P(c > k | c ≥ k), so ℓ = −log P(c): of n + 1 ordered classes the last layer has n units without
    an activation. P(c > k) = Π_{i ≤ k} σ(zᵢ), and the rank is the number of these above ½:
    ``(np.cumprod(1 / (1 + np.exp(-z)), axis=1) > 0.5).sum(axis=1)``. (The paper divides by the number of terms in the
    batch in place of the number of samples.) Arguments: see `Loss`.

    References
    ----------
    X. Shi, W. Cao, S. Raschka: Deep neural networks for rank-consistent ordinal regression based on conditional
    probabilities, Pattern Anal. Appl. 26 (2023); arXiv:2111.08851.
    """

    target = "labels"

    def labels(self, outputs: int) -> tuple[int, int, int | None]:
        """See `Loss.labels`."""
        return 0, outputs + 1, None

"""Losses that ask for a margin: between classes, and between embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.losses import arrays
from nncore.losses.base import Loss, check_positive, entry

ANY = (-(2**31), 2**31, None)  # labels


@entry()
class Hinge(Loss):
    """ℓ = 1/n Σⱼ max(1 − tⱼ pⱼ, 0) for targets −1 and 1, or 0 and 1, of which 0 counts as −1. Arguments: see `Loss`.

    (Keras takes 0 as −1 where all targets of a batch are 0 or 1.)
    """


@entry()
class SquaredHinge(Loss):
    """ℓ = 1/n Σⱼ max(1 − tⱼ pⱼ, 0)², with the targets of `Hinge`. Arguments: see `Loss`."""


@entry()
class CategoricalHinge(Loss):
    """ℓ = max(maxⱼ (1 − tⱼ) pⱼ − Σⱼ tⱼ pⱼ + 1, 0) for one-hot targets: how much the best wrong class comes too near.

    Arguments: see `Loss`.
    """

    accuracy = "categorical_accuracy"


@entry()
class Contrastive(Loss):
    """ℓ = 1/n Σⱼ (tⱼ dⱼ² + (1 − tⱼ) max(margin − dⱼ, 0)²) of distances d ≥ 0 between two embeddings; t = 1: alike.

    Parameters
    ----------
    margin : float, default 1.0
        How far apart those that are not alike should be; > 0.

    References
    ----------
    R. Hadsell, S. Chopra, Y. LeCun: Dimensionality reduction by learning an invariant mapping, CVPR (2006).
    """

    margin: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.margin, "margin")


class OfBatch(Loss):
    """Base of losses of embeddings with labels, any whole numbers; the value depends on who is in the batch."""

    target = "labels"

    def labels(self, outputs: int) -> tuple[int, int, int | None]:
        """See `Loss.labels`."""
        return ANY


@entry()
class Triplet(OfBatch):
    """ℓᵢ = max(margin + max₊ |pᵢ − pⱼ| − min₋ |pᵢ − pⱼ|, 0): batch-hard triplets of embeddings with whole labels.

    The maximum is over the other rows of the batch with the same label, the minimum over those with another; a row
    without either counts 0. So the value depends on the batch, which needs several rows of each label.

    Parameters
    ----------
    margin : float, default 1.0
        How much nearer those of the same label should be; > 0.

    References
    ----------
    A. Hermans, L. Beyer, B. Leibe: In defense of the triplet loss for person re-identification, arXiv:1703.07737
    (2017).
    """

    margin: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.margin, "margin")


@entry()
class Circle(OfBatch):
    """ℓᵢ = softplus(log Σ₊ e^(γ (d² − m²)) + log Σ₋ e^(γ (1 + m − d)(1 − m − d))), d = max(1 − pᵢ·pⱼ, 0).

    The sums go over the other rows of the batch with the same label, and with another one; embeddings should be of
    norm 1, by `UnitNormalization`. So the value depends on the batch. As in Keras, a mean is one over the rows with ℓᵢ
    > 0.

    Parameters
    ----------
    gamma : float, default 80.0
        γ > 0, how much the worst pairs count.
    margin : float, default 0.4
        m > 0.
    remove_diagonal : bool, default True
        Whether a row is no pair with itself.

    References
    ----------
    Y. Sun et al.: Circle loss: a unified perspective of pair similarity optimization, CVPR (2020).
    """

    gamma: float = 80.0
    margin: float = 0.4
    remove_diagonal: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.gamma, "gamma")
        check_positive(self.margin, "margin")

    optional_arrays = ("ref_labels", "ref_embeddings")

    def numbers(self, kernel: str, own: int = 0) -> tuple[float, ...]:
        """See `Loss.numbers`; `own`: how many of the first rows are compared with those after them, 0: all with all."""
        return float(self.gamma), float(self.margin), float(self.remove_diagonal), float(own)

    def compute(self, y_true: Any, y_pred: Any, ref_labels: Any = None, ref_embeddings: Any = None) -> Any:
        """The loss of each row, of pairs with the rows of `ref_embeddings`, by default `y_pred` itself."""
        if ref_labels is None and ref_embeddings is None:
            return super().compute(y_true, y_pred)
        p, t = arrays.prepared(self, y_true, y_pred, None)
        rows = t if ref_labels is None else ref_labels, p if ref_embeddings is None else ref_embeddings
        others, labels = arrays.prepared(self, *rows, p.dtype.name)
        both, own = np.concatenate([p, others]), len(p)
        found = arrays.computed(self, both, np.concatenate([t, labels]), numbers=self.numbers("circle", own))
        return found[:own].astype(p.dtype)

    def counts(self, losses: Any, y_true: Any) -> Any:
        """See `Loss.counts`."""
        return losses > 0

"""Losses of overlapping sets, soft ones."""

from __future__ import annotations

import math
from typing import Any

from nncore.arguments import check_nonnegative, is_whole
from nncore.losses.base import Loss, entry


class Overlap(Loss):
    """Base of losses over the whole batch, or given axes of it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.axis, (list, tuple)):
            object.__setattr__(self, "axis", tuple(map(int, self.axis)))

    def kernel(self) -> str:
        """See `Loss.kernel`."""
        return "tversky"

    def axes_allowed(self) -> bool:
        """See `Loss.axes_allowed`."""
        return self.axis is None or (isinstance(self.axis, (list, tuple)) and all(map(is_whole, self.axis)))

    @property
    def joined(self) -> bool:
        """See `Loss.joined`."""
        return self.axis is None

    def check(self, shape: tuple[int, ...]) -> None:
        """See `Loss.check`."""
        axes = {a % (len(shape) + 1) for a in self.axis} if isinstance(self.axis, tuple) else None
        if axes not in (None, set(range(1, len(shape) + 1))):
            raise ValueError(
                f"loss: {self.name} of a model goes over the whole batch, axis=None, each sample, "
                f"axis={tuple(range(1, len(shape) + 1))}, or the last axis, -1; got axis={self.axis}"
            )
        super().check(shape)

    def row(self, shape: tuple[int, ...]) -> int:
        """See `Loss.row`."""
        return math.prod(shape) if isinstance(self.axis, tuple) else shape[-1]


@entry()
class Tversky(Overlap):
    """ℓ = 1 − I / (I + alpha Σ (1 − p) t + beta Σ p (1 − t) + 1e-7), I = Σ p t: for probabilities of few true pixels.

    alpha = beta = ½ is `Dice`, alpha = beta = 1 the Jaccard index.

    Parameters
    ----------
    alpha, beta : float, default 0.5
        How much what is missed counts, and what is found wrongly; ≥ 0. (Keras calls these the false positives and the
        false negatives, and computes the same.)
    axis : int, tuple of int or None, default None
        What the sums go over. None: all of the batch, so that its value depends on the batch, and samples have no
        weights; in a model else all axes but the first, ``(1, 2)``, for a loss of each sample, or the last, -1.

    References
    ----------
    S. S. M. Salehi, D. Erdogmus, A. Gholipour: Tversky loss function for image segmentation, arXiv:1706.05721 (2017).
    """

    alpha: float = 0.5
    beta: float = 0.5
    axis: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("alpha", "beta"):
            check_nonnegative(getattr(self, name), name, "for no such errors at all train with more of them")

    def numbers(self, kernel: str) -> tuple[float, ...]:
        """See `Loss.numbers`."""
        return float(self.alpha), float(self.beta), 1e-7


@entry()
class Dice(Overlap):
    """ℓ = 1 − 2 Σ p t / (Σ p + Σ t + 1e-7): how little two soft sets have in common.

    Parameters
    ----------
    axis : int, tuple of int or None, default None
        As of `Tversky`.

    References
    ----------
    F. Milletari, N. Navab, S. Ahmadi: V-Net: fully convolutional neural networks for volumetric medical image
    segmentation, arXiv:1606.04797 (2016).
    """

    axis: Any = None

    def numbers(self, kernel: str) -> tuple[float, ...]:
        """See `Loss.numbers`."""
        return 0.5, 0.5, 5e-8

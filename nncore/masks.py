"""What of predictions counts, and arrays whose axes differ by one: as Keras has both."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.conversion import Array, as_array


def mask_of(y_pred: Any) -> Array | None:
    """What of the predictions counts, where Keras, or who else knows its attribute, has told; None: all of it."""
    given = getattr(y_pred, "_keras_mask", None)
    return None if given is None else np.asarray(given)


def masked(y_pred: Any, sample_weight: Any) -> Any:
    """Weights that are 0 where the predictions do not count."""
    mask = mask_of(y_pred)
    if mask is None:
        return sample_weight
    weight = np.ones(mask.shape) if sample_weight is None else as_array(sample_weight, "sample_weight")
    counts, weight = squeeze_or_expand_to_same_rank(mask.astype(float), weight)
    return counts * weight


def squeeze_or_expand_to_same_rank(x1: Array, x2: Array, expand_rank_1: bool = True) -> tuple[Array, Array]:
    """Two arrays whose axes differ by a last one of length 1 with as many: vectors get it, others lose it."""
    if x1.ndim == x2.ndim + 1 and x1.shape[-1] == 1:
        return (x1, x2[:, None]) if x2.ndim == 1 and expand_rank_1 else (x1[..., 0], x2)
    if x2.ndim == x1.ndim + 1 and x2.shape[-1] == 1:
        return (x1[:, None], x2) if x1.ndim == 1 and expand_rank_1 else (x1, x2[..., 0])
    return x1, x2

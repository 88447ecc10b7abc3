"""What of predictions counts, and arrays whose axes differ by one: as Keras has both."""

from __future__ import annotations

from functools import reduce
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


def check_lists(inputs: Any, mask: Any) -> None:
    """A ValueError unless there is a mask, or None, for each of several inputs."""
    for argument, given in (("inputs", inputs), ("mask", mask)):
        if not isinstance(given, (list, tuple)):
            phrase = f"`{argument}` should be a list."
            raise ValueError(f"{argument}: expected a list, one of each input, got {type(given).__name__} ({phrase})")
    if len(mask) != len(inputs):
        raise ValueError(
            f"mask: expected {len(inputs)}, one or None for each input, got {len(mask)} (The lists `inputs` and `mask` "
            "should have the same length.)"
        )


def of_inputs(inputs: Any, mask: Any) -> list[Any] | None:
    """The masks of several inputs, checked; None where there are none."""
    if mask is None:
        return None
    check_lists(inputs, mask)
    return None if all(m is None for m in mask) else [None if m is None else np.asarray(m, bool) for m in mask]


def of_sum(inputs: Any, mask: Any) -> Array | None:
    """What counts of inputs that are joined element by element: what does in one of them; None: all of it."""
    known = of_inputs(inputs, mask)
    if known is None or any(m is None for m in known):
        return None
    return reduce(np.logical_or, known)


def of_concatenation(inputs: Any, mask: Any, axis: int) -> Array | None:
    """What counts of inputs side by side along an axis: a row of the last axis of which something does."""
    known = of_inputs(inputs, mask)
    if known is None:
        return None
    rows, parts = next(len(m) for m in known if m is not None), []
    for x, m in zip(inputs, known, strict=True):
        if m is not None and m.ndim not in (len(x.shape), len(x.shape) - 1):
            raise ValueError(
                f"mask: expected the axes of an input, or all but its last one, got shape {m.shape} for {x.shape}. Add "
                "axes of length 1"
            )
        whole = np.ones((), bool) if m is None else m if m.ndim == len(x.shape) else m[..., None]
        parts.append(np.broadcast_to(whole, (rows, *x.shape[1:])))  # of a symbol, too
    return np.asarray(np.concatenate(parts, axis).any(-1))


def squeeze_or_expand_to_same_rank(x1: Array, x2: Array, expand_rank_1: bool = True) -> tuple[Array, Array]:
    """Two arrays whose axes differ by a last one of length 1 with as many: vectors get it, others lose it."""
    if x1.ndim == x2.ndim + 1 and x1.shape[-1] == 1:
        return (x1, x2[:, None]) if x2.ndim == 1 and expand_rank_1 else (x1[..., 0], x2)
    if x2.ndim == x1.ndim + 1 and x2.shape[-1] == 1:
        return (x1[:, None], x2) if x1.ndim == 1 and expand_rank_1 else (x1, x2[..., 0])
    return x1, x2

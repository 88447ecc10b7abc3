"""Predictions of which a mask says what counts."""

from __future__ import annotations

from typing import Any

import numpy as np


class Masked(np.ndarray):
    """An array that says, as Keras's do, what of it counts."""

    _keras_mask: Any


def masked(values: Any, mask: Any) -> Masked:
    """These numbers with this mask."""
    array = np.array(values, np.float64).view(Masked)
    array._keras_mask = np.array(mask)
    return array

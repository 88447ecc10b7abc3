"""Helpers under Keras's module path."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.data import to_categorical
from nncore.data.numbered import PyDataset
from nncore.data.numbered import PyDataset as Sequence
from nncore.registry import missing
from nncore.runtime import set_random_seed

__all__ = ["PyDataset", "Sequence", "clear_session", "normalize", "set_random_seed", "to_categorical"]


def clear_session() -> None:
    """Do nothing: there is no global graph to forget; a model's memory goes with the model."""


def normalize(x: Any, axis: int = -1, order: Any = 2) -> Any:
    """Return an array divided by its norms along an axis; what has the norm 0 stays.

    Parameters
    ----------
    x : array_like
    axis : int, default -1
    order : float, default 2
        Of the norm, as `numpy.linalg.norm` takes it: 1, 2, inf.

    Examples
    --------
    >>> import nncore as nn
    >>> nn.utils.normalize([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    norms = np.linalg.norm(x, order, axis, keepdims=True)
    return x / np.where(norms == 0, 1, norms)


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)

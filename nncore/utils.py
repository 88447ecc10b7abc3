"""Helpers under Keras's module path."""

from __future__ import annotations

from nncore.data import to_categorical
from nncore.data.numbered import PyDataset
from nncore.runtime import set_random_seed

__all__ = ["PyDataset", "clear_session", "set_random_seed", "to_categorical"]


def clear_session() -> None:
    """Do nothing: there is no global graph to forget; a model's memory goes with the model."""

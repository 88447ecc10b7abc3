"""Layers by Keras's other names: functions of symbols."""

from __future__ import annotations

from collections.abc import Sequence

from nncore.graph import Symbol
from nncore.layers.merging import Add, Concatenate, Multiply


def add(inputs: Sequence[Symbol], name: str | None = None) -> Symbol:
    """``Add()(inputs)``."""
    return Add(name=name)(inputs)


def multiply(inputs: Sequence[Symbol], name: str | None = None) -> Symbol:
    """``Multiply()(inputs)``."""
    return Multiply(name=name)(inputs)


def concatenate(inputs: Sequence[Symbol], axis: int = -1, name: str | None = None) -> Symbol:
    """``Concatenate(axis)(inputs)``."""
    return Concatenate(axis, name=name)(inputs)

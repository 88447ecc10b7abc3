"""Layers by Keras's other names: functions of symbols and arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nncore.layers.merging import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract


def add(inputs: Sequence[Any], name: str | None = None) -> Any:
    """``Add()(inputs)``, of symbols or arrays."""
    return Add(name=name)(inputs)


def subtract(inputs: Sequence[Any], name: str | None = None) -> Any:
    """``Subtract()(inputs)``, of symbols or arrays."""
    return Subtract(name=name)(inputs)


def multiply(inputs: Sequence[Any], name: str | None = None) -> Any:
    """``Multiply()(inputs)``, of symbols or arrays."""
    return Multiply(name=name)(inputs)


def average(inputs: Sequence[Any], name: str | None = None) -> Any:
    """``Average()(inputs)``, of symbols or arrays."""
    return Average(name=name)(inputs)


def maximum(inputs: Sequence[Any], name: str | None = None) -> Any:
    """``Maximum()(inputs)``, of symbols or arrays."""
    return Maximum(name=name)(inputs)


def minimum(inputs: Sequence[Any], name: str | None = None) -> Any:
    """``Minimum()(inputs)``, of symbols or arrays."""
    return Minimum(name=name)(inputs)


def concatenate(inputs: Sequence[Any], axis: int = -1, name: str | None = None) -> Any:
    """``Concatenate(axis)(inputs)``, of symbols or arrays."""
    return Concatenate(axis, name=name)(inputs)


def dot(inputs: Sequence[Any], axes: Any = -1, normalize: bool = False, name: str | None = None) -> Any:
    """``Dot(axes, normalize)(inputs)``, of symbols or arrays."""
    return Dot(axes, normalize, name=name)(inputs)

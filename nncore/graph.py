"""Symbols: what a layer returns when it is called, before any number exists.

A symbol knows its shape (without the batch axis), the layer that makes it, and the symbols that layer reads;
the symbols of a model form its graph. Nothing here computes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nncore.layers.base import Layer

Shape = tuple[int, ...]


@dataclass(eq=False)
class Symbol:
    """A tensor of the graph.

    Attributes
    ----------
    shape : tuple of int
        Of one sample.
    layer : Layer or None
        What makes it; None for an input of the model.
    inputs : tuple of Symbol
        What that layer reads.
    """

    shape: Shape
    layer: Layer | None = None
    inputs: tuple[Symbol, ...] = field(default=())
    name: str | None = None


def check_shape(shape: Any, argument: str) -> Shape:
    """A sample's shape from 784, (784,) or (None, 784).

    Raises
    ------
    ValueError
        An axis other than the batch is unknown, or not positive.
    """
    axes = tuple(shape) if isinstance(shape, (Sequence, tuple)) else (shape,)
    if len(axes) > 1 and axes[0] is None:
        axes = axes[1:]
    try:
        known = tuple(int(axis) for axis in axes)
        exact = all(int(axis) == axis for axis in axes)
    except (TypeError, ValueError, OverflowError):
        exact = False
    if not exact or not axes or min(known) < 1:
        raise ValueError(
            f"{argument}: expected the positive sizes of one sample, such as 784, (28, 28) or (None, 784), "
            f"got {shape!r}"
        )
    if math.prod(known) > 2**40:
        raise ValueError(f"{argument}: expected a sample of at most 2**40 elements, got shape {known}")
    return known


def Input(shape: Any, name: str | None = None) -> Symbol:
    """Stand for the input of a model.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of one sample, without the batch axis: ``(784,)``.
    name : str, optional

    Returns
    -------
    Symbol
        Call layers on it, then make ``Model(inputs, outputs)``; or put it first in the list of ``Model([...])``.
    """
    return Symbol(check_shape(shape, "shape"), name=name)


def topological(outputs: Symbol) -> list[Symbol]:
    """Every symbol that `outputs` depends on, each after those it reads."""
    order: list[Symbol] = []
    seen: set[int] = set()
    stack: list[tuple[Symbol, bool]] = [(outputs, False)]
    while stack:
        symbol, ready = stack.pop()
        if ready:
            order.append(symbol)
        elif id(symbol) not in seen:
            seen.add(id(symbol))
            stack.append((symbol, True))
            stack.extend((s, False) for s in reversed(symbol.inputs) if id(s) not in seen)
    return order

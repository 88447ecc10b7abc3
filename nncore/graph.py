"""Symbols: what a layer returns when it is called, before any number exists.

A symbol knows its shape (without the batch axis), the layer that makes it, and the symbols that layer reads;
the symbols of a model form its graph. Nothing here computes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nncore.arguments import check_count, check_real, explained

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

    def __repr__(self) -> str:
        name = "" if self.name is None else f"name={self.name!r}, "
        maker = "input" if self.layer is None else f"of {type(self.layer).__name__} {self.layer.name or ''}".strip()
        return f"<Symbol {name}shape={(None, *self.shape)}, {maker}>"


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


@explained
def Input(
    shape: Any = None,
    name: str | None = None,
    *,
    batch_size: int | None = None,
    dtype: Any = None,
    batch_shape: Any = None,
) -> Symbol:
    """Stand for the input of a model.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of one sample, without the batch axis: ``(784,)``.
    name : str, optional
    batch_size : int, optional
        Of no consequence: a model takes any number of samples.
    dtype : dtype, optional
        Of no consequence: a model takes arrays of any real dtype.
    batch_shape : tuple, optional
        In place of `shape`: with the batch axis, ``(None, 784)``.

    Returns
    -------
    Symbol
        Call layers on it, then make ``Model(inputs, outputs)``; or put it first in the list of ``Model([...])``.
    """
    if batch_size is not None:
        check_count(batch_size, "batch_size")
    if dtype is not None:
        check_real(dtype)
    if batch_shape is not None:
        if shape is not None or not isinstance(batch_shape, (tuple, list)) or len(batch_shape) < 2:
            raise ValueError(
                f"batch_shape: expected the batch axis and a sample's shape, (None, 784), and no shape beside it, got "
                f"{batch_shape!r}"
            )
        return Symbol(check_shape(tuple(batch_shape[1:]), "batch_shape"), name=name)
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

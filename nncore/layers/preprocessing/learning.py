"""What layers learn by `adapt`: from arrays, or from iterables of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from nncore.arguments import check_count
from nncore.conversion import is_array_like
from nncore.data.streams import Stream, is_numbered
from nncore.initializers import Initializer
from nncore.layers.base import Layer
from nncore.state import Array


class Given(Initializer):
    """Values that are known; of no configuration of their own."""

    def __init__(self, values: Array) -> None:
        self.values = values

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.broadcast_to(np.asarray(self.values, np.float64), shape).copy()


class Learning(Layer):
    """Base of the layers with `adapt`. What they learn is theirs before there is a model, and in its arrays then."""

    def learned(self, values: Mapping[str, Array]) -> None:
        """Let the arrays of these names have these values, if there are any arrays."""
        if self.state is None:
            return
        named = {p.name: p for p in self.parameters}
        for name in values.keys() & named.keys():
            named[name].assign(np.broadcast_to(values[name], named[name].shape))


def batches(data: Any, steps: Any, read: Callable[[Any, str], Array], argument: str) -> Iterator[Array]:
    """The arrays of data: itself, or those that an iterable yields, or a `PyDataset` has; at most `steps`.

    They come alone, or first in a tuple.
    """
    if steps is not None:
        steps = check_count(steps, "steps")
    arrays = (
        isinstance(data, (list, tuple))
        and bool(data)
        and all(
            getattr(part, "ndim", 0) > 0 or (isinstance(part, tuple) and getattr(part[0], "ndim", 0) > 0)
            for part in data
        )
    )
    none = isinstance(data, (list, tuple)) and not data
    if not arrays and not none and is_array_like(data) and not hasattr(data, "__next__"):
        array = read(data, argument)
        yield array if array.ndim else array[None]
        return
    if is_numbered(data) and not hasattr(data, "__iter__"):  # whose `iter` ends where a number is refused, if at all
        length = Stream(data, argument).length
        data = map(data.__getitem__, itertools.count() if length is None else range(length))
    count = 0
    for part in data:
        if count == steps:
            break
        array = read(part[0] if isinstance(part, tuple) else part, argument)
        yield array if array.ndim else array[None]
        count += 1
    if not count:
        raise ValueError(f"{argument}: expected an array, or an iterable of arrays, got an empty iterable")

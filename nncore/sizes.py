"""Sizes that a model leaves open, None in its shapes: the data of each call settle them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

#: Of a sample. Those of a symbol may have None, for a size that is open.
Shape = tuple[int, ...]

MOST_KNOWN = 64  # sizes at once whose programs are held
MOST_BYTES = 1 << 28  # that these have for their batches, if it is more than one


def is_open(shapes: Sequence[Shape]) -> bool:
    """Whether some size is open."""
    every: Iterable[Any] = chain.from_iterable(shapes)
    return None in every


def fits(shape: Shape, known: Shape) -> bool:
    """Whether these are sizes that `known` leaves open, or has."""
    return shape == known or (
        len(shape) == len(known) and all(b is None or a == b for a, b in zip(shape, known, strict=True))
    )


def elements(shape: Shape) -> int:
    """Elements of a sample, as far as its sizes are known."""
    return math.prod(n for n in shape if n is not None)


def with_sizes(shapes: Sequence[Any], size: int) -> list[Any]:
    """Shapes with `size` where they have None."""
    return [tuple(size if n is None else n for n in s) if isinstance(s, (list, tuple)) else s for s in shapes]


def agreed(one: Shape, other: Shape) -> Any:
    """A shape that was computed for two sizes in place of those that are open: open again is what differs."""
    return tuple(n if n == m else None for n, m in zip(one, other, strict=True))


def hold(known: dict[Any, Any], sizes: Any, made: Any) -> None:
    """Hold what has a program for these sizes, and of others those that were asked for last."""
    known.pop(sizes, None)
    known[sizes] = made
    if len(known) == 1:  # always, where none is open
        return
    while len(held := [*known.items()]) > MOST_KNOWN or (  # a copy: other threads may write
        len(held) > 1 and sum(one.program.workspace for _, one in held) > MOST_BYTES
    ):
        known.pop(held[0][0], None)

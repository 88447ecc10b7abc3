"""Where the team of a program must meet: between operations that depend on one another."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from nncore.compiler.encoding import locate
from nncore.compiler.memory import tensor_bytes
from nncore.compiler.operation import Moving, Op, Operand, Whole


def place_barriers(ops: list[Op], starts: set[int], max_samples: int, itemsize: int, layout_bytes: int) -> None:
    """Put barriers where an operation depends on another since the last barrier, and at the `starts` of sections.

    That is where it reads or writes what the other wrote, or writes what the other read.
    """

    def extents(operands: Iterable[Operand]) -> list[tuple[int, int, int]]:
        return [extent(o, max_samples, itemsize, layout_bytes) for o in operands if o is not None]

    read, written = Intervals(), Intervals()
    for i, op in enumerate(ops):
        reads, writes = extents(op.reads()), extents(op.writes())
        meets = any(written.meet(*e) for e in (*reads, *writes)) or any(read.meet(*e) for e in writes)
        op.barrier = i in starts or meets
        if op.barrier:
            read, written = Intervals(), Intervals()
        for e in reads:
            read.add(*e)
        for e in writes:
            written.add(*e)


def extent(operand: Operand, max_samples: int, itemsize: int, layout_bytes: int) -> tuple[int, int, int]:
    """Buffer, first byte and end of all that an operand may touch: of an alias, all of what it is a part of."""
    if isinstance(operand, Moving):
        operand = operand.tensor
    buffer, start = locate(operand, itemsize)
    if isinstance(operand, Whole):
        size = layout_bytes if (p := operand.parameter) is None else (p.size - operand.part) * itemsize
    else:
        assert operand is not None
        start, size = operand.root.offset, tensor_bytes(operand, max_samples, itemsize)
    return buffer, start, start + size


class Intervals:
    """Sets of bytes, one for each buffer, as sorted runs that do not meet: a stage may be of any length."""

    def __init__(self) -> None:
        self.runs: dict[int, tuple[list[int], list[int]]] = {}  # starts, ends

    def meet(self, buffer: int, start: int, end: int) -> bool:
        """Whether some of start … end − 1 are in the set of this buffer."""
        starts, ends = self.runs.get(buffer, ([], []))
        at = bisect.bisect_right(ends, start)  # the first run that ends beyond `start`
        return start < end and at < len(ends) and starts[at] < end

    def add(self, buffer: int, start: int, end: int) -> None:
        """Add start … end − 1."""
        if start < end:
            starts, ends = self.runs.setdefault(buffer, ([], []))
            first, last = bisect.bisect_left(ends, start), bisect.bisect_right(starts, end)  # those that it joins
            if first < last:
                start, end = min(start, starts[first]), max(end, ends[last - 1])
            starts[first:last], ends[first:last] = [start], [end]

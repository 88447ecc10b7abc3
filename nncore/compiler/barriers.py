"""Where the team of a program must meet: between operations that depend on one another."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from nncore.compiler.encoding import locate
from nncore.compiler.memory import tensor_bytes
from nncore.compiler.operation import Moving, Op, Operand, Tensor, Whole

Extent = tuple[int, int, int]  # buffer, first byte, end


def place_barriers(ops: list[Op], starts: set[int], max_samples: int, itemsize: int, layout_bytes: int) -> None:
    """Put barriers where an operation depends on another since the last barrier, and at the `starts` of sections.

    That is where it reads or writes what the other wrote, or writes what the other read. Within a chain there are none.
    """

    def extents(operands: Iterable[Operand]) -> list[Extent]:
        # Of what is local each thread has its own, for one chain at a time.
        shared = (o for o in operands if o is not None and not (isinstance(o, Tensor) and o.root.buffer == "local"))
        return [extent(o, max_samples, itemsize, layout_bytes) for o in shared]

    read, written = Intervals(), Intervals()
    i, end = 0, 0
    while end < len(ops):
        i, op, end = end, ops[end], end + ops[end].chain
        together = ops[i:end]  # a chain, or one operation
        reads = extents(o for member in together for o in member.reads())
        writes = extents(o for member in together for o in member.writes())
        op.barrier = i in starts or written.meet(reads) or written.meet(writes) or read.meet(writes)
        if op.barrier:
            read, written = Intervals(), Intervals()
        read.add(reads)
        written.add(writes)


def extent(operand: Operand, max_samples: int, itemsize: int, layout_bytes: int) -> Extent:
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

    def meet(self, extents: list[Extent]) -> bool:
        """Whether some byte of the extents is in the set of its buffer."""
        for buffer, start, end in extents:
            if buffer in self.runs and start < end:
                starts, ends = self.runs[buffer]
                at = bisect.bisect_right(ends, start)  # the first run that ends beyond `start`
                if at < len(ends) and starts[at] < end:
                    return True
        return False

    def add(self, extents: list[Extent]) -> None:
        """Add the bytes of the extents."""
        for buffer, start, end in extents:
            if start < end and buffer not in self.runs:
                self.runs[buffer] = [start], [end]
            elif start < end:
                starts, ends = self.runs[buffer]
                first, last = bisect.bisect_left(ends, start), bisect.bisect_right(starts, end)  # those that it joins
                if first < last:
                    start, end = min(start, starts[first]), max(end, ends[last - 1])
                starts[first:last], ends[first:last] = [start], [end]

"""The last passes over a program: bytes for its tensors, barriers, and the array that the engine reads."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from nncore._kernels.table import BUFFERS, OPERATIONS
from nncore.operations import OPERANDS, Op, Operand, Tensor, Whole

FIELDS = ("variant", "barrier", "slot", "factor", "precision", "n", "k", "ld", "cost")  # of an Op, as they are

#: struct nn_op of src_c/program.h
OPERATION = np.dtype(
    [(name, "i8") for name in ("kind", *FIELDS)]
    + [("param", "f8", 2), ("arg", [("buffer", "i8"), ("offset", "i8")], OPERANDS)]
)

CACHE_LINE = 64


def tensor_bytes(tensor: Tensor, max_samples: int, itemsize: int) -> int:
    """Bytes of a tensor's root for `max_samples` samples."""
    return tensor.root.size * (4 if tensor.root.labels else itemsize) * max_samples


def plan(ops: list[Op], max_samples: int, itemsize: int, output: Tensor) -> int:
    """Give each tensor of the workspace its first byte, sharing bytes among tensors that never live together.

    Best fit over the tensors in order of first use; returns the bytes needed.
    """
    tensors: dict[int, tuple[int, Tensor]] = {}  # by id, in order of first use: that, and the tensor
    last: dict[int, int] = {}
    for i, op in enumerate(ops):
        for key, root in op.roots().items():
            if root.buffer == "workspace":
                tensors.setdefault(key, (i, root))
                last[key] = i
    last[id(output.root)] = len(ops)
    deaths: list[list[Tensor]] = [[] for _ in ops]  # by the first operation after the last use
    for key, (_, root) in tensors.items():
        if last[key] + 1 < len(ops):
            deaths[last[key] + 1].append(root)
    holes, now = Holes(), 0
    for first, root in tensors.values():
        for dead in itertools.chain.from_iterable(deaths[now : first + 1]):
            holes.give(dead.offset, lines(dead, max_samples, itemsize))
        now = first + 1
        root.offset = holes.take(lines(root, max_samples, itemsize))
    return holes.top


def lines(tensor: Tensor, max_samples: int, itemsize: int) -> int:
    """Bytes of whole cache lines that hold a tensor."""
    return -(-tensor_bytes(tensor, max_samples, itemsize) // CACHE_LINE) * CACHE_LINE


class Holes:
    """The free bytes of a workspace: runs of them below `top`, and all beyond.

    A step of n tensors costs n searches by bisection: a deep network has as many tensors alive at once.
    """

    def __init__(self) -> None:
        self.top = 0
        self.by_size: list[tuple[int, int]] = []  # (size, start), sorted
        self.starts: dict[int, int] = {}  # start → end
        self.ends: dict[int, int] = {}  # end → start

    def take(self, size: int) -> int:
        """First byte of the smallest run that holds `size`; if none does, of one at the top, which grows."""
        at = bisect.bisect_left(self.by_size, (size, 0))
        start = self.by_size[at][1] if at < len(self.by_size) else self.ends.get(self.top, self.top)
        end = self.remove(start) if start < self.top else start
        self.top = max(self.top, start + size)
        if start + size < end:
            self.insert(start + size, end)
        return start

    def give(self, start: int, size: int) -> None:
        """Free a run, which joins those beside it."""
        end = start + size
        if start in self.ends:
            start = self.ends[start]
            self.remove(start)
        if end in self.starts:
            end = self.remove(end)
        self.insert(start, end)

    def insert(self, start: int, end: int) -> None:
        """Note a run that is free."""
        bisect.insort(self.by_size, (end - start, start))
        self.starts[start], self.ends[end] = end, start

    def remove(self, start: int) -> int:
        """Forget the free run that begins at `start`; returns its end."""
        end = self.starts.pop(start)
        del self.ends[end]
        del self.by_size[bisect.bisect_left(self.by_size, (end - start, start))]
        return end


def locate(operand: Operand, itemsize: int) -> tuple[str, int]:
    """Buffer and byte offset of an operand."""
    if operand is None:
        return "none", 0
    if isinstance(operand, Whole):
        if operand.offset is not None:
            return operand.buffer, operand.offset
        return operand.buffer, operand.parameter.offset * itemsize if operand.parameter else 0
    return operand.root.buffer, operand.root.offset + (operand.offset * itemsize if operand.alias_of else 0)


def place_barriers(ops: list[Op], update_at: int, max_samples: int, itemsize: int, layout_bytes: int) -> None:
    """Put barriers where an operation depends on another since the last barrier.

    That is where it reads or writes what the other wrote, or writes what the other read; and before the update
    section, where the engine looks at the sums.
    """

    def extents(operands: Iterator[Operand]) -> list[tuple[str, int, int]]:
        return [extent(o, max_samples, itemsize, layout_bytes) for o in operands if o is not None]

    read, written = Intervals(), Intervals()
    for i, op in enumerate(ops):
        reads, writes = extents(op.reads()), extents(op.writes())
        meets = any(written.meet(*e) for e in (*reads, *writes)) or any(read.meet(*e) for e in writes)
        op.barrier = i in (0, update_at) or meets
        if op.barrier:
            read, written = Intervals(), Intervals()
        for e in reads:
            read.add(*e)
        for e in writes:
            written.add(*e)


def extent(operand: Operand, max_samples: int, itemsize: int, layout_bytes: int) -> tuple[str, int, int]:
    """Buffer, first byte and end of all that an operand may touch: of an alias, all of what it is a part of."""
    buffer, start = locate(operand, itemsize)
    if isinstance(operand, Whole):
        size = operand.parameter.size * itemsize if operand.parameter else layout_bytes
    else:
        assert operand is not None
        start, size = operand.root.offset, tensor_bytes(operand, max_samples, itemsize)
    return buffer, start, start + size


class Intervals:
    """Sets of bytes, one for each buffer, as sorted runs that do not meet: a stage may be of any length."""

    def __init__(self) -> None:
        self.runs: dict[str, tuple[list[int], list[int]]] = {}  # starts, ends

    def meet(self, buffer: str, start: int, end: int) -> bool:
        """Whether some of start … end − 1 are in the set of this buffer."""
        starts, ends = self.runs.get(buffer, ([], []))
        at = bisect.bisect_right(ends, start)  # the first run that ends beyond `start`
        return start < end and at < len(ends) and starts[at] < end

    def add(self, buffer: str, start: int, end: int) -> None:
        """Add start … end − 1."""
        if start < end:
            starts, ends = self.runs.setdefault(buffer, ([], []))
            first, last = bisect.bisect_left(ends, start), bisect.bisect_right(starts, end)  # those that it joins
            if first < last:
                start, end = min(start, starts[first]), max(end, ends[last - 1])
            starts[first:last], ends[first:last] = [start], [end]


def encode(ops: list[Op], itemsize: int) -> np.ndarray[Any, Any]:
    """The operations as an array of nn_op."""
    nothing = [locate(None, itemsize)]
    rows = []
    for op in ops:
        places = [locate(o, itemsize) for o in op.operands] + nothing * (OPERANDS - len(op.operands))
        arguments = [(BUFFERS[buffer], offset) for buffer, offset in places]
        rows.append((OPERATIONS[op.kind], *(getattr(op, name) for name in FIELDS), op.param, arguments))
    return np.array(rows, dtype=OPERATION)

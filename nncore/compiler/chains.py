"""Chains: operations in a row that treat each sample by itself go through a few samples at a time.

What one of them makes is then still in cache when the next one reads it, and a team meets once for all of them; what
nothing else reads stays there (`place_locals`). Results are the same, for each operation does the same to each sample.
What is in their way, and depends on nothing of theirs, goes before them; what waits for them, after.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import SUM_ROWS
from nncore.compiler.operation import Op, Operand, Tensor, Whole

if TYPE_CHECKING:
    from nncore.compiler.builder import Step

#: Of the tensors that a chain touches, for a sample; for those that go through it at a time it is half of this, as
#: what the next ones touch is fetched meanwhile (src_c/core/ahead.h).
CACHE_BYTES = 1 << 20
PATTERNS = ("ELEMENTS", "ROWS", "SAMPLES")

Key = tuple[Any, ...]


def in_chains(steps: list[Step], itemsize: int) -> list[Step]:
    """The operations with those brought together, and marked, that make chains."""
    done: list[Step] = []
    chain = Chain(itemsize)
    for step in steps:
        if isinstance(step, Op):
            if by_samples(step):
                if not chain.take(step):
                    done += chain.close()
                    chain = Chain(itemsize)
                    chain.take(step)
                continue
            if chain.ops and not parameters_as_a_whole(step):
                if chain.is_apart_from(step):
                    done.append(step)
                    continue
                chain.postpone(step)
                continue
        done += chain.close()
        chain = Chain(itemsize)
        done.append(step)
    return done + chain.close()


def mark(ops: list[Op], step: int, most: int) -> None:
    """Let operations be a chain, of `most` samples at a time or fewer, a multiple of `step`."""
    for i, op in enumerate(ops):
        op.chain, op.chain_step, op.chain_most = len(ops) - i, step, most


def chains_of(steps: Sequence[Step]) -> Iterator[list[Op]]:
    """The chains that are marked among them."""
    left = 0  # of the chain at hand
    for i, step in enumerate(steps):
        if isinstance(step, Op) and left == 0 and step.chain > 1:
            left = step.chain
            yield [op for op in steps[i : i + left] if isinstance(op, Op)]
        left = max(0, left - 1)


def by_samples(op: Op) -> bool:
    """Whether it can be done for some samples, then for others."""
    d = op.declaration
    if d.pattern not in PATTERNS or op.fusion == "ACROSS" or op.fixed or not op.per_sample:
        return False
    if "sum" in d.attributes or "binding" in d.attributes:  # adds up samples, or tells of rows that it cannot read
        return False
    reads, writes = op.reads(), op.writes()
    return all(o is None or isinstance(o, (Tensor, Whole)) for o in reads) and all(
        o is None or (isinstance(o, Tensor) and (o.root.per_sample or o.root.sum_rows > 0)) for o in writes
    )


def parameters_as_a_whole(op: Op) -> bool:
    """Whether it reads or writes a buffer of all parameters."""
    return any(isinstance(o, Whole) and o.parameter is None for o in (*op.reads(), *op.writes()))


def keys(operands: Iterable[Operand]) -> set[Key]:
    """What memory they are of."""
    found: set[Key] = set()
    for o in operands:
        if isinstance(o, Whole):
            found.add((o.buffer, o.offset if o.parameter is None else id(o.parameter)))
        elif o is not None:
            found.add((id(o.root),))
    return found


def meet(few: set[Key], *many: set[Key]) -> bool:
    """Whether one of the few is among the many."""
    return any(key in other for other in many for key in few)


class Chain:
    """Operations of a chain, and those after it that were before some of them."""

    def __init__(self, itemsize: int) -> None:
        self.itemsize = itemsize
        self.ops: list[Op] = []
        self.later: list[Step] = []
        self.read: set[Key] = set()
        self.written: set[Key] = set()
        self.later_read: set[Key] = set()
        self.later_written: set[Key] = set()
        self.touched: set[int] = set()  # tensors
        self.bytes = 0  # of them, of a sample
        self.step = 1  # a number of samples that its parts of sums are of

    def take(self, op: Op) -> bool:
        """Let `op` be its next operation, if it may and if that brings something."""
        reads, writes = keys(op.reads()), keys(op.writes())
        if meet(reads, self.later_written) or meet(writes, self.later_read, self.later_written):
            return False
        roots = op.roots()
        added = sum(self.bytes_of(t) for key, t in roots.items() if key not in self.touched)
        step = math.lcm(self.step, *(SUM_ROWS // math.gcd(SUM_ROWS, t.sum_rows) for t in roots.values() if t.sum_rows))
        if self.ops:
            whole = {(key,) for key, t in roots.items() if not t.per_sample or t.sum_rows}
            shares = meet(reads | writes, self.read, self.written)
            if not shares or meet(reads & whole, self.written) or step * (self.bytes + added) > CACHE_BYTES:
                return False
        self.ops.append(op)
        self.touched.update(roots)
        self.bytes, self.step = self.bytes + added, step
        self.read |= reads
        self.written |= writes
        return True

    def bytes_of(self, t: Tensor) -> int:
        """Of a sample."""
        return t.size * (4 if t.integer else self.itemsize) if t.per_sample and not t.sum_rows else 0

    def is_apart_from(self, op: Op) -> bool:
        """Whether `op` may as well be done before it, and before what is postponed."""
        reads, writes = keys(op.reads()), keys(op.writes())
        return not (
            meet(reads, self.written, self.later_written)
            or meet(writes, self.read, self.written, self.later_read, self.later_written)
        )

    def postpone(self, op: Op) -> None:
        """Let `op` be done after it."""
        self.later.append(op)
        self.later_read |= keys(op.reads())
        self.later_written |= keys(op.writes())

    def close(self) -> list[Step]:
        """Its operations, marked, and those after it."""
        if len(self.ops) > 1:
            most = CACHE_BYTES // 2 // max(1, self.bytes)
            mark(self.ops, self.step, max(1, most // self.step) * self.step)
        return [*self.ops, *self.later]

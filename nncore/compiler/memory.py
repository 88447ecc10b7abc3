"""Bytes for the tensors of a program, in the workspace of a batch."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Sequence

from nncore.compiler.chains import chains_of
from nncore.compiler.operation import Op, PythonCall, Tensor, roots
from nncore.compiler.program import Section

CACHE_LINE = 64


def tensor_bytes(tensor: Tensor, max_samples: int, itemsize: int) -> int:
    """Bytes of a tensor's root for `max_samples` samples."""
    root = tensor.root
    return root.size * (4 if root.integer else itemsize) * root.arrays(max_samples)


def place_locals(ops: list[Op | PythonCall], max_samples: int, itemsize: int, outputs: Sequence[Tensor]) -> int:
    """Let tensors that one chain alone makes and reads have room for the samples that it is at; returns their bytes.

    Each thread has such room, and uses it again and again: what it writes there need not leave its cache.
    """
    chains = [chain for chain in chains_of(ops) if chain[0].chain_most < max_samples]
    if not chains:
        return 0
    touched = Counter(key for op in ops for key in op.roots())  # by how many operations
    shown, most = {id(y.root) for y in outputs}, 0
    for chain in chains:
        inside = Counter(key for op in chain for key in op.roots())
        top, read = 0, set[int]()  # what the chain reads before it writes it, others have made
        for op in chain:
            read |= roots(op.reads()).keys()
            for key, root in roots(op.writes()).items():
                alone = touched[key] == inside[key] and key not in read and key not in shown
                if alone and is_distant(root):
                    root.buffer, root.offset = "local", top
                    top += lines(root, op.chain_most, itemsize)
        most = max(most, top)
    return most


def place_tensors(
    ops: list[Op | PythonCall], sections: list[Section], max_samples: int, itemsize: int, outputs: Sequence[Tensor]
) -> int:
    """Give each tensor of the workspace its first byte, sharing bytes among tensors that never live together.

    Best fit over the tensors in order of first use; returns the bytes needed. What a loop or a chain touches lives
    through it, but for what is taken over within a chain.
    """
    homes = taken_over(ops, outputs)
    tensors: dict[int, tuple[int, Tensor]] = {}  # by id, in order of first use: that, and the tensor
    last: dict[int, int] = {}
    loops = {i: range(s.first, s.end) for s in sections if s.turns > 1 for i in range(s.first, s.end)}
    for i, op in enumerate(ops):
        if isinstance(op, Op) and op.chain > 1 and i not in loops:
            loops |= dict.fromkeys(range(i, i + op.chain), range(i, i + op.chain))
    for i, op in enumerate(ops):
        loop = loops.get(i)
        for key, root in op.roots().items():
            if root.buffer == "workspace":
                home = homes.get(key, root)
                tensors.setdefault(id(home), (loop.start if loop else i, home))
                last[id(home)] = loop.stop - 1 if loop else i
    last |= {id(y.root): len(ops) for y in outputs}
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
    for key, root in roots(operand for op in ops for operand in (*op.reads(), *op.writes())).items():
        if key in homes:
            root.offset = homes[key].offset
    return holes.top


def taken_over(ops: list[Op | PythonCall], outputs: Sequence[Tensor]) -> dict[int, Tensor]:
    """Tensors whose memory others take over, sample by sample, by the ids of these.

    That is within a chain, where one is written first after another one of that size was read last: its lines are in
    cache already. So a gradient lies where the one lay of which it was made.
    """
    first: dict[int, int] = {}  # operations that touch a tensor
    last: dict[int, int] = {}
    for i, op in enumerate(ops):
        for key in op.roots():
            first.setdefault(key, i)
            last[key] = i
    places = {id(op): i for i, op in enumerate(ops)}
    shown, homes = {id(y.root) for y in outputs}, dict[int, Tensor]()
    for chain in chains_of(ops):
        begin = places[id(chain[0])]
        left: list[Tensor] = []  # that were there before the chain, and that it does not touch any more
        for i, op in enumerate(chain, begin):
            met = {key: root for key, root in op.roots().items() if is_distant(root) and key not in shown}
            for key, root in met.items():
                alike = (x for x in left if (x.size, x.integer) == (root.size, root.integer))
                if first[key] == i and (home := next(alike, None)) is not None:
                    left.remove(home)
                    homes[key] = homes.get(id(home), home)
            left += (root for key, root in met.items() if first[key] < begin and last[key] == i)
    return homes


def is_distant(root: Tensor) -> bool:
    """Whether its samples lie in the workspace, one after another."""
    return root.buffer == "workspace" and root.per_sample and not root.sum_rows


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

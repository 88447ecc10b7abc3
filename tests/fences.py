"""Arrays that end, or begin, at a page that faults: what kernels are tried on that may touch nothing else.

What lies between an array and the other end of its pages is NaN: it must not change, nor change a result.
"""

from __future__ import annotations

import ctypes
import math
import mmap
from collections.abc import Callable, Iterator

import numpy as np
from kernels import TABLES, Array, assert_same_bits, normal

from nncore._kernels.table import Table

Place = Callable[[Array], Array]
Case = Callable[[Place], list[Array]]  # runs a kernel on arrays that were placed, and returns those it writes

PAGES = 64  # of a fence
PATTERN = 0xFF  # of every byte around an array: NaN


class Fence:
    """Pages between two that fault."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, (PAGES + 2) * mmap.PAGESIZE)
        everything = np.frombuffer(self._map, "u1")
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        for page in (0, PAGES + 1):
            if protect(ctypes.c_void_p(everything.ctypes.data + page * mmap.PAGESIZE), mmap.PAGESIZE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        self._memory = everything[mmap.PAGESIZE : -mmap.PAGESIZE]
        self._memory[:] = PATTERN
        self._used = slice(0, 0)

    def place(self, x: Array, at_end: bool) -> Array:
        """A copy of x that ends where the pages end, or begins where they begin."""
        assert x.nbytes <= self._memory.size
        start = self._memory.size - x.nbytes if at_end else 0
        self._used = slice(start, start + x.nbytes)
        placed = self._memory[self._used].view(x.dtype).reshape(x.shape)
        placed[...] = x
        return placed

    def clear(self) -> None:
        """Check that nothing was written beside the array; look no further than a kernel might reach."""
        self._memory[self._used] = PATTERN
        near = slice(max(0, self._used.start - 4096), self._used.stop + 4096)
        assert (self._memory[near] == PATTERN).all(), "written outside of an array"


def run(case: Case, fences: list[Fence]) -> None:
    """A case on arrays that end, and on arrays that begin at a fence: nothing else may differ."""
    results = []
    for at_end in (True, False):
        free = iter(fences)
        used: list[Fence] = []

        def place(x: Array, at_end: bool = at_end, free: Iterator[Fence] = free, used: list[Fence] = used) -> Array:
            used.append(next(free))
            return used[-1].place(np.ascontiguousarray(x), at_end)

        results.append([x.copy() for x in case(place)])
        for fence in used:
            fence.clear()
    for a, b in zip(*results, strict=True):
        assert_same_bits(a, b)


Cases = Iterator[tuple[str, Case]]


POOL = {table.dtype: normal(table, 1 << 16) for table in TABLES}  # drawn once: there are many cases


def reals(table: Table, *shape: int) -> Array:
    return POOL[table.dtype][: math.prod(shape)].reshape(shape)


def empty(table: Table, *shape: int) -> Array:
    return np.full(shape, np.nan, table.dtype)

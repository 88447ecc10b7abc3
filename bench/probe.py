"""Whether a core is ours alone.

A virtual core may be one hyperthread of two, and while the other one works for somebody else everything here takes up
to twice as long: also instructions that do nothing, which are what a probe times.
"""

from __future__ import annotations

import ctypes
import os
import statistics
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from glob import glob
from pathlib import Path

import machine

PASSES, TRIES = 1000, 5  # of 24 nops: about 6 µs; the median, so that an interrupt does not look like a neighbour


class Probe:
    """A call gives the seconds that nops take on the slowest of the cores that this process may use."""

    def __init__(self) -> None:
        self.native = machine.native()
        self.works = self.native is not None  # else there is no C compiler, and a call gives 0
        self.fastest = float("inf")  # of all calls
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        # A thread for each core. They probe one after another: two virtual cores may be siblings themselves.
        self.pinned = [
            ThreadPoolExecutor(1, initializer=os.sched_setaffinity, initargs=(0, {core}))
            for core in (cores if len(cores) > 1 else ())
        ]
        if self.native:
            self.native.nop_run.argtypes, self.native.nop_run.restype = (ctypes.c_long,), ctypes.c_double

    def __call__(self) -> float:
        if not self.native:
            return 0.0
        found = [thread.submit(self.nops).result() for thread in self.pinned] or [self.nops()]
        self.fastest = min(self.fastest, *found)
        return max(found)

    def waited(self) -> float:
        """Seconds for which threads of this process have been waiting for a core that something else had."""
        waited = 0
        for path in glob("/proc/self/task/*/schedstat"):
            with suppress(OSError):  # a thread that has ended
                waited += int(Path(path).read_text().split()[1])
        return 1e-9 * waited

    def nops(self) -> float:
        """On the core of the calling thread."""
        assert self.native
        return statistics.median(self.native.nop_run(PASSES) for _ in range(TRIES))

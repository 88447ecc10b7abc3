"""Interleaved timing: candidates take turns, so that a noisy machine hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

Run = Callable[[], Any]
# Thread pools keep spinning for a while after their work; the next candidate waits that out. On two threads nncore
# multiplied 256×256×256 at 23 GFLOP/s right after 30 ms of pause from NumPy (OpenBLAS), 108 after 100, 201 after 300.
SETTLE = 0.3  # seconds; on one thread a tenth will do
MIN_ROUNDS = 3
LEAST = 2.0  # seconds of rounds: where they are short there are more of them, so that medians settle


@dataclass
class Case:
    """One thing to measure, and who does it.

    A candidate is a function without arguments that prepares (imports, builds, compiles) and returns the timed `Run`;
    an ImportError from it means that the peer is not installed.
    """

    name: str
    calls: int  # steps, predictions or products that one run does
    candidates: Mapping[str, Callable[[], Run]]
    flops: float = 0  # of one call; 0 where they say little
    unit: str = "µs"  # that the report shows, one of its UNITS
    own_clock: bool = False  # a run returns its figure (s, bytes, …) instead of being timed


def measure(
    case: Case, threads: int, rounds: int, seconds: float, skipped: Callable[[str, str], None]
) -> dict[str, dict[str, Any]]:
    """Median, minimum and all times of every candidate, in seconds per call.

    At least `rounds` rounds are made, and more until LEAST has passed; but after `seconds` none is begun, except for
    the first MIN_ROUNDS.
    """
    runs: dict[str, Run] = {}
    for name, prepare in case.candidates.items():
        try:
            runs[name] = prepare()
        except ImportError as error:
            skipped(name, str(error))
    if not case.own_clock:
        for run in runs.values():  # warm-up: caches, thread pools, just-in-time compilers
            run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    begin = time.perf_counter()
    for r in count():
        spent = time.perf_counter() - begin
        if r >= MIN_ROUNDS and (spent > seconds or (r >= rounds and spent > LEAST)):
            break
        first = r % max(1, len(names))
        for name in names[first:] + names[:first]:
            time.sleep(SETTLE if threads > 1 else SETTLE / 10)
            if threads > 1 and not case.own_clock:
                runs[name]()  # wakes the threads; for some ms the system may have them all on one core
            start = time.perf_counter()
            figure = runs[name]()
            times[name].append(figure if case.own_clock else (time.perf_counter() - start) / case.calls)
    return {name: {"median": statistics.median(t), "minimum": min(t), "times": t} for name, t in times.items()}

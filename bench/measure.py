"""Interleaved timing: candidates take turns, so that a noisy machine hits all alike, and every sample is probed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import regimes
from probe import Probe

Run = Callable[[], Any]
# Thread pools keep spinning for a while after their work; the next candidate waits that out. On two threads nncore
# multiplied 256×256×256 at 23 GFLOP/s right after 30 ms of pause from NumPy (OpenBLAS), 108 after 100, 201 after 300.
SETTLE = 0.3  # seconds; on one thread a tenth will do
MIN_ROUNDS = 3
LEAST = 2.0  # seconds of rounds: where they are short there are more of them, so that medians settle
ENOUGH_ALONE = 5  # samples of each candidate, alone: until then rounds go on,
PATIENCE = 5  # but not for more than so many times LEAST


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
    warm_up: int = 1  # runs before the first that counts: caches, thread pools, just-in-time compilers
    settle: float = SETTLE  # before each turn; less where no candidate leaves a pool spinning
    least: float = LEAST


Samples = dict[str, list[float | None]]


def measure(
    case: Case, threads: int, rounds: int, seconds: float, probe: Probe, skipped: Callable[[str, str], None]
) -> dict[str, Samples]:
    """Every candidate's times, in seconds per call, with what says whether the cores were ours alone (regimes.py).

    At least `rounds` rounds are made, and more until `case.least` seconds have passed and each candidate has
    ENOUGH_ALONE of them alone, as far as PATIENCE goes; but after `seconds` none is begun, except for the first
    MIN_ROUNDS.
    """
    runs: dict[str, Run] = {}
    for name, prepare in case.candidates.items():
        try:
            runs[name] = prepare()
        except ImportError as error:
            skipped(name, str(error))
    if not case.own_clock:
        for run in runs.values():
            for _ in range(case.warm_up):
                run()
    made: dict[str, Samples] = {name: {"times": [], "probes": [], "waits": []} for name in runs}
    names = list(runs)
    begin = time.perf_counter()
    for r in count():
        passed = time.perf_counter() - begin
        done = r >= rounds and passed > case.least and (enough(made, probe) or passed > PATIENCE * case.least)
        if r >= MIN_ROUNDS and (passed > seconds or done):
            break
        first = r % max(1, len(names))
        for name in names[first:] + names[:first]:
            time.sleep(case.settle if threads > 1 else case.settle / 10)
            before = probe()
            if not case.own_clock:
                # Fills the caches, wakes the clock and the threads, which may all be on one core for some ms
                runs[name]()
            waited, start = probe.waited(), time.perf_counter()
            figure = runs[name]()
            spent, waited = time.perf_counter() - start, probe.waited() - waited
            slower = max(before, probe())
            made[name]["times"].append(digits(figure if case.own_clock else spent / case.calls))
            made[name]["probes"].append(digits(slower) if probe.works else None)
            made[name]["waits"].append(digits(waited / spent))
    return made


def repeated(call: Run, calls: int) -> Run:
    """The same call again and again, for a run that lasts long enough to be timed."""

    def run() -> None:
        for _ in range(calls):
            call()

    return run


def digits(x: float) -> float:
    """The four that count: there are thousands of samples in a file of results."""
    return float(f"{x:.4g}")


def enough(made: Mapping[str, Samples], probe: Probe) -> bool:
    """Whether each candidate has its samples alone, as far as this process can tell; always, without a probe."""

    def found(s: Samples) -> int:
        return sum(regimes.alone(*sample, probe.fastest) for sample in zip(s["probes"], s["waits"], strict=True))

    return not probe.works or all(found(samples) >= ENOUGH_ALONE for samples in made.values())

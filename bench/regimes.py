"""Samples sorted by whether a core was ours alone, and what is said of each kind.

A sample's probe is the slower of the two around it. It is judged by the fastest probe of all runs on the machine, so
there is no constant in nanoseconds, and a process that met nothing but neighbours does not take them for silence.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Of the fastest probe. On a Xeon with AMX clocks differ by 30 % at most (turbo, AVX-512), and a busy sibling takes 75 %
# and more; CPUs without hyperthreads stay below it.
FACTOR = 1.5
ENOUGH = 3  # samples, for a median to stand for their regime
ALONE, SHARED, ALL = "alone", "shared", "all samples"


def settle(runs: Iterable[Mapping[str, Any]]) -> None:
    """Give every case its regime, and every candidate the figures of it and of both kinds of samples, in place.

    Candidates are compared within one regime: alone where each has ENOUGH samples, else all samples that there are.
    """
    cases = [case for run in runs for section in run["sections"].values() for case in section]
    probes = (p for case in cases for c in case["times"].values() for p in c.get("probes", ()))
    slowest = FACTOR * min((p for p in probes if p), default=0.0)
    for case in cases:
        candidates = case["times"].values()
        for c in candidates:
            c |= sort(c["times"], c.get("probes", ()), slowest)
        alone = all(c[ALONE]["samples"] >= ENOUGH for c in candidates)
        case["regime"] = ALONE if alone else ALL
        for c in candidates:
            c |= {key: c[ALONE][key] for key in ("median", "minimum")} if alone else figures(c["times"])


def sort(times: Sequence[float], probes: Sequence[float | None], slowest: float) -> dict[str, dict[str, Any]]:
    """The figures of the samples alone and of the shared ones; those without a probe are neither."""
    kinds: dict[str, list[float]] = {ALONE: [], SHARED: []}
    for t, p in zip(times, probes or [None] * len(times), strict=True):
        if p:
            kinds[ALONE if p <= slowest else SHARED].append(t)
    return {kind: {"samples": len(found), **(figures(found) if found else {})} for kind, found in kinds.items()}


def figures(times: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(times), "minimum": min(times)}

"""Samples sorted by whether the cores were ours alone, and what is said of each kind.

A sample has its probe, the slower of the two around it. It is judged by the fastest probe of all runs on the machine,
so there is no constant in nanoseconds, and a process that met nothing but neighbours does not take them for silence. It
also has its wait, the part of its time for which threads of ours waited for a core: another process there runs between
probes, not in them. What nobody sees is a neighbour on the other hyperthread that comes and goes between two probes.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Of the fastest probe. On a Xeon with AMX clocks differ by 40 % at most (turbo or not), and a busy sibling doubles the
# time of a probe; CPUs without hyperthreads stay below it.
FACTOR = 1.7
# Of a sample's time. A library's own threads wait for one another, too: JAX's did for 2.4 % of steps of F at the least,
# so a limit of 3 % took some of its samples for a neighbour's. A process that shares a core evenly makes it 50 %.
WAIT = 0.06
ENOUGH = 3  # samples, for a median to stand for their regime
ALONE, SHARED, ALL = "alone", "shared", "all samples"


def settle(runs: Iterable[Mapping[str, Any]]) -> None:
    """Give every case its regime, and every candidate the figures of it and of both kinds of samples, in place.

    Candidates are compared within one regime: alone where each has ENOUGH samples, else all samples that there are.
    """
    cases = [case for run in runs for section in run["sections"].values() for case in section]
    fastest = min((p for case in cases for c in case["times"].values() for p in c.get("probes", ()) if p), default=0.0)
    for case in cases:
        candidates = case["times"].values()
        for c in candidates:
            c |= sort(c, fastest)
        alone = all(c[ALONE]["samples"] >= ENOUGH for c in candidates)
        case["regime"] = ALONE if alone else ALL
        for c in candidates:
            c |= {key: c[ALONE][key] for key in ("median", "minimum")} if alone else figures(c["times"])


def probed(runs: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any of the samples, settled, was sorted."""
    cases = [case for run in runs for section in run["sections"].values() for case in section]
    return any(c[kind]["samples"] for case in cases for c in case["times"].values() for kind in (ALONE, SHARED))


def sort(samples: Mapping[str, Any], fastest: float) -> dict[str, dict[str, Any]]:
    """The figures of the samples alone and of the shared ones; those without a probe are neither."""
    kinds: dict[str, list[float]] = {ALONE: [], SHARED: []}
    if "probes" in samples:
        for t, probe, wait in zip(samples["times"], samples["probes"], samples["waits"], strict=True):
            if probe:
                kinds[ALONE if alone(probe, wait, fastest) else SHARED].append(t)
    return {kind: {"samples": len(found), **(figures(found) if found else {})} for kind, found in kinds.items()}


def alone(probe: float | None, wait: float, fastest: float) -> bool:
    return bool(probe) and probe <= FACTOR * fastest and wait <= WAIT


def figures(times: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(times), "minimum": min(times)}

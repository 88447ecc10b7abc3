"""How many threads work is worth."""

from __future__ import annotations

#: Work that is worth a second thread: about 15 µs on one. Each stage of a step costs a team about 0.5 µs.
PARALLEL_FLOPS = 1_500_000


def size(cost: float, threads: int) -> int:
    """How many threads work of `cost` FLOPs is worth."""
    return threads if cost >= PARALLEL_FLOPS else 1

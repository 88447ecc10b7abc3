"""Free bytes and sets of bytes, against an array with an entry for each; test_compiler sees whole programs."""

from __future__ import annotations

import numpy as np
import pytest

from nncore.compiler.barriers import Intervals
from nncore.compiler.memory import Holes

SPACE = 400


@pytest.mark.parametrize("seed", range(20))
def test_holes_are_what_is_free(seed: int) -> None:
    """Each run lies in the smallest hole that holds it, beyond all others only where none does; freed ones join up."""
    rng = np.random.default_rng(seed)
    taken = np.zeros(SPACE, bool)
    holes, live = Holes(), {}
    for _ in range(300):
        if live and (rng.random() < 0.5 or len(live) > 12):
            start = list(live)[rng.integers(len(live))]
            size = live.pop(start)
            holes.give(start, size)
            taken[start : start + size] = False
        else:
            size = int(rng.integers(1, 20))
            edges = np.flatnonzero(np.diff(np.r_[True, taken[: holes.top], True]))
            runs = list(zip(edges[::2], edges[1::2], strict=True))  # of free bytes below the top
            fitting = [end - start for start, end in runs if end - start >= size]
            top = holes.top
            start = holes.take(size)
            assert not taken[start : start + size].any()
            if fitting:
                assert holes.top == top and min(fitting) == next(end - first for first, end in runs if first == start)
            else:
                assert start == (runs[-1][0] if runs and runs[-1][1] == top else top) and holes.top == start + size
            taken[start : start + size] = True
            live[start] = size


@pytest.mark.parametrize("seed", range(20))
def test_intervals_are_sets_of_bytes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sets, marks = Intervals(), {"a": np.zeros(SPACE, bool), "b": np.zeros(SPACE, bool)}
    for _ in range(150):
        buffer = "ab"[rng.integers(2)]
        start = int(rng.integers(SPACE))
        end = min(SPACE, start + int(rng.integers(12)))  # some are empty
        assert sets.meet([("c", start, end), (buffer, start, end)]) == marks[buffer][start:end].any()
        if rng.random() < 0.4:
            sets.add([(buffer, start, end)])
            marks[buffer][start:end] = True
    for buffer, (starts, ends) in sets.runs.items():
        edges = np.flatnonzero(np.diff(np.r_[False, marks[buffer], False]))
        assert (starts, ends) == (edges[::2].tolist(), edges[1::2].tolist())

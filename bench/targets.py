"""The marks that nncore is to reach, by row, each with the measured figure; computed from the other sections.

They are those of the first edition, and of the second where it sets another mark for the same work: it was written when
a machine with AMX had been measured; rows 18 to 21 are of a third, for layers of every kind, for metrics, and for
losses of a user's own. A mark counts where the machine has what it needs, and its figure where every thread count of
the run reaches it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import details
import families
from figures import (
    BEST,
    Figure,
    Figures,
    NotMeasuredError,
    Results,
    above_peak,
    bandwidth,
    beside_best,
    beside_copy,
    decayed,
    detail,
    faster,
    gain,
    gathered,
    larger_table,
    latency,
    layer_rate,
    layers,
    metered,
    most,
    never_below_numpy,
    one_row,
    own_loss,
    peak_share,
    row_at,
    scaling,
    single,
)
from levels import SHAPES
from nets import AGED, EPOCHS, NETS, PREDICTED
from prediction import MANY, case_name
from regimes import ALONE, SHARED
from report import number

LIMITS = Path(__file__).parent / "results" / "limits.toml"
Limits = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Target:
    """One mark: `figure` is to be at least, or at most, `goal`."""

    row: int
    work: str
    bound: str  # "≥" or "≤"
    goal: float
    figure: Figure
    unit: str = "×"
    most: Figure | None = None  # that anything could reach here

    def line(self, results: Results, limits: Limits = ()) -> dict[str, Any]:
        """What the report shows of it; where it is missed, also why no more was to be had."""
        line: dict[str, Any] = {"row": self.row, "work": self.work, "target": f"{self.bound} {self.show(self.goal)}"}
        line |= {"figures": {}, "figure": "–", "regime": "–", "limit": ""}
        results.regimes.clear()
        try:
            figures, lacking = self.figure(results), ""
        except NotMeasuredError as reason:
            figures, lacking = reason.figures, str(reason)
        reached = all(x >= self.goal if self.bound == "≥" else x <= self.goal for x in figures.values())
        line |= {"reached": (lacking or "yes") if reached else "no"}
        if figures:
            regimes = " and ".join(sorted(results.regimes))
            line |= {"figures": figures, "figure": self.list(figures), "regime": regimes}
        if not reached:
            known = [x["limit"] for x in limits if x["row"] == self.row and self.work.startswith(x.get("work", ""))]
            if self.most:
                with suppress(NotMeasuredError):  # without a C compiler no peak is known
                    known.append(f"{self.list(self.most(results))} if it were nothing but products at the peak")
            line["limit"] = "; ".join(known)
        return line

    def list(self, figures: Figures) -> str:
        return ", ".join(f"{self.show(x)} ({of})" for of, x in figures.items())

    def show(self, x: float) -> str:
        return f"{x:.1%}" if self.unit == "%" else f"{number(x) if x > 0 else f'{x:.2g}'} {self.unit}".rstrip()


def lines(runs: Sequence[Mapping[str, Any]], limits: Limits = ()) -> list[dict[str, Any]]:
    """A line for every mark."""
    results = Results(runs)
    return [target.line(results, limits) for target in TARGETS]


def limits(name: str) -> Limits:
    """What is known of the limits of the machine that the results are called after."""
    return tomllib.loads(LIMITS.read_text(encoding="utf-8")).get(name, ())


WIDE = [(m, k, n) for m, k, n in SHAPES if min(k, n) >= 128 and m >= 32]
NOISE = 0.98  # of a ratio of minima that should be 1
MINIMA = f"the worst by minima (never below 1, but for {1 - NOISE:.0%} of noise)"


def step(row: int, net: str, goal: float, peer: str = BEST, level: str = "highest", old: bool = False) -> Target:
    work = f"{net}: step at {level}{f' after {EPOCHS} epochs' if old else ''}, {peer}'s time ÷ ours"
    which = "training", (AGED if old else NETS)[net].label, peer, level
    return Target(row, work, "≥", goal, faster(*which), most=most(NETS[net].flops, *which))


def many_rows(level: str, goal: float) -> Target:
    net = list(PREDICTED.values())[-1]
    work, which = f"{net.name}: {MANY:,} rows at {level}, {BEST}'s time ÷ ours", ("prediction", case_name(MANY, net))
    limit = most(MANY * net.forward_flops, *which, level=level)
    return Target(13, work.replace(",", " ", 1), "≥", goal, faster(*which, level=level), most=limit)


def cube(n: int, goal: float) -> Target:
    return Target(7, f"product {n}³ less its call, share of FMA peak", "≥", goal, peak_share(n), "%")


def wide(goal: float, regime: str, by: str) -> Target:
    work = f"layers ≥ 128 wide, 32 rows or more, time at highest ÷ at high, the worst by {by}"
    return Target(8, work, "≥", goal, gain("high", WIDE, regime))


TARGETS = (
    *(step(1, net, goal, old=old) for net, goal in (("F", 5), ("D", 2.5)) for old in (False, True)),
    step(1, "F", 60, "PyTorch"),
    step(1, "D", 25, "PyTorch"),
    *(Target(1, f"{net}: a step with denormal moments ÷ one without", "≤", 1.05, decayed(net)) for net in "FD"),
    step(2, "A", 3),
    step(3, "B", 1.6),
    step(3, "C", 1.4),
    step(4, "B", 1.8, level="high"),
    step(4, "C", 1.8, level="high"),
    Target(4, "C: step at high, its products' FLOP/s ÷ FMA peak", "≥", 1, above_peak("C", "high")),
    step(5, "E", 2, level="high"),
    step(6, "E", 1.3, "PyTorch bf16", "medium"),
    *(cube(n, 0.9 if n <= 512 else 0.8) for n in details.CUBES),
    *(Target(7, f"product {n}³ on one core, {BEST}'s time ÷ ours", "≥", 1, beside_best((n, n, n))) for n in (64, 1024)),
    Target(7, f"all products, NumPy's time ÷ ours, {MINIMA}", "≥", NOISE, never_below_numpy),
    wide(3, ALONE, "minima alone"),
    wide(2, SHARED, "medians shared"),
    *(
        Target(8, f"all layers, time at highest ÷ at {level}, {MINIMA}", "≥", NOISE, gain(level, SHAPES))
        for level in ("high", "medium")
    ),
    *(
        Target(9, f"layer {', '.join(map(str, c))} at medium, one core", "≥", x, layer_rate(c, "medium", x), "GFLOP/s")
        for c, x in (((256, 512, 512), 1450), ((256, 1024, 1024), 1250))
    ),
    Target(10, "layer with ReLU ÷ its product", "≤", 1.05, layers("relu")),
    Target(10, "layer with any other activation ÷ its product, the worst", "≤", 1.25, layers()),
    Target(11, "Adam's bandwidth ÷ a copy's", "≥", 0.85, bandwidth("adam"), "%"),
    Target(12, "D: one row", "≤", 2, latency("D"), "µs"),
    *(
        Target(12, f"D: one row, {peer}'s time ÷ ours", "≥", goal, one_row("D", peer))
        for peer, goal in (("ONNX Runtime", 3), ("PyTorch", 10), ("scikit-learn", 40))
    ),
    *(Target(12, f"{n}: one row, ONNX Runtime's time ÷ ours", "≥", 2, one_row(n, "ONNX Runtime")) for n in "AC"),
    Target(12, "C: one row ÷ reading its weights", "≤", 1.15, row_at("highest", details.READ)),
    *(Target(12, f"C: one row at {of} ÷ one at highest", "≤", 1, row_at(of, "highest")) for of in ("high", "medium")),
    many_rows("highest", 1.25),
    many_rows("high", 2.5),
    Target(14, "one thread's time ÷ the team's, steps over 100 µs", "≥", 1.8, scaling(1e-4)),
    Target(14, "one thread's time ÷ the team's, all steps", "≥", 0.98, scaling(0)),
    Target(
        14,
        "a neighbour takes a core: back to one thread's speed",
        "≤",
        100,
        single(details.NEIGHBOUR, "B", 1e3, 2),
        "ms",
    ),
    *(
        Target(15, f"{net}: shuffle and gather, share of a step", "≤", goal, gathered(net), "%")
        for net, goal in (("A", 0.10), ("B", 0.05), ("C", 0.05))
    ),
    *(
        Target(16, f"{net}: first call to first step", "≤", 20, single(details.FIRST.format(net), "nncore", 1e3), "ms")
        for net in "FC"
    ),
    *(
        Target(
            17,
            f"{net}: memory of a fit ÷ the formula's",
            "≤",
            1,
            detail(details.MEMORY.format(net), "measured", "allowed", 1),
        )
        for net in "FC"
    ),
    Target(17, "F: allocations per step", "≤", 0.01, single(details.ALLOCATIONS.format("F"), "fit"), ""),
    *(
        Target(18, f"{layer} ÷ a copy of its data", "≤", 1.5, beside_copy(layer))
        for layer in ("BatchNormalization", "LayerNormalization")
    ),
    *(
        # not 1: vectors of the larger one come from memory, and their moments with them
        Target(19, f"Embedding: a step of {x} with a table 100 times as large ÷ a step", "≤", 2, larger_table(x))
        for x in families.STEPS
    ),
    Target(20, "B: a step with one metric ÷ one without", "≤", 1.05, metered("B")),
    Target(21, "F: what a loss in Python adds to a step", "≤", 20, own_loss("F"), "µs"),
)

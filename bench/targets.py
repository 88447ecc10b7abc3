"""The marks that nncore is to reach, by row, each with the measured figure; computed from the other sections.

They are those of the first edition, and of the second where it sets another mark for the same work: it was written when
a machine with AMX had been measured. A mark counts where the machine has what it needs, and its figure where every
thread count of the run reaches it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import details
from figures import (
    Figure,
    NotMeasuredError,
    Results,
    above_peak,
    beside_best,
    decayed,
    detail,
    faster,
    gain,
    gathered,
    latency,
    layer_rate,
    layers,
    never_below_numpy,
    one_row,
    product_share,
    row_at,
    scaling,
    single,
    trained,
)
from nets import PREDICTED
from precisions import SHAPES
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

    def line(self, results: Results, limits: Limits = ()) -> dict[str, Any]:
        """What the report shows of it; where it is missed, also why no more was to be had."""
        line: dict[str, Any] = {"row": self.row, "work": self.work, "target": f"{self.bound} {self.show(self.goal)}"}
        line |= {"figures": {}, "figure": "–", "regime": "–", "limit": ""}
        results.regimes.clear()
        try:
            figures = self.figure(results)
        except NotMeasuredError as reason:
            return line | {"reached": str(reason)}
        reached = all(x >= self.goal if self.bound == "≥" else x <= self.goal for x in figures.values())
        line |= {"figures": figures, "figure": ", ".join(f"{self.show(x)} ({of})" for of, x in figures.items())}
        line |= {"regime": " and ".join(sorted(results.regimes)), "reached": "yes" if reached else "no"}
        if not reached:
            mine = (x["limit"] for x in limits if x["row"] == self.row and self.work.startswith(x.get("work", "")))
            line["limit"] = next(mine, "")
        return line

    def show(self, x: float) -> str:
        return f"{x:.1%}" if self.unit == "%" else f"{number(x) if x > 0 else f'{x:.2g}'} {self.unit}".rstrip()


def lines(runs: Sequence[Mapping[str, Any]], limits: Limits = ()) -> list[dict[str, Any]]:
    """A line for every mark."""
    results = Results(runs)
    return [target.line(results, limits) for target in TARGETS]


def limits(name: str) -> Limits:
    """What is known of the limits of the machine that the results are called after."""
    return tomllib.loads(LIMITS.read_text(encoding="utf-8")).get(name, ())


MANY_ROWS = case_name(MANY, list(PREDICTED.values())[-1])
CUBES = {n: (n, n, n) for n in (64, 128, 256, 512, 1024)}
WIDE = [(m, k, n) for m, k, n in SHAPES if min(k, n) >= 128 and m >= 32]
NOISE = 0.98  # of a ratio of minima that should be 1

TARGETS = (
    *(
        Target(1, f"{net}: step{age}, the best peer's time ÷ ours", "≥", goal, trained(net, old=bool(age)))
        for net, goal in (("F", 5), ("D", 2.5))
        for age in ("", " after 1000 epochs")
    ),
    Target(1, "F: step, PyTorch's time ÷ ours", "≥", 60, trained("F", "PyTorch")),
    Target(1, "D: step, PyTorch's time ÷ ours", "≥", 25, trained("D", "PyTorch")),
    *(Target(1, f"{net}: a step with denormal moments ÷ one without", "≤", 1.05, decayed(net)) for net in "FD"),
    Target(2, "A: step, the best peer's time ÷ ours", "≥", 3, trained("A")),
    Target(3, "B: step at highest, the best peer's time ÷ ours", "≥", 1.6, trained("B")),
    Target(3, "C: step at highest, the best peer's time ÷ ours", "≥", 1.4, trained("C")),
    *(
        Target(4, f"{net}: step at high, the best float32 peer's time ÷ ours", "≥", 1.8, trained(net, level="high"))
        for net in "BC"
    ),
    Target(4, "C: step at high, its products' FLOP/s ÷ FMA peak", "≥", 1, above_peak("C", "high")),
    Target(5, "E: step at high, the best float32 peer's time ÷ ours", "≥", 2, trained("E", level="high")),
    Target(6, "E: step at medium, PyTorch bf16's time ÷ ours", "≥", 1.3, trained("E", "PyTorch bf16", "medium")),
    *(
        Target(7, f"product {n}³ less its call, share of FMA peak", "≥", 0.8 if n > 512 else 0.9, product_share(c), "%")
        for n, c in CUBES.items()
    ),
    *(
        Target(7, f"product {n}³ on one core, the best of NumPy's and PyTorch's times ÷ ours", "≥", 1, beside_best(c))
        for n, c in CUBES.items()
        if n in (64, 1024)
    ),
    Target(7, "all products, NumPy's time ÷ ours, the worst", "≥", NOISE, never_below_numpy),
    Target(8, "layers ≥ 128 wide, time at highest ÷ at high, the worst alone", "≥", 3, gain("high", WIDE, ALONE)),
    Target(8, "layers ≥ 128 wide, time at highest ÷ at high, the worst shared", "≥", 2, gain("high", WIDE, SHARED)),
    *(
        Target(8, f"all layers, time at highest ÷ at {level}, the worst", "≥", NOISE, gain(level, SHAPES))
        for level in ("high", "medium")
    ),
    *(
        Target(9, f"layer {', '.join(map(str, c))} at medium, one core", "≥", x, layer_rate(c, "medium", x), "GFLOP/s")
        for c, x in (((256, 512, 512), 1450), ((256, 1024, 1024), 1250))
    ),
    Target(10, "layer with ReLU ÷ its product", "≤", 1.05, layers("relu")),
    Target(10, "layer with any other activation ÷ its product, the worst", "≤", 1.25, layers()),
    Target(11, "Adam's bandwidth ÷ a copy's", "≥", 0.85, detail(details.ADAM, details.COPY, "Adam", 1), "%"),
    Target(12, "D: one row", "≤", 2, latency("D"), "µs"),
    *(
        Target(12, f"D: one row, {peer}'s time ÷ ours", "≥", goal, one_row("D", peer))
        for peer, goal in (("ONNX Runtime", 3), ("PyTorch", 10), ("scikit-learn", 40))
    ),
    *(Target(12, f"{n}: one row, ONNX Runtime's time ÷ ours", "≥", 2, one_row(n, "ONNX Runtime")) for n in "AC"),
    Target(12, "C: one row ÷ reading its weights", "≤", 1.15, row_at("highest", details.READ)),
    *(Target(12, f"C: one row at {of} ÷ one at highest", "≤", 1, row_at(of, "highest")) for of in ("high", "medium")),
    Target(13, "C: 10 000 rows at highest, the best peer's time ÷ ours", "≥", 1.25, faster("prediction", MANY_ROWS)),
    Target(
        13,
        "C: 10 000 rows at high, the best float32 peer's time ÷ ours",
        "≥",
        2.5,
        faster("prediction", MANY_ROWS, level="high"),
    ),
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
)

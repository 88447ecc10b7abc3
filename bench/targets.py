"""The marks that nncore is to reach, by row, each with the measured figure; computed from the other sections.

A figure counts where every thread count of the run reaches the mark.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import details
from machine import same_as
from nets import NETS, PREDICTED, PRODUCTS
from prediction import MANY, case_name
from report import best_peer, number

BEST = "best peer"
Figures = dict[str, float]  # by what they are of: "1 thread(s)", …


class NotMeasuredError(Exception):
    """The reason for which there is no figure."""


@dataclass(frozen=True)
class Results:
    """The runs of peers.py, one per thread count."""

    runs: Sequence[Mapping[str, Any]]

    def times(self, threads: int, section: str, name: str) -> dict[str, float]:
        """Medians by candidate."""
        for run in self.runs:
            for case in run["sections"].get(section, ()):
                if run["machine"]["threads"] == threads and case["name"] == name:
                    return {key: times["median"] for key, times in case["times"].items()}
        raise NotMeasuredError("not measured in this run")

    def ours(self, threads: int, section: str, name: str, level: str) -> float:
        """The median of the candidate with this level of precision."""
        times = self.times(threads, section, name)
        if f"nncore {level}" in times:
            return times[f"nncore {level}"]
        computed = self.about(threads)["precisions"]
        if same_as(computed).get(level, level) != level:
            raise NotMeasuredError(f'not measurable here ("{level}" computes in {computed[level]} on this CPU)')
        raise NotMeasuredError("not measured in this run")

    def about(self, threads: int) -> Mapping[str, Any]:
        for run in self.runs:
            if run["machine"]["threads"] == threads:
                return run["machine"]
        raise NotMeasuredError("not measured in this run")

    @property
    def threads(self) -> list[int]:
        return [run["machine"]["threads"] for run in self.runs]


Figure = Callable[[Results], Figures]


@dataclass(frozen=True)
class Target:
    """One mark: `figure` is to be at least, or at most, `goal`."""

    row: int
    work: str
    bound: str  # "≥" or "≤"
    goal: float
    figure: Figure
    unit: str = "×"

    def line(self, results: Results) -> dict[str, Any]:
        """What the report shows of it."""
        line = {"row": self.row, "work": self.work, "target": f"{self.bound} {self.show(self.goal)}"}
        try:
            figures = self.figure(results)
        except NotMeasuredError as reason:
            return line | {"figures": {}, "figure": "–", "reached": str(reason)}
        reached = all(x >= self.goal if self.bound == "≥" else x <= self.goal for x in figures.values())
        shown = ", ".join(f"{self.show(x)} ({of})" for of, x in figures.items())
        return line | {"figures": figures, "figure": shown, "reached": "yes" if reached else "no"}

    def show(self, x: float) -> str:
        return f"{x:.1%}" if self.unit == "%" else f"{number(x) if x > 0 else f'{x:.2g}'} {self.unit}".rstrip()


def lines(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for every mark."""
    results = Results(runs)
    return [target.line(results) for target in TARGETS]


def every_thread_count(figure: Callable[[Results, int], float]) -> Figure:
    return lambda results: {f"{n} thread(s)": figure(results, n) for n in results.threads}


def faster(section: str, name: str, peer: str = BEST, level: str = "highest") -> Figure:
    """The peer's time ÷ ours."""

    def figure(results: Results, threads: int) -> float:
        ours = results.ours(threads, section, name, level)
        times = results.times(threads, section, name)
        chosen = best_peer({key: {"median": t} for key, t in times.items()}) if peer == BEST else peer
        if chosen not in times:
            raise NotMeasuredError(f"not measured in this run ({peer} is missing)")
        return times[chosen] / ours

    return every_thread_count(figure)


def trained(net: str, peer: str = BEST, level: str = "highest") -> Figure:
    return faster("training", NETS[net].label, peer, level)


def above_peak(net: str, level: str) -> Figure:
    """FLOPs of a step's products per second ÷ the FMA peak of the same cores."""

    def figure(results: Results, threads: int) -> float:
        seconds = results.ours(threads, "training", NETS[net].label, level)
        return NETS[net].flops / seconds / 1e9 / peak(results, threads, "fma")

    return every_thread_count(figure)


def peak(results: Results, threads: int, kind: str) -> float:
    """GFLOP/s of the machine, in "fma" or "bf16"."""
    about = results.about(threads)
    if not about[f"{kind}_peak_gflops"]:
        raise NotMeasuredError(f"not measurable here ({about['bf16_unit']})")
    return float(about[f"{kind}_peak_gflops"])


def product_rate(shape: tuple[int, int, int], level: str = "highest", share: bool = False) -> Figure:
    """GFLOP/s of one core, or its share of the FMA peak."""

    def figure(results: Results) -> Figures:
        m, k, n = shape
        rate = 2e-9 * m * k * n / results.ours(1, "products", f"{m}, {k}, {n}", level)
        return {"1 thread": rate / peak(results, 1, "fma") if share else rate}

    return figure


def bfloat16_rate(results: Results) -> Figures:
    """As `product_rate`, where the CPU's peak allows the mark."""
    limit = peak(results, 1, "bf16")
    figures = product_rate(WIDE, "medium")(results)
    if limit < WIDE_GOAL:
        rate = figures["1 thread"]
        raise NotMeasuredError(
            f"not measurable here ({results.about(1)['bf16_unit']} peaks at {limit:.0f} GFLOP/s; "
            f"reached {rate:.0f}, {rate / limit:.0%} of it)"
        )
    return figures


def never_slower(results: Results) -> Figures:
    """The least ratio of NumPy's time to ours over all products."""
    figures: Figures = {}
    for threads in results.threads:
        ratios = {}
        for shape in PRODUCTS:
            name = ", ".join(map(str, shape))
            times = results.times(threads, "products", name)
            ratios[name] = times["NumPy"] / results.ours(threads, "products", name, "highest")
        worst = min(ratios, key=lambda name: ratios[name])
        figures[f"{worst}; {threads} thread(s)"] = ratios[worst]
    return figures


def split_gain(results: Results) -> Figures:
    """Products at "high" beside "highest", at least 512 wide."""
    figures: Figures = {}
    for shape in ((256, 784, 512), (512, 512, 512), (1024, 1024, 1024)):
        name = ", ".join(map(str, shape))
        split, plain = (results.ours(1, "products", name, level) for level in ("high", "highest"))
        figures[name] = plain / split
    return figures


def detail(name: str, above: str, below: str, threads: int | None = None) -> Figure:
    """One candidate's median ÷ another's."""

    def figure(results: Results, threads: int) -> float:
        times = results.times(threads, "details", name)
        if above not in times or below not in times:
            raise NotMeasuredError("not measurable here (see what was skipped)")
        return times[above] / times[below]

    return every_thread_count(figure) if threads is None else lambda r: {f"{threads} thread(s)": figure(r, threads)}


def decayed(net: str) -> Figure:
    return detail(details.DECAYED.format(net), details.DENORMALS, details.ZEROS, 1)


def layers(activation: str) -> Figure:
    def figure(results: Results) -> Figures:
        found: Figures = {}
        for shape in details.LAYERS:
            times = results.times(1, "details", details.LAYER.format(*shape))
            found[", ".join(map(str, shape))] = times[activation] / times["product"]
        return found

    return figure


def scaling(least: float) -> Figure:
    """Time of one thread ÷ time of the team, of the nets whose step takes more than `least` seconds on one."""

    def figure(results: Results) -> Figures:
        found: Figures = {}
        teams = [n for n in results.threads if n > 1]
        for threads in teams:
            for net in NETS:
                try:
                    times = results.times(threads, "details", details.SCALING.format(net))
                except NotMeasuredError:
                    continue  # --nets left it out
                one, team = (times[details.TEAM.format(n)] for n in (1, threads))
                if one > least:
                    found[f"{net}" if len(teams) == 1 else f"{net}, {threads} threads"] = one / team
        if not found:
            raise NotMeasuredError("not measured in this run")
        return found

    return figure


def gathered(net: str) -> Figure:
    """The part of an epoch that shuffled batches add to batches in order."""

    def figure(results: Results) -> Figures:
        found: Figures = {}
        for threads in results.threads:
            for name, short in ((details.CACHED, "in cache"), (details.STREAMING, "streaming")):
                times = results.times(threads, "details", name.format(net))
                found[f"{short}, {threads} thread(s)"] = 1 - times["in order"] / times["shuffled"]
        return found

    return figure


def single(name: str, candidate: str, scale: float = 1.0, threads: int = 1) -> Figure:
    """One candidate's median."""

    def figure(results: Results) -> Figures:
        times = results.times(threads, "details", name)
        if candidate not in times:
            raise NotMeasuredError("not measurable here (see what was skipped)")
        return {f"{threads} thread(s)": scale * times[candidate]}

    return figure


def latency(net: str) -> Figure:
    name = case_name(1, PREDICTED[net])
    return every_thread_count(lambda results, n: 1e6 * results.ours(n, "prediction", name, "highest"))


def one_row(net: str, peer: str) -> Figure:
    return faster("prediction", case_name(1, PREDICTED[net]), peer)


MANY_ROWS = case_name(MANY, list(PREDICTED.values())[-1])
WIDE, WIDE_GOAL = (256, 1024, 1024), 1500.0

TARGETS = (
    Target(1, "F: step, the best peer's time ÷ ours", "≥", 5, trained("F")),
    Target(1, "F: step, PyTorch's time ÷ ours", "≥", 60, trained("F", "PyTorch")),
    Target(1, "D: step, the best peer's time ÷ ours", "≥", 4, trained("D")),
    Target(1, "D: step, PyTorch's time ÷ ours", "≥", 25, trained("D", "PyTorch")),
    *(Target(1, f"{net}: a step with denormal moments ÷ one without", "≤", 1.05, decayed(net)) for net in "FD"),
    Target(2, "A: step, the best peer's time ÷ ours", "≥", 3, trained("A")),
    Target(3, "B: step at highest, the best peer's time ÷ ours", "≥", 1.6, trained("B")),
    Target(3, "C: step at highest, the best peer's time ÷ ours", "≥", 1.4, trained("C")),
    Target(4, "B: step at high, the best float32 peer's time ÷ ours", "≥", 2.5, trained("B", level="high")),
    Target(4, "C: step at high, the best float32 peer's time ÷ ours", "≥", 2.5, trained("C", level="high")),
    Target(4, "C: step at high, its products' FLOP/s ÷ FMA peak", "≥", 1, above_peak("C", "high")),
    Target(5, "E: step at high, the best float32 peer's time ÷ ours", "≥", 2.2, trained("E", level="high")),
    Target(6, "E: step at medium, PyTorch bf16's time ÷ ours", "≥", 1.7, trained("E", "PyTorch bf16", "medium")),
    Target(7, "product 1024³, share of FMA peak", "≥", 0.82, product_rate((1024, 1024, 1024), share=True), "%"),
    Target(7, "product 128³, share of FMA peak", "≥", 0.80, product_rate((128, 128, 128), share=True), "%"),
    Target(7, "product 64³, share of FMA peak", "≥", 0.75, product_rate((64, 64, 64), share=True), "%"),
    Target(7, "all products, NumPy's time ÷ ours, the worst", "≥", 1, never_slower),
    Target(8, "products ≥ 512 wide, time at highest ÷ time at high", "≥", 2.2, split_gain),
    Target(9, "product 256, 1024, 1024 at medium, one core", "≥", WIDE_GOAL, bfloat16_rate, "GFLOP/s"),
    Target(10, "layer with ReLU ÷ its product", "≤", 1.05, layers("relu")),
    Target(10, "layer with tanh ÷ its product", "≤", 1.25, layers("tanh")),
    Target(10, "layer with GELU ÷ its product", "≤", 1.25, layers("gelu")),
    Target(11, "Adam's bandwidth ÷ a copy's", "≥", 0.85, detail(details.ADAM, details.COPY, "Adam", 1), "%"),
    Target(12, "D: one row", "≤", 2, latency("D"), "µs"),
    *(
        Target(12, f"D: one row, {peer}'s time ÷ ours", "≥", goal, one_row("D", peer))
        for peer, goal in (("ONNX Runtime", 3), ("PyTorch", 10), ("scikit-learn", 40))
    ),
    *(Target(12, f"{n}: one row, ONNX Runtime's time ÷ ours", "≥", 2, one_row(n, "ONNX Runtime")) for n in "AC"),
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

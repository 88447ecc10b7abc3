"""Figures of the targets, computed from what the sections of peers.py measured.

A figure is of the regime of its cases (samples alone, or all of them where a case has too few of those), unless it asks
for another. The worst of many cases is found by minima: medians of so many would find the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import details
import families
import levels
from machine import same_as
from nets import NETS, PREDICTED, PRODUCTS
from prediction import case_name
from regimes import ALONE, ENOUGH
from report import best_peer

BEST = "the best float32 peer"
NOT_MEASURED = "not measured in this run"
SKIPPED = "not measurable here (see what was skipped)"
Figures = dict[str, float]  # by what they are of: "1 thread(s)", …
Shape = tuple[int, int, int]  # M, K, N


class NotMeasuredError(Exception):
    """The reason for which there is no figure, or none of all that it should be of."""

    def __init__(self, reason: str, figures: Figures | None = None) -> None:
        super().__init__(reason)
        self.figures = figures or {}


@dataclass
class Results:
    """The runs of peers.py, one per thread count."""

    runs: Sequence[Mapping[str, Any]]
    regimes: set[str] = field(default_factory=set)  # that figures were taken from

    def times(
        self, threads: int, section: str, name: str, key: str = "median", regime: str | None = None
    ) -> dict[str, float]:
        """Medians or minima by candidate; of the case's own regime, or of the one that is asked for."""
        for run in self.runs:
            for case in run["sections"].get(section, ()):
                if run["machine"]["threads"] == threads and case["name"] == name:
                    kinds = {who: times[regime] if regime else times for who, times in case["times"].items()}
                    if regime and any(kind["samples"] < ENOUGH for kind in kinds.values()):
                        raise NotMeasuredError(f"not enough samples {regime}")
                    self.regimes.add(regime or case["regime"])
                    return {who: kind[key] for who, kind in kinds.items()}
        raise NotMeasuredError(NOT_MEASURED)

    def ours(self, threads: int, section: str, name: str, level: str, **which: Any) -> float:
        """The time of the candidate with this level of precision."""
        self.kernels(threads, level)
        times = self.times(threads, section, name, **which)
        if f"nncore {level}" not in times:
            raise NotMeasuredError(NOT_MEASURED)
        return times[f"nncore {level}"]

    def kernels(self, threads: int, level: str) -> None:
        """Raise unless the level has kernels of its own on this CPU."""
        computed = self.about(threads)["precisions"]
        if same_as(computed).get(level, level) != level:
            raise NotMeasuredError(f'not measurable here ("{level}" computes in {computed[level]} on this CPU)')

    def about(self, threads: int) -> Mapping[str, Any]:
        for run in self.runs:
            if run["machine"]["threads"] == threads:
                return run["machine"]
        raise NotMeasuredError(NOT_MEASURED)

    @property
    def threads(self) -> list[int]:
        return [run["machine"]["threads"] for run in self.runs]


Figure = Callable[[Results], Figures]


def every_thread_count(figure: Callable[[Results, int], float]) -> Figure:
    return lambda results: {f"{n} thread(s)": figure(results, n) for n in results.threads}


def faster(section: str, name: str, peer: str = BEST, level: str = "highest", threads: int | None = None) -> Figure:
    """The peer's time ÷ ours, on any number of threads or on this one."""

    def figure(results: Results, threads: int) -> float:
        ours = results.ours(threads, section, name, level)
        times = results.times(threads, section, name)
        chosen = best_peer({key: {"median": t} for key, t in times.items()}) if peer == BEST else peer
        if chosen not in times:
            raise NotMeasuredError(f"not measured in this run ({peer} is missing)")
        return times[chosen] / ours

    return on(threads, figure)


def on(threads: int | None, figure: Callable[[Results, int], float]) -> Figure:
    return (lambda r: {f"{threads} thread(s)": figure(r, threads)}) if threads else every_thread_count(figure)


def most(flops: float, section: str, name: str, peer: str = BEST, level: str = "highest") -> Figure:
    """The same if ours were nothing but these FLOPs of products, at the peak of what they are computed in."""

    def figure(results: Results, threads: int) -> float:
        seconds = results.ours(threads, section, name, level)
        ratio = faster(section, name, peer, level, threads)(results)[f"{threads} thread(s)"]
        computed = results.about(threads)["precisions"].get(level, "float32")
        limit = peak(results, threads, "bf16" if "bfloat16" in computed else "fma")
        return ratio * seconds * 1e9 * limit / flops / (3 if "split" in computed else 1)

    return every_thread_count(figure)


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


def product_name(shape: Shape) -> str:
    return ", ".join(map(str, shape))


def beside_best(shape: Shape) -> Figure:
    return faster("products", product_name(shape), threads=1)


def never_below_numpy(results: Results) -> Figures:
    """The least ratio of NumPy's time to ours over all products."""
    found: Figures = {}
    for threads in results.threads:
        ratios = {}
        for name in map(product_name, PRODUCTS):
            numpys = results.times(threads, "products", name, key="minimum")["NumPy"]
            ratios[name] = numpys / results.ours(threads, "products", name, "highest", key="minimum")
        worst = min(ratios, key=lambda name: ratios[name])
        found[f"{worst}; {threads} thread(s)"] = ratios[worst]
    return found


def layer_rate(shape: Shape, level: str, goal: float) -> Figure:
    """GFLOP/s of a layer with packed weights on one core, where the CPU's peak allows the mark."""

    def figure(results: Results) -> Figures:
        m, k, n = shape
        rate = 2e-9 * m * k * n / results.ours(1, "levels", levels.case_name(*shape), level)
        limit = peak(results, 1, "bf16")
        if limit < goal:
            most = f"{results.about(1)['bf16_unit']} peaks at {limit:.0f} GFLOP/s"
            raise NotMeasuredError(f"not measurable here ({most}; reached {rate:.0f}, {rate / limit:.0%} of it)")
        return {"1 thread(s)": rate}

    return figure


def gain(level: str, shapes: Collection[Shape], regime: str | None = None) -> Figure:
    """A layer's time at highest ÷ that at the level, the worst of each number of rows."""

    def figure(results: Results) -> Figures:
        ratios: dict[int, dict[str, float]] = {}
        reason = NotMeasuredError(NOT_MEASURED)
        for shape in shapes:
            name = levels.case_name(*shape)
            try:
                which: dict[str, Any] = {"key": "minimum" if regime in (None, ALONE) else "median", "regime": regime}
                ours, plain = (results.ours(1, "levels", name, of, **which) for of in (level, "highest"))
            except NotMeasuredError as e:
                reason = e
                continue
            ratios.setdefault(shape[0], {})[name] = plain / ours
        if not ratios:
            raise reason
        worst = dict(min(found.items(), key=lambda item: item[1]) for found in ratios.values())
        known = sum(map(len, ratios.values()))
        if known == len(shapes):
            return worst
        part = f"{known} of {len(shapes)} shapes"
        raise NotMeasuredError(f"{reason} but for {part}", {f"{name}; {part}": x for name, x in worst.items()})

    return figure


def detail(name: str, above: str, below: str, threads: int | None = None) -> Figure:
    """One candidate's median ÷ another's."""

    def figure(results: Results, threads: int) -> float:
        times = results.times(threads, "details", name)
        if above not in times or below not in times:
            raise NotMeasuredError(SKIPPED)
        return times[above] / times[below]

    return on(threads, figure)


def peak_share(n: int) -> Figure:
    """Time of as many FLOPs of FMA ÷ time of products n³ less that of their calls, on one core."""

    def figure(results: Results) -> Figures:
        times = results.times(1, "details", details.PEAK)
        if details.FMA not in times:
            raise NotMeasuredError(SKIPPED)
        call = times[details.CALLS] / details.cubes(details.CUBES[0])
        return {"1 thread(s)": times[details.FMA] / (times[details.CUBE.format(n)] - call * details.cubes(n))}

    return figure


def decayed(net: str) -> Figure:
    return detail(details.DECAYED.format(net), details.DENORMALS, details.ZEROS, 1)


def metered(net: str) -> Figure:
    """The time of a step with each metric ÷ that of one without."""

    def figure(results: Results) -> Figures:
        times = results.times(1, "details", details.METERED.format(net))
        return {name: times[name] / times[details.NO_METRICS] for name in details.METRICS}

    return figure


def own_loss(net: str) -> Figure:
    """What a loss in Python adds to a step, in µs."""

    def figure(results: Results) -> Figures:
        times = results.times(1, "details", details.OWN.format(net))
        return {"1 thread(s)": 1e6 * (times[details.OWN_LOSS] - times[details.NATIVE])}

    return figure


def row_at(level: str, below: str) -> Figure:
    """One row of C at a level ÷ another level, or ÷ the time of reading its weights."""

    def figure(results: Results) -> Figures:
        results.kernels(1, level)
        return detail(details.ROW.format("C"), level, below, 1)(results)

    return figure


def layers(*activations: str) -> Figure:
    """The worst of the layers with these activations ÷ its bare product; without a name of any other than ReLU."""

    def figure(results: Results) -> Figures:
        found: Figures = {}
        for shape in details.LAYERS:
            times = dict(results.times(1, "details", details.LAYER.format(*shape)))
            product = times.pop("product")
            chosen = activations or [name for name in details.activations() if name != "relu"]
            if not times.keys() >= set(chosen):
                raise NotMeasuredError(NOT_MEASURED)
            worst = max(chosen, key=lambda name: times[name])
            found[f"{'' if activations else worst + ', '}{product_name(shape)}"] = times[worst] / product
        return found

    return figure


def bandwidth(rule: str) -> Figure:
    """Bytes per second of an update by a rule ÷ a copy's."""

    def figure(results: Results) -> Figures:
        times = results.times(1, "families", families.RULE.format(rule))
        return {"1 thread(s)": times[families.COPY] / times["nncore"]}

    return figure


def beside_copy(layer: str) -> Figure:
    """The time of a layer's passes ÷ a copy's of as many bytes, of few rows and of many."""

    def figure(results: Results) -> Figures:
        found: Figures = {}
        for rows in (families.CACHED, families.STREAMING):
            for which in (families.FORWARD, families.BOTH):
                name = families.LAYER.format(layer, rows, families.WIDTH, which)
                times = results.times(1, "families", name)
                found[f"{rows} rows, {which}"] = times["nncore"] / times[families.COPY]
        return found

    return figure


def larger_table(optimizer: str) -> Figure:
    """The time of a step of an embedding with the largest table ÷ that with the smallest."""

    def figure(results: Results) -> Figures:
        small, large = (
            results.times(1, "families", families.STEP.format(size, optimizer))["nncore"] for size in families.TABLES
        )
        return {"1 thread(s)": large / small}

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
            raise NotMeasuredError(NOT_MEASURED)
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
            raise NotMeasuredError(SKIPPED)
        return {f"{threads} thread(s)": scale * times[candidate]}

    return figure


def latency(net: str) -> Figure:
    name = case_name(1, PREDICTED[net])
    return every_thread_count(lambda results, n: 1e6 * results.ours(n, "prediction", name, "highest"))


def one_row(net: str, peer: str) -> Figure:
    return faster("prediction", case_name(1, PREDICTED[net]), peer)

"""Results as tables: times, ratios, and what they were measured on."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any

from machine import same_as
from regimes import ALL, ALONE, FACTOR, SHARED, WAIT, probed

TITLES = {
    "training": "Training step, µs: median (minimum)",
    "prediction": "Prediction, µs: median (minimum)",
    "products": "Product M, K, N, GFLOP/s: median (best)",
    "levels": "Layer, rows × inputs-outputs, GFLOP/s: median (best)",
    "details": "Details of nncore: median (minimum)",
    "convolutions": "Convolutional networks, a step or a sample: median (minimum)",
    "families": "Rules, losses and layers: median (minimum)",
    "estimators": "Estimators beside scikit-learn's: median (minimum)",
    "calls": "What a call of nncore costs: median (minimum)",
}
UNITS = {"µs": 1e6, "ms": 1e3, "MB": 1e-6, "": 1.0}  # in one second, or byte; GFLOP/s need the FLOPs
REGIMES = f"""\
A sample is "alone" if instructions that do nothing took at most {FACTOR} times their shortest time on all cores before
it and after it (beside a busy hyperthread they take twice as long), and if its threads waited for a core for at most
{WAIT:.0%} of its time; all others are "shared". A hyperthread that was busy only in between, for seconds at most, goes
unseen. Ratios are of samples alone where each candidate has three of them, else of all samples."""
NOT_PROBED = """\
**These samples were not probed** (it takes a C compiler), so nothing tells those on undisturbed cores from others."""
OURS = "nncore"
LOW_PRECISION = "bf16"  # in a candidate's name: no rival of float32


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """A Markdown table with aligned columns, those of `left` to the left."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[c]) for line in lines) for c in range(len(head))]

    def show(line: Sequence[str]) -> str:
        cells = [
            text.ljust(w) if c in left else text.rjust(w) for c, (text, w) in enumerate(zip(line, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rule = f"|{'|'.join('-' * (w + 2) if c in left else '-' * (w + 1) + ':' for c, w in enumerate(widths))}|"
    return "\n".join([show(lines[0]), rule, *map(show, lines[1:])])


def number(x: float) -> str:
    """Three digits that count."""
    if x < 0.1:
        return f"{x:.2g}"
    return f"{x:.{max(0, 2 - len(str(int(x))) + 1)}f}" if x < 100 else f"{x:.0f}"


def cell(times: dict[str, Any] | None, unit: str, flops: float = 0) -> str:
    """Median and minimum; – where there are no samples."""
    if not times or "median" not in times:
        return "–"
    figures = (times["median"], times["minimum"])
    if unit == "GFLOP/s":
        median, best = (number(flops / t / 1e9) for t in figures)
    else:
        median, best = (number(t * UNITS[unit]) for t in figures)
    return f"{median} ({best})"


def counted(times: dict[str, Any] | None, regime: str, unit: str, flops: float = 0) -> str:
    """The same of one regime, with the number of samples."""
    of = times if times is None or regime == ALL else times[regime]
    samples = 0 if not of else len(of["times"]) if regime == ALL else of["samples"]
    return f"{cell(of, unit, flops)} {samples}" if samples else "–"


def regimes_of(case: dict[str, Any]) -> list[str]:
    """The one that ratios are made in, and the shared one where it is another and has samples."""
    shared = case["regime"] == ALONE and any(times[SHARED]["samples"] for times in case["times"].values())
    return [case["regime"], *([SHARED] if shared else [])]


def names_of(cases: Sequence[dict[str, Any]]) -> list[str]:
    """All candidates, in the order in which they first occur."""
    return list(dict.fromkeys(name for case in cases for name in case["times"]))


def best_peer(times: dict[str, Any]) -> str | None:
    """The fastest candidate that is neither ours nor of low precision, by medians."""
    peers = [name for name in times if not name.startswith(OURS) and LOW_PRECISION not in name]
    return min(peers, key=lambda name: times[name]["median"], default=None)


def section(title: str, cases: Sequence[dict[str, Any]], about: dict[str, Any]) -> str:
    """The times of every candidate, then how many times faster nncore is than each, and its share of the peak."""
    measured = names_of(cases)
    peers = [n for n in measured if not n.startswith(OURS)]
    same = {f"{OURS} {level}": f"as {first}" for level, first in same_as(about["precisions"]).items()}
    columns = [*peers, *(same or (n for n in measured if n not in peers))]

    def shown(case: dict[str, Any], regime: str, name: str) -> str:
        absent = name not in measured and name in same
        return same[name] if absent else counted(case["times"].get(name), regime, case["unit"], case["flops"])

    rows = [
        [case["name"], regime, *(shown(case, regime, name) for name in columns)]
        for case in cases
        for regime in regimes_of(case)
    ]
    parts = [f"### {title} and number of samples", table(["case", "regime", *columns], rows, left=(0, 1))]
    ratios = []
    for case in cases:
        times, best = case["times"], best_peer(case["times"])
        for ours in (n for n in measured if n.startswith(OURS) and n in times):
            factors = {p: times[p]["median"] / times[ours]["median"] for p in peers if p in times}
            ratios.append(
                [
                    f"{case['name']}: {ours}",
                    case["regime"],
                    f"{factors[best]:.2f} ({best})" if best else "–",
                    *(f"{factors[p]:.2f}" if p in factors else "–" for p in peers),
                    share_of_peak(times[ours]["median"], case["flops"], ours, about),
                ]
            )
    if ratios and peers:
        head = ["case", "regime", "best", *peers, "of the peak"]
        parts += ["Times faster than the best peer in float32, and than each:", table(head, ratios, left=(0, 1))]
    return "\n\n".join(parts)


def share_of_peak(seconds: float, flops: float, candidate: str, about: dict[str, Any]) -> str:
    """The products' part of what this machine's units can do at most, in the type that the candidate computes in."""
    bf16 = "bfloat16" in about["precisions"].get(candidate.removeprefix(f"{OURS} "), "")
    peak = about["bf16_peak_gflops" if bf16 else "fma_peak_gflops"]
    return f"{flops / seconds / peak / 1e9:.0%} {'bf16' if bf16 else 'FMA'}" if flops and peak else "–"


def details(title: str, cases: Sequence[dict[str, Any]]) -> str:
    """A line per candidate: they differ from case to case."""
    rows = [
        [
            f"{case['name']}: {name}".removesuffix(": "),
            case["regime"],
            counted(times, case["regime"], case["unit"], case["flops"]),
            counted(times, SHARED, case["unit"], case["flops"]) if len(regimes_of(case)) > 1 else "–",
            case["unit"],
        ]
        for case in cases
        for name, times in case["times"].items()
    ]
    head = ["case", "regime", "figure", "shared", "unit"]
    return f"### {title} and number of samples\n\n{table(head, rows, left=(0, 1))}"


def families(title: str, cases: Sequence[dict[str, Any]]) -> str:
    """The times of every candidate, and the others' divided by nncore's."""
    others = [name for name in names_of(cases) if name != OURS]

    def ratio(times: dict[str, Any], other: str) -> str:
        return number(times[other]["median"] / times[OURS]["median"]) if other in times else "–"

    rows = [
        [
            case["name"],
            regime,
            case["unit"],
            *(counted(case["times"].get(name), regime, case["unit"]) for name in (*others, OURS)),
            *(ratio(case["times"], other) if regime == case["regime"] else "–" for other in others),
        ]
        for case in cases
        for regime in regimes_of(case)
    ]
    head = ["case", "regime", "unit", *others, OURS, *(f"{other} ÷ {OURS}" for other in others)]
    return f"### {title} and number of samples\n\n{table(head, rows, left=(0, 1, 2))}"


def quality(cases: Sequence[dict[str, Any]], computed: dict[str, str]) -> str:
    """Mean and standard deviation over the seeds."""
    parts = ["## Training quality: mean ± standard deviation over the seeds"]
    for case in cases:
        keys = list(next(iter(case["figures"].values())))
        seeds = {len(figures[keys[0]]) for figures in case["figures"].values()}
        rows = [
            [
                f"{level} ({computed[level]})" if level in computed else level,
                *(spread(figures[key], key) for key in keys),
            ]
            for level, figures in case["figures"].items()
        ]
        parts += [f"{case['name']}; {max(seeds)} seeds", table(["matmul_precision", *keys], rows)]
    return "\n\n".join(parts)


def spread(figures: Sequence[float], key: str) -> str:
    mean, deviation = statistics.mean(figures), statistics.stdev(figures) if len(figures) > 1 else 0.0
    return f"{mean:.2%} ± {deviation:.2%}" if "accuracy" in key else f"{mean:.5f} ± {deviation:.5f}"


def targets(lines: Sequence[dict[str, Any]]) -> str:
    """The marks that were set, and what was reached."""
    head = ["row", "work", "target", "figure", "regime", "reached", "limit"]
    rows = [[str(line[key]) for key in head] for line in lines]
    verdicts = {
        row: {line["reached"] for line in lines if line["row"] == row} for row in (line["row"] for line in lines)
    }
    whole = sum(found == {"yes"} for found in verdicts.values())
    missed = sum("no" in found for found in verdicts.values())
    counts = (
        f"Of {len(verdicts)} rows {whole} are reached, {missed} are not, {len(verdicts) - whole - missed} are open."
    )
    return f"## Targets\n\n{counts}\n\n{table(head, rows, left=(1, 4, 5, 6))}"


def machine(about: dict[str, Any]) -> str:
    def gflops(value: float | None) -> str:
        return f"{value:.0f} GFLOP/s" if value else "not measured"

    unit = about["bf16_unit"]
    lines = [
        f"{about['cpu']}, {about['cores']} cores; nncore's instruction set: {about['isa'] or 'not installed'}",
        f"peak of {about['threads']} thread(s): float32 FMA {gflops(about['fma_peak_gflops'])}, bfloat16 dot products "
        f"{gflops(about['bf16_peak_gflops'])} ({unit}); copy {about['copy_gb_per_s']:.1f} GB/s; "
        f"load before the start: {about['load']:.2f}",
        f"matmul_precision: {', '.join(f'{level} = {how}' for level, how in about['precisions'].items())}",
        f"{', '.join(f'{name} {version}' for name, version in about['versions'].items())}; {about['date']}",
    ]
    return "\n".join(f"- {line}" for line in lines)


#: What shows the cases of a section; by default `section`.
SHOWN = {"details": details, "calls": details, "families": families, "estimators": families}


def markdown(results: dict[str, Any]) -> str:
    """The whole report of bench/peers.py."""
    parts = ["# nncore beside its peers", "Made by `python bench/peers.py`; see bench/README.md."]
    parts.append(REGIMES if probed(results["runs"]) else NOT_PROBED)
    if results["targets"]:
        parts.append(targets(results["targets"]))
    for run in results["runs"]:
        parts += [f"## {run['machine']['threads']} thread(s)", machine(run["machine"])]
        for name, cases in run["sections"].items():
            if cases:
                show = SHOWN.get(name) or partial(section, about=run["machine"])
                parts.append(show(TITLES[name], cases))
        if run["skipped"]:
            parts.append("\n".join(f"- skipped: {note}" for note in run["skipped"]))
    if results["quality"]:
        parts.append(quality(results["quality"], results["runs"][-1]["machine"]["precisions"]))
    return "\n\n".join(parts) + "\n"

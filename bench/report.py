"""Results as tables: times, ratios, and what they were measured on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

TITLES = {
    "training": "Training step, µs: median (minimum)",
    "prediction": "Prediction, µs: median (minimum)",
    "products": "Product M, K, N, GFLOP/s: median (best)",
}
OURS = "nncore"
LOW_PRECISION = "bf16"  # in a candidate's name: no rival of float32


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with aligned columns, the first to the left."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[c]) for line in lines) for c in range(len(head))]

    def show(line: Sequence[str]) -> str:
        cells = [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
        return f"| {' | '.join(cells)} |"

    rule = f"|{'-' * (widths[0] + 2)}|{'|'.join('-' * (w + 1) + ':' for w in widths[1:])}|"
    return "\n".join([show(lines[0]), rule, *map(show, lines[1:])])


def number(x: float) -> str:
    """Three digits that count."""
    if x < 0.1:
        return f"{x:.2g}"
    return f"{x:.{max(0, 2 - len(str(int(x))) + 1)}f}" if x < 100 else f"{x:.0f}"


def cell(times: dict[str, Any] | None, flops: float) -> str:
    if times is None:
        return "–"
    median, minimum = times["median"], times["minimum"]
    if flops:
        return f"{number(flops / median / 1e9)} ({number(flops / minimum / 1e9)})"
    return f"{number(median * 1e6)} ({number(minimum * 1e6)})"


def names_of(cases: Sequence[dict[str, Any]]) -> list[str]:
    """All candidates, in the order in which they first occur."""
    return list(dict.fromkeys(name for case in cases for name in case["times"]))


def best_peer(times: dict[str, Any]) -> str | None:
    """The fastest candidate that is neither ours nor of low precision, by medians."""
    peers = [name for name in times if not name.startswith(OURS) and LOW_PRECISION not in name]
    return min(peers, key=lambda name: times[name]["median"], default=None)


def section(title: str, cases: Sequence[dict[str, Any]]) -> str:
    """The times of every candidate, then how many times faster nncore is than each."""
    names = names_of(cases)
    rows = [[c["name"], *(cell(c["times"].get(n), c["flops"]) for n in names)] for c in cases]
    parts = [f"### {title}", table(["case", *names], rows)]
    peers = [n for n in names if not n.startswith(OURS)]
    ratios = []
    for case in cases:
        times, best = case["times"], best_peer(case["times"])
        for ours in (n for n in names if n.startswith(OURS) and n in times):
            factors = {p: times[p]["median"] / times[ours]["median"] for p in peers if p in times}
            against = f"{factors[best]:.2f} ({best})" if best else "–"
            ratios.append(
                [f"{case['name']}: {ours}", against, *(f"{factors[p]:.2f}" if p in factors else "–" for p in peers)]
            )
    if ratios and peers:
        parts += ["Times faster than the best peer in float32, and than each:", table(["case", "best", *peers], ratios)]
    return "\n\n".join(parts)


def machine(about: dict[str, Any]) -> str:
    peak = about["fma_peak_gflops"]
    return "\n".join(
        [
            f"- {about['cpu']}, {about['cores']} cores; nncore's instruction set: {about['isa'] or 'not installed'}",
            f"- FMA peak, float32, one core: {f'{peak:.0f} GFLOP/s' if peak else 'not measured (no C compiler)'}; "
            f"copy, one thread: {about['copy_gb_per_s']:.1f} GB/s; load before the start: {about['load']}",
            f"- {', '.join(f'{name} {version}' for name, version in about['versions'].items())}; {about['date']}",
        ]
    )


def markdown(runs: Sequence[dict[str, Any]]) -> str:
    """The whole report of bench/peers.py."""
    parts = ["# nncore beside its peers", "", "Made by `python bench/peers.py`; see bench/README.md.", ""]
    for run in runs:
        parts += [f"## {run['machine']['threads']} thread(s)", "", machine(run["machine"]), ""]
        for name, cases in run["sections"].items():
            if cases:
                parts += [section(TITLES[name], cases), ""]
        parts += [f"- skipped: {note}" for note in run["skipped"]] + [""]
    return "\n".join(parts).rstrip() + "\n"


def chart(runs: Sequence[dict[str, Any]], path: Path) -> bool:
    """Training speed relative to the best peer, one panel per thread count; False without matplotlib."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError:
        return False
    panels = [run for run in runs if run["sections"].get("training")]
    if not panels:
        return False
    figure, axes = plt.subplots(len(panels), figsize=(9, 3.5 * len(panels)), squeeze=False, layout="constrained")
    for axis, run in zip(axes[:, 0], panels, strict=True):
        cases = run["sections"]["training"]
        names = names_of(cases)
        for i, name in enumerate(names):
            bars = [(k, c["times"], best_peer(c["times"])) for k, c in enumerate(cases) if name in c["times"]]
            at = [k + (i - (len(names) - 1) / 2) * 0.8 / len(names) for k, _, _ in bars]
            speed = [t[best]["median"] / t[name]["median"] if best else 1.0 for _, t, best in bars]
            axis.bar(at, speed, 0.8 / len(names), label=name)
        axis.set_xticks(range(len(cases)), [c["name"].replace(", ", "\n") for c in cases], fontsize=7)
        axis.axhline(1, color="black", linewidth=0.5)
        axis.set_yscale("log")
        axis.set_ylabel("speed ÷ best peer's")
        axis.set_title(f"Training steps, {run['machine']['threads']} thread(s), {run['machine']['cpu']}", fontsize=9)
        axis.legend(fontsize=7, ncols=3)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return True

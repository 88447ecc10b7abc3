"""The results of peers.py as a picture: a row per thread count, a panel per section."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from report import OURS, best_peer, names_of

WIDTHS = {"training": 6, "prediction": 4, "products": 9}  # of the panels
COLOURS = {
    "NumPy": "#c8c8c8",
    "scikit-learn": "#9a9a9a",
    "PyTorch": "#f2b48c",
    "PyTorch bf16": "#d98545",
    "JAX": "#b5d3a6",
    "ONNX Runtime": "#cdb8dc",
    f"{OURS} highest": "#0b3c6f",
    f"{OURS} high": "#2f7cc0",
    f"{OURS} medium": "#79b8e8",
}
Case = dict[str, Any]


def draw(runs: Sequence[dict[str, Any]], path: Path) -> bool:
    """Save the chart; False without matplotlib or without anything to show."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError:
        return False
    shown = [name for name in WIDTHS if any(run["sections"].get(name) for run in runs)]
    if not shown:
        return False
    widths = [WIDTHS[name] for name in shown]
    figure, axes = plt.subplots(
        len(runs),
        len(shown),
        figsize=(1.2 * sum(widths) + 1, 4.2 * len(runs) + 0.6),
        width_ratios=widths,
        squeeze=False,
        layout="constrained",
    )
    for line, run in zip(axes, runs, strict=True):
        for axis, name in zip(line, shown, strict=True):
            cases = run["sections"].get(name)
            if cases:
                PANELS[name](axis, cases, run["machine"])
            else:
                axis.axis("off")
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    order = [name for name in COLOURS if name in handles] + [name for name in handles if name not in COLOURS]
    figure.legend([handles[name] for name in order], order, loc="outside upper center", ncols=len(order), fontsize=9)
    figure.supxlabel(
        f"{runs[0]['machine']['cpu']}, {runs[0]['machine']['isa']}, {runs[0]['machine']['date']}", fontsize=9
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True


def bars(axis: Any, cases: Sequence[Case], height: Callable[[Case, str], float], labelled: bool) -> None:
    """A group of bars per case, nncore's with their height above."""
    names = sorted(names_of(cases), key=lambda name: list(COLOURS).index(name) if name in COLOURS else len(COLOURS))
    for k, case in enumerate(cases):
        here = [name for name in names if name in case["times"]]
        width = 0.86 / len(here)
        for i, name in enumerate(here):
            at, value = k + (i - (len(here) - 1) / 2) * width, height(case, name)
            axis.bar(at, value, width, color=COLOURS.get(name), label=name)
            if labelled and name.startswith(OURS):
                axis.annotate(f"{value:.2g}", (at, value), (0, 2), textcoords="offset points", ha="center", fontsize=7)
    labels = [case["name"].replace(", ", "\n", 1).replace(" ", "\n", 1) for case in cases]
    axis.set_xticks(range(len(cases)), labels, fontsize=7)
    axis.margins(x=0.01)
    axis.spines[["top", "right"]].set_visible(False)


def speeds(axis: Any, cases: Sequence[Case], about: dict[str, Any], what: str) -> None:
    """Speed as a multiple of the best float32 peer's, on a logarithmic scale."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    def height(case: Case, name: str) -> float:
        times = case["times"]
        return times[best_peer(times) or name]["median"] / times[name]["median"]

    bars(axis, cases, height, labelled=True)
    axis.axhline(1, color="black", linewidth=0.6)
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g} ×"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_title(f"{what}: speed ÷ best float32 peer's, {about['threads']} thread(s)", fontsize=9)


def products(axis: Any, cases: Sequence[Case], about: dict[str, Any]) -> None:
    """GFLOP/s beside the machine's peaks."""
    bars(axis, cases, lambda case, name: case["flops"] / case["times"][name]["median"] / 1e9, labelled=False)
    axis.set_xticks(range(len(cases)), [case["name"].replace(", ", "\n") for case in cases])
    top = 1.3 * max(bar.get_height() for bar in axis.patches)
    for key, kind, style in (("fma", "float32 FMA", "--"), ("bf16", about["bf16_unit"], ":")):
        if peak := about[f"{key}_peak_gflops"]:
            axis.axhline(peak, color="black", linewidth=0.8, linestyle=style, label=f"{kind} peak")
    axis.set_ylim(0, top)  # a peak far above the bars stays outside
    axis.set_title(f"Products M, K, N: GFLOP/s, {about['threads']} thread(s)", fontsize=9)


PANELS: dict[str, Callable[[Any, Sequence[Case], dict[str, Any]], None]] = {
    "training": lambda *panel: speeds(*panel, "Training"),
    "prediction": lambda *panel: speeds(*panel, "Prediction"),
    "products": products,
}

"""README's tables of training steps, one per machine, from the results in bench/results.

python bench/readme.py [names]     writes them anew, and those of these results, too (default: of this machine)
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import machine
from machine import same_as
from regimes import ALL, probed
from report import OURS, best_peer, number

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- from here on bench/readme.py writes -->\n", "<!-- to here -->\n"
PEERS = ("NumPy", "scikit-learn", "PyTorch", "JAX")
PICTURE = (
    "![Speed of training and prediction relative to the fastest other library in float32, and of matrix products]"
    "(bench/results/{}.png)"
)
MARK = " \\*"  # of a net whose figures are not of undisturbed cores alone


def part(name: str) -> str:
    """A heading, a picture, a table and a line on the machine, of the results with this name."""
    runs = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["runs"]
    runs = [run for run in runs if run["sections"].get("training")]
    about = runs[0]["machine"]
    title = f"### {about['cpu']}, {about['isa']}"
    return "\n\n".join([title, PICTURE.format(name), table(runs), line(name, runs)]) + "\n"


def table(runs: list[dict[str, Any]]) -> str:
    """A line per net; its cells have a figure for each number of threads."""
    same = same_as(runs[0]["machine"]["precisions"])
    low = ["PyTorch bf16", *(f"{OURS} {level}" for level in ("high", "medium") if same[level] == level)]
    head = ["network, batch, optimizer", *PEERS, OURS, "than NumPy", "than the best", *low]
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    by_name = [{case["name"]: case for case in run["sections"]["training"]} for run in runs]
    for name in by_name[0]:
        cases = [cases[name] for cases in by_name if name in cases]
        mark = MARK if probed(runs) and any(case["regime"] == ALL for case in cases) else ""
        ours = f"{OURS} highest"
        cells = [
            name.split(" ", 1)[1] + mark,
            *(figures(cases, peer) for peer in PEERS),
            f"**{figures(cases, ours)}**",
            ratios(cases, ours, lambda times: "NumPy"),
            ratios(cases, ours, best_peer),
            *(figures(cases, candidate) for candidate in low),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def figures(cases: list[dict[str, Any]], candidate: str) -> str:
    """Medians in µs, or –."""
    return " / ".join(
        number(1e6 * case["times"][candidate]["median"]) if candidate in case["times"] else "–" for case in cases
    )


def ratios(cases: list[dict[str, Any]], ours: str, peer: Any) -> str:
    """How many times faster ours is."""
    found = []
    for case in cases:
        times, chosen = case["times"], peer(case["times"])
        known = chosen in times and ours in times
        found.append(f"{times[chosen]['median'] / times[ours]['median']:.1f}" if known else "–")
    return f"{' / '.join(found)} ×"


def line(name: str, runs: list[dict[str, Any]]) -> str:
    about, threads = runs[0]["machine"], " / ".join(str(run["machine"]["threads"]) for run in runs)
    peaks = " and ".join(
        f"{about[f'{key}_peak_gflops'] / about['threads']:.0f} ({kind})"
        for key, kind in (("fma", "float32"), ("bf16", f"bfloat16, {about['bf16_unit']}"))
        if about[f"{key}_peak_gflops"]
    )
    regime = "medians of samples on undisturbed cores (\\*: of all, for want of enough)" if probed(runs) else "medians"
    return (
        f"{threads} threads; {regime}; peaks of {peaks} GFLOP/s per core; {about['date']}. "
        f"All else that was measured: [{name}.md](bench/results/{name}.md)."
    )


def filled(text: str, *names: str) -> str:
    """README with the tables of those results that it shows, and of these, between its marks."""
    before, rest = text.split(BEGIN)
    shown, after = rest.split(END)
    all_names = sorted({*re.findall(r"bench/results/(.+?)\.md", shown), *names})
    return "\n".join([f"{before}{BEGIN}", *map(part, all_names), f"{END}{after}"])


if __name__ == "__main__":
    names = sys.argv[1:] or [machine.name()]
    README.write_text(filled(README.read_text(encoding="utf-8"), *names), encoding="utf-8")

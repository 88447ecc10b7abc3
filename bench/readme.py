"""README's tables of training steps, one per machine, from the results in bench/results.

python bench/readme.py      writes them between README's marks
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from machine import same_as
from regimes import ALL, probed
from report import OURS, best_peer, number

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- from here on bench/readme.py writes -->\n", "<!-- to here -->\n"
PEERS = ("NumPy", "scikit-learn", "PyTorch", "JAX")
MARK = " \\*"  # of a net whose figures are not of undisturbed cores alone


def tables() -> str:
    """A heading, a picture, a table and a line on the machine for each results file with training steps."""
    parts = []
    for path in sorted(RESULTS.glob("*.json")):
        runs = json.loads(path.read_text(encoding="utf-8")).get("runs", ())
        runs = [run for run in runs if run["sections"].get("training")]
        if runs:
            machine = runs[0]["machine"]
            title = f"### {machine['cpu']}, {machine['isa']}"
            parts.append("\n\n".join([title, picture(path), table(runs), about(path, runs)]) + "\n")
    return "\n".join(parts)


def picture(path: Path) -> str:
    return (
        "![Speed of training and prediction relative to the fastest other library in float32, and of matrix products]"
        f"(bench/results/{path.stem}.png)"
    )


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


def about(path: Path, runs: list[dict[str, Any]]) -> str:
    machine, threads = runs[0]["machine"], " / ".join(str(run["machine"]["threads"]) for run in runs)
    peaks = " and ".join(
        f"{machine[f'{key}_peak_gflops'] / machine['threads']:.0f} ({kind})"
        for key, kind in (("fma", "float32"), ("bf16", f"bfloat16, {machine['bf16_unit']}"))
        if machine[f"{key}_peak_gflops"]
    )
    regime = "medians of samples on undisturbed cores (\\*: of all, for want of enough)" if probed(runs) else "medians"
    return (
        f"{threads} threads; {regime}; peaks of {peaks} GFLOP/s per core; {machine['date']}. "
        f"All else that was measured: [{path.stem}.md](bench/results/{path.stem}.md)."
    )


def filled(text: str) -> str:
    """README with the tables between its marks."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")

"""nncore beside NumPy, scikit-learn, PyTorch, JAX and ONNX Runtime: the same work, taking turns in one process.

    python bench/peers.py [--quick] [--threads 1 2] [--sections training prediction products] [--nets F D] [--rounds 9]

Each section and thread count runs in a fresh process, held to that many cores. Writes a .json, .md and .png, called
after the machine, anew after every section.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import chart
import machine
import regimes
import report
from nets import NETS

SECTIONS = (
    "training",
    "prediction",
    "products",
    "levels",
    "details",
    "families",
    "convolutions",
    "estimators",
    "calls",
    "quality",
    "targets",
)
RESULTS = Path(__file__).parent / "results"
QUICK = {"rounds": 3, "seconds": 3.0, "seeds": 2}  # what --quick changes


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default: 1 2)")
    add("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="default: all")
    add("--nets", nargs="+", choices=list(NETS), help="default: all")
    add("--rounds", type=int, default=7, help="turns of every candidate (default: 7)")
    add("--seconds", type=float, default=12, help="no round of a case begins later, but for the first 3 (default: 12)")
    add("--seeds", type=int, default=5, help="of the section quality (default: 5)")
    add("--quick", action="store_true", help=f"a first look: {', '.join(f'{k} {v:g}' for k, v in QUICK.items())}")
    add("--keep", action="store_true", help="add to the results of the same build in the folder, case by case")
    add("--name", help="of the results' files (default: from the CPU and the instruction set)")
    add("--output", type=Path, default=RESULTS, help="folder of the results (default: bench/results)")
    add("--child", type=Path, help=argparse.SUPPRESS)  # where the process of a section writes
    options = parser.parse_args()
    options.name = options.name or machine.name()
    if options.quick:
        vars(options).update(QUICK)
    return options


def measure_here(options: argparse.Namespace) -> dict[str, Any]:
    """One section at one thread count, in this process."""
    (threads,), (section,) = options.threads, options.sections
    from measure import measure
    from probe import Probe

    warnings.filterwarnings("ignore", module="sklearn")
    skipped: list[str] = []

    def skip(name: str, reason: str) -> None:
        note = f"{section}, {name}: {reason}"
        if note not in skipped:
            skipped.append(note)
            print(f"  skipped {note}", flush=True)

    about, cases, probe = machine.describe(threads), [], Probe()
    if not probe.works:
        skip("probe", "NO C COMPILER, so samples alone and shared are not told apart")
    if section == "quality":
        import quality

        cases = quality.results(threads, options.seeds, skip)
    else:
        for case in importlib.import_module(section).cases(threads, options.nets):
            print(f"  {threads} thread(s), {section}: {case.name}", flush=True)
            times = measure(case, threads, options.rounds, options.seconds, probe, skip)
            cases.append({"name": case.name, "flops": case.flops, "unit": case.unit, "times": times})
    return {"machine": about, "cases": cases, "skipped": skipped}


def measure_apart(options: argparse.Namespace, section: str, threads: int) -> dict[str, Any]:
    """The same in a fresh process, whose libraries start with that many threads."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run.json")
        command = [sys.executable, __file__, "--child", str(out), "--threads", str(threads), "--sections", section]
        for name in ("rounds", "seconds", "seeds"):
            command += [f"--{name}", str(getattr(options, name))]
        if options.nets:
            command += ["--nets", *options.nets]
        with machine.cores(threads):
            subprocess.run(command, check=True, env={**os.environ, **machine.environment(threads)})
        return json.loads(out.read_text(encoding="utf-8"))


def add(results: dict[str, Any], section: str, threads: int, made: dict[str, Any]) -> None:
    """Put a section's cases where they belong."""
    if section == "quality":
        results["quality"] = made["cases"]
    runs = {run["machine"]["threads"]: run for run in results["runs"]}
    run = runs.setdefault(threads, {"sections": {}, "skipped": []})
    run["machine"] = machine.at_its_best(made["machine"], run.get("machine", made["machine"]))
    if section != "quality":
        cases = {case["name"]: case for case in run["sections"].get(section, [])}
        cases |= {case["name"]: case for case in made["cases"]}
        run["sections"][section] = list(cases.values())
    run["skipped"] = sorted({*run["skipped"], *made["skipped"]})
    results["runs"] = [runs[n] for n in sorted(runs)]


def save(results: dict[str, Any], options: argparse.Namespace) -> str:
    """Write the files; returns the report."""
    regimes.settle(results["runs"])
    if "targets" in options.sections:
        import targets

        results["targets"] = targets.lines(results["runs"], targets.limits(options.name))
    options.output.mkdir(parents=True, exist_ok=True)
    text = report.markdown(results)
    stem = options.output / options.name
    document = re.sub(r"\[[-+.,\s\de]+\]", lambda numbers: " ".join(numbers[0].split()), json.dumps(results, indent=1))
    stem.with_suffix(".json").write_text(document, encoding="utf-8")
    stem.with_suffix(".md").write_text(text, encoding="utf-8")
    chart.draw(results["runs"], stem.with_suffix(".png"))
    return text


def main() -> None:
    options = arguments()
    if options.child:
        options.child.write_text(json.dumps(measure_here(options)), encoding="utf-8")
        return
    results: dict[str, Any] = {"runs": [], "quality": [], "targets": []}
    if options.keep:
        results = json.loads(Path(options.output, f"{options.name}.json").read_text(encoding="utf-8"))
    for section in options.sections:
        if section == "targets":
            continue
        for threads in [max(options.threads)] if section == "quality" else options.threads:
            add(results, section, threads, measure_apart(options, section, threads))
            save(results, options)
    print(f"\n{save(results, options)}")
    print(f"saved in {os.path.relpath(options.output)}")


if __name__ == "__main__":
    main()

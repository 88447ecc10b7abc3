"""nncore beside NumPy, scikit-learn, PyTorch, JAX and ONNX Runtime: the same work, taking turns in one process.

    python bench/peers.py [--threads 1 2] [--sections training prediction products] [--nets F D] [--rounds 9]

Each thread count runs in a fresh process, held to that many cores. Writes peers.json, peers.md and peers.png.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import machine
import report
from nets import NETS

SECTIONS = ("training", "prediction", "products")
RESULTS = Path(__file__).parent / "results"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default: 1 2)")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--nets", nargs="+", choices=list(NETS), help="default: all")
    parser.add_argument("--rounds", type=int, default=9, help="turns of every candidate (default: 9)")
    parser.add_argument("--seconds", type=float, default=60, help="most time for one case's rounds (default: 60)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results (default: bench/results)")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)  # where a thread count's process writes
    return parser.parse_args()


def measure_here(options: argparse.Namespace) -> dict[str, Any]:
    """All sections at one thread count, in this process."""
    (threads,) = options.threads
    from measure import measure

    warnings.filterwarnings("ignore", module="sklearn")
    skipped: list[str] = []

    def skip(name: str, reason: str) -> None:
        note = f"{name}: {reason}"
        if note not in skipped:
            skipped.append(note)
            print(f"  skipped {note}", flush=True)

    about = machine.describe(threads)
    sections: dict[str, list[Any]] = {}
    for name in options.sections:
        sections[name] = []
        for case in importlib.import_module(name).cases(threads, options.nets):
            print(f"  {threads} thread(s), {name}: {case.name}", flush=True)
            times = measure(case, options.rounds, options.seconds, skip)
            sections[name].append({"name": case.name, "calls": case.calls, "flops": case.flops, "times": times})
    return {"machine": about, "sections": sections, "skipped": skipped}


def measure_apart(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """The same in a fresh process, whose libraries start with that many threads."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run.json")
        command = [sys.executable, __file__, "--child", str(out), "--threads", str(threads)]
        command += ["--rounds", str(options.rounds), "--seconds", str(options.seconds)]
        command += ["--sections", *options.sections]
        if options.nets:
            command += ["--nets", *options.nets]
        with machine.cores(threads):
            subprocess.run(command, check=True, env={**os.environ, **machine.environment(threads)})
        return json.loads(out.read_text(encoding="utf-8"))


def main() -> None:
    options = arguments()
    if options.child:
        options.child.write_text(json.dumps(measure_here(options)), encoding="utf-8")
        return
    runs = [measure_apart(options, threads) for threads in options.threads]
    options.output.mkdir(parents=True, exist_ok=True)
    Path(options.output, "peers.json").write_text(json.dumps(runs, indent=1), encoding="utf-8")
    text = report.markdown(runs)
    Path(options.output, "peers.md").write_text(text, encoding="utf-8")
    print(f"\n{text}")
    if not report.chart(runs, Path(options.output, "peers.png")):
        print("no chart: it needs matplotlib and the training section")
    print(f"saved in {os.path.relpath(options.output)}")


if __name__ == "__main__":
    main()

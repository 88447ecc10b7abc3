"""The pytest-benchmark suite of nncore against NumPy: `pair` measures both in turns, the summary shows the ratios."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for `import nets`; importlib mode leaves the path alone

import machine  # noqa: E402
import report  # noqa: E402
from measure import repeated  # noqa: E402

LEAST = 2e-3  # seconds that a round of one candidate lasts
BUDGET = 2.0  # seconds for all rounds of a pair
held, records = ExitStack(), pytest.StashKey[list[dict[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--threads", type=int, default=1, help="threads of nncore and NumPy alike (default: 1)")
    parser.addoption("--once", action="store_true", help="call everything once, to see that it runs; no times")
    parser.addoption("--results", type=Path, default=HERE / "results", help="folder of numpy.md and numpy.json")


def pytest_configure(config: pytest.Config) -> None:
    """Set the thread count before NumPy is loaded, or it has no effect."""
    config.stash[records] = []
    threads = config.getoption("threads", 1)
    if "numpy" in sys.modules:
        raise pytest.UsageError("bench: NumPy is loaded already, with threads of its own; run `pytest bench` by itself")
    os.environ.update(machine.environment(threads))
    held.enter_context(machine.cores(threads))


def pytest_unconfigure() -> None:
    held.close()


@pytest.fixture(scope="session")
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("threads"))


Pair = Callable[..., None]


@pytest.fixture
def pair(benchmark: Any, request: pytest.FixtureRequest, threads: int) -> Pair:
    """`pair(ours, numpys, calls=1, flops=0)`: time two functions in turns.

    `calls` is what one call of either does (steps of an epoch, say); times are reported per unit of it.
    pytest-benchmark itself times rounds of ours, each after a round of NumPy's; its own table, which pytest.ini
    turns off, is of rounds.
    """

    def run(ours: Callable[[], object], numpys: Callable[[], object], calls: int = 1, flops: float = 0) -> None:
        if request.config.getoption("once"):
            numpys()
            benchmark.pedantic(ours)
            return
        repeat, repeat_numpy = repeats(ours), repeats(numpys)
        ours_round, numpys_round = repeated(ours, repeat), repeated(numpys, repeat_numpy)
        theirs: list[float] = []
        settle = 0.03 if threads > 1 else 0.0  # until the thread pool that worked last stops spinning

        def numpys_turn() -> None:
            time.sleep(settle)
            start = time.perf_counter()
            numpys_round()
            theirs.append((time.perf_counter() - start) / repeat_numpy)
            time.sleep(settle)

        start = time.perf_counter()
        numpys_turn()
        ours_round()
        rounds = int(max(5, min(50, BUDGET / (time.perf_counter() - start))))
        theirs.clear()
        benchmark.extra_info.update(calls_per_round=repeat * calls)
        benchmark.pedantic(ours_round, setup=numpys_turn, rounds=rounds)
        if benchmark.stats is None:  # --benchmark-disable
            return
        mine = [t / repeat for t in benchmark.stats.stats.data]
        times = {
            name: {"median": statistics.median(t) / calls, "minimum": min(t) / calls}
            for name, t in (("NumPy", theirs), ("nncore", mine))
        }
        name = request.node.callspec.id if hasattr(request.node, "callspec") else request.node.name
        request.config.stash[records].append(
            {"group": benchmark.group or request.module.__name__, "name": name, "flops": flops, "times": times}
        )

    return run


def repeats(f: Callable[[], object]) -> int:
    """How often to call `f` in a round."""
    f()
    start = time.perf_counter()
    f()
    return int(max(1, LEAST / max(1e-7, time.perf_counter() - start)))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the ratios and save them."""
    cases = config.stash[records]
    if not cases:
        return
    about = machine.describe(config.getoption("threads"))
    parts = ["# nncore beside NumPy", "", "Made by `pytest bench`; see bench/README.md.", ""]
    parts += [f"{about['threads']} thread(s).", "", report.machine(about)]
    for group in dict.fromkeys(case["group"] for case in cases):
        parts += ["", f"### {group}", "", ratio_table([case for case in cases if case["group"] == group])]
    text = "\n".join(parts) + "\n"
    terminalreporter.write(f"\n{text}\n")
    folder = config.getoption("results")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "numpy.md").write_text(text, encoding="utf-8")
    (folder / "numpy.json").write_text(json.dumps({"machine": about, "cases": cases}, indent=1), encoding="utf-8")


def ratio_table(cases: list[dict[str, Any]]) -> str:
    """nncore's time ÷ NumPy's: below 1 nncore is the faster."""
    rows, unit = [], "GFLOP/s" if any(case["flops"] for case in cases) else "µs"
    for case in cases:
        ours, numpys = case["times"]["nncore"], case["times"]["NumPy"]
        ratios = [f"{ours[key] / numpys[key]:.2f}" for key in ("median", "minimum")]
        rows.append([case["name"], *(report.cell(t, unit, case["flops"]) for t in (ours, numpys)), *ratios])
    head = ["case", f"nncore, {unit}", f"NumPy, {unit}", "time ÷ NumPy's", "by minima"]
    return report.table(head, rows)

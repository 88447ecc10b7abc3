"""What the benchmarks make of their samples: regimes, ratios, names, targets; no timing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

BENCH = Path(__file__).parents[2] / "bench"
RESULTS = BENCH / "results"


@pytest.fixture(autouse=True)
def bench_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))


QUIET, BUSY = 1.2e-6, 2.5e-6  # probes


def samples(*pairs: tuple[float, float], waits: float = 0.0) -> dict[str, Any]:
    """A candidate's times and probes, in seconds."""
    times, probes = zip(*pairs, strict=True)
    return {"times": list(times), "probes": list(probes), "waits": [waits] * len(times)}


def runs_of(**candidates: Any) -> list[dict[str, Any]]:
    """One case, called c, of the section training, on one thread."""
    case = {"name": "c", "flops": 0.0, "unit": "µs", "times": candidates}
    about = {"threads": 1, "precisions": {"highest": "float32", "high": "float32", "medium": "bfloat16"}}
    return [{"machine": about, "sections": {"training": [case]}, "skipped": []}]


def settled(runs: list[dict[str, Any]]) -> dict[str, Any]:
    import regimes

    regimes.settle(runs)
    return runs[0]["sections"]["training"][0]


def test_every_benchmark_against_numpy_runs(tmp_path: Path) -> None:
    """In a process of its own, for NumPy's threads are chosen before it is loaded."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "bench",
        "--once",
        "--results",
        str(tmp_path),
        "-p",
        "no:cacheprovider",
    ]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}  # xdist's disable it
    done = subprocess.run(command, cwd=BENCH.parent, capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"\b\d+ passed in", done.stdout) and "skipped" not in done.stdout


def test_samples_are_sorted_by_their_probes() -> None:
    """1.7 times the fastest probe is the slowest of a core alone."""
    case = settled(runs_of(a=samples((3.0, 1.0), (1.0, 1.6), (2.0, 1.69), (9.0, 1.71), (7.0, 2.0), (8.0, 30.0))))
    assert case["regime"] == "alone"
    assert case["times"]["a"]["alone"] == {"samples": 3, "median": 2.0, "minimum": 1.0}
    assert case["times"]["a"]["shared"] == {"samples": 3, "median": 8.0, "minimum": 7.0}
    assert (case["times"]["a"]["median"], case["times"]["a"]["minimum"]) == (2.0, 1.0)


def test_a_sample_that_waited_for_a_core_is_shared() -> None:
    case = settled(runs_of(a=samples(*[(1.0, QUIET)] * 3, waits=0.059), b=samples(*[(1.0, QUIET)] * 3, waits=0.061)))
    assert [case["times"][name]["alone"]["samples"] for name in "ab"] == [3, 0]
    assert case["times"]["b"]["shared"]["samples"] == 3


def test_candidates_are_compared_within_one_regime() -> None:
    """Where one lacks samples alone, all samples of all count."""
    a = samples(*[(1.0, QUIET)] * 5, *[(4.0, BUSY)] * 6)
    b = samples(*[(2.0, QUIET)] * 2, *[(3.0, BUSY)] * 9)
    case = settled(runs_of(a=a, b=b))
    assert case["regime"] == "all samples"
    assert [case["times"][name]["median"] for name in "ab"] == [4.0, 3.0]
    assert [case["times"][name]["minimum"] for name in "ab"] == [1.0, 2.0]


def test_probes_are_judged_by_the_fastest_of_all_runs() -> None:
    """A process that met nothing but neighbours does not take them for silence."""
    quiet, noisy = runs_of(a=samples(*[(1.0, QUIET)] * 3)), runs_of(a=samples(*[(2.0, BUSY)] * 3))
    assert settled(noisy)["regime"] == "alone"  # by itself it cannot know
    assert settled(noisy + quiet)["regime"] == "all samples"


@pytest.mark.parametrize("probe", [None, "none at all"])
def test_without_probes_all_samples_count(probe: Any) -> None:
    unprobed = {"times": [3.0, 1.0, 2.0]} | ({} if probe else {"probes": [None] * 3, "waits": [0.0] * 3})
    case = settled(runs_of(a=unprobed))
    assert (case["regime"], case["times"]["a"]["median"]) == ("all samples", 2.0)
    assert case["times"]["a"]["alone"]["samples"] == case["times"]["a"]["shared"]["samples"] == 0


@pytest.mark.parametrize(
    ("cpu", "isa", "name"),
    [
        ("Intel(R) Xeon(R) Processor", "amx", "intel-xeon-amx"),
        ("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", "amx", "intel-xeon-platinum-8481c-amx"),
        ("AMD EPYC", "avx512_bf16", "amd-epyc-avx512-bf16"),
        ("AMD EPYC 9634 84-Core Processor", "avx2", "amd-epyc-9634-avx2"),
        ("13th Gen Intel(R) Core(TM) i7-1360P", "avx2", "13th-gen-intel-core-i7-1360p-avx2"),
    ],
)
def test_names_of_machines(cpu: str, isa: str, name: str) -> None:
    import machine

    assert machine.slug(cpu, isa) == name


def test_every_sample_has_its_probes_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower of the two counts, and rounds go on until every candidate has samples alone.

    By a clock that goes on by a second when it is read, of which threads waited for 0.05.
    """
    import measure

    class Probe:
        works, fastest, calls, total = True, 1.0, 0, 0.0

        def __call__(self) -> float:
            self.calls += 1
            return 3.0 if self.calls in (1, 4) else 1.0  # before the first sample, and after the second

        def waited(self) -> float:
            self.total += 0.05
            return self.total

    probe: Any = Probe()
    monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=count().__next__, sleep=lambda seconds: None))
    monkeypatch.setattr(measure, "PATIENCE", float("inf"))
    case = measure.Case("c", 2, {"a": lambda: lambda: None}, settle=0, least=1e-9)
    made = measure.measure(case, 1, 3, 60, probe, lambda name, reason: None)
    assert made["a"]["probes"] == [3.0, 3.0, *[1.0] * measure.ENOUGH_ALONE]
    assert made["a"]["waits"] == [0.05] * (2 + measure.ENOUGH_ALONE)
    assert made["a"]["times"] == [0.5] * (2 + measure.ENOUGH_ALONE)
    assert len(made["a"]["times"]) == probe.calls / 2


def test_a_probe_tells_of_the_slowest_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Medians of five times 1 and 2 µs on two cores, one time of each interrupted."""
    import probe

    times = iter([1e-6, 9e-6, 1e-6, 1e-6, 1e-6, 2e-6, 2e-6, 2e-6, 2e-6, 9e-6])

    def nop_run(passes: int) -> float:
        return next(times)

    monkeypatch.setattr(probe.machine, "native", lambda: SimpleNamespace(nop_run=nop_run))
    probed = probe.Probe()
    probed.pinned = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]
    assert (probed(), probed.fastest) == (2e-6, 1e-6)


def test_waits_are_read_from_the_second_column(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of each thread: nanoseconds at work, nanoseconds waiting, turns; one of the threads is gone."""
    import probe

    for name, line in (("1", "5000000000 2000000000 7\n"), ("2", "100 500000000 3\n")):
        (tmp_path / name).write_text(line)
    monkeypatch.setattr(probe.machine, "native", lambda: None)
    monkeypatch.setattr(probe, "glob", lambda pattern: [str(tmp_path / name) for name in "123"])
    assert probe.Probe().waited() == pytest.approx(2.5)


def test_a_machine_keeps_its_highest_peaks() -> None:
    """A neighbour beside the last section lowers its peaks; another machine's count for nothing."""
    import peers

    about = {"cpu": "X", "isa": "avx2", "threads": 1, "bf16_peak_gflops": None}
    results: dict[str, Any] = {"runs": []}

    def peaks_after(fma: float, copy: float, **other: Any) -> tuple[Any, ...]:
        machine = about | {"fma_peak_gflops": fma, "copy_gb_per_s": copy} | other
        peers.add(results, "training", machine["threads"], {"machine": machine, "cases": [], "skipped": []})
        made = next(run["machine"] for run in results["runs"] if run["machine"]["threads"] == machine["threads"])
        return tuple(made[f"{key}"] for key in ("fma_peak_gflops", "copy_gb_per_s", "bf16_peak_gflops"))

    assert peaks_after(100.0, 9.0) == (100.0, 9.0, None)
    assert peaks_after(60.0, 11.0, bf16_peak_gflops=300.0) == (100.0, 11.0, 300.0)
    assert peaks_after(120.0, 10.0) == (120.0, 11.0, None)
    assert peaks_after(150.0, 20.0, threads=2) == (150.0, 20.0, None)
    assert peaks_after(50.0, 5.0, cpu="Y") == (50.0, 5.0, None)


def test_old_nets_see_few_rows_often() -> None:
    import nets

    for old in nets.AGED.values():
        x, y = old.data()
        rows = len(x) // old.copies
        assert rows == 10 * old.batch
        assert len(x) == old.steps * old.batch
        for data in (x, y):
            assert np.array_equal(data[:rows], data[-rows:])
        assert len(np.unique(x[:, 0])) > rows // 2


def test_a_target_says_its_regime_and_why_it_was_missed() -> None:
    """JAX's 4 µs alone ÷ ours of 2 µs; PyTorch with bfloat16 is no rival."""
    import targets
    from figures import BEST, faster

    candidates = {"JAX": 4e-6, "NumPy": 9e-6, "PyTorch bf16": 1e-6, "nncore highest": 2e-6}
    made = runs_of(**{name: samples(*[(t, QUIET)] * 3, (1.0, BUSY)) for name, t in candidates.items()})
    settled(made)

    def line(goal: float, level: str = "highest", **options: Any) -> dict[str, Any]:
        target = targets.Target(3, "B: step", "≥", goal, faster("training", "c", BEST, level), **options)
        limits = [{"row": 3, "work": "C", "limit": "no"}, {"row": 3, "work": "B", "limit": "for want of time"}]
        return target.line(targets.Results(made), limits)

    reached, missed = line(2), line(2.1)
    assert reached["figures"] == pytest.approx({"1 thread(s)": 2.0})
    assert (reached["regime"], reached["reached"], reached["limit"]) == ("alone", "yes", "")
    assert (missed["reached"], missed["limit"]) == ("no", "for want of time")
    assert "computes in float32" in line(2, level="high")["reached"]


@pytest.mark.parametrize(("peak", "limit"), [(100.0, "known; 2.00 × (1 thread(s)) if it were"), (None, "known")])
def test_a_missed_target_says_what_the_peak_allows(peak: float | None, limit: str) -> None:
    """Of 3e5 FLOPs, 3 µs at the peak; nothing without a C compiler, which finds no peak."""
    import targets
    from figures import faster, most

    made = runs_of(JAX=samples(*[(6e-6, QUIET)] * 3), **{"nncore highest": samples(*[(5e-6, QUIET)] * 3)})
    made[0]["machine"] |= {"fma_peak_gflops": peak, "bf16_unit": "no C compiler to measure it with"}
    settled(made)
    target = targets.Target(3, "B", "≥", 3, faster("training", "c"), most=most(3e5, "training", "c"))
    line = target.line(targets.Results(made), [{"row": 3, "limit": "known"}])
    assert line["reached"] == "no"
    assert line["limit"].split(" nothing")[0] == limit


@pytest.mark.parametrize(("level", "reached"), [("highest", 2.0), ("high", 5.0), ("medium", 15.0)])
def test_what_a_step_could_reach_at_the_peak(level: str, reached: float) -> None:
    """A peer's 6 µs ÷ 3e5 FLOPs: 3 µs at 100 GFLOP/s of FMA; 0.4 at 750 of bfloat16, thrice that where split."""
    import figures

    made = runs_of(JAX=samples(*[(6e-6, QUIET)] * 3), **{f"nncore {level}": samples(*[(5e-6, QUIET)] * 3)})
    made[0]["machine"] |= {"fma_peak_gflops": 100.0, "bf16_peak_gflops": 750.0, "bf16_unit": "AMX"}
    made[0]["machine"]["precisions"]["high"] = "split bfloat16"
    settled(made)
    most = figures.most(3e5, "training", "c", level=level)
    assert most(figures.Results(made)) == pytest.approx({"1 thread(s)": reached})


def results_of(section: str, cases: dict[str, dict[str, float]]) -> Any:
    """From times by candidate by case."""
    import figures

    made = runs_of()
    made[0]["sections"][section] = [
        {"name": name, "times": {who: samples(*[(t, QUIET)] * 3) for who, t in times.items()}}
        for name, times in cases.items()
    ]
    settled(made)
    return figures.Results(made)


def test_a_products_share_of_the_peak_is_without_its_calls() -> None:
    """512 calls alone take 1 s, so those of as many products of 128³ do: FMA's 3 s ÷ (5 - 1)."""
    import details
    import figures

    calls = details.cubes(64)
    times = {details.FMA: 3.0, details.CALLS: 1.0 * calls / 512, details.CUBE.format(128): 5.0}
    assert details.cubes(128) == 512
    assert figures.peak_share(128)(results_of("details", {details.PEAK: times})) == pytest.approx({"1 thread(s)": 0.75})


def test_the_worst_of_all_products_counts() -> None:
    import figures

    cases = {figures.product_name(shape): {"NumPy": 3.0, "nncore highest": 2.0} for shape in figures.PRODUCTS}
    cases["32, 784, 128"]["NumPy"] = 1.0
    found = figures.never_below_numpy(results_of("products", cases))
    assert found == {"32, 784, 128; 1 thread(s)": 0.5}


def test_the_worst_of_all_activations_counts() -> None:
    """Where one was not measured, none of them is known to be the worst."""
    import details
    import figures

    times = dict.fromkeys(details.activations(), 5.0) | {"product": 4.0, "gelu": 6.0, "relu": 7.0}
    names = [details.LAYER.format(*shape) for shape in details.LAYERS]
    cases = {name: dict(times) for name in names}
    cases[names[1]]["tanh"] = 8.0
    assert figures.layers()(results_of("details", cases)) == {"gelu, 256, 784, 512": 1.5, "tanh, 128, 256, 256": 2.0}
    assert figures.layers("relu")(results_of("details", cases)) == {"256, 784, 512": 1.75, "128, 256, 256": 1.75}
    assert "softmax" not in times
    del cases[names[1]]["elu"]
    with pytest.raises(figures.NotMeasuredError, match="not measured in this run"):
        figures.layers()(results_of("details", cases))


def test_a_figure_of_one_regime() -> None:
    """The worst of both layers by minima alone, 8 ÷ 4, and by medians shared, 9 ÷ 6."""
    import figures

    layers = {(32, 128, 128): (8.0, 4.0, 9.0, 6.0), (32, 256, 256): (9.0, 3.0, 9.0, 4.0)}  # alone, shared; two levels
    made = runs_of()
    made[0]["machine"]["precisions"]["high"] = "split bfloat16"
    made[0]["sections"]["levels"] = [
        {
            "name": figures.levels.case_name(*shape),
            "times": {
                f"nncore {level}": samples((a, QUIET), *[(2 * a + i, QUIET)] * 2, (s / 3 + i, BUSY), *[(s, BUSY)] * 2)
                for i, (level, a, s) in enumerate((("highest", t[0], t[2]), ("high", t[1], t[3])))
            },
        }
        for shape, t in layers.items()
    ]
    settled(made)
    results = figures.Results(made)
    assert figures.gain("high", layers, "alone")(results) == {"32 × 128-128": 2.0}
    assert figures.gain("high", layers, "shared")(results) == {"32 × 128-128": 1.5}
    assert results.regimes == {"alone", "shared"}


@pytest.mark.parametrize(("goal", "reached"), [(2, "not enough samples alone but for 1 of 2 shapes"), (3, "no")])
def test_shapes_without_enough_samples_leave_a_target_open(goal: float, reached: str) -> None:
    """Unless those that have them miss it already."""
    import figures
    import targets

    shapes = [(32, 128, 128), (64, 128, 128)]
    cases = {figures.levels.case_name(*shape): {"nncore highest": 5.0, "nncore medium": 2.0} for shape in shapes}
    results = results_of("levels", cases)
    for times in results.runs[0]["sections"]["levels"][1]["times"].values():
        times["alone"]["samples"] = 2
    line = targets.Target(8, "", "≥", goal, figures.gain("medium", shapes, "alone")).line(results)
    assert line["figure"] == "2.50 × (32 × 128-128; 1 of 2 shapes)"
    assert (line["regime"], line["reached"]) == ("alone", reached)


def test_readme_marks_nets_whose_samples_are_not_all_alone() -> None:
    """On any number of threads."""
    import readme

    (one,) = runs_of(**{"nncore highest": samples(*[(1.0, QUIET)] * 3)})
    (two,) = runs_of(**{"nncore highest": samples(*[(1.0, QUIET)] * 2, (1.0, BUSY))})
    for run in (one, two):
        run["sections"]["training"][0]["name"] = "A 784-10"
    settled([one, two])
    assert "| 784-10 \\* |" in readme.table([one, two])
    assert "| 784-10 |" in readme.table([one])


def test_readme_shows_the_results() -> None:
    import readme

    text = readme.README.read_text(encoding="utf-8")
    assert readme.filled(text) == text
    assert text.count("### AMD EPYC, avx512_bf16\n") == 1
    assert readme.filled(text, "amd-epyc-avx512-bf16") == text


@pytest.mark.parametrize("machine", ["amd-epyc-avx512-bf16", "intel-xeon-amx"])
def test_readmes_figures_are_medians_of_the_results(machine: str) -> None:
    """A 784-512-512-10 step, beside NumPy's: of samples alone where the case has enough, else of all."""
    import readme
    import regimes

    path = readme.RESULTS / f"{machine}.json"
    runs = {run["machine"]["threads"]: run["sections"] for run in json.loads(path.read_text())["runs"]}
    cases = [next(case for case in runs[n]["training"] if case["name"].startswith("C ")) for n in (1, 2)]
    probes = [
        p
        for sections in runs.values()
        for section in sections.values()
        for case in section
        for made in case["times"].values()
        for p in made.get("probes", [])
        if p
    ]

    def median(case: dict[str, Any], who: str) -> float:
        made = case["times"][who]
        kept = np.ones(len(made["times"]), bool)
        if case["regime"] == "alone":
            kept = (np.array(made["probes"]) <= regimes.FACTOR * min(probes)) & (
                np.array(made["waits"]) <= regimes.WAIT
            )
        return float(np.median(np.array(made["times"])[kept]))

    ours, numpys = ([median(case, who) for case in cases] for who in ("nncore highest", "NumPy"))
    shown = readme.README.read_text().partition(f"{machine}.png")[2].partition(f"{machine}.md")[0]
    (line,) = (x for x in shown.splitlines() if x.startswith("| 784-512-512-10, 256 adam"))
    assert f"**{1e6 * ours[0]:.0f} / {1e6 * ours[1]:.0f}**" in line
    assert f"| {numpys[0] / ours[0]:.1f} / {numpys[1] / ours[1]:.1f} × |" in line


def strangers(limits: Path) -> list[str]:
    """What the file says of results or targets that do not exist."""
    import targets

    found = []
    for name, known in targets.tomllib.loads(limits.read_text(encoding="utf-8")).items():
        found += [] if (RESULTS / f"{name}.json").exists() else [name]
        for line in known:
            mine = [t for t in targets.TARGETS if t.row == line["row"] and t.work.startswith(line.get("work", ""))]
            found += [] if mine and line["limit"] else [f"{name}, {line['row']}"]
    return found


def test_limits_name_results_and_targets_that_exist() -> None:
    import targets

    assert strangers(targets.LIMITS) == []


def test_limits_are_of_one_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import targets

    epyc = "[[amd-epyc-avx512-bf16]]\nrow = {}\nwork = {!r}\nlimit = 'why'\n"
    lines = [(1, "F: step"), (1, "Z"), (99, "")]
    text = "".join(epyc.format(*line) for line in lines) + "[[nobody]]\nrow = 1\nlimit = 'why'\n"
    (tmp_path / "limits.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(targets, "LIMITS", tmp_path / "limits.toml")
    assert [(line["row"], line["work"]) for line in targets.limits("amd-epyc-avx512-bf16")] == lines
    assert targets.limits("another") == ()
    assert strangers(targets.LIMITS) == ["amd-epyc-avx512-bf16, 1", "amd-epyc-avx512-bf16, 99", "nobody"]

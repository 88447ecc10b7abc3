"""What the benchmarks make of their samples: regimes, ratios, names, targets; no timing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(autouse=True)
def bench_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))


ALONE, SHARED = 1.2e-6, 2.5e-6  # probes


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


def test_samples_are_sorted_by_their_probes() -> None:
    """1.7 times the fastest probe is the slowest of a core alone."""
    case = settled(runs_of(a=samples((3.0, 1.0), (1.0, 1.6), (2.0, 1.69), (9.0, 1.71), (7.0, 2.0), (8.0, 30.0))))
    assert case["regime"] == "alone"
    assert case["times"]["a"]["alone"] == {"samples": 3, "median": 2.0, "minimum": 1.0}
    assert case["times"]["a"]["shared"] == {"samples": 3, "median": 8.0, "minimum": 7.0}
    assert (case["times"]["a"]["median"], case["times"]["a"]["minimum"]) == (2.0, 1.0)


def test_a_sample_that_waited_for_a_core_is_shared() -> None:
    case = settled(runs_of(a=samples(*[(1.0, ALONE)] * 3, waits=0.02), b=samples(*[(1.0, ALONE)] * 3, waits=0.04)))
    assert [case["times"][name]["alone"]["samples"] for name in "ab"] == [3, 0]
    assert case["times"]["b"]["shared"]["samples"] == 3


def test_candidates_are_compared_within_one_regime() -> None:
    """Where one lacks samples alone, all samples of all count."""
    a = samples(*[(1.0, ALONE)] * 5, *[(4.0, SHARED)] * 6)
    b = samples(*[(2.0, ALONE)] * 2, *[(3.0, SHARED)] * 9)
    case = settled(runs_of(a=a, b=b))
    assert case["regime"] == "all samples"
    assert [case["times"][name]["median"] for name in "ab"] == [4.0, 3.0]
    assert [case["times"][name]["minimum"] for name in "ab"] == [1.0, 2.0]


def test_probes_are_judged_by_the_fastest_of_all_runs() -> None:
    """A process that met nothing but neighbours does not take them for silence."""
    quiet, noisy = runs_of(a=samples(*[(1.0, ALONE)] * 3)), runs_of(a=samples(*[(2.0, SHARED)] * 3))
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
    """The slower of the two counts, and rounds go on until every candidate has samples alone."""
    import measure

    class Probe:
        works, fastest, calls = True, 1.0, 0

        def __call__(self) -> float:
            self.calls += 1
            return 3.0 if self.calls in (1, 4) else 1.0  # before the first sample, and after the second

        def waited(self) -> float:
            return 0.0

    probe: Any = Probe()
    monkeypatch.setattr(measure, "PATIENCE", float("inf"))
    case = measure.Case("c", 2, {"a": lambda: lambda: None}, settle=0, least=1e-9)
    made = measure.measure(case, 1, 3, 60, probe, lambda name, reason: None)
    assert made["a"]["probes"] == [3.0, 3.0, *[1.0] * measure.ALONE]
    assert len(made["a"]["times"]) == probe.calls / 2


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
    made = runs_of(**{name: samples(*[(t, ALONE)] * 3, (1.0, SHARED)) for name, t in candidates.items()})
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


def test_what_a_step_could_reach_at_the_peak() -> None:
    """A peer's 6 µs ÷ 3e5 FLOPs at 100 GFLOP/s, which are 3 µs."""
    import figures

    made = runs_of(JAX=samples(*[(6e-6, ALONE)] * 3), **{"nncore highest": samples(*[(5e-6, ALONE)] * 3)})
    made[0]["machine"] |= {"fma_peak_gflops": 100.0, "bf16_unit": ""}
    settled(made)
    assert figures.most(3e5, "training", "c")(figures.Results(made)) == pytest.approx({"1 thread(s)": 2.0})


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
                f"nncore {level}": samples(
                    (a, ALONE), *[(2 * a + i, ALONE)] * 2, (s / 3 + i, SHARED), *[(s, SHARED)] * 2
                )
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


def test_readme_shows_the_results() -> None:
    import readme

    text = readme.README.read_text(encoding="utf-8")
    assert readme.filled(text) == text
    assert text.count("### AMD EPYC, avx512_bf16\n") == 1
    assert readme.filled(text, "amd-epyc-avx512-bf16") == text


def test_readmes_figures_are_medians_of_the_results() -> None:
    """A 784-512-512-10 step on the EPYC: 8823 and 4432 µs, 1.2 and 1.6 times as fast as NumPy."""
    import readme

    path = readme.RESULTS / "amd-epyc-avx512-bf16.json"
    runs = {run["machine"]["threads"]: run["sections"]["training"] for run in json.loads(path.read_text())["runs"]}
    times = [next(case["times"] for case in runs[n] if case["name"].startswith("C ")) for n in (1, 2)]
    one, two = (1e6 * np.median(t["nncore highest"]["times"]) for t in times)
    fast = [np.median(t["NumPy"]["times"]) / np.median(t["nncore highest"]["times"]) for t in times]
    (line,) = (x for x in readme.README.read_text().splitlines() if x.startswith("| 784-512-512-10, 256 adam |"))
    assert f"**{one:.0f} / {two:.0f}**" in line
    assert f"| {fast[0]:.1f} / {fast[1]:.1f} × |" in line


def test_limits_name_results_and_rows_that_exist() -> None:
    import targets

    rows = {target.row for target in targets.TARGETS}
    for name, known in targets.tomllib.loads(targets.LIMITS.read_text(encoding="utf-8")).items():
        assert Path(targets.LIMITS.parent, f"{name}.json").exists()
        assert {line["row"] for line in known} <= rows

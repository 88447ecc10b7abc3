"""Benchmarks of layers: both libraries do the same work, no kind of layer is left out, ratios are the right way up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn

BENCH = Path(__file__).parents[2] / "bench"
ROWS = 37
#: Whose layers each have a line; of the others' some have.
WHOLE = {"normalization", "lengths", "dropout"}
SOME = {"activation", "depthwise", "edges", "merging", "pooling", "reshaping", "whole_pooling"}


@pytest.fixture(autouse=True)
def bench_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))


@pytest.fixture
def torch() -> Iterator[Any]:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: parity with it is not tested")
    threads = torch.get_num_threads()
    yield torch
    torch.set_num_threads(threads)


def lines() -> dict[str, Any]:
    import families

    kinds = (
        families.NORMALIZATION,
        families.NOISE,
        families.CONVOLUTION,
        families.ACTIVATIONS,
        families.MERGING,
        families.POOLING,
    )
    return {line.name: line for kind in kinds for line in kind}


COMPARED = (
    "BatchNormalization LayerNormalization GroupNormalization RMSNormalization UnitNormalization softmax log_softmax"
)
COMPARED += " glu gelu mish DepthwiseConv2D Add Multiply Maximum Concatenate Dot Permute"
COMPARED += " MaxPooling2D AveragePooling2D GlobalAveragePooling2D ZeroPadding2D UpSampling2D"
DISTURBED = ["Dropout", "AlphaDropout", "SpatialDropout1D", "SpatialDropout2D"]


@pytest.mark.torch
def test_all_that_pytorch_has_is_compared() -> None:
    assert {name for name, line in lines().items() if line.torch} == {*COMPARED.split(), *DISTURBED}


@pytest.mark.torch
@pytest.mark.parametrize("name", COMPARED.split())
def test_pytorch_does_the_same_passes(torch: Any, name: str) -> None:
    """Y, and the gradients of inputs and weights; each run makes them anew."""
    from passes import Pass, torch_pass

    line = lines()[name]
    xs, dy = line.data(ROWS)
    whole = Pass(line.make(), xs, dy)
    for result in whole.results:
        result[...] = np.nan
    made, wanted = whole(), torch_pass(line.torch, line.make(), xs, dy)()
    assert len(made) == len(wanted) > line.inputs
    for ours, theirs in zip(made, wanted, strict=True):
        wide = theirs.detach().numpy()
        np.testing.assert_allclose(ours, wide, 1e-4, 1e-5 * max(1, abs(wide).max()))  # sums of thousands of terms
    alone, expected = Pass(line.make(), xs)(), torch_pass(line.torch, line.make(), xs)()
    assert len(alone) == len(expected) == 1
    np.testing.assert_allclose(alone[0], expected[0].detach().numpy(), 1e-4, 1e-5)


@pytest.mark.torch
@pytest.mark.parametrize("name", DISTURBED)
def test_pytorch_disturbs_as_much(torch: Any, name: str) -> None:
    """The mean change of an element, within four standard errors of some thousand columns."""
    from passes import Pass, torch_pass

    line = lines()[name]
    xs, _ = line.data(512)
    [ours], [theirs] = Pass(line.make(), xs)(), torch_pass(line.torch, line.make(), xs)()
    changes = [abs(y - xs[0]).mean() for y in (ours, theirs.detach().numpy())]
    assert changes[0] == pytest.approx(changes[1], rel=0.05)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["SGD", "LazyAdam"])
def test_pytorch_makes_the_same_steps_of_an_embedding(torch: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Y and the table after four steps: what is prepared has made one."""
    import families
    from passes import Pass, torch_table

    monkeypatch.setitem(families.TABLES, "300", 300)
    make, numbers, dy = families.embedding("300")
    peer, settings = families.STEPS[name]
    ours, theirs = (
        Pass(make(), [numbers], dy, nn.optimizers.get(name)),
        torch_table(make(), numbers, dy, peer, **settings),
    )
    theirs()
    for _ in range(3):
        made, wanted = ours(), theirs()
    np.testing.assert_allclose(made[0], wanted[0].detach().numpy(), 1e-5)
    np.testing.assert_allclose(made[1], wanted[1].detach().numpy(), 1e-5)


def test_every_kind_of_layer_has_a_line() -> None:
    def kind(layer: Any) -> str:
        return layer.__module__.rpartition(".")[2]

    measured = {type(line.make()) for line in lines().values()}
    assert {kind(layer) for layer in measured} == WHOLE | SOME
    assert {layer for layer in nn.layers.LAYERS.classes.values() if kind(layer) in WHOLE} <= measured


def results_of(cases: dict[str, dict[str, float]], section: str = "families") -> Any:
    """From medians by candidate by case."""
    import figures

    made = [
        {"name": name, "regime": "alone", "times": {who: {"median": t} for who, t in times.items()}}
        for name, times in cases.items()
    ]
    return figures.Results([{"machine": {"threads": 1}, "sections": {section: made}}])


def test_figures_of_families() -> None:
    """An update in 4 s beside a copy in 3; a layer in 9 beside 6, 12 in one pass; a step of 5 beside 4."""
    import families
    import figures

    cases = {families.RULE.format("adam"): {families.COPY: 3.0, "nncore": 4.0}}
    passes = {(rows, which): (6.0, 9.0) for rows in (256, 4096) for which in (families.FORWARD, families.BOTH)}
    passes[4096, families.BOTH] = 6.0, 12.0
    for (rows, which), (copy, ours) in passes.items():
        cases[families.LAYER.format("LayerNormalization", rows, 512, which)] = {families.COPY: copy, "nncore": ours}
    for size, ours in zip(families.TABLES, (4.0, 5.0), strict=True):
        cases[families.STEP.format(size, "SGD")] = {"nncore": ours, "PyTorch": 9.0}
    results = results_of(cases)
    assert figures.bandwidth("adam")(results) == {"1 thread(s)": 0.75}
    assert figures.larger_table("SGD")(results) == {"1 thread(s)": 1.25}
    found = figures.beside_copy("LayerNormalization")(results)
    assert found.pop("4096 rows, forward and backward") == 2
    assert list(found) == ["256 rows, forward", "256 rows, forward and backward", "4096 rows, forward"]
    assert set(found.values()) == {1.5}
    with pytest.raises(figures.NotMeasuredError):
        figures.beside_copy("BatchNormalization")(results)


def test_figures_of_metrics_and_of_a_loss_in_python() -> None:
    import details
    import figures

    metered = {details.NO_METRICS: 20e-6} | dict.fromkeys(details.METRICS, 21e-6)
    own = {details.NATIVE: 4e-6, details.OWN_LOSS: 16e-6}
    results = results_of({details.METERED.format("B"): metered, details.OWN.format("F"): own}, "details")
    assert figures.metered("B")(results) == dict.fromkeys(details.METRICS, pytest.approx(1.05))
    assert figures.own_loss("F")(results) == {"1 thread(s)": pytest.approx(12)}


def test_a_table_of_families_divides_others_times_by_nncores() -> None:
    import report

    def times(median: float) -> dict[str, Any]:
        none = {"samples": 0}
        alone = {"samples": 3, "median": median, "minimum": median}
        return {"times": [median] * 3, "median": median, "minimum": median, "alone": alone, "shared": none}

    cases = [
        {
            "name": "a",
            "unit": "µs",
            "flops": 0,
            "regime": "alone",
            "times": {"copy": times(3e-6), "nncore": times(4e-6)},
        },
        {
            "name": "b",
            "unit": "ms",
            "flops": 0,
            "regime": "alone",
            "times": {"nncore": times(4e-3), "PyTorch": times(6e-3)},
        },
    ]
    head, _, *rows = report.families("", cases).splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in (head, *rows)]
    assert cells == [
        ["case", "regime", "unit", "copy", "PyTorch", "nncore", "copy ÷ nncore", "PyTorch ÷ nncore"],
        ["a", "alone", "µs", "3.00 (3.00) 3", "–", "4.00 (4.00) 3", "0.75", "–"],
        ["b", "alone", "ms", "–", "6.00 (6.00) 3", "4.00 (4.00) 3", "–", "1.50"],
    ]


def test_readme_of_the_benchmarks_names_every_file() -> None:
    text = (BENCH / "README.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in text.splitlines() if line.startswith("| `"))
    files = [path.name for path in BENCH.iterdir() if path.suffix in (".py", ".c", ".md")]
    assert [name for name in files if f"`{name}`" not in table and name != "README.md"] == []

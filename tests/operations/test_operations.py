"""Tensors that are parts of others; and each operation alone: what it writes, and that it writes nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference as ref
import reference_losses as losses
import reference_metrics
from cases import SAMPLES, Case
from cases_arithmetic import ARITHMETIC
from cases_arrangement import ARRANGEMENT
from cases_convolution import CONVOLUTION
from cases_dense import DENSE
from cases_depthwise import DEPTHWISE
from cases_elementwise import ELEMENTWISE
from cases_embedding import EMBEDDING
from cases_images import IMAGES
from cases_normalization import NORMALIZATION
from cases_pooling import POOLING
from cases_preprocessing import PREPROCESSING
from cases_random import RANDOM
from cases_updates import UPDATES, of_chunks
from kernels import Array, each_table, eps

import nncore as nn
from nncore._kernels.table import (
    CHUNK_ROWS,
    LOSSES,
    METRICS,
    OWN_SCHEDULED,
    SOURCES,
    SUM_CHAINS,
    TALLIES,
    Table,
)
from nncore.compiler.operation import OPERATIONS, Op, Tensor
from nncore.execution.alone import run_operation


def test_a_part_of_a_part_is_a_part_of_the_whole() -> None:
    whole = Tensor((10,))
    part = Tensor((6,), alias_of=whole, offset=4)
    inner = Tensor((2,), alias_of=Tensor((2, 1), alias_of=part, offset=3))
    assert inner.root is part.root is whole.root is whole
    assert (part.offset, inner.offset) == (4, 7)


def test_a_long_chain_of_parts() -> None:
    first = last = Tensor((4,))
    for _ in range(10_000):
        last = Tensor((2, 2), alias_of=last)
    assert last.root is first


def test_roots_are_named_once() -> None:
    x, y = Tensor((4,)), Tensor((4,))
    assert Op("add", A=x, B=Tensor((2, 2), alias_of=x), Y=y).roots() == {id(x): x, id(y): y}


# -- each operation alone ------------------------------------------------------------------------------------------


def gather(c: Case) -> dict[str, Array]:
    data = c.rng.integers(0, 200, (SAMPLES, 5)).astype(np.uint8)
    c.fields = {"X": c.poisoned(SAMPLES, 5), "binding": 0, "n": 5, "block": 8}
    c.bind = lambda run: run.bind_rows(0, data, stride=5, type=SOURCES["uint8"], n=5)
    return {"X": data}


def convert(c: Case) -> dict[str, Array]:
    x = c.rng.integers(-(2**31), 2**31, (SAMPLES, 7)).astype(np.int32)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 7), "block": 16}
    return {"Y": ref.float64(x)}


def dropout(c: Case) -> dict[str, Array]:
    x = c.reals(SAMPLES, 9)
    steps = np.array([5])
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 9), "layer": 2, "seed": -1, "rate": 0.25, "block": 64}
    c.bind = lambda run: run.bind_random(11, steps)
    return {"Y": x * ref.dropout_mask(x.size, 0, (11, 2 << 48 ^ 5), 0.25).reshape(x.shape)}


def dropout_by_step(c: Case) -> dict[str, Array]:
    """The rate is the second number of what follows the optimizer's, at update 4, the second that is bound."""
    x, optimizer, steps = c.reals(SAMPLES, 9), nn.SGD(), np.array([5])
    optimizer.iterations = 4

    def bind(run: Any) -> None:
        run.bind_random(11, steps)
        run.bind_optimizer(0, "sgd", optimizer.numbers, optimizer.counter, np.inf, 0.0)
        own = [np.array([0.7]), np.array([0.6, 0.375, 0.5])]
        run.bind_schedules(3, 6, [np.array([0.9])] * OWN_SCHEDULED + own)

    c.fields = {
        "X": x,
        "Y": c.poisoned(SAMPLES, 9),
        "layer": 2,
        "seed": -1,
        "scheduled": OWN_SCHEDULED + 1,
        "block": 64,
    }
    c.bind = bind
    return {"Y": x * ref.dropout_mask(x.size, 0, (11, 2 << 48 ^ 5), 0.375).reshape(x.shape)}


def accumulate(c: Case) -> dict[str, Array]:
    v, w = c.reals(SAMPLES), abs(c.reals(SAMPLES))
    c.fields, c.sums = {"V": v, "weight": w, "block": CHUNK_ROWS}, np.zeros(2)
    return {"sums": np.array([(ref.float64(v) * w).sum(), SAMPLES])}


def add_gradient(c: Case) -> dict[str, Array]:
    g, more = c.reals(9, 7), c.reals(9, 7)
    c.fields = {"dW": g, "more": more, "block": 16}
    return {"dW": ref.float64(g) + more}


def loss(c: Case) -> dict[str, Array]:
    z, labels, w = c.reals(SAMPLES, 5), c.rng.integers(0, 5, SAMPLES).astype(np.int32), abs(c.reals(SAMPLES))
    sizes = {"rows": 1, "n": 5, "labels": 1, "targets": 1, "weights": 1, "block": CHUNK_ROWS, "scale": 0.25}
    sizes["function"] = LOSSES[f"{SPARSE}_logits"]
    outputs = {"dP": c.poisoned(SAMPLES, 5), "prob": c.poisoned(SAMPLES, 5), "parameters": (-1.0,)}
    c.fields, c.sums = {"P": z, "T": labels, "weight": w} | outputs | sizes, np.zeros(2)
    p, t = ref.softmax(z), np.eye(5)[labels]
    value = float((w * -np.log(p[t > 0])).sum())
    return {"prob": p, "dP": 0.25 * w[:, None] * (p - t) / SAMPLES, "sums": np.array([value, SAMPLES])}


def batch_loss(c: Case) -> dict[str, Array]:
    """Circle loss, whose mean is over samples for which it is not 0."""
    p, labels, w = c.reals(SAMPLES, 5), c.rng.integers(0, 3, SAMPLES).astype(np.int32), abs(c.reals(SAMPLES))
    p /= np.sqrt((p**2).sum(axis=1, keepdims=True)) * 1.01
    labels[0] = 7  # alone: its loss is 0
    sizes = {"rows": 1, "n": 5, "labels": 1, "targets": 1, "fixed": 1, "function": LOSSES["circle"], "scale": 0.25}
    numbers = 8.0, 0.4, 1.0, 0.0
    c.fields = {"P": p, "T": labels, "weight": w, "dP": c.poisoned(SAMPLES, 5), "parameters": numbers} | sizes
    c.sums = np.zeros(2)
    values = losses.values("circle", p, labels, *numbers)
    share = SAMPLES / np.count_nonzero(values > 0)
    gradient = losses.gradient("circle", p, labels, numbers, w.astype("float64"), range(5))
    return {"dP": 0.25 / SAMPLES * share * gradient, "sums": np.array([float(w @ values) * share, SAMPLES])}


def weight_sum(c: Case) -> dict[str, Array]:
    labels, w = c.rng.integers(-1, 4, (SAMPLES, 2)).astype(np.int32), abs(c.reals(SAMPLES, 6))
    c.fields = {
        "weight": w,
        "label": labels,
        "Y": c.poisoned(1),
        "rows": 2,
        "ignored": -1,
        "weights": 6,
        "fixed": 1,
        "cost": 2,
    }
    return {"Y": ref.float64([w.reshape(SAMPLES, 2, 3).mean(2)[labels >= 0].sum()])}


def metric(c: Case) -> dict[str, Array]:
    p, t = c.reals(SAMPLES, 5), c.reals(SAMPLES, 5)
    c.fields = {"P": p, "T": t, "rows": 1, "n": 5, "block": CHUNK_ROWS, "function": METRICS["brier_score"]}
    c.sums = np.zeros(2)
    return {"sums": np.array([((ref.float64(p) - t) ** 2).sum(1).sum(), SAMPLES])}


def metric__of_weighed_rows(c: Case) -> dict[str, Array]:
    p, t, w = c.reals(SAMPLES, 2, 5), c.reals(SAMPLES, 2, 5), abs(c.reals(SAMPLES, 2))
    c.fields = {"P": p, "T": t, "weight": w, "rows": 2, "n": 5, "weights": 2, "block": CHUNK_ROWS}
    c.fields["function"], c.sums = METRICS["brier_score"], np.zeros(2)
    scores = ((ref.float64(p) - t) ** 2).sum(2)
    return {"sums": np.array([(w * scores).mean(1).sum(), SAMPLES])}


def metric__by_loss(c: Case) -> dict[str, Array]:
    """A loss's function, after those of metrics."""
    p, t = c.reals(SAMPLES, 5), c.reals(SAMPLES, 5)
    function = len(METRICS) + LOSSES["mean_absolute_error"]
    c.fields = {"P": p, "T": t, "rows": 1, "n": 5, "block": CHUNK_ROWS, "function": function}
    c.sums = np.zeros(2)
    return {"sums": np.array([abs(ref.float64(p) - t).mean(1).sum(), SAMPLES])}


def tally(c: Case) -> dict[str, Array]:
    """Of two rows a sample, with one weight."""
    p, t, w = (
        c.rng.random((SAMPLES, 2, 3)).astype(c.table.dtype),
        c.rng.integers(0, 2, (SAMPLES, 2, 3)),
        c.reals(SAMPLES),
    )
    numbers = np.array([0.25, 0.75], c.table.dtype)
    operands = {"P": p, "T": t.astype(c.table.dtype), "weight": w, "numbers": numbers}
    settings = {"function": TALLIES["thresholds"], "rows": 2, "n": 3, "count": 2, "events": 6, "block": CHUNK_ROWS}
    c.fields, c.sums = operands | settings | {"parameters": (-1.0, 0.0)}, np.zeros(7)
    c.parts = {"size": 12, "events": 6, "rows": 1}
    weights = np.repeat(ref.float64(w), 2)[:, None] * np.ones(3)
    rows = ref.float64(p).reshape(-1, 3), ref.float64(t).reshape(-1, 3), weights
    return {"sums": np.append(reference_metrics.thresholds(*rows, [0.25, 0.75], 2, [-1, 0]), SAMPLES)}


def moments(c: Case) -> dict[str, Array]:
    """They go on from sums of other rows."""
    p, t, w = c.reals(SAMPLES + 5, 2, 3), c.reals(SAMPLES + 5, 2, 3), abs(c.reals(SAMPLES + 5))
    rows = [ref.float64(x).reshape(-1, 3) for x in (p, t)]
    weights = np.repeat(ref.float64(w), 2)[:, None]
    before = reference_metrics.moments(*(x[:10] for x in (*rows, weights)))
    c.sums = np.append(before.reshape(-1), 5)
    operands = {"P": p[5:].copy(), "T": t[5:].copy(), "weight": w[5:].copy()}
    c.fields = operands | {"rows": 2, "n": 3, "fixed": 3, "block": 2}
    c.parts = {"rows": 0}
    return {"sums": np.append(reference_metrics.moments(*rows, weights).reshape(-1), SAMPLES + 5)}


def sum_parts(c: Case) -> dict[str, Array]:
    """Of 5 rows a sample, three chunks: of each only the first array is to be read."""
    given = c.reals(3, SUM_CHAINS, 261)
    expected = ref.float64(given[:, 0]).sum(0)
    given[:, 1:] = np.nan
    c.fields = {"parts": given, "dW": c.poisoned(261), "rows": 5, "apart": SUM_CHAINS * 261, "fixed": 261, "block": 64}
    return {"dW": expected}


def penalty(c: Case) -> dict[str, Array]:
    w, g = c.reals(57), c.reals(57)
    of_chunks(c, l1=0.5, l2=0.25)
    c.fields, c.sums = {"W": w, "dW": g}, np.zeros(2)
    inside = np.r_[0:33, 40:57]
    expected = ref.float64(g)
    expected[inside] += 0.5 * np.sign(w[inside]) + 0.5 * ref.float64(w[inside])
    value = 0.5 * abs(ref.float64(w[inside])).sum() + 0.25 * (ref.float64(w[inside]) ** 2).sum()
    return {"dW": expected, "sums": np.array([SAMPLES * value, SAMPLES])}


def norms(c: Case) -> dict[str, Array]:
    g = c.reals(57)
    of_chunks(c)
    c.fields = {"dW": g, "norms": np.full((2, 2), np.nan)}
    squares = ref.float64(g) ** 2
    return {"norms": np.array([[squares[:33].sum(), 1], [squares[40:57].sum(), 1]])}


def moving_average(c: Case) -> dict[str, Array]:
    s, x = c.reals(33, 523), c.reals(33, 523)
    c.fields = {"S": s, "X": x, "momentum": 0.75}
    return {"S": 0.75 * ref.float64(s) + 0.25 * ref.float64(x)}


CASE = "dict[str, Array]"
SPARSE = "sparse_categorical_crossentropy"
#: Every function here that makes one, and those of the families.
HERE = [f for f in list(vars().values()) if getattr(f, "__annotations__", {}) == {"c": "Case", "return": CASE}]
FAMILIES = (
    ARITHMETIC,
    ARRANGEMENT,
    CONVOLUTION,
    DENSE,
    DEPTHWISE,
    ELEMENTWISE,
    EMBEDDING,
    IMAGES,
    NORMALIZATION,
    POOLING,
    PREPROCESSING,
    RANDOM,
    UPDATES,
)
CASES: list[Callable[[Case], dict[str, Array]]] = [*HERE, *(case for family in FAMILIES for case in family)]


def operation(case: Callable[..., Any]) -> str:
    return re.sub("_by_step$|_by_loss$|__.*", "", case.__name__)


def test_every_operation_has_a_case() -> None:
    assert {operation(case) for case in CASES} == set(OPERATIONS)


@each_table
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_an_operation_writes_what_is_declared(case: Callable[..., Any], threads: int, table: Table) -> None:
    """What it may only read has the same bytes afterwards, what it writes has the values of the formula."""
    c = Case(table)
    expected = case(c)
    before = {key: value.copy() for key, value in c.fields.items() if isinstance(value, np.ndarray)}
    name = operation(case)
    given = {"bind": c.bind, "chunks": c.chunks, "sums": c.sums, "accumulated": c.parts}
    run_operation(table, name, SAMPLES, threads=threads, **given, **c.fields)
    declaration = OPERATIONS[name]
    for key, was in before.items():
        if key not in declaration.writes:
            assert c.fields[key].tobytes() == was.tobytes(), f"{key} was written, and is not declared so"
    for key in declaration.writes:
        if key in before and key not in expected:
            assert c.fields[key].tobytes() == before[key].tobytes(), f"{key} was written: the case has no formula"
    tolerance = max(200 * eps(table), c.tolerance)
    for key, value in expected.items():
        got = c.sums if key == "sums" else c.fields[key]
        np.testing.assert_allclose(got, np.asarray(value).reshape(got.shape), tolerance, tolerance, err_msg=key)

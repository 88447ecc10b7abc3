"""Metrics: values of rows, counts of rows and sums of powers, against float64 NumPy."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import reference_metrics as ref
from kernels import Array, assert_same_bits, each_name, each_table, edges, generator, normal

from nncore._kernels.loss import add_moments, apply_rows, apply_tally, row_values
from nncore._kernels.table import METRIC_TARGETS, METRICS, MOMENTS, TALLIES, Table

ROWS = [0, 1, 2, 3, 5, 17, 33]
PARAM = {"binary_accuracy": 0.5, "top_k_categorical_accuracy": 2.0, "sparse_top_k_categorical_accuracy": 3.0}
REAL = ["pearson_correlation", "concordance_correlation"]


def widths(table: Table) -> list[int]:
    return sorted({1, 2, 3, 10, *edges(table.lanes, 2 * table.lanes, 16, 512), 1100})


def weights(table: Table, *shape: int) -> Array:
    weight = generator("weight", shape).uniform(0, 3, shape).astype(table.dtype)
    weight[1::4] = 0
    return weight


# --- values of rows ---------------------------------------------------------------------------------------------


def example(table: Table, name: str, rows: int, n: int) -> tuple[Array, Array]:
    """Predictions of few values, so that largest ones often tie, and targets that are often met."""
    rng = generator(name, rows, n)
    p = rng.integers(0, 4, (rows, n)) / 4
    if METRIC_TARGETS[name] == "LABELS":
        return p.astype(table.dtype), rng.integers(0, min(n, 3), rows).astype("int32")
    t = np.eye(n)[rng.integers(0, min(n, 3), rows)] if "cat" in name else rng.integers(0, 2, (rows, n))
    if name in REAL:
        t = t + rng.standard_normal((rows, n))
    return p.astype(table.dtype), t.astype(table.dtype)


@each_table
@each_name(METRICS)
def test_metric(table: Table, name: str) -> None:
    """These values are exact in any type, but for the weights: n is a power of two wherever one divides by it."""
    param = PARAM.get(name, 0.0)
    for rows, n in product(ROWS, [1, 2, 4, 8, 16, 32, 64, 512, *widths(table)]):
        p, t = example(table, name, rows, n)
        exact = n & (n - 1) == 0 and name not in REAL
        got = apply_rows(table, "metric", name, p, t, rows, n, parameters=(param,))
        assert got == pytest.approx(ref.metric(name, p, t, param=param), rel=1e-15 if exact else 1e-11), (rows, n)
        w = weights(table, rows)
        got = apply_rows(table, "metric", name, p, t, rows, n, weight=w, parameters=(param,))
        assert got == pytest.approx(ref.metric(name, p, t, w, param), rel=1e-11, abs=1e-11), (rows, n)
        each = np.empty(rows)
        row_values(table, name, p, t, rows, n, each, parameters=(param,))
        want = ref.METRICS[name](ref.float64(p), ref.float64(t), param)
        np.testing.assert_allclose(each, want, 1e-11, 1e-11, err_msg=str((rows, n)))


@each_table
@each_name([name for name in METRICS if "categorical_accuracy" in name])
def test_largest_at_every_place(table: Table, name: str) -> None:
    """Also with −inf or nan beside it; of equal ones the first counts, or with k all."""
    for n in widths(table)[1:]:
        for best in {*range(min(n, 40)), n - 1}:
            for others, equal in product([-np.inf, -1.0, np.nan], [best, n - 1]):
                p = np.full((1, n), others, table.dtype)
                p[0, best] = p[0, equal] = 3
                hit, miss = (np.array([label], "int32") for label in (best, (best + 1) % n))
                also = "top_k" in name and p[0, miss[0]] == 3
                if METRIC_TARGETS[name] == "VALUES":
                    hit, miss = (np.eye(n, dtype=table.dtype)[label] for label in (hit, miss))
                assert apply_rows(table, "metric", name, p, hit, 1, n, parameters=(1,)) == 1, (n, best, others)
                assert apply_rows(table, "metric", name, p, miss, 1, n, parameters=(1,)) == also, (n, best, others)


@each_table
@each_name([name for name in METRICS if name.startswith("sparse") and "accuracy" in name])
def test_undecided_prediction_matches_no_label(table: Table, name: str) -> None:
    for n in (2, 16, 40):
        p, label = np.full((3, n), np.nan, table.dtype), np.array([0, 1, n - 1], "int32")
        assert apply_rows(table, "metric", name, p, label, 3, n, parameters=(2,)) == 0


# --- counts -----------------------------------------------------------------------------------------------------

EVEN = [-np.inf, *(i / 8 for i in range(1, 8)), np.inf]
UNEVEN = [0.0, 0.25, 0.3, 0.7]

#: name, parameters, numbers, of which so many are thresholds; None: as many as there are outputs
CASES: list[tuple[str, tuple[float, ...], list[float], int]] = [
    ("thresholds", (-1, 0, 0, 0), EVEN, 9),
    ("thresholds", (-1, 0, 1, 0), UNEVEN, 4),
    ("thresholds", (-1, 2, 0, 0), [-np.inf], 1),
    ("thresholds", (-1, 1, 1, 0), [0.5], 1),
    ("thresholds", (0, 0, 0, 0), UNEVEN, 4),
    ("thresholds", (-1, 0, 0, 1), [*UNEVEN, *(0.5 + i for i in range(40))], 4),
    ("largest", (), [], 0),
    ("confusion", (40, 1, 1, -1), [], 0),
    ("confusion", (40, 1, 1, 2), [], 0),
    ("confusion", (3, 0, 0, -1), [], 0),
    ("confusion", (2, 2, 2, -1), [0.5], 1),
    ("confusion", (2, 0, 3, -1), [0.5], 1),
    ("reliability", (), [i / 7 for i in range(1, 7)], 6),
]


def counted(name: str, parameters: tuple[float, ...], n: int, count: int) -> tuple[int, int]:
    """Numbers of the sum, and events of a row."""
    if name == "thresholds":
        outputs = n if parameters[0] < 0 else 1
        return 2 * (count + 1) * (outputs if parameters[2] else 1), outputs
    if name == "largest":
        return 4 * n, n
    return (int(parameters[0]) ** 2, 1) if name == "confusion" else (3 * (count + 1), 3)


@each_table
@pytest.mark.parametrize(("name", "parameters", "numbers", "count"), CASES)
@pytest.mark.parametrize("labels", [False, True])
def test_tally(
    table: Table, name: str, parameters: tuple[float, ...], numbers: list[float], count: int, labels: bool
) -> None:
    single = name == "confusion" and 1 not in parameters[1:3]
    for rows, n in product(ROWS, [1] if single else [1, 2, 3, 10, 40]):
        rng = generator(name, parameters, rows, n)
        p = (rng.integers(0, 9, (rows, n)) / 8).astype(table.dtype)
        t: Array = rng.integers(0, 2, (rows, n)).astype(table.dtype)
        if name == "confusion" and parameters[1] == 0:
            p, t = rng.integers(-1, 5, (rows, n)).astype(table.dtype), rng.integers(0, 4, (rows, n)).astype(table.dtype)
        if labels:
            t = rng.integers(0, n, rows).astype("int32")
        width, events = counted(name, parameters, n, count)
        given = np.array(numbers, table.dtype) if numbers else None
        for w in [
            None,
            weights(table, rows, 1),
            *([weights(table, rows, n)] if name in ("thresholds", "largest") else []),
        ]:
            each = np.broadcast_to(np.ones((rows, 1)) if w is None else ref.float64(w), (rows, n))
            want = ref.TALLIES[name](ref.float64(p), t, each, ref.float64(given) if numbers else [], count, parameters)
            got = np.zeros(width)
            options: dict[str, Any] = {"weight": w, "numbers": given, "count": count, "parameters": parameters}
            apply_tally(table, name, p, t, rows, n, events, got, **options)
            np.testing.assert_allclose(got, want, 1e-14, 1e-14, err_msg=str((rows, n)))
            again = np.zeros(width)  # in two parts: the same bits
            for part in (slice(0, rows // 3), slice(rows // 3, rows)):
                options["weight"] = None if w is None else w[part]
                apply_tally(table, name, p[part], t[part], len(p[part]), n, events, again, **options)
            assert_same_bits(again, got)


def test_every_tally_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(TALLIES)


@each_table
def test_a_prediction_that_is_no_number_is_above_nothing(table: Table) -> None:
    p, t, sums = np.full((1, 1), np.nan, table.dtype), np.ones((1, 1), table.dtype), np.zeros(6)
    numbers = np.array([-np.inf, 0.5], table.dtype)
    apply_tally(table, "thresholds", p, t, 1, 1, 1, sums, numbers=numbers, count=2, parameters=(-1,))
    assert sums.tolist() == [0, 0, 0, 1, 0, 0]


# --- sums of powers ---------------------------------------------------------------------------------------------


@each_table
def test_moments(table: Table) -> None:
    for rows, n in product(ROWS[1:], [1, 2, 3, 10, 40]):
        p, t = normal(table, rows, n, key="p"), normal(table, rows, n, key="t") + np.asarray(1000, table.dtype)
        for w in [None, weights(table, rows, 1), weights(table, rows, n)]:
            each = np.ones((rows, 1)) if w is None else ref.float64(w)
            want = ref.moments(ref.float64(p), ref.float64(t), each)
            got = np.zeros(MOMENTS * n)
            add_moments(table, p, t, rows, n, got, weight=w)
            np.testing.assert_allclose(got.reshape(MOMENTS, n), want, 1e-12, 1e-9)
            again = np.zeros(MOMENTS * n)
            for part in (slice(0, rows // 3), slice(rows // 3, rows)):
                add_moments(table, p[part], t[part], len(p[part]), n, again, weight=None if w is None else w[part])
            assert_same_bits(again, got)

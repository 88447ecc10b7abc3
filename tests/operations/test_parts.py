"""Operations on rows: the order of sums that they bring along, whatever the rows and the threads; bits of each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernels import Array, assert_same_bits, each_table, normal

from nncore._kernels.table import SUM_CHAINS, SUM_ROWS, Table
from nncore.compiler.operation import Tensor
from nncore.execution.alone import run_operation

ROWS = (1, 3, 4, 63, 64, 65, 66, 191, 300)


def ordered_sum(x: Array) -> Array:
    """Σ of the rows as reduce.h has it for column_sums, each addition rounded to the dtype."""
    total: Any = None
    for first in range(0, len(x), SUM_ROWS):
        chains = np.zeros((SUM_CHAINS, x.shape[1]), x.dtype)
        for i, row in enumerate(x[first : first + SUM_ROWS]):
            chains[i % SUM_CHAINS] += row
        chunk = (chains[0] + chains[1]) + (chains[2] + chains[3])
        total = chunk if total is None else total + chunk
    return np.asarray(total)


def brought(table: Table, kind: str, threads: int, rows: int, sums: dict[str, Any], **fields: Any) -> list[Array]:
    """The sums of an operation on rows, in parts and then added."""
    n = fields["n"]
    given = {name: np.full((-(-rows // SUM_ROWS), SUM_CHAINS, n), np.nan, table.dtype) for name in sums}
    # of one sample, as else an array of as many parts as samples would pass for one of theirs
    run_operation(table, kind, 1, threads=threads, per_sample=rows, block=SUM_ROWS, **given, **fields)
    added = []
    for part in given.values():
        added.append(np.full(n, np.nan, table.dtype))
        run_operation(
            table, "sum_parts", 1, parts=part, dW=added[-1], rows=rows, apart=SUM_CHAINS * n, fixed=n, block=64
        )
    return added


@each_table
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n", [1, 37, 300])
def test_the_order_of_sums_that_are_brought_along(n: int, threads: int, table: Table) -> None:
    """Products are rounded before they are added: nothing is fused into the sums."""
    for rows in ROWS:
        x, dy, slope = normal(table, 1, rows, n, key="x"), normal(table, 1, rows, n, key="dy"), normal(table, n)
        given: dict[str, Any] = {"X": x, "dY": dy, "n": n}
        dgamma, dbeta = brought(table, "scale_backward", threads, rows, {"dgamma": 0, "dbeta": 0}, **given)
        assert_same_bits(dgamma, ordered_sum((dy * x)[0]), rows)
        assert_same_bits(dbeta, ordered_sum(dy[0]), rows)
        [dslope] = brought(table, "prelu_backward", threads, rows, {"dslope": 0}, slope=slope, **given)
        assert_same_bits(dslope, ordered_sum((dy * np.minimum(x, 0))[0]), rows)
        given |= {"F": normal(table, 1, rows, n, key="f")}
        [dalpha] = brought(table, "activate_partly_backward", threads, rows, {"dalpha": 0}, alpha=slope, **given)
        assert_same_bits(dalpha, ordered_sum((dy * (given.pop("F") - x))[0]), rows)
        angles = {"frequency": np.zeros(n, dy.dtype), "phase": np.full(n, 0.5, dy.dtype), "k": 1}  # sin(π / 2) is 1
        both = {"dfrequency": 0, "dphase": 0}
        dfrequency, dphase = brought(table, "number_features_backward", threads, rows, both, **angles, **given)
        d = dy * dy.dtype.type(-np.pi)
        assert_same_bits(dphase, ordered_sum(d[0]), rows)
        assert_same_bits(dfrequency, ordered_sum((d * x)[0]), rows)
        mean, inverse = normal(table, 1, rows, key="mean"), abs(normal(table, 1, rows, key="inverse"))
        given |= {"mean": mean, "inverse": inverse}
        dgamma, dbeta = brought(table, "layer_norm_backward", threads, rows, {"dgamma": 0, "dbeta": 0}, **given)
        assert_same_bits(dgamma, ordered_sum((dy * ((x - mean[..., None]) * inverse[..., None]))[0]), rows)
        assert_same_bits(dbeta, ordered_sum(dy[0]), rows)


@each_table
def test_a_sum_of_parts_that_is_not_finite_is_flagged(table: Table) -> None:
    """Also where only the sum overflows: the step is not applied."""
    for value in (np.inf, np.nan, np.finfo(table.dtype).max):
        parts, dw = np.zeros((2, SUM_CHAINS, 37), table.dtype), np.zeros(37, table.dtype)
        parts[:, 0, 36] = value
        found = []

        def bind(run: Any, found: list[Any] = found) -> None:
            found.append(run)

        run_operation(table, "sum_parts", 1, parts=parts, dW=dw, rows=65, apart=SUM_CHAINS * 37, fixed=37, bind=bind)
        assert not found[0].finite and not np.isfinite(dw[36]), value


def test_there_are_as_many_parts_as_chunks_of_rows() -> None:
    parts = Tensor((SUM_CHAINS, 7), sum_rows=3)
    assert [parts.arrays(samples) for samples in (1, 21, 22, 42, 43)] == [1, 1, 2, 2, 3]


@each_table
def test_a_row_has_its_bits_beside_any_others(table: Table) -> None:
    """Alone, or among so many that several are done side by side; nothing is fused for some of them only."""
    for n in (5, 37, 300, 700):
        rows, shape = 9, (9, n)
        x, dy, mean, inverse = (normal(table, *size, key=k) for k, size in enumerate([shape, shape, (rows,), (rows,)]))
        for learned in ((), ("gamma",), ("beta",), ("gamma", "beta")):
            weights = {name: normal(table, n, key=name) for name in learned}
            found: list[list[Array]] = []
            for sizes in ({"block": rows}, {"block": 1, "threads": 2}):
                y, dx = np.full(shape, np.nan, table.dtype), np.full(shape, np.nan, table.dtype)
                run_operation(table, "layer_norm", rows, X=x, Y=y, n=n, per_sample=1, epsilon=0.1, **weights, **sizes)
                given: dict[str, Any] = {"X": x, "dY": dy, "mean": mean, "inverse": inverse, "n": n, "per_sample": 1}
                given |= {name: weight for name, weight in weights.items() if name == "gamma"}
                run_operation(table, "layer_norm_backward", rows, dX=dx, **given, **sizes)
                found.append([y, dx])
            for together, alone in zip(*found, strict=True):
                assert_same_bits(together, alone, (n, learned))

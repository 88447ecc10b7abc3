"""What a case of `test_operations` is made of: an operation on arrays, with what its outputs are to be."""

from __future__ import annotations

from typing import Any

import numpy as np
from kernels import Array, generator

from nncore._kernels.table import SUM_CHAINS, SUM_ROWS, Table

SAMPLES = 37  # more than a chunk of rows; a case's sizes are odd, so that no vector is whole


class Case:
    """An operation on arrays: its fields, and what its outputs are to be, by formulas in float64."""

    def __init__(self, table: Table) -> None:
        self.table, self.rng, self.bind, self.chunks, self.sums = table, generator("operations"), None, None, None
        self.parts: dict[str, int] = {}
        self.fields: dict[str, Any] = {}
        self.tolerance = 0.0  # at least

    def reals(self, *shape: int) -> Array:
        return self.rng.standard_normal(shape).astype(self.table.dtype)

    def poisoned(self, *shape: int) -> Array:
        return np.full(shape, np.nan, self.table.dtype)


def rows_of(x: Array) -> Array:
    return np.asarray(x, np.float64).reshape(-1, x.shape[-1])


def parts(c: Case, n: int) -> Array:
    """Room for the parts of a sum over two rows of each sample, which are more than a chunk of them."""
    return c.poisoned(-(-2 * SAMPLES // SUM_ROWS), SUM_CHAINS, n)


def parts_of(x: Array) -> Array:
    """Of each chunk of rows: their sum, then those of every fourth row, of the second, third and fourth on."""
    chunks = [rows_of(x)[first : first + SUM_ROWS] for first in range(0, len(rows_of(x)), SUM_ROWS)]
    return np.stack([[c.sum(0), *(c[k::SUM_CHAINS].sum(0) for k in range(1, SUM_CHAINS))] for c in chunks])

"""What runs an operation by itself: often, and with an eye on what lies beside its operands."""

from __future__ import annotations

import numpy as np
import pytest
from kernels import each_table

from nncore import runtime
from nncore._kernels.table import Table
from nncore.execution.alone import Prepared, run_operation


@each_table
def test_an_operation_that_is_prepared_once_runs_often(table: Table) -> None:
    """It goes on from what it changed; arrays have that when it is taken back, and not before."""
    g, more = np.ones((9, 7), table.dtype), np.full((9, 7), 2, table.dtype)
    prepared = Prepared(table, "add_gradient", 1, dW=g, more=more, block=16)
    for before, after in ((1, 7), (7, 13)):
        for _ in range(3):
            prepared.run()
        assert np.unique(g) == before
        prepared.take_back()
        assert np.unique(g) == after


def test_what_is_written_beside_an_operand_is_seen() -> None:
    """Eight sums where there is room for seven."""
    x, y = np.zeros((37, 8), np.float32), np.zeros(7, np.float32)
    with pytest.raises(AssertionError, match="column_sums wrote beside its operands"):
        run_operation(runtime.kernels("float32"), "column_sums", 37, dY=x, db=y, rows=1, n=8, fixed=8, block=8)

"""What runs an operation by itself sees what is written beside its operands."""

from __future__ import annotations

import numpy as np
import pytest

from nncore import runtime
from nncore.execution.alone import run_operation


def test_what_is_written_beside_an_operand_is_seen() -> None:
    """Eight sums where there is room for seven."""
    x, y = np.zeros((37, 8), np.float32), np.zeros(7, np.float32)
    with pytest.raises(AssertionError, match="column_sums wrote beside its operands"):
        run_operation(runtime.kernels("float32"), "column_sums", 37, dY=x, db=y, rows=1, n=8, fixed=8, block=8)

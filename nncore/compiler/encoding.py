"""The operations of a program as the array that the engine reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore._kernels.table import BUFFERS, OPERATIONS
from nncore.compiler.operation import OPERANDS, Op, Operand, Whole

FIELDS = ("variant", "barrier", "slot", "factor", "precision", "n", "k", "ld", "cost")  # of an Op, as they are

#: struct nn_op of src_c/program.h
OPERATION = np.dtype(
    [(name, "i8") for name in ("kind", *FIELDS)]
    + [("param", "f8", 2), ("arg", [("buffer", "i8"), ("offset", "i8")], OPERANDS)]
)


def locate(operand: Operand, itemsize: int) -> tuple[str, int]:
    """Buffer and byte offset of an operand."""
    if operand is None:
        return "none", 0
    if isinstance(operand, Whole):
        if operand.offset is not None:
            return operand.buffer, operand.offset
        return operand.buffer, operand.parameter.offset * itemsize if operand.parameter else 0
    return operand.root.buffer, operand.root.offset + (operand.offset * itemsize if operand.alias_of else 0)


def encode(ops: list[Op], itemsize: int) -> np.ndarray[Any, Any]:
    """The operations as an array of nn_op."""
    nothing = [locate(None, itemsize)]
    rows = []
    for op in ops:
        places = [locate(o, itemsize) for o in op.operands] + nothing * (OPERANDS - len(op.operands))
        arguments = [(BUFFERS[buffer], offset) for buffer, offset in places]
        rows.append((OPERATIONS[op.kind], *(getattr(op, name) for name in FIELDS), op.param, arguments))
    return np.array(rows, dtype=OPERATION)

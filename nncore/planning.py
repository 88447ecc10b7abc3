"""The last passes over a program: bytes for its tensors, barriers, and the array that the engine reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nncore._kernels.table import BUFFERS, OPERATIONS
from nncore.operations import Op, Operand, Tensor, Whole

#: struct nn_op of src_c/program.h
OPERATION = np.dtype(
    [(name, "i8") for name in ("kind", "variant", "barrier", "slot", "factor", "precision", "n", "k", "ld", "cost")]
    + [("param", "f8", 2), ("arg", [("buffer", "i8"), ("offset", "i8")], 6)]
)

CACHE_LINE = 64


def tensors_of(op: Op) -> Iterator[Tensor]:
    """Roots of an operation's tensors in the workspace."""
    return (o.root for o in op.operands if isinstance(o, Tensor) and o.root.buffer == "workspace")


def tensor_bytes(tensor: Tensor, max_samples: int, itemsize: int) -> int:
    """Bytes of a tensor's root for `max_samples` samples."""
    return tensor.root.size * (4 if tensor.root.labels else itemsize) * max_samples


def plan(ops: list[Op], max_samples: int, itemsize: int, output: Tensor) -> int:
    """Give each tensor of the workspace its first byte, sharing bytes among tensors that never live together.

    First fit over the tensors in order of first use; returns the bytes needed.
    """
    spans: dict[int, list[Any]] = {}  # id → [first op, last op, bytes, tensor]
    for i, op in enumerate(ops):
        for root in tensors_of(op):
            lines = -(-tensor_bytes(root, max_samples, itemsize) // CACHE_LINE)
            spans.setdefault(id(root), [i, i, lines * CACHE_LINE, root])[1] = i
    if id(output.root) in spans:
        spans[id(output.root)][1] = len(ops)
    placed: list[list[Any]] = []
    total = 0
    for span in spans.values():
        start = 0
        for other in sorted((p for p in placed if p[1] >= span[0]), key=lambda p: p[3].offset):
            if start + span[2] <= other[3].offset:
                break
            start = max(start, other[3].offset + other[2])
        span[3].offset = start
        total = max(total, start + span[2])
        placed.append(span)
    return total


def locate(operand: Operand, itemsize: int) -> tuple[str, int]:
    """Buffer and byte offset of an operand."""
    if operand is None:
        return "none", 0
    if isinstance(operand, Whole):
        if operand.offset is not None:
            return operand.buffer, operand.offset
        return operand.buffer, operand.parameter.offset * itemsize if operand.parameter else 0
    return operand.root.buffer, operand.root.offset + (operand.offset * itemsize if operand.alias_of else 0)


def place_barriers(ops: list[Op], update_at: int, max_samples: int, itemsize: int, layout_bytes: int) -> None:
    """Put barriers where an operation depends on another since the last barrier.

    That is where it reads or writes what the other wrote, or writes what the other read; and before the update
    section, where the engine looks at the sums.
    """

    def extent(operand: Operand) -> tuple[str, int, int]:
        buffer, start = locate(operand, itemsize)
        if isinstance(operand, Whole):
            size = operand.parameter.size * itemsize if operand.parameter else layout_bytes
        else:
            assert operand is not None
            start, size = locate(operand.root, itemsize)[1], tensor_bytes(operand, max_samples, itemsize)
        return buffer, start, start + size

    def clash(some: list[tuple[str, int, int]], others: list[tuple[str, int, int]]) -> bool:
        return any(a[0] == b[0] and a[1] < b[2] and b[1] < a[2] for a in some for b in others)

    read: list[tuple[str, int, int]] = []
    written: list[tuple[str, int, int]] = []
    for i, op in enumerate(ops):
        reads = [extent(o) for o in op.reads() if o is not None]
        writes = [extent(o) for o in op.writes() if o is not None]
        op.barrier = i == 0 or i == update_at or clash(reads + writes, written) or clash(writes, read)
        if op.barrier:
            read, written = [], []
        read += reads
        written += writes


def encode(ops: list[Op], itemsize: int) -> np.ndarray[Any, Any]:
    """The operations as an array of nn_op."""
    rows = np.zeros(len(ops), dtype=OPERATION)
    for row, op in zip(rows, ops, strict=True):
        row["kind"] = OPERATIONS[op.kind]
        for name in ("variant", "barrier", "slot", "factor", "precision", "n", "k", "ld", "cost", "param"):
            row[name] = getattr(op, name)
        for i, operand in enumerate(op.operands):
            buffer, offset = locate(operand, itemsize)
            row["arg"][i] = (BUFFERS[buffer], offset)
    return rows

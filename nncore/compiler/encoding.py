"""The operations of a program as the array of nn_op that the engine reads."""

from __future__ import annotations

import math
import struct
from functools import cache
from typing import Any

import numpy as np

from nncore._kernels.table import BUFFERS, OPERATION_BYTES, OPERATION_HEAD, PARAMETERS, PATTERNS, SECTIONS
from nncore.compiler.chains import chains_of
from nncore.compiler.memory import is_distant, tensor_bytes
from nncore.compiler.operation import OPERATIONS, ArrayPlace, Moving, Op, Operand, Tensor, Whole, roots
from nncore.compiler.program import Section, Sum

#: struct nn_accumulator of src_c/core/program.h
ACCUMULATOR = np.dtype(
    [(name, "i8") for name in ("width", "sum", "partial", "size", "events", "rows", "by_chunks", "per_step", "finite")]
    + [("weight", [("buffer", "i8"), ("offset", "i8")])]
)

#: struct nn_section and struct nn_moving
SECTION = np.dtype(
    [(name, "i8") for name in ("kind", "first", "end", "turns", "step", "moving", "n_moving", "each", "steps")]
)
MOVING_OPERAND = np.dtype([(name, "i8") for name in ("slot", "buffer", "offset", "stride")])

#: struct nn_local
LOCAL_OPERAND = np.dtype([(name, "i8") for name in ("operand", "offset", "bytes")])

#: struct nn_distant
DISTANT = np.dtype([(name, "i8") for name in ("buffer", "offset", "bytes")])

#: Types of attributes, for NumPy and for `struct`.
ATTRIBUTES = {"INTEGER": np.dtype("i8"), "NUMBER": np.dtype("f8"), "PARAMETERS": np.dtype(("f8", PARAMETERS))}
CODES = {"INTEGER": "q", "NUMBER": "d", "PARAMETERS": PARAMETERS * "d"}


@cache
def layout(kind: str) -> np.dtype[Any]:
    """nn_op as it is for an operation of this kind: the fields that all have, then its own."""
    d = OPERATIONS[kind]
    operand = np.dtype([("buffer", "i8"), ("offset", "i8")])
    types: dict[str, Any] = dict.fromkeys(OPERATION_HEAD, np.dtype("i8"))
    types |= dict.fromkeys(d.operands, operand)
    types |= {name: ATTRIBUTES[role] for name, role in d.attributes.items()}
    offsets = OPERATION_HEAD | d.offsets
    return np.dtype(
        {
            "names": list(offsets),
            "formats": [types[name] for name in offsets],
            "offsets": list(offsets.values()),
            "itemsize": OPERATION_BYTES,
        }
    )


@cache
def packer(kind: str) -> struct.Struct:
    """The same for `struct`, which writes one ten times as fast: all fields are of 8 bytes, side by side."""
    d = OPERATIONS[kind]
    code = "q" * len(OPERATION_HEAD) + "qq" * len(d.operands)
    code += "".join(CODES[role] for role in d.attributes.values())
    return struct.Struct(f"={code}")


def locate(operand: Operand, itemsize: int) -> tuple[int, int]:
    """Buffer, by its number, and byte offset of an operand."""
    if operand is None:
        return BUFFERS["none"], 0
    if isinstance(operand, Moving):
        return BUFFERS["moving"] + operand.slot, 0
    if isinstance(operand, Whole):
        if operand.offset is not None:
            return BUFFERS[operand.buffer], operand.offset
        first = 0 if operand.parameter is None else operand.parameter.offset + operand.part
        return BUFFERS[operand.buffer], first * itemsize
    root = operand.root
    return BUFFERS[root.buffer] + root.number, root.offset + (operand.offset * itemsize if operand.alias_of else 0)


def array_place(operand: Tensor | Whole, itemsize: int) -> ArrayPlace:
    """Where a tensor's array lies, or that of a parameter's part of a buffer."""
    buffer, offset = locate(operand, itemsize)
    dtype = np.dtype(f"f{itemsize}")
    if isinstance(operand, Whole):
        assert operand.parameter is not None
        shape, per_sample = operand.parameter.shape, False
    else:
        dtype = np.dtype(np.int32) if operand.root.integer else dtype
        shape, per_sample = operand.shape, operand.per_sample
    return ArrayPlace(buffer, offset, shape, per_sample, math.prod(shape) * dtype.itemsize, dtype)


def encode(ops: list[Op], itemsize: int) -> np.ndarray[Any, Any]:
    """The operations as an array of nn_op."""
    encoded = np.zeros(len(ops), f"V{OPERATION_BYTES}")
    no_parameters = (0.0,) * PARAMETERS
    memory: Any = encoded.view(np.uint8)
    for i, op in enumerate(ops):
        d = op.declaration
        places: list[int] = []
        for operand in op.operand_values(d.operands):
            places += locate(operand, itemsize)
        head = d.number, PATTERNS[d.pattern], op.barrier, op.fixed, op.per_sample, op.block, op.cost
        chain = op.chain, op.chain_step, op.chain_most
        of_run = op.first_local, op.n_locals, op.first_distant, op.n_distant
        attributes: list[float] = []
        for name, role in d.attributes.items():
            value = getattr(op, name)
            attributes += (*value, *no_parameters[len(value) :]) if role == "PARAMETERS" else (value,)
        packer(op.kind).pack_into(memory, i * OPERATION_BYTES, *head, *chain, *of_run, *places, *attributes)
    return encoded


def encode_locals(ops: list[Op], itemsize: int) -> np.ndarray[Any, Any]:
    """The operands that each thread has room of its own for, as an array of nn_local; operations learn their places."""
    found: list[tuple[int, int, int]] = []
    for op in ops:
        if not op.chain_most:
            continue
        op.first_local, d = len(found), op.declaration
        for name, operand in zip(d.operands, op.operand_values(d.operands), strict=True):
            if isinstance(operand, Tensor) and operand.root.buffer == "local":
                bytes_ = tensor_bytes(operand, 1, itemsize)
                found.append((d.offsets[name], locate(operand, itemsize)[1], bytes_))
        op.n_locals = len(found) - op.first_local
    return np.array(found, LOCAL_OPERAND)


def encode_distant(ops: list[Op], itemsize: int) -> np.ndarray[Any, Any]:
    """What chains touch of tensors that are there for all samples, in that order, as an array of nn_distant."""
    found: list[tuple[int, int, int]] = []
    for chain in chains_of(ops):
        touched = roots(operand for op in chain for operand in (*op.reads(), *op.writes()))
        arrays = {(*locate(root, itemsize), tensor_bytes(root, 1, itemsize)): root for root in touched.values()}
        chain[0].first_distant = len(found)
        found += (array for array, root in arrays.items() if is_distant(root))
        chain[0].n_distant = len(found) - chain[0].first_distant
    return np.array(found, DISTANT)


def encode_sums(sums: list[Sum], itemsize: int) -> np.ndarray[Any, Any]:
    """The sums of a program as an array of nn_accumulator."""
    encoded, first = np.zeros(len(sums), ACCUMULATOR), 0
    for entry, row in zip(sums, encoded, strict=True):
        buffer, offset = locate(entry.weight, itemsize)
        penalty = entry.kind == "penalty"
        row["width"], row["sum"], row["by_chunks"], row["per_step"] = entry.width, first, penalty, penalty
        row["size"], row["events"], row["rows"] = entry.size, entry.events, entry.rows
        row["finite"], row["weight"] = entry.kind != "metric", (buffer, offset)
        first += entry.width + 1
    return encoded


def encode_sections(sections: list[Section], itemsize: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The sections of a program as arrays of nn_section and nn_moving."""
    encoded = np.zeros(len(sections), SECTION)
    moving: list[tuple[int, ...]] = []
    for section, row in zip(sections, encoded, strict=True):
        row["kind"], row["first"], row["end"] = SECTIONS[section.kind], section.first, section.end
        row["turns"], row["step"] = section.turns, -1 if section.backwards else 1
        row["each"], row["steps"] = section.each, section.steps
        row["moving"], row["n_moving"] = len(moving), len(section.moving)
        for m in section.moving:
            buffer, offset = locate(m.tensor, itemsize)
            moving.append((m.slot, buffer, offset + m.offset * itemsize, m.stride * itemsize))
    return encoded, np.array(moving, MOVING_OPERAND)

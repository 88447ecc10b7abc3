"""Sections that Python computes: the batch's arrays, as they lie in the memory of a run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nncore._kernels.run import Run
from nncore.compiler.encoding import locate
from nncore.compiler.operation import Place, Tensor, Whole
from nncore.compiler.program import Section


def called(section: Section, run: Run, dtype: np.dtype[Any]) -> None:
    """Do a section that is a call: of its function with what it reads, then what it fills."""
    call = section.call
    assert call is not None
    if call.places is None:
        call.places = [place_of(operand, dtype) for operand in (*call.given, *call.made)]
    rows, arrays = run.samples, []
    for buffer, offset, shape, by_sample, size, kind in call.places:
        if by_sample:
            shape, size = (rows, *shape), rows * size
        memory: Any = run.memory(buffer, offset, size)
        arrays.append(np.empty(shape, kind) if memory is None else np.ndarray(shape, kind, memory))
    for array in arrays[: len(call.given)]:
        array.flags.writeable = False
    call.function(*arrays)


def place_of(operand: Tensor | Whole, dtype: np.dtype[Any]) -> Place:
    """Where a tensor lies, or a parameter's part of a buffer."""
    buffer, offset = locate(operand, dtype.itemsize)
    if isinstance(operand, Whole):
        assert operand.parameter is not None
        shape, by_sample = operand.parameter.shape, False
    else:
        dtype = np.dtype(np.int32) if operand.root.integer else dtype
        shape, by_sample = operand.shape, operand.per_sample
    return buffer, offset, shape, by_sample, math.prod(shape) * dtype.itemsize, dtype

"""Sections that Python computes: the batch's arrays, as they lie in the memory of a run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nncore._kernels.run import Run
from nncore.compiler.encoding import locate
from nncore.compiler.operation import Tensor, Whole
from nncore.compiler.program import Section
from nncore.state import Array


def called(section: Section, run: Run, dtype: np.dtype[Any]) -> None:
    """Do a section that is a call: of its function with what it reads, then what it fills."""
    call = section.call
    assert call is not None
    arrays = [array_of(t, run, dtype) for t in (*call.given, *call.made)]
    for array in arrays[: len(call.given)]:
        array.flags.writeable = False
    call.function(*arrays)


def array_of(operand: Tensor | Whole, run: Run, dtype: np.dtype[Any]) -> Array:
    """A tensor of the batch at hand, or a parameter's part of a buffer."""
    buffer, offset = locate(operand, dtype.itemsize)
    if isinstance(operand, Whole):
        assert operand.parameter is not None
        shape = operand.parameter.shape
    else:
        dtype = np.dtype(np.int32) if operand.root.integer else dtype
        shape = (run.samples, *operand.shape) if operand.per_sample else operand.shape
    memory: Any = run.memory(buffer, offset, math.prod(shape) * dtype.itemsize)
    return np.empty(shape, dtype) if memory is None else np.ndarray(shape, dtype, memory)

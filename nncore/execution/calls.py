"""Sections that Python computes: the batch's arrays, as they lie in the memory of a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore._kernels.run import Run
from nncore.compiler.program import Section


def called(section: Section, run: Run) -> None:
    """Do a section that is a call: of its function with what it reads, then what it fills."""
    call = section.call
    assert call is not None
    rows, arrays = run.samples, []
    for buffer, offset, shape, per_sample, nbytes, dtype in call.places:
        if per_sample:
            shape, nbytes = (rows, *shape), rows * nbytes
        memory: Any = run.memory(buffer, offset, nbytes)
        arrays.append(np.empty(shape, dtype) if memory is None else np.ndarray(shape, dtype, memory))
    for array in arrays[: len(call.given)]:
        array.flags.writeable = False
    call.function(*arrays)

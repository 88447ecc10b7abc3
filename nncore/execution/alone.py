"""One operation by itself, on arrays: how tests and benchmarks reach any of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore._kernels import engine
from nncore._kernels.table import BUFFERS, CHUNK_ROWS, Table
from nncore.compiler.encoding import ACCUMULATOR, encode, encode_sections
from nncore.compiler.operation import OPERATIONS, Op, Operand, Tensor
from nncore.compiler.program import Section
from nncore.state import ALIGNMENT, Array, aligned_zeros

MEMORY = "parameters"  # a buffer that is not the run's own
BAND = 256  # bytes around each operand, which no operation may write


def run_operation(
    table: Table,
    name: str,
    samples: int,
    *,
    threads: int = 1,
    bind: Any = None,
    chunks: Array | None = None,
    sums: Array | None = None,
    accumulated: dict[str, int] | None = None,
    **fields: Any,
) -> None:
    """Run an operation on one batch.

    The operands are copied into one block of memory with bands of NaN between them, and copied back, all of them, when
    it has run.

    Parameters
    ----------
    table : Table
    name : str
        Of ``src_c/operations.def``.
    samples : int
        Of the batch. An operand whose first axis has this length has a row per sample; another is a whole.
    threads : int, default 1
        With several, it is divided into spans as a long step's are.
    bind : callable, optional
        Called with the run, to bind what the operation reads beside its operands: a binding, the optimizer's rule.
    chunks : ndarray, optional
        Of the parameters, where the operation goes over these.
    sums : ndarray, optional
        Receives the numbers of one accumulator, then their weight, where it adds to one.
    accumulated : dict, optional
        Fields of that accumulator that are not those of a loss: `size`, `events`, `rows`.
    **fields
        Its operands as arrays of the table's dtype or of int32, its attributes, and `per_sample` and the like of `Op`.

    Raises
    ------
    AssertionError
        It wrote beside its operands.
    """
    arrays = {key: value for key, value in fields.items() if isinstance(value, np.ndarray)}
    places, end = {}, BAND
    for key, array in arrays.items():
        places[key] = end
        end += -(-array.nbytes // ALIGNMENT) * ALIGNMENT + BAND
    memory = aligned_zeros(end, np.uint8)
    memory[:] = 0xFF
    operands: dict[str, Operand] = {}
    for key, array in arrays.items():
        memory[places[key] : places[key] + array.nbytes] = array.reshape(-1).view(np.uint8)
        batch = array.ndim > 0 and len(array) == samples
        shape = array.shape[1:] if batch else array.shape
        integer = array.dtype == np.int32
        tensor = Tensor(shape, buffer=MEMORY, integer=integer, per_sample=batch, offset=places[key])
        operands[key] = tensor
    op = Op(name, **fields | operands)
    accumulator = np.zeros(int(sums is not None), ACCUMULATOR)
    if sums is not None:
        accumulator["width"] = accumulator["size"] = sums.size - 1
        accumulator["rows"] = CHUNK_ROWS
        accumulator["by_chunks"] = accumulator["per_step"] = OPERATIONS[name].pattern == "CHUNKS"
        for field, value in (accumulated or {}).items():
            accumulator[field] = value
    parts, moving = encode_sections([Section("NATIVE", 0, 1)], 1)
    run = engine.Executor(
        table,
        encode([op], np.dtype(table.dtype).itemsize),
        sections=parts,
        moving=moving,
        workspace=0,
        max_samples=samples,
        threads=threads,
        bindings=1,
        accumulators=accumulator,
        chunks=chunks,
    )
    run.bind(BUFFERS[MEMORY], memory)
    if sums is not None:
        run.bind_sums(sums)
    if bind is not None:
        bind(run)
    run.begin(samples, samples)
    reason = run.run()
    assert reason == engine.END, reason
    for key, array in arrays.items():
        part = memory[places[key] : places[key] + array.nbytes]
        array[...] = part.view(array.dtype).reshape(array.shape)
        part[:] = 0xFF
    assert (memory == 0xFF).all(), f"{name} wrote beside its operands"

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


class Prepared:
    """An operation with its operands in memory of its own, prepared once and run as often as is wanted.

    The operands are copied into one block of memory with bands of NaN between them; what the operation changes is
    changed there until `take_back`.

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
        Its operands as arrays of the table's dtype or of int32, or as the compiler has them, where `bind` binds their
        memory; its attributes, and `per_sample` and the like of `Op`.
    """

    def __init__(
        self,
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
        self.name, self.samples = name, samples
        self.arrays = {key: value for key, value in fields.items() if isinstance(value, np.ndarray)}
        self.memory, self.parts, self.bands = banded(list(self.arrays.values()))
        operands: dict[str, Operand] = {}
        for (key, array), part in zip(self.arrays.items(), self.parts, strict=True):
            self.memory[part] = array.reshape(-1).view(np.uint8)
            batch = array.ndim > 0 and len(array) == samples
            shape = array.shape[1:] if batch else array.shape
            integer = array.dtype == np.int32
            tensor = Tensor(shape, buffer=MEMORY, integer=integer, per_sample=batch, offset=part.start)
            operands[key] = tensor
        op = Op(name, **fields | operands)
        accumulator = np.zeros(int(sums is not None), ACCUMULATOR)
        if sums is not None:
            accumulator["width"] = accumulator["size"] = sums.size - 1
            accumulator["rows"] = CHUNK_ROWS
            accumulator["by_chunks"] = accumulator["per_step"] = OPERATIONS[name].pattern == "CHUNKS"
            for field, value in (accumulated or {}).items():
                accumulator[field] = value
        sections, moving = encode_sections([Section("NATIVE", 0, 1)], 1)
        self.executor = engine.Executor(
            table,
            encode([op], np.dtype(table.dtype).itemsize),
            sections=sections,
            moving=moving,
            workspace=0,
            max_samples=samples,
            threads=threads,
            bindings=1,
            accumulators=accumulator,
            chunks=chunks,
        )
        self.executor.bind(BUFFERS[MEMORY], self.memory)
        if sums is not None:
            self.executor.bind_sums(sums)
        if bind is not None:
            bind(self.executor)

    def run(self) -> None:
        """Run it on the batch, with what its operands are now."""
        self.executor.begin(self.samples, self.samples)
        reason = self.executor.run()
        assert reason == engine.END, reason

    def take_back(self) -> None:
        """Copy all operands back; an AssertionError where it wrote beside them."""
        for array, part in zip(self.arrays.values(), self.parts, strict=True):
            array[...] = self.memory[part].view(array.dtype).reshape(array.shape)
        assert all((self.memory[band] == 0xFF).all() for band in self.bands), f"{self.name} wrote beside its operands"


def banded(arrays: list[Array]) -> tuple[Array, list[slice], list[slice]]:
    """Aligned memory for arrays, the bytes of it that are theirs, and the bands of NaN before, between and after."""
    parts, bands, end = [], [], 0
    for array in arrays:
        start = -(-(end + BAND) // ALIGNMENT) * ALIGNMENT
        bands.append(slice(end, start))
        parts.append(slice(start, end := start + array.nbytes))
    bands.append(slice(end, end + BAND))
    memory = aligned_zeros(end + BAND, np.uint8)
    for band in bands:
        memory[band] = 0xFF
    return memory, parts, bands


def run_operation(table: Table, name: str, samples: int, **settings: Any) -> None:
    """Run an operation on one batch, and copy all of its operands back; the arguments are those of `Prepared`.

    Raises
    ------
    AssertionError
        It wrote beside its operands.
    """
    prepared = Prepared(table, name, samples, **settings)
    prepared.run()
    prepared.take_back()

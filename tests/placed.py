"""An operation on arrays where they lie, which may end at a page that faults."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore._kernels import engine
from nncore._kernels.table import SOURCES, Table
from nncore.compiler.encoding import encode, encode_sections
from nncore.compiler.operation import Op, Tensor
from nncore.compiler.program import Section


def run_placed(table: Table, name: str, samples: int, **fields: Any) -> None:
    """Run an operation on one batch, its operands being the arrays themselves: see `run_operation`."""
    arrays = {key: value for key, value in fields.items() if isinstance(value, np.ndarray)}
    operands: dict[str, Any] = {}
    for number, (key, array) in enumerate(arrays.items()):
        shape = array.shape[1:] if len(array) == samples else array.shape
        operands[key] = Tensor(shape, buffer="binding", number=number, per_sample=len(array) == samples)
    op = Op(name, **fields | operands)
    parts, moving = encode_sections([Section("NATIVE", 0, 1)], 1)
    encoded = encode([op], np.dtype(table.dtype).itemsize)
    settings: dict[str, Any] = {"workspace": 0, "max_samples": samples, "threads": 1, "bindings": len(arrays)}
    run = engine.Executor(table, encoded, sections=parts, moving=moving, **settings)
    for number, array in enumerate(arrays.values()):
        run.bind_rows(number, array, stride=0, type=SOURCES[array.dtype.name], n=1, in_place=True)
    run.begin(samples, samples)
    reason = run.run()
    assert reason == engine.END, reason

"""Copies of weights laid out as products of a lower precision read them, which the update keeps true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nncore import runtime
from nncore._kernels import dense
from nncore.locks import Lock
from nncore.parameter import Parameter
from nncore.state import ALIGNMENT, Array, aligned_zeros

if TYPE_CHECKING:
    from nncore._kernels.gate import Gate
    from nncore._kernels.table import Table
    from nncore.state import State


class Packed:
    """The packed copies of a model's weights.

    A program asks for the copies that it reads while it is built; memory is taken when the first one runs. After a
    training step they are true again, for the update writes them; whoever else writes does so in `State.writing`.

    Parameters
    ----------
    values : ndarray
        All weights of a `State`. That holds these copies, so they do not hold it.
    gate : Gate
        Before these weights.
    table : Table
    precision : {"high", "medium"}
    """

    def __init__(self, values: Array, gate: Gate, table: Table, precision: str) -> None:
        self.values, self.gate, self.table, self.precision = values, gate, table, precision
        self.places: dict[tuple[Parameter, bool], int] = {}  # (kernel, transposed) → first byte
        self.matrices: dict[Parameter, tuple[int, int]] = {}  # kernel → (in, out), as products take it
        self.rows: dict[tuple[Parameter, bool], int] = {}  # as `places`: the rows of these
        self.size = 0
        self.buffer: Array | None = None
        self.written = 0  # counts what was written to the weights, updates excepted
        self.version = -1  # that count, when copies were made of them
        self.unsure = (
            0  # how many other models, which share these weights, are training them: they are written any time
        )
        self.lock = Lock()

    @property
    def stale(self) -> bool:
        """Whether weights were written since then, or may be at any time."""
        return self.version != self.written or self.unsure > 0

    def place(self, kernel: Parameter, transposed: bool, shape: tuple[int, int], rows: int = 0) -> int | None:
        """First byte of the copy for X W or, transposed, dY Wᵀ, W being of `shape`; None where products read W.

        `rows`: of these products, as of `precision_for` in contract.h.
        """
        key = kernel, transposed
        if key not in self.places:
            inputs, outputs = self.matrices[kernel] = shape
            self.rows[key] = rows
            size = self.table.packed_bytes(self.precision, transposed, inputs, outputs, rows)
            if not size:
                return None
            if self.buffer is not None:  # has the copies of steps and predictions: other gradients are rare
                return None
            self.places[key] = self.size
            self.size += -(-size // ALIGNMENT) * ALIGNMENT
        return self.places[key]

    def copies(self, kernel: Parameter) -> tuple[int, int]:
        """First bytes of a parameter's copies, −1 for none."""
        plain, transposed = (self.places.get((kernel, t), -1) for t in (False, True))
        return plain, transposed

    def memory(self) -> Array:
        """All copies."""
        with self.lock():
            if self.buffer is None:
                self.buffer = aligned_zeros(self.size, np.uint8)
        return self.buffer

    def refresh(self) -> None:
        """Make all copies anew; weights that are written meanwhile leave them stale."""
        memory = self.memory()
        with self.gate.reading(), self.lock():
            if not self.stale:
                return  # another thread has been here
            version = self.written
            for (kernel, transposed), place in self.places.items():
                inputs, outputs = self.matrices[kernel]
                w = kernel.within(self.values)
                rows = self.rows[kernel, transposed]
                dense.pack(self.table, self.precision, transposed, inputs, outputs, w, memory, place, rows)
            self.version = version


def packed_weights(state: State, precision: str) -> Packed | None:
    """What a model needs for a precision; None where its products are the most precise ones anyway."""
    table = runtime.kernels(state.dtype.name)
    same = table.arithmetic(precision) == table.arithmetic("highest")
    if same:
        return None
    packed = Packed(state.values, state.gate, table, precision)
    state.packings.add(packed)
    return packed

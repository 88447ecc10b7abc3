from collections.abc import Sequence
from typing import Any, Self

from typing_extensions import Buffer

from nncore._kernels.gate import Gate
from nncore._kernels.table import Table, _Array

class Run:
    def __new__(
        cls,
        table: Table,
        ops: _Array,
        *,
        sections: _Array,
        moving: _Array,
        workspace: int,
        max_samples: int,
        threads: int,
        bindings: int,
        local_bytes: int = 0,
        local_operands: _Array | None = None,
        distant: _Array | None = None,
        accumulators: _Array | None = None,
        chunks: _Array | None = None,
        copies: int = 1,
    ) -> Self: ...
    @property
    def samples(self) -> int: ...
    @property
    def row(self) -> int: ...
    def memory(self, buffer: int, offset: int, size: int) -> Buffer | None: ...
    @property
    def bad(self) -> tuple[int, int]: ...
    def bind(self, buffer: int, array: _Array | None, writable: bool = True) -> None: ...
    def bind_gate(self, gate: Gate) -> None: ...
    def bind_optimizer(
        self, which: int, name: str, numbers: _Array, updates: _Array, clip_value: float, clipnorm: float
    ) -> None: ...
    def bind_updates(self, updates: _Array) -> None: ...
    def bind_schedules(self, first: int, end: int, arrays: list[Any]) -> None: ...
    def bind_random(self, seed: int, steps: _Array) -> None: ...
    def bind_sums(self, sums: _Array) -> None: ...
    def bind_rows(
        self,
        which: int,
        array: _Array | None,
        *,
        stride: int = 0,
        type: int = 0,
        n: int = 0,
        axes: Sequence[tuple[int, int]] | None = None,
        low: int = 0,
        high: int = 0,
        in_place: bool = False,
    ) -> None: ...
    def staging(self, which: int) -> Buffer | None: ...
    def begin(self, rows: int, batch: int, order: _Array | None = None, row: int = 0) -> None: ...
    def forget(self) -> None: ...

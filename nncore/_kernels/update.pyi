from collections.abc import Sequence

from nncore._kernels.table import Table, _Array

def apply_update(
    table: Table, name: str, w: _Array, g: _Array, states: Sequence[_Array | None], rule: _Array, numbers: _Array
) -> None: ...
def apply_column_sums(table: Table, x: _Array, out: _Array, rows: int, cols: int) -> bool: ...
def apply_sum_squares(table: Table, x: _Array) -> tuple[float, float]: ...
def apply_regularize(table: Table, l1: float, l2: float, w: _Array, g: _Array | None = None) -> float: ...
def apply_constraint(
    table: Table,
    name: str,
    w: _Array,
    n: int,
    inner: int,
    parameters: tuple[float, ...],
    first: int = 0,
    count: int | None = None,
) -> None: ...
def apply_orthogonal(
    table: Table, w: _Array, rows: int, n: int, columns: bool, factor: float, room: _Array
) -> float: ...

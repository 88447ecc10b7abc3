from collections.abc import Sequence
from typing import Literal

from nncore._kernels.table import Table, _Array

def apply_rows(
    table: Table,
    kind: Literal["loss", "metric"],
    name: str,
    p: _Array,
    target: _Array,
    rows: int,
    n: int,
    *,
    weight: _Array | None = None,
    each: _Array | None = None,
    columns: _Array | None = None,
    scale: float = 1.0,
    parameters: Sequence[float] = (),
    grad: _Array | None = None,
    prob: _Array | None = None,
) -> float: ...
def row_values(
    table: Table,
    name: str,
    p: _Array,
    target: _Array,
    rows: int,
    n: int,
    out: _Array,
    *,
    columns: _Array | None = None,
    parameters: Sequence[float] = (),
) -> None: ...
def apply_tally(
    table: Table,
    name: str,
    p: _Array,
    target: _Array | None,
    rows: int,
    n: int,
    events: int,
    sums: _Array,
    *,
    weight: _Array | None = None,
    numbers: _Array | None = None,
    count: int = 0,
    parameters: Sequence[float] = (),
) -> None: ...
def add_moments(
    table: Table,
    p: _Array,
    target: _Array | None,
    rows: int,
    n: int,
    sums: _Array,
    *,
    weight: _Array | None = None,
) -> None: ...
def apply_gather(
    table: Table,
    source: str,
    data: _Array,
    stride: int,
    rows: int,
    n: int,
    out: _Array,
    *,
    order: _Array | None = None,
    low: int = 0,
    high: int = 0,
    axes: Sequence[tuple[int, int]] | None = None,
) -> int: ...

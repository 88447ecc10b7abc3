from collections.abc import Sequence

from nncore._kernels.table import Table, _Array

def gemm(
    table: Table,
    a: _Array,
    b: _Array,
    out: _Array,
    M: int,
    N: int,
    K: int,
    *,
    a_transposed: bool = False,
    b_transposed: bool = False,
    bias: _Array | None = None,
    activation: str = "linear",
    parameters: Sequence[float] = (),
    z: _Array | None = None,
    saved: _Array | None = None,
    ldc: int = -1,
    part: bool = False,
    check: bool = True,
    precision: str = "highest",
    packed: _Array | None = None,
    column: int = 0,
) -> bool: ...
def pack(
    table: Table,
    precision: str,
    transposed: bool,
    inputs: int,
    outputs: int,
    w: _Array,
    packed: _Array,
    offset: int,
    rows: int = 0,
) -> None: ...

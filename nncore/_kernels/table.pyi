from collections.abc import Iterator
from typing import Any, Self, TypeAlias

import numpy as np
from typing_extensions import Buffer

# Contiguous memory; what is written must be writable. NumPy's own stubs make its arrays buffers from Python 3.12 on.
_Array: TypeAlias = Buffer | np.ndarray[Any, Any]

# Names of kernels.def and program.h with their ids, and the words that stand beside them there.
PRECISIONS: dict[str, int]
ACTIVATIONS: dict[str, int]
ACTIVATION_PARAMETERS: dict[str, tuple[str, ...]]
LOSS_PARAMETERS: dict[str, tuple[str, ...]]
METRIC_PARAMETERS: dict[str, tuple[str, ...]]
PARAMETERS: int
ACTIVATION_SAVED: dict[str, str]
CONSTRAINTS: dict[str, int]
ROWWISE: dict[str, int]
ROWWISE_SAVED: dict[str, str]
LOSSES: dict[str, int]
LOSS_TARGETS: dict[str, str]
LOSS_FORMS: dict[str, str]
METRICS: dict[str, int]
METRIC_TARGETS: dict[str, str]
TALLIES: dict[str, int]
TALLY_PARAMETERS: dict[str, tuple[str, ...]]
OPTIMIZERS: dict[str, int]
STATES: dict[str, tuple[str, ...]]
NUMBERS: dict[str, dict[str, tuple[int, str | None]]]
NUMBERS_BYTES: dict[str, int]
RULE_NUMBERS: dict[str, tuple[int, str | None]]
SOURCES: dict[str, int]
FUNCTIONS: dict[str, int]
PATTERNS: dict[str, int]
SECTIONS: dict[str, int]
MOVING: int
BUFFERS: dict[str, int]
BINDINGS: int
SCHEDULED: dict[str, int]  # the optimizer's numbers that may change by step
OWN_SCHEDULED: int  # the first of a program's own
RULES: int  # most optimizers of one program
MOST_STATES: int  # most state arrays of one of them

OPERATION_HEAD: dict[str, int]
# name, pattern, fusion, flops, fields: name, role, offset in nn_op
OPERATIONS: tuple[tuple[str, str, str, int, tuple[tuple[str, str, int], ...]], ...]

CHUNK_ROWS: int
SUM_ROWS: int
MANY_ROWS: int
WINDOWS: int
WINDOW_GRADIENTS: int
BAND_REALS: int
LINE_WINDOWS: int
POINTS: int
SIDE_REALS: int
WINDOW_PLACES: int
SUM_CHAINS: int
MOMENTS: int
PACK_ROWS: int
OPERATION_BYTES: int
CHUNK_BYTES: int
ACCUMULATOR_BYTES: int
SECTION_BYTES: int
MOVING_BYTES: int

class Table:
    def __new__(cls, isa: str, dtype: str) -> Self: ...
    @property
    def isa(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def lanes(self) -> int: ...
    @property
    def tile(self) -> tuple[int, int]: ...
    def arithmetic(self, precision: str) -> str: ...
    def packed_bytes(self, precision: str, transposed: bool, inputs: int, outputs: int, rows: int = 0) -> int: ...

class View:
    @property
    def size(self) -> int: ...
    @property
    def itemsize(self) -> int: ...

def available() -> Iterator[str]: ...
def strongest() -> str: ...
def permutation(seed: int, stream: int, out: _Array) -> None: ...

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from nncore._kernels.table import Table

class Products:
    def __new__(cls, float32: Table, float64: Table) -> Self: ...
    def multiply(
        self, a: object, b: object, out: object, precision: int, most_threads: Callable[[], int], parallel_flops: float
    ) -> np.ndarray[Any, Any] | None: ...

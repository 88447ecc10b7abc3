from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

def fingerprints(texts: list[str], key: Sequence[int] | None = None) -> npt.NDArray[np.uint64]: ...
def joined(first: int, columns: list[npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]: ...

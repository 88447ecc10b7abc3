import numpy as np
import numpy.typing as npt

def features(
    values: npt.NDArray[np.float64],
    column: npt.NDArray[np.intp],
    scaling: npt.NDArray[np.float64],
    numbers: int,
    indicators: int,
    clip: float,
    out: npt.NDArray[np.float32],
) -> int: ...

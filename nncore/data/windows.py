"""Windows of a series: rows that overlap, and are nowhere but in the series."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.arguments import check_count
from nncore.conversion import as_array
from nncore.state import Array


def windows(series: Any, length: int, stride: int = 1) -> Array:
    """The windows of a series as a view: row i is ``series[i * stride : i * stride + length]``.

    A model reads them where they lie, so they take no memory and no time before training, however far they overlap.

    Parameters
    ----------
    series : array_like, shape (t, …)
        Along time.
    length : int
        Times in a window, up to t.
    stride : int, default 1
        Times from one window to the next.

    Returns
    -------
    ndarray, shape ((t − length) // stride + 1, length, …)
        Not writeable; of the series' dtype.

    Raises
    ------
    ValueError
        The series is shorter than a window.

    Examples
    --------
    The next value from the 24 before it:

    >>> import numpy as np
    >>> import nncore as nn
    >>> series = np.sin(np.arange(100.0))
    >>> x, y = nn.data.windows(series[:-1], 24), series[24:]
    >>> x.shape, y.shape
    ((76, 24), (76,))
    """
    array = as_array(series, "series")
    length, stride = check_count(length, "length"), check_count(stride, "stride")
    if not array.ndim or len(array) < length:
        raise ValueError(f"series: expected at least the {length} times of a window, got shape {array.shape}")
    rows = (len(array) - length) // stride + 1
    shape = rows, length, *array.shape[1:]
    step = array.strides[0]
    return np.lib.stride_tricks.as_strided(array, shape, (stride * step, *array.strides), writeable=False)

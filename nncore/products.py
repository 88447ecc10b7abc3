"""Matrix products of NumPy arrays with the kernels of dense layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from nncore import runtime
from nncore._kernels.products import Products
from nncore._kernels.table import PRECISIONS
from nncore.conversion import as_array
from nncore.execution.team import PARALLEL_FLOPS
from nncore.state import Array

_products = Products(runtime.kernels("float32"), runtime.kernels("float64"))


def matmul(a: Any, b: Any, out: Array | None = None, precision: str = "highest") -> Any:
    """Matrix product C = A B of float32 or float64, C_ij = Σ_k A_ik B_kj.

    Parameters
    ----------
    a : array_like, shape (M, K) or (K,)
        Read where it lies if its rows or its columns are contiguous: ``a.T`` and ``a[:100]`` cost no copy,
        ``a[:, ::2]`` does. A vector is one row.
    b : array_like, shape (K, N) or (K,)
        The same. A vector is one column.
    out : ndarray, optional
        Receives C: C-contiguous, of C's shape and dtype, and apart from `a` and `b` in memory.
    precision : {"highest", "high", "medium"}, default "highest"
        A floor on accuracy; `matmul_precisions` says what is computed, and which sizes are as at "highest".

    Returns
    -------
    ndarray, shape (M, N)
        `out`, if given. Where `a` or `b` is a vector, C lacks its dimension; of two vectors it is a NumPy scalar.

    Raises
    ------
    ValueError
        The shapes do not fit, or `out` cannot be written as it is.
    TypeError
        An operand or `out` is of another dtype. float32 with float64 gives float64, as in NumPy.

    Notes
    -----
    Uses up to `get_num_threads()` threads where that pays, without the GIL. The bits of an element are the same for any
    number of threads, and at "highest" the same whichever other rows `a` has. For up to three columns they depend on
    whether the rows of `a` or its columns are contiguous.

    Where other processes keep the cores busy, a call on several threads can take milliseconds longer than on one.
    So what each call takes is compared with what one thread would have taken, and after 10 ms lost, one thread
    multiplies for 50 ms, for longer each time up to half a second; but calls of more than 20 ms keep their team.

    Examples
    --------
    >>> import numpy as np, nncore as nn
    >>> nn.matmul(np.float32([[1, 2], [3, 4]]), np.float32([[1], [1]]))
    array([[3.],
           [7.]], dtype=float32)
    """
    try:
        level = PRECISIONS[precision]
    except (KeyError, TypeError):
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}") from None
    if type(a) is ndarray and type(b) is ndarray and (out is None or type(out) is ndarray):
        c = _products.multiply(a, b, out, level, runtime.get_num_threads, PARALLEL_FLOPS)
        if c is not None:
            return c
    x, w = operand(a, "a"), operand(b, "b")
    if x.shape[-1] != w.shape[0]:
        expected = f"({x.shape[-1]}, n)" if w.ndim == 2 else f"({x.shape[-1]},)"
        raise ValueError(f"b: expected shape {expected} to follow a of shape {x.shape}, got {w.shape}")
    shape, dtype = x.shape[:-1] + w.shape[1:], np.result_type(x, w)
    y = np.empty(shape, dtype) if out is None else writable(out, shape, dtype, a=x, b=w)
    rows, cols = len(x) if x.ndim == 2 else 1, w.shape[1] if w.ndim == 2 else 1
    x, w = readable(x, dtype).reshape(rows, x.shape[-1]), readable(w, dtype).reshape(w.shape[0], cols)
    done = _products.multiply(x, w, y.reshape(rows, cols), level, runtime.get_num_threads, PARALLEL_FLOPS)
    assert done is not None
    return y[()] if out is None and not shape else y


def operand(given: Any, argument: str) -> Array:
    """What is to be multiplied, as an array of float32 or float64."""
    array = as_array(given, argument)
    if array.ndim not in (1, 2):
        raise ValueError(
            f"{argument}: expected 1 or 2 dimensions, got shape {array.shape}; multiply matrices of a stack one by one"
        )
    if array.dtype.newbyteorder("=") not in (np.float32, np.float64):
        raise TypeError(
            f"{argument}: expected float32 or float64, got {array.dtype}; convert it: {argument}.astype(np.float32)"
        )
    return array


def writable(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], **read: Array) -> Array:
    """`out`, if a product of this shape and dtype can be written there while the arrays of `read` are read."""
    if not isinstance(out, ndarray):
        raise TypeError(f"out: expected an array or None, got {type(out).__name__}")
    if isinstance(out, np.ma.MaskedArray):
        raise TypeError("out: expected an array without a mask, which would hide what is written; give out.data")
    if out.shape != shape:
        raise ValueError(f"out: expected shape {shape}, got {out.shape}")
    if out.dtype != dtype:
        raise TypeError(f"out: expected {dtype}, got {out.dtype}")
    if not out.flags.carray:
        raise ValueError("out: expected a C-contiguous, aligned and writable array; multiply without out, and copy")
    for argument, array in read.items():
        if np.may_share_memory(out, array):
            raise ValueError(f"out: expected memory of its own, got some of {argument}'s; give {argument}.copy()")
    return out


def readable(array: Array, dtype: np.dtype[Any]) -> Array:
    """`array` as a kernel can read it: copied if it is of another dtype or layout."""
    columns = array.flags.f_contiguous and not array.flags.c_contiguous
    return np.require(array, dtype, ["F" if columns else "C", "ALIGNED"])

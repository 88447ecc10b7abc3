"""Names of dtypes, and the one of models that are not told another."""

from __future__ import annotations

from typing import Any

import numpy as np

_floatx = "float32"


def floatx() -> str:
    """Return the dtype of models that are not told one: "float32", unless `set_floatx` has changed it."""
    return _floatx


def set_floatx(value: Any) -> None:
    """Let models that are made from now on, and are not told a dtype, have this one.

    Parameters
    ----------
    value : {"float32", "float64"}

    Raises
    ------
    ValueError
        It is another.
    """
    global _floatx
    _floatx = dtype_name(value)


def dtype_name(dtype: Any) -> str:
    """float32 or float64, from that, a NumPy dtype or type."""
    for name in ("float32", "float64"):
        if dtype is not None and dtype in (name, np.dtype(name).type):
            return name
    raise ValueError(f'dtype: expected "float32" or "float64", got {dtype!r}')


def real_name(dtype: Any) -> str:
    """The name of a dtype of real numbers, or bool, or of the one that a policy of Keras's computes in."""
    try:
        found = np.dtype(getattr(dtype, "compute_dtype", None) or getattr(dtype, "name", dtype))
    except TypeError:
        found = np.dtype(object)
    if found.kind not in tuple("biuf"):
        raise ValueError(f"dtype: expected one of real numbers, such as float32 or uint8, got {dtype!r}")
    return str(found.name)


def check_real(dtype: Any) -> None:
    """A ValueError unless `dtype` is one of real numbers, or bool."""
    real_name(dtype)

"""Checks of what users give; every error says the argument, what was expected, and what came."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import os
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

#: Names that users of Keras bring along, and what to do about them.
HABITS = {
    "lr": "The optimizers call it learning_rate.",
    "input_shape": "Let nncore.Input(shape) come first in the model.",
    "input_dim": "Let nncore.Input(shape) come first in the model.",
}


def explained(method: Callable[P, R]) -> Callable[P, R]:
    """Decorator: an unknown argument is a TypeError that names the known ones and the nearest of them, or a remedy."""
    parameters = inspect.signature(method).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return method  # takes any
    _, *names = parameters  # without self
    known = frozenset(names)

    @functools.wraps(method)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in sorted(kwargs.keys() - known):
            owner = type(args[0]).__name__ if method.__name__ == "__init__" else method.__name__
            near = difflib.get_close_matches(name, names, n=1)
            remedy = HABITS.get(name) or (f"Did you mean {near[0]!r}?" if near else "Leave it out.")
            have = ", ".join(names) or "none"
            raise TypeError(f"{name}: expected an argument of {owner}, got an unknown name. {remedy} Known: {have}")
        return method(*args, **kwargs)

    return checked


def is_number(value: object) -> bool:
    """Whether `value` is a real number, Python's or NumPy's; bools are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    """Whether `value` is an int, Python's or NumPy's; bools are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_number(value: Any, argument: str, expected: str, fits: Callable[[float], bool], remedy: str = "") -> float:
    """`value` as a float; a TypeError where it is no number, a ValueError where this float does not fit.

    Parameters
    ----------
    value : object
        What the user gave.
    argument : str
        The user's argument.
    expected : str
        What `fits` accepts, in words.
    fits : function of a float
        False for NaN, too.
    remedy : str
        What to do about it.
    """
    number = is_number(value)
    if number:
        try:
            rounded = float(value)
        except OverflowError:
            rounded = math.inf if value > 0 else -math.inf
        if fits(rounded):
            return rounded
    remedy = f"; {remedy}" if remedy else ""
    raise (ValueError if number else TypeError)(f"{argument}: expected {expected}, got {value!r}{remedy}")


def check_nonnegative(value: Any, argument: str, remedy: str) -> float:
    """`check_number`, for finite numbers ≥ 0."""
    return check_number(value, argument, "a finite number ≥ 0", lambda v: 0 <= v < math.inf, remedy)


def check_whole(value: Any, argument: str, expected: str, least: int, most: float = math.inf) -> int:
    """`value` as an int; a ValueError, with `expected` in words, where it is none from `least` to `most`."""
    if not is_whole(value) or not least <= int(value) <= most:
        raise ValueError(f"{argument}: expected {expected}, got {value!r}")
    return int(value)


def check_count(value: Any, argument: str, least: int = 1) -> int:
    """`check_whole`, for ints ≥ `least`."""
    return check_whole(value, argument, f"a whole number of at least {least}", least)


def check_flag(value: Any, argument: str, remedy: str = "") -> bool:
    """`value` as a bool; a TypeError where it is none."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    remedy = f"; {remedy}" if remedy else ""
    raise TypeError(f"{argument}: expected True or False, got {value!r}{remedy}")


def check_path(value: Any, argument: str) -> str:
    """`value` as the name of a file or directory; a TypeError where it is none, a ValueError where it is empty."""
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else value
    if not isinstance(path, str) or not path:
        error = ValueError if isinstance(path, str) else TypeError
        raise error(f"{argument}: expected a name or path that is not empty, got {value!r}")
    return path


def dtype_name(dtype: Any) -> str:
    """float32 or float64, from that, a NumPy dtype or type."""
    for name in ("float32", "float64"):
        if dtype is not None and dtype in (name, np.dtype(name).type):
            return name
    raise ValueError(f'dtype: expected "float32" or "float64", got {dtype!r}')

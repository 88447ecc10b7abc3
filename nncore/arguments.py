"""Checks of what users give; every error says the argument, what was expected, and what came."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar

import numpy as np

from nncore.habits import HABITS, Habit

P = ParamSpec("P")
R = TypeVar("R")


def an(name: str) -> str:
    """`name` with its indefinite article: "a loss", "an optimizer"."""
    return f"{'an' if name[:1].lower() in tuple('aeiou') else 'a'} {name}"


def explained(method: Callable[P, R], names: Sequence[str] = (), as_given: bool = False) -> Callable[P, R]:
    """Decorator: an unknown argument is a TypeError that names the known ones and the nearest of them, or a remedy.

    One of `HABITS` that asks for nothing is left out. To a constructor, arrays of no dimension are the numbers they
    hold: what is kept must not change with an array of the user's.

    `names`: what it takes, where it hands keywords on; if they are not given, that is anything. `as_given`: a
    constructor gets what it is given, such arrays, too.
    """
    parameters = inspect.signature(method).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        names = [name for name in parameters if name != "self"]
    elif not names:
        return method
    known = frozenset(names)
    makes = method.__name__ == "__init__"

    @functools.wraps(method)
    def checked(*args: Any, **kwargs: Any) -> R:
        if not kwargs.keys() <= known:
            if makes and hasattr(args[0], "of_first"):
                kwargs = args[0].of_first(kwargs, known)
            kwargs = without_habits(type(args[0]).__name__ if makes else method.__name__, names, kwargs)
        if not makes:
            return method(*args, **kwargs)
        if not as_given:
            args, kwargs = tuple(map(unboxed, args)), {name: unboxed(value) for name, value in kwargs.items()}
        try:
            return method(*args, **kwargs)
        except TypeError:
            check_all_given(method, args, kwargs)
            raise

    return checked


def check_all_given(init: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """A TypeError where an argument of a constructor that has no default is missing."""
    for name, parameter in list(inspect.signature(init).parameters.items())[len(args) :]:
        single = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if single and parameter.default is parameter.empty and name not in kwargs:
            cls = type(args[0])  # what is made, unless its own constructor forgot to hand the argument on
            owner = cls.__name__ if name in inspect.signature(cls).parameters else init.__qualname__.split(".")[0]
            raise TypeError(f"{name}: expected an argument of {owner}, got none") from None


def habit_of(owner: str, name: str) -> Habit | None:
    """What is known of an argument that `owner` has not."""
    return HABITS.get(f"{owner}.{name}") or HABITS.get(name)


def without_habits(owner: str, names: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments `given` to `owner` that it knows; a TypeError for others, unless they ask for nothing."""
    for name in sorted(given.keys() - set(names)):
        habit = habit_of(owner, name)
        if habit and habit.asks_nothing(given[name]):
            continue
        near = difflib.get_close_matches(name, names, n=1)
        remedy = habit.remedy if habit else f"Did you mean {near[0]!r}?" if near else "Leave it out."
        have = ", ".join(names) or "none"
        raise TypeError(f"{name}: expected an argument of {owner}, got an unknown name. {remedy} Known: {have}")
    return {name: value for name, value in given.items() if name in names}


def unboxed(value: Any) -> Any:
    """The number that an array of no dimension holds; anything else as it is."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item") and not isinstance(value, np.ma.MaskedArray):
        return value.item()
    return value


def the_only(given: Any) -> Any:
    """What a list or dict of one holds; anything else as it is."""
    if isinstance(given, (list, tuple)) and len(given) == 1:
        return given[0]
    return next(iter(given.values())) if isinstance(given, Mapping) and len(given) == 1 else given


def is_number(value: object) -> bool:
    """Whether `value` is a real number, Python's, NumPy's or in an array of no dimension; bools are none."""
    value = unboxed(value)
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    """Whether `value` is an int, Python's, NumPy's or in an array of no dimension; bools are none."""
    if type(value) is int:  # the others' check takes 1 µs
        return True
    value = unboxed(value)
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_number(
    value: Any, argument: str, expected: str, fits: Callable[[float], bool], remedy: str = "", phrase: str = ""
) -> float:
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
    phrase : str
        What Keras says.
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
    error = ValueError if number else TypeError
    raise error(f"{argument}: expected {expected}, got {value!r}{remedy}{in_brackets(phrase)}")


def in_brackets(phrase: str) -> str:
    """Keras's words for what is wrong, where there are any, as they stand behind the house's own."""
    return f" ({phrase})" if phrase else ""


def check_nonnegative(value: Any, argument: str, remedy: str, phrase: str = "") -> float:
    """`check_number`, for finite numbers ≥ 0."""
    return check_number(value, argument, "a finite number ≥ 0", lambda v: 0 <= v < math.inf, remedy, phrase)


def check_whole(value: Any, argument: str, expected: str, least: int, most: float = math.inf, phrase: str = "") -> int:
    """`value` as an int; a ValueError, with `expected` in words, where it is none from `least` to `most`.

    `phrase`: what Keras says.
    """
    if not is_whole(value) or not least <= int(value) <= most:
        raise ValueError(f"{argument}: expected {expected}, got {value!r}{in_brackets(phrase)}")
    return int(value)


def check_count(value: Any, argument: str, least: int = 1, phrase: str = "") -> int:
    """`check_whole`, for ints ≥ `least`."""
    return check_whole(value, argument, f"a whole number of at least {least}", least, phrase=phrase)


def check_channels(value: Any, argument: str, expected: str) -> int:
    """`check_whole`, for ints ≥ 1 of which a convolution makes its channels."""
    phrase = (
        f"Invalid value for argument `{argument}`. Expected a strictly positive value. Received {argument}={value}."
    )
    return check_whole(value, argument, expected, 1, phrase=phrase)


def check_steps(value: Any, argument: str) -> int | None:
    """`value` as a number of batches, at least 1, or None."""
    return None if value is None else check_count(value, argument)


def check_flag(value: Any, argument: str, remedy: str = "") -> bool:
    """`value` as a bool; a TypeError where it is none."""
    if isinstance(unboxed(value), (bool, np.bool_)):
        return bool(value)
    remedy = f"; {remedy}" if remedy else ""
    raise TypeError(f"{argument}: expected True or False, got {value!r}{remedy}")


def refuse_mask(named: str, mask: Any) -> None:
    """A TypeError unless the mask that something called `named` is given is None."""
    if mask is not None:
        raise TypeError(
            f"{named}: mask: expected None, got one. A layer that heeds masks takes one, and Embedding(mask_zero=True) "
            "and Masking make them of their inputs. Make those 0 that are not to count, X * mask"
        )


def check_path(value: Any, argument: str) -> str:
    """`value` as the name of a file or directory: str, bytes or path-like, as the `open` of Python takes them.

    Bytes become what `os.fsdecode` makes of them, so names that are no text work, too. A TypeError where it is none of
    these, a ValueError where it is empty or no file can have the name.
    """
    path = os.fspath(value) if isinstance(value, (str, bytes, os.PathLike)) else value
    if not isinstance(path, (str, bytes)):
        raise TypeError(f"{argument}: expected a name or path that is not empty, got {value!r}")
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:  # half of a surrogate pair
        raise ValueError(f"{argument}: expected a name or path of characters or bytes, got {value!r}") from None
    if not encoded:
        raise ValueError(f"{argument}: expected a name or path that is not empty, got {value!r}")
    if b"\0" in encoded:
        raise ValueError(f"{argument}: expected a name or path without a byte 0, got {value!r}")
    return os.fsdecode(path)


def printable(path: str) -> str:
    """A path as text that can be printed, whatever bytes it has."""
    return os.fsencode(path).decode(errors="backslashreplace")

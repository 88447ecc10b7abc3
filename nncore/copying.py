"""Copies and pickles that keep what a user put on an object, or say which attribute cannot travel."""

from __future__ import annotations

import copy
import pickle
from types import FunctionType
from typing import Any, ClassVar

import numpy as np

from nncore.state import State


class Stuck(TypeError):
    """The error that names the attribute."""


class Travelling:
    """Base of what is copied and pickled with all its attributes; `copy.copy` makes a whole copy, too."""

    _transient: ClassVar[tuple[str, ...]] = ()  # attributes that stay behind; None in the copy

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self._transient}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(dict.fromkeys(self._transient), **state)

    def __copy__(self) -> Any:
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        twin = memo[id(self)] = type(self).__new__(type(self))
        state = {}
        for name, value in self.__getstate__().items():
            try:
                state[name] = copy.deepcopy(value, memo)
            except Exception as error:
                raise stuck(self, name, "copied", error) from error
        twin.__setstate__(state)
        return twin

    def __reduce_ex__(self, protocol: Any) -> Any:
        for name, value in vars(self).items():
            if name not in self._transient and (error := unpicklable(value)) is not None:
                raise stuck(self, name, "pickled", error) from error
        return super().__reduce_ex__(protocol)


def stuck(owner: Any, name: str, done: str, error: Exception) -> Stuck:
    """The error for an attribute that cannot be copied or pickled: the innermost object names its own."""
    if isinstance(error, Stuck):
        return error
    kind = type(vars(owner).get(name)).__name__
    return Stuck(
        f"{name}: expected an attribute of {type(owner).__name__} that can be {done}, got {kind} "
        f"({type(error).__name__}: {error}). Delete it before, and set it again after"
    )


class Sink:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        """Take `data`."""
        return len(data)


class Trial(pickle.Pickler):
    """Tries all but what is surely picklable, tries for itself when its turn comes, or depends on the pickler at work.

    That of cloudpickle, which joblib sends to other processes, takes functions without a name; Python's own says which
    it cannot take.
    """

    def persistent_id(self, value: Any) -> str | None:
        """What stands for such a value; None for others."""
        known = isinstance(value, (Travelling, State, FunctionType, type))
        return "known" if known or (isinstance(value, np.ndarray) and not value.dtype.hasobject) else None


def unpicklable(value: Any) -> Exception | None:
    """Why `value` cannot be pickled; None where it can."""
    try:
        Trial(Sink()).dump(value)
    except Exception as error:
        return error
    return None

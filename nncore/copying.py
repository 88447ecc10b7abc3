"""Copies and pickles that keep what a user put on an object, or say which attribute cannot travel."""

from __future__ import annotations

import copy
import pickle
import sys
from typing import Any, ClassVar

import numpy as np

from nncore.state import State

#: Modules with a pickler that takes more than Python's own, and its name there; asked only if the process has them.
PICKLERS = {"cloudpickle": "CloudPickler", "joblib.externals.cloudpickle": "CloudPickler", "dill": "Pickler"}


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


def known(value: Any) -> str | None:
    """For a pickler that only tries: what is surely picklable, or tries for itself when its turn comes."""
    sure = isinstance(value, (Travelling, State)) or (isinstance(value, np.ndarray) and not value.dtype.hasobject)
    return "known" if sure else None


def unpicklable(value: Any) -> Exception | None:
    """Why no pickler at hand can pickle `value`; None where one can."""
    found: Exception | None = None
    makers = [pickle.Pickler, *(getattr(sys.modules[m], name) for m, name in PICKLERS.items() if m in sys.modules)]
    for maker in makers:
        pickler = type("Trial", (maker,), {"persistent_id": staticmethod(known)})(Sink())
        try:
            pickler.dump(value)
            return None
        except Exception as error:
            found = found or error
    return found

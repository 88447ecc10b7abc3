"""What holds numbers that users ask for as for variables of Keras's: of layers, metrics and optimizers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

Array = np.ndarray[Any, Any]

#: Methods of NumPy's arrays that change them; of a copy nobody would see it.
IN_PLACE = frozenset({"fill", "itemset", "partition", "put", "resize", "setfield", "setflags", "sort"})


def fitting(value: Any, shape: tuple[int, ...], argument: str) -> Array:
    """`value` as an array, if it has this shape."""
    given = np.asarray(value)
    if given.shape != shape:
        raise ValueError(f"{argument}: expected an array of shape {shape}, got {given.shape}")
    return given


class Assigned:
    """Base of what has such names; a class says `numpy` and `assign`."""

    if TYPE_CHECKING:

        def numpy(self) -> Any:
            """Its numbers, by themselves."""

        def assign(self, value: Any) -> None:
            """Replace them."""

    @property
    def value(self) -> Any:
        """The same as `numpy`, by Keras's other name."""
        return self.numpy()

    def assign_add(self, value: Any) -> None:
        """Add to them."""
        self.assign(self + np.asarray(value))

    def assign_sub(self, value: Any) -> None:
        """Subtract from them."""
        self.assign(self - np.asarray(value))


class Values(Assigned, NDArrayOperatorsMixin):
    """Base of what is in expressions the array of its values at that moment; `assign` alone changes them.

    A class says `_bound`, `_label` and `assign`, and `_reading` where others may write.
    """

    if TYPE_CHECKING:

        @property
        def _label(self) -> str: ...  # what errors call it
        def _bound(self) -> Array: ...  # the array itself

    def _reading(self) -> AbstractContextManager[None]:
        """Where nobody writes to it."""
        return nullcontext()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        view = self._bound().view()
        if copy is not False:
            with self._reading():
                view = np.array(view, dtype)
        elif dtype is not None and np.dtype(dtype) != view.dtype:
            raise ValueError(f"{self._label}: expected its dtype {view.dtype} where nothing may be copied, got {dtype}")
        view.flags.writeable = copy is True
        return view

    def numpy(self) -> Array:
        """A copy of its values."""
        with self._reading():
            return self._bound().copy()

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        for out in options.get("out", ()):
            if isinstance(out, Values):
                kind = type(out).__name__.lower()
                raise TypeError(f"{out._label}: expected an array to write in, got a {kind}. Call assign(value)")
        arrays = [np.asarray(x) if isinstance(x, Values) else x for x in operands]
        return getattr(ufunc, method)(*arrays, **options)

    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Any:
        if name[:1] == "_" or not hasattr(np.ndarray, name):
            kind = type(self).__name__
            raise AttributeError(f"{name}: expected an attribute of {kind} or of NumPy's arrays, got another")
        if name in IN_PLACE:
            raise AttributeError(
                f"{name}: expected what leaves {self._label} as it is, got what changes an array. Call assign(value)"
            )
        return getattr(np.asarray(self), name)

    def __getitem__(self, key: Any) -> Any:
        with self._reading():
            part = self.__array__(copy=False)[key]
            if isinstance(part, np.ndarray) and not part.flags.writeable:  # a view: no array or mask has picked
                part = part.copy()
                part.flags.writeable = False
        return part

    def __iter__(self) -> Iterator[Any]:
        return iter(np.asarray(self))

    def __len__(self) -> int:
        return len(self._bound())

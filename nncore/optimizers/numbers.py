"""Arguments of optimizers: numbers in their intervals, and constructors that have them in Keras's order."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from nncore.arguments import check_number, is_number, is_whole
from nncore.values import Array, Assigned, fitting


def packed(fields: Mapping[str, tuple[int, str | None]], values: Mapping[str, float]) -> Array:
    """Numbers by name as the C struct whose fields these are: doubles, each at its byte."""
    struct = np.zeros(len(fields))
    for name, (offset, _) in fields.items():
        struct[offset // struct.itemsize] = values[name]
    return struct


def number_in(argument: str, value: Any, interval: str = "[0, inf)") -> float:
    """`value` as a float, if it is a number in `interval`."""
    low, high = (float(end) for end in interval[1:-1].split(","))

    def fits(v: float) -> bool:
        return low < v < high or (v == low and interval[0] == "[") or (v == high and interval[-1] == "]")

    remedy = "choose one inside" if is_number(value) else "pass a Python or NumPy number"
    return check_number(value, argument, f"a number in {interval}", fits, remedy)


def check_iterations(value: Any) -> int:
    """`value` as a number of updates."""
    if not (is_whole(value) and 0 <= value < 2**53):
        fault = ValueError if is_whole(value) else TypeError
        raise fault(f"iterations: expected an int in [0, 2**53), got {value!r}")
    return int(value)


def completed(init: Callable[..., None], base: Callable[..., None]) -> Callable[..., None]:
    """A constructor whose ``**common`` are the arguments of `base`, by name and by place: after its own, as in Keras.

    Those that it takes by name only come last.
    """
    own = list(inspect.signature(init).parameters.values())
    if own[-1].kind is not inspect.Parameter.VAR_KEYWORD:
        return init
    place = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = {p.name for p in own}
    common = [p for p in inspect.signature(base).parameters.values() if p.name not in names]
    last = [p.replace(kind=place) for p in own if p.kind is p.KEYWORD_ONLY]
    signature = inspect.Signature([*(p for p in own if p.kind is place), *common, *last])

    @functools.wraps(init)
    def constructor(*args: Any, **kwargs: Any) -> None:
        init(**signature.bind(*args, **kwargs).arguments)

    vars(constructor)["__signature__"] = signature
    return constructor


class Current(Assigned):
    """A number of an optimizer as it is at one moment, which has what users of Keras ask a variable for."""

    kind: ClassVar[type[Any]]  # NumPy's
    plain: ClassVar[type[Any]]  # Python's
    _assign: Callable[[Any], None]

    def numpy(self) -> Any:
        """As NumPy's number."""
        return self.kind(self)

    def assign(self, value: Any) -> None:
        """Set that of the optimizer; this number stays."""
        self._assign(value)

    def __reduce__(self) -> Any:
        return self.plain, (self.plain(self),)


class Rate(Current, float):
    """A learning rate, a float."""

    kind, plain = np.float32, float


class Count(Current, int):
    """A number of updates, an int."""

    kind, plain = np.int64, int


class Slot(Assigned, np.ndarray[Any, Any]):
    """An array of an optimizer, a view of its memory, or a copy of a number, which has the same."""

    _assign: Callable[[Any], None] | None = None  # what sets the number

    def numpy(self) -> Array:
        """A copy."""
        return np.array(self, subok=False)

    def assign(self, value: Any) -> None:
        """Replace its elements by those of an array of its shape; of a number, set it: this copy stays."""
        given = fitting(value, self.shape, "value")
        if self._assign is None:
            self[...] = given
        else:
            self._assign(given.item())

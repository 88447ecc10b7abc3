"""Arguments of optimizers: numbers in their intervals, and constructors that have them in Keras's order."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nncore.arguments import check_number, is_number, is_whole

Array = np.ndarray[Any, Any]


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


class Rate(float):
    """A learning rate as it is at one moment: a float, which has what users of Keras ask a variable for."""

    _assign: Callable[[Any], None]

    def numpy(self) -> np.float32:
        """As float32."""
        return np.float32(self)

    @property
    def value(self) -> np.float32:
        """The same."""
        return np.float32(self)

    def assign(self, value: Any) -> None:
        """Set that of the optimizer; this number stays."""
        self._assign(value)

    def __reduce__(self) -> Any:
        return float, (float(self),)


class Count(int):
    """A number of updates as it is at one moment: an int, with the same."""

    _assign: Callable[[Any], None]

    def numpy(self) -> np.int64:
        """As int64."""
        return np.int64(self)

    @property
    def value(self) -> np.int64:
        """The same."""
        return np.int64(self)

    def assign(self, value: Any) -> None:
        """Set that of the optimizer; this number stays."""
        self._assign(value)

    def __reduce__(self) -> Any:
        return int, (int(self),)


class Slot(np.ndarray[Any, Any]):
    """An array of an optimizer, a view of its memory, which has what users of Keras ask a variable for."""

    def numpy(self) -> Array:
        """A copy."""
        return np.array(self, subok=False)

    @property
    def value(self) -> Array:
        """The same."""
        return self.numpy()

    def assign(self, value: Any) -> None:
        """Replace its elements by those of an array of its shape."""
        given = np.asarray(value)
        if given.shape != self.shape:
            raise ValueError(f"value: expected an array of shape {self.shape}, got {given.shape}")
        self[...] = given

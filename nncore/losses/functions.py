"""Losses as Keras's functions: called on arrays, taken where a loss is, and added up."""

from __future__ import annotations

import inspect
from typing import Any

from nncore.losses.arithmetic import Addend
from nncore.losses.base import LOSSES, Loss
from nncore.registry import Configurable


class LossFunction(Addend):
    """A loss as a function, ``huber(y_true, y_pred, delta=1.0)``: the loss of each sample, reduced over the last axis.

    It stands for an object of default arguments where a loss is expected, and in sums of losses.
    """

    registered: type[Loss]
    __signature__: inspect.Signature

    def __init__(self, module: str, name: str) -> None:
        self.plain = LOSSES.function(module, name)
        vars(self).update(vars(self.plain))
        self.__name__ = self.__qualname__ = self.plain.__name__
        self.__module__, self.__doc__ = module, self.plain.__doc__

    def __call__(self, *args: Any, **named: Any) -> Any:
        """The loss of each sample."""
        return self.plain(*args, **named)

    def terms(self) -> list[tuple[float, Any]]:
        """See `Addend`."""
        return self.registered().terms()

    def __repr__(self) -> str:
        return f"<function {self.__module__}.{self.__name__}{self.__signature__}>"

    def __reduce__(self) -> str:
        return self.__name__


_made: dict[type[Configurable], LossFunction] = {}


def function(module: str, name: str) -> LossFunction:
    """The function of a name in a module; an AttributeError where there is none."""
    cls = LOSSES.named(module, name)
    if cls not in _made:
        _made[cls] = LossFunction(module, next(key for key, known in LOSSES.classes.items() if known is cls))
    return _made[cls]

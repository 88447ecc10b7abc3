"""Arithmetic of losses: ``0.7 * nn.losses.mse + 0.3 * nn.losses.Huber(0.5)`` is a loss with two terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from nncore.arguments import is_number


class Addend:
    """What may be multiplied by numbers and added to losses: losses, and their functions."""

    #: Makes a loss of losses and their factors.
    total: ClassVar[Callable[[tuple[Any, ...], tuple[float, ...]], Any]]

    def terms(self) -> list[tuple[float, Any]]:
        """The factors and losses that it is a sum of."""
        raise NotImplementedError

    def __mul__(self, factor: Any) -> Any:
        if not is_number(factor):
            return NotImplemented
        return summed([(float(factor) * own, loss) for own, loss in self.terms()])

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Any:
        return self * (1 / divisor) if is_number(divisor) else NotImplemented

    def __neg__(self) -> Any:
        return self * -1.0

    def __add__(self, other: Any) -> Any:
        if is_number(other) and other == 0:  # of `sum`
            return self
        if is_number(other):
            raise TypeError(f"loss: expected a loss or a function of one to add, got {other!r}; numbers are factors")
        return summed([*self.terms(), *other.terms()]) if isinstance(other, Addend) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self.__add__(-other if isinstance(other, Addend) else other)  # of numbers 0 alone is taken


def summed(terms: list[tuple[float, Any]]) -> Any:
    """The sum of losses, each times its factor."""
    factors, losses = zip(*terms, strict=True)
    return Addend.total(losses, factors)

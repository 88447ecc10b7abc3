"""Schedules made of others, of numbers, and of functions."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nncore import custom
from nncore.arguments import check_number
from nncore.schedules.base import SCHEDULES, Array, LearningRateSchedule, scheduled


def term(value: Any, argument: str) -> float | LearningRateSchedule:
    """A part of a sum or product: a finite number, a schedule, its configuration, or a function of the step."""
    if isinstance(value, (LearningRateSchedule, Mapping)) or callable(value):
        return scheduled(argument, value)
    return check_number(value, argument, "a finite number or a schedule", math.isfinite)


def momentary(*parts: float | LearningRateSchedule) -> bool:
    """Whether one of these must be asked before each step."""
    return any(isinstance(part, LearningRateSchedule) and part.momentary for part in parts)


def value_of(part: float | LearningRateSchedule, step: Array) -> Any:
    """What a part is at some steps."""
    return part(step) if isinstance(part, LearningRateSchedule) else part


@SCHEDULES.register()
class Sum(LearningRateSchedule):
    """Σ of its terms; ``a + b`` makes one.

    Parameters
    ----------
    terms : list of float or LearningRateSchedule
    name : str
    """

    def __init__(self, terms: Sequence[Any], name: str = "Sum") -> None:
        self.terms = [term(value, "terms") for value in terms]
        self.name = name

    @property
    def momentary(self) -> bool:
        """See `LearningRateSchedule`."""
        return momentary(*self.terms)

    def at(self, step: Array) -> Array:
        """See `LearningRateSchedule`."""
        return sum((value_of(part, step) for part in self.terms), np.zeros_like(step))


@SCHEDULES.register()
class Product(LearningRateSchedule):
    """Π of its factors; ``a * b`` makes one.

    Parameters
    ----------
    factors : list of float or LearningRateSchedule
    name : str
    """

    def __init__(self, factors: Sequence[Any], name: str = "Product") -> None:
        self.factors = [term(value, "factors") for value in factors]
        self.name = name

    @property
    def momentary(self) -> bool:
        """See `LearningRateSchedule`."""
        return momentary(*self.factors)

    def at(self, step: Array) -> Array:
        """See `LearningRateSchedule`."""
        return math.prod((value_of(part, step) for part in self.factors), start=np.ones_like(step))


@SCHEDULES.register()
class LinearWarmup(LearningRateSchedule):
    """A straight line to a schedule's first value, then the schedule: what it is at t − warmup_steps.

    start + (after(0) − start) t / warmup_steps for t < warmup_steps.

    Parameters
    ----------
    after : float or LearningRateSchedule
        What follows.
    warmup_steps : float
        ≥ 1.
    start : float, default 0.0
        Where the line begins.
    name : str
    """

    def __init__(self, after: Any, warmup_steps: float, start: float = 0.0, name: str = "LinearWarmup") -> None:
        self.after = term(after, "after")
        self.warmup_steps = check_number(
            warmup_steps, "warmup_steps", "a number of steps ≥ 1", lambda v: 1 <= v < math.inf, "it counts updates"
        )
        self.start = check_number(start, "start", "a finite number", math.isfinite)
        self.name = name

    @property
    def momentary(self) -> bool:
        """See `LearningRateSchedule`."""
        return momentary(self.after)

    def at(self, step: Array) -> Array:
        """See `LearningRateSchedule`."""
        top = value_of(self.after, np.zeros_like(step))
        rising = self.start + (top - self.start) * (step / self.warmup_steps)
        return np.where(step < self.warmup_steps, rising, value_of(self.after, np.maximum(step - self.warmup_steps, 0)))


@SCHEDULES.register()
class FunctionSchedule(LearningRateSchedule):
    """A function of the step; ``SGD(function)`` makes one.

    Parameters
    ----------
    function : callable or str
        Given an array of steps it returns a number for each: compute with NumPy's functions. One without arguments is
        asked for its number before each step instead, which costs some microseconds. A file names it; to be loaded it
        must be known before: ``@nncore.saving.register_keras_serializable()``, or ``custom_objects``.
    name : str
    """

    def __init__(self, function: Any, name: str = "FunctionSchedule") -> None:
        if isinstance(function, str):
            function = custom.function(function, "function")
        if not callable(function):
            raise TypeError(f"function: expected a function of the step, got {function!r}")
        self.function, self.name = function, name
        try:
            takes = inspect.signature(function).parameters.values()
            self._asked = not any(p.default is p.empty and p.kind is not p.VAR_KEYWORD for p in takes)
        except (TypeError, ValueError):  # NumPy's functions have no signature
            self._asked = False

    @property
    def momentary(self) -> bool:
        """See `LearningRateSchedule`."""
        return self._asked

    def __call__(self, step: Any) -> Any:
        """The numbers at some steps, as the function makes them."""
        return self.function() if self._asked else self.function(step)

    def argument(self, name: str) -> Any:
        """See `Configurable.argument`; a function by its name."""
        return custom.get_registered_name(self.function) if name == "function" else super().argument(name)

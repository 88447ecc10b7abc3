"""Numbers that change from step to step: a schedule says what a learning rate or weight decay is at each.

The engine reads them from arrays of the steps ahead, so a step needs nothing of Python; see `Optimizer.ahead`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nncore.arguments import check_number, is_number
from nncore.registry import Configurable, Registry, serialize, snake_case

Array = np.ndarray[Any, Any]

AHEAD = 1024  # steps for which values are computed at once


class LearningRateSchedule(Configurable):
    """Base of the schedules; a subclass says in `__call__` what the number is at a step.

    Like a layer of your own it keeps its constructor's arguments as attributes of the same names. What it returns may
    depend on these and on the step alone, so that a fit which is taken up again goes on as it would have.

    ``load_model`` finds a class of your own by name once it is registered: ``@nncore.schedules.SCHEDULES.register()``.
    """

    def __call__(self, step: Any) -> Any:
        """The numbers at some steps.

        Parameters
        ----------
        step : ndarray of int64, shape (n,)
            Numbers of updates that were made before: 0 at the first step. They may lie beyond the last step that is
            made.

        Returns
        -------
        float or ndarray, shape (n,)
            Finite and ≥ 0 for every step that is made.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what the number is at a step: define __call__")

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


SCHEDULES: Registry[LearningRateSchedule] = Registry(
    "schedule", own="Make one of your own known before: @nncore.schedules.SCHEDULES.register() on its class"
)
LearningRateSchedule.registry = SCHEDULES

Scheduled = float | LearningRateSchedule


def scheduled(argument: str, value: Any) -> Scheduled:
    """`value` as a number or a schedule, which may also be given as its configuration."""
    if isinstance(value, Mapping):
        value = SCHEDULES.get(value, argument, LearningRateSchedule)
    if isinstance(value, LearningRateSchedule):
        return value
    remedy = "choose one inside" if is_number(value) else "pass a Python or NumPy number"
    if callable(value):
        remedy = "derive what is to follow the steps from nncore.schedules.LearningRateSchedule"

    def fits(v: float) -> bool:
        return 0 <= v < math.inf

    return check_number(value, argument, "a number in [0, inf) or a LearningRateSchedule", fits, remedy)


def described(number: Scheduled) -> Any:
    """A number, or a schedule's configuration, which `scheduled` takes where the class is registered."""
    if not isinstance(number, LearningRateSchedule):
        return number
    cls = type(number)
    if cls in SCHEDULES.classes.values():
        return serialize(number)
    return {"class": snake_case(cls.__name__), "config": number.get_config()}


@dataclass(frozen=True)
class Ahead:
    """What the engine reads: the numbers for updates `first` … `end` − 1, or one for all of them."""

    first: int
    end: int
    numbers: dict[str, Array]

    def at(self, name: str, step: int) -> float:
        """One of them."""
        values = self.numbers[name]
        return float(values[step - self.first if len(values) > 1 else 0])


def ahead(step: int, numbers: Mapping[str, Scheduled]) -> Ahead:
    """The values of numbers for update `step` and those after it.

    They are computed for whole runs of `AHEAD` steps, wherever `step` lies in one: so the array in which a step's value
    is computed, and with it the last bit of that, does not depend on where a fit was taken up.
    """
    found: dict[str, Array] = {}
    first, end = 0, 2**63 - 1
    for name, number in numbers.items():
        if isinstance(number, LearningRateSchedule):
            first = step // AHEAD * AHEAD
            found[name] = values_of(name, number, first)
            good = np.isfinite(found[name]) & (found[name] >= 0)
            if not good[step - first]:
                raise ValueError(
                    f"{name}: expected finite numbers ≥ 0, got {found[name][step - first]} at step {step} of {number!r}"
                )
            beyond = np.flatnonzero(~good[step - first :])  # perhaps never reached
            end = min(end, step + int(beyond[0]) if len(beyond) else first + AHEAD)
        else:
            found[name] = np.array([number])
    return Ahead(first, end, {name: values[: end - first] for name, values in found.items()})


def values_of(name: str, schedule: LearningRateSchedule, first: int) -> Array:
    """What a schedule says for the steps from `first` on."""
    made = np.asarray(schedule(np.arange(first, first + AHEAD)))
    if made.shape not in ((), (AHEAD,)) or made.dtype.kind not in "fiu":
        raise ValueError(
            f"{name}: expected a number for each of {AHEAD} steps from {schedule!r}, got {made.dtype} of shape "
            f"{made.shape}. It is called with an array of steps: compute with NumPy's functions"
        )
    return np.broadcast_to(made, AHEAD).astype(np.float64)

"""Numbers that change from step to step: a schedule says what a learning rate, weight decay or dropout rate is at each.

The engine reads them from arrays of the steps ahead, so a step needs nothing of Python; see `Stepper.look_ahead`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nncore.arguments import check_number, is_number
from nncore.registry import Configurable, Registry

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
            Finite and ≥ 0 for every step that is made; a rate of dropout also < 1.
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


def scheduled(argument: str, value: Any, below: float = math.inf, words: str = "") -> Scheduled:
    """`value` as a number in [0, `below`) or a schedule, which may also be given as its configuration.

    `words` say more of the number, for errors.
    """
    if isinstance(value, Mapping):
        value = SCHEDULES.get(value, argument, LearningRateSchedule)
    if isinstance(value, LearningRateSchedule):
        return value
    remedy = "choose one inside" if is_number(value) else "pass a Python or NumPy number"
    if callable(value):
        remedy = "derive what is to follow the steps from nncore.schedules.LearningRateSchedule"

    def fits(v: float) -> bool:
        return 0 <= v < below

    return check_number(value, argument, f"a number in [0, {below:g}){words} or a LearningRateSchedule", fits, remedy)


@dataclass(frozen=True)
class Varying:
    """A number in [0, `below`) that may change by step; `argument` is what errors call it."""

    argument: str
    number: Scheduled
    below: float = math.inf


@dataclass(frozen=True)
class Ahead:
    """What the engine reads: numbers for updates `first` … `end` − 1, each an array, or one value for all of them."""

    first: int
    end: int
    numbers: list[Array]

    def reaches(self, step: int) -> bool:
        """Whether it says what they are at a step."""
        return self.first <= step < self.end

    def at(self, which: int, step: int) -> float:
        """One of them."""
        values = self.numbers[which]
        return float(values[step - self.first if len(values) > 1 else 0])

    def beside(self, other: Ahead) -> Ahead:
        """The numbers of both, for the updates that both reach."""
        first, end = max(self.first, other.first), min(self.end, other.end)
        numbers = [v[first - a.first : end - a.first] if len(v) > 1 else v for a in (self, other) for v in a.numbers]
        return Ahead(first, end, numbers)


def ahead(step: int, varying: Iterable[Varying]) -> Ahead:
    """The values of numbers for update `step` and those after it.

    They are computed for whole runs of `AHEAD` steps, wherever `step` lies in one: so the array in which a step's value
    is computed, and with it the last bit of that, does not depend on where a fit was taken up.
    """
    found: list[Array] = []
    first, end = 0, 2**63 - 1
    for v in varying:
        if not isinstance(v.number, LearningRateSchedule):
            found.append(np.array([v.number]))
            continue
        first = step // AHEAD * AHEAD
        values = values_of(v.argument, v.number, first)
        found.append(values)
        good = (values >= 0) & (values < v.below)
        if not good[step - first]:
            expected = "finite numbers ≥ 0" if v.below == math.inf else f"numbers in [0, {v.below:g})"
            got = values[step - first]
            raise ValueError(f"{v.argument}: expected {expected}, got {got} at step {step} of {v.number!r}")
        beyond = np.flatnonzero(~good[step - first :])  # perhaps never reached
        end = min(end, step + int(beyond[0]) if len(beyond) else first + AHEAD)
    return Ahead(first, end, [values[: end - first] for values in found])


def values_of(argument: str, schedule: LearningRateSchedule, first: int) -> Array:
    """What a schedule says for the steps from `first` on."""
    try:
        made = np.asarray(schedule(np.arange(first, first + AHEAD)))
    except (TypeError, ValueError) as error:  # of an `if`, a `min` or an `int` that is given an array
        raise ValueError(
            f"{argument}: expected a number for each of {AHEAD} steps from {schedule!r}, got {type(error).__name__}: "
            f"{error}. It is called with an array of steps: compute with NumPy's functions, such as np.where"
        ) from error
    if made.shape not in ((), (AHEAD,)) or made.dtype.kind not in "fiu":
        raise ValueError(
            f"{argument}: expected a number for each of {AHEAD} steps from {schedule!r}, got {made.dtype} of shape "
            f"{made.shape}. It is called with an array of steps: compute with NumPy's functions"
        )
    return np.broadcast_to(made, AHEAD).astype(np.float64)

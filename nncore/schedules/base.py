"""What every schedule is, and how the numbers of the steps ahead are found.

The engine reads them from arrays of the steps ahead, so a step needs nothing of Python; see `Stepper.look_ahead`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from nncore.arguments import check_number, is_number
from nncore.attributes import shown
from nncore.registry import Configurable, Registry, plain

Array = np.ndarray[Any, Any]

AHEAD = 1024  # steps for which values are computed at once


class LearningRateSchedule(Configurable):
    """Base of the schedules; a subclass says in `__call__` what the number is at a step.

    Like a layer of your own it keeps its constructor's arguments as attributes of the same names. What it returns may
    depend on these and on the step alone, so that a fit which is taken up again goes on as it would have.

    ``load_model`` finds a class of your own by name once it is registered: ``@nncore.schedules.SCHEDULES.register()``.

    Schedules and numbers can be added and multiplied.
    """

    def __call__(self, step: Any) -> Any:
        """The numbers at some steps.

        Parameters
        ----------
        step : array_like, any shape
            Numbers of updates that were made before: 0 at the first step. Training asks for the steps ahead, an array
            of int64 of shape (n,), which may lie beyond the last step that is made.

        Returns
        -------
        float or ndarray, of the shape of `step`
            Finite and ≥ 0 for every step that is made; a rate of dropout also < 1.

        Raises
        ------
        TypeError, ValueError
            `step` holds no real numbers, or negative ones.
        """
        at = np.asarray(step)
        expected = "step: expected numbers of updates made before, all ≥ 0, got"
        if at.dtype.kind not in "iuf":
            raise TypeError(f"{expected} {step!r}")
        if not (at >= 0).all():
            raise ValueError(f"{expected} {step!r}")
        return self.at(at)[()]

    def at(self, step: Array) -> Array:
        """What `__call__` returns, of an array: a subclass defines one of the two."""
        raise NotImplementedError(f"{type(self).__name__} does not say what the number is at a step: define __call__")

    @property
    def momentary(self) -> bool:
        """Whether it must be asked before each step, for that one alone."""
        return False

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Any:
        """Build the schedule that `get_config` described."""
        with custom_classes(custom_objects):
            return super().from_config(config)

    def _with(self, kind: str, argument: str, other: Any, first: bool) -> Any:
        """A sum or product with another; a sum of sums is one."""
        cls: Any = SCHEDULES.classes[kind]
        if not (isinstance(other, LearningRateSchedule) or is_number(other)):
            return NotImplemented
        pair = (self, other) if first else (other, self)
        return cls([part for one in pair for part in (getattr(one, argument) if type(one) is cls else [one])])

    def __add__(self, other: Any) -> Any:
        """Σ, at each step."""
        return self._with("sum", "terms", other, True)

    def __radd__(self, other: Any) -> Any:
        """Σ, at each step."""
        return self._with("sum", "terms", other, False)

    def __mul__(self, other: Any) -> Any:
        """Π, at each step."""
        return self._with("product", "factors", other, True)

    def __rmul__(self, other: Any) -> Any:
        """Π, at each step."""
        return self._with("product", "factors", other, False)

    def __repr__(self) -> str:
        return shown(self, {name: self.argument(name) for name in self.config_names()})


SCHEDULES: Registry[LearningRateSchedule] = Registry(
    "schedule",
    own="Make one of your own known before: @nncore.schedules.SCHEDULES.register() on its class, or custom_objects",
)
LearningRateSchedule.registry = SCHEDULES

Scheduled = float | LearningRateSchedule


@contextmanager
def custom_classes(custom_objects: Mapping[str, Any] | None) -> Iterator[None]:
    """Within it, schedules and functions of a user's own are known by these names."""
    known = SCHEDULES.spellings
    given = {plain(name): thing for name, thing in (custom_objects or {}).items()}
    before = {name: known.get(name) for name in given}
    known.update(
        (name, thing)
        for name, thing in given.items()
        if isinstance(thing, type) and issubclass(thing, LearningRateSchedule)
    )
    try:
        yield
    finally:
        for name, cls in before.items():
            known.pop(name, None)
            if cls is not None:
                known[name] = cls


def get(identifier: Any, argument: str = "schedule") -> LearningRateSchedule:
    """Turn a configuration, class, function or object into a schedule. See `Registry.get`."""
    if callable(identifier) and not isinstance(identifier, (type, LearningRateSchedule)):
        function: Any = SCHEDULES.classes["function_schedule"]
        made: LearningRateSchedule = function(identifier)
        return made
    return SCHEDULES.get(identifier, argument, LearningRateSchedule)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> LearningRateSchedule:
    """The schedule that `serialize` described, classes of your own among `custom_objects`, by name."""
    with custom_classes(custom_objects):
        return get(config, "config")


def scheduled(argument: str, value: Any, below: float = math.inf, words: str = "", phrase: str = "") -> Scheduled:
    """`value` as a number in [0, `below`) or a schedule, given as such, as its configuration, or as a function.

    `words` say more of the number, for errors; `phrase` is Keras's.
    """
    if isinstance(value, type) and issubclass(value, LearningRateSchedule):
        raise TypeError(f"{argument}: expected a schedule, got its class {value.__name__}; call it with its arguments")
    if isinstance(value, (LearningRateSchedule, Mapping)) or callable(value):
        return get(value, argument)
    remedy = "choose one inside" if is_number(value) else "pass a Python or NumPy number"

    def fits(v: float) -> bool:
        return 0 <= v < below

    expected = f"a number in [0, {below:g}){words} or a LearningRateSchedule"
    return check_number(value, argument, expected, fits, remedy, phrase)


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
    starts: list[int] = []
    first, end = 0, 2**63 - 1
    for v in varying:
        if not isinstance(v.number, LearningRateSchedule):
            found.append(np.array([v.number]))
            starts.append(0)
            continue
        count = 1 if v.number.momentary else AHEAD
        start = step // count * count
        values = values_of(v.argument, v.number, start, count)
        found.append(values)
        starts.append(start)
        first = max(first, start)
        good = (values >= 0) & (values < v.below)
        if not good[step - start]:
            expected = "finite numbers ≥ 0" if v.below == math.inf else f"numbers in [0, {v.below:g})"
            got = values[step - start]
            raise ValueError(f"{v.argument}: expected {expected}, got {got} at step {step} of {v.number!r}")
        beyond = np.flatnonzero(~good[step - start :])  # perhaps never reached
        end = min(end, step + int(beyond[0]) if len(beyond) else start + count)
    cut = [v if v.size == 1 else v[first - s : end - s] for v, s in zip(found, starts, strict=True)]
    return Ahead(first, end, cut)


def values_of(argument: str, schedule: LearningRateSchedule, first: int, count: int) -> Array:
    """What a schedule says for `count` steps from `first` on."""
    try:
        made = np.asarray(schedule(np.arange(first, first + count)))
    except (TypeError, ValueError) as error:  # of an `if`, a `min` or an `int` that is given an array
        raise ValueError(
            f"{argument}: expected a number for each of {count} steps from {schedule!r}, got {type(error).__name__}: "
            f"{error}. It is called with an array of steps: compute with NumPy's functions, such as np.where"
        ) from error
    if made.shape not in ((), (count,)) or made.dtype.kind not in "fiu":
        raise ValueError(
            f"{argument}: expected a number for each of {count} steps from {schedule!r}, got {made.dtype} of shape "
            f"{made.shape}. It is called with an array of steps: compute with NumPy's functions"
        )
    return np.broadcast_to(made, count).astype(np.float64)

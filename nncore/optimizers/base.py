"""What every optimizer is: hyper-parameters that are checked, numbers that the engine reads, the steps it has made."""

from __future__ import annotations

import copy
import gc
import warnings
import weakref
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from nncore._kernels.table import NUMBERS, SCHEDULED, STATES
from nncore.arguments import check_number, is_number, is_whole
from nncore.habits import HABITS
from nncore.registry import Configurable, Registry
from nncore.schedules import Ahead, LearningRateSchedule, Scheduled, Varying, ahead, scheduled

Array = np.ndarray[Any, Any]


def packed(fields: Mapping[str, tuple[int, str | None]], values: Mapping[str, float]) -> Array:
    """Numbers by name as the C struct whose fields these are: doubles, each at its byte."""
    struct = np.zeros(len(fields))
    for name, (offset, _) in fields.items():
        struct[offset // struct.itemsize] = values[name]
    return struct


def _number(argument: str, value: Any, interval: str = "[0, inf)") -> float:
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


class Optimizer(Configurable):
    """Base of the optimizers. Two are equal if their classes and configurations are, whatever steps they have made.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        η ≥ 0, dimensionless; can be set at any time, also during a fit. A schedule gives it for each step, by the
        number of updates made before.
    weight_decay : float or LearningRateSchedule, optional
        Decoupled decay, ≥ 0; None: 0.
    clipnorm, clipvalue, global_clipnorm : float, optional
        Limits > 0 of each gradient's norm, of each element, and of the norm of all gradients together.
    name : str, optional
        Default: the name under which the class is registered.

    Attributes
    ----------
    kernel : str
        Name in ``optimizers.def``.
    numbers : ndarray of float64
        The optimizer's own hyper-parameters as the kernel's struct.
    counter : ndarray of int64, shape (1,)
        The updates made so far. Never replaced while the optimizer lives.
    excluded_from_weight_decay : tuple of str
        What `exclude_from_weight_decay` was given.

    Raises
    ------
    ValueError
        A number is outside its interval, or more than one kind of clipping is asked for.
    TypeError
        An argument is no number.
    """

    kernel: ClassVar[str]
    #: State arrays that not all configurations need, each with the hyper-parameter that is then 0.
    spared: ClassVar[dict[str, str]] = {}
    #: Whether rows of an embedding that a step does not read stay as they are, with their state.
    lazy: ClassVar[bool] = False
    weight_decay: Scheduled
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    remedies: ClassVar[dict[str, str]] = {
        "lr": HABITS["lr"].remedy,
        "numbers": "Make another.",
        "counter": "Set iterations.",
        "excluded_from_weight_decay": "Call exclude_from_weight_decay.",
    }

    def __init__(
        self,
        learning_rate: Scheduled,
        weight_decay: Scheduled | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        if len(given := [clip for clip, limit in clips.items() if limit is not None]) > 1:
            raise ValueError(f"{', '.join(given)}: expected at most one kind of clipping, got {len(given)}; choose one")
        for clip, limit in clips.items():
            setattr(self, clip, None if limit is None else _number(clip, limit, "(0, inf)"))
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name: expected a string or None, got {name!r}")
        self.name = name or self.registry.name_of(self)
        self.excluded_from_weight_decay: tuple[str, ...] = ()
        # A subclass sets its own hyper-parameters before it comes here.
        self.numbers = packed(NUMBERS[self.kernel], vars(self))
        self.counter = np.zeros(1, np.int64)
        self.weight_decay = scheduled("weight_decay", 0.0 if weight_decay is None else weight_decay)
        self._ahead: Ahead | None = None
        self.learning_rate = learning_rate
        self._owner: weakref.ref[Any] | None = None

    def hyperparameter(self, name: str, value: Any) -> float:
        """`value`, if it is in the interval that ``optimizers.def`` gives the hyper-parameter `name`."""
        _, interval = NUMBERS[self.kernel][name]
        assert interval is not None, "a flag, for check_flag"
        return _number(name, value, interval)

    @property
    def clips_norm(self) -> bool:
        """Whether it looks at norms of gradients."""
        return bool(self.clipnorm or self.global_clipnorm)

    @property
    def leaves_rows(self) -> bool:
        """Whether it leaves rows of a table alone whose gradient is 0, and needs no norms, which are of all rows."""
        return self.lazy and not self.clips_norm

    def decays(self, path: str) -> bool:
        """Whether a parameter of this path takes weight decay."""
        return not any(name in path for name in self.excluded_from_weight_decay)

    @property
    def state_names(self) -> tuple[str, ...]:
        """The state arrays that it needs, each laid out as the weights, in the kernel's order."""
        spared = {name for name, number in self.spared.items() if not getattr(self, number)}
        return tuple(name for name in STATES[self.kernel] if name not in spared)

    @property
    def learning_rate(self) -> Any:
        """η, a finite number ≥ 0: that of the next step. What is set takes effect there; it may be a schedule."""
        if isinstance(self._learning_rate, LearningRateSchedule):
            return self.ahead().at(SCHEDULED["learning_rate"], self.iterations)
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._learning_rate: Scheduled = scheduled("learning_rate", value)
        known = self._ahead.numbers[SCHEDULED["learning_rate"]] if self._ahead else None
        if known is not None and len(known) == 1 and isinstance(self._learning_rate, float):
            known[0] = self._learning_rate  # an engine of another thread may be at work with it
        else:
            self._ahead = None

    def ahead(self) -> Ahead:
        """The numbers of SCHEDULED for the next steps: the same object for as long as they are true."""
        step = self.iterations
        if self._ahead is None or not self._ahead.reaches(step):
            self._ahead = ahead(step, [Varying(name, self._scheduled(name)) for name in SCHEDULED])
        return self._ahead

    def _scheduled(self, name: str) -> Scheduled:
        """A number of SCHEDULED, or its schedule."""
        number: Scheduled = getattr(self, "_learning_rate" if name == "learning_rate" else name)
        return number

    @property
    def lr(self) -> float:
        """An AttributeError that says the name."""
        raise AttributeError(f"lr: expected an attribute of {type(self).__name__}. {HABITS['lr'].remedy}")

    @property
    def iterations(self) -> int:
        """The number of updates made so far."""
        return int(self.counter[0])

    @iterations.setter
    def iterations(self, value: int) -> None:
        self.counter[0] = check_iterations(value)

    def owner(self) -> Any:
        """The model that is compiled with this optimizer; None if there is none, or it is gone."""
        model = self._owner() if self._owner else None
        configuration = model.configuration if model is not None else None
        return model if configuration is not None and configuration.optimizer is self else None

    def of(self, model: Any) -> Optimizer:
        """What `model` is to be compiled with: this, or a copy, with a warning, if another model is compiled with this.

        One optimizer counts the steps of one model; `claim` says which.
        """
        if self.owner() not in (None, model):
            gc.collect()  # it may be one that nobody holds any more
        if (other := self.owner()) in (None, model):
            return self
        warnings.warn(
            f"optimizer: expected one that no other model uses, got the {type(self).__name__} of {other!r}. Since it "
            "counts that model's steps, this one got a copy, its model.optimizer; give each model one of its own",
            stacklevel=4,
        )
        return copy.copy(self)

    def claim(self, model: Any) -> None:
        """Belong to `model`, as long as it is compiled with this optimizer."""
        self._owner = weakref.ref(model)

    def exclude_from_weight_decay(self, var_names: Iterable[str]) -> None:
        """Spare the weights whose names contain one of these strings from decay; replaces an earlier choice.

        It takes effect at the next `fit`; during one it is a RuntimeError.

        Parameters
        ----------
        var_names : iterable of str
            Parts of names, such as ``["bias"]``; unlike Keras's, they are plain strings, not regular expressions.

        Raises
        ------
        TypeError
            `var_names` is a bare string, or holds something else than strings.
        ValueError
            One is empty, and so part of every name.
        """
        names = () if isinstance(var_names, str) else tuple(var_names)
        if isinstance(var_names, str) or not all(isinstance(name, str) for name in names):
            raise TypeError(f'var_names: expected a list of strings, got {var_names!r}; for one name write ["bias"]')
        if "" in names:
            raise ValueError(f"var_names: expected parts of names, got {list(names)}; '' is part of every name")
        if (model := self.owner()) is not None:
            model.forget_programs("exclude_from_weight_decay")
        vars(self)["excluded_from_weight_decay"] = names

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, and the exclusions from weight decay where there are any."""
        config = super().get_config()
        if self.excluded_from_weight_decay:
            config["exclude_from_weight_decay"] = list(self.excluded_from_weight_decay)
        return config

    def argument(self, name: str) -> Any:
        """See `Configurable.argument`; schedules, whatever they say of the step at hand."""
        return self._scheduled(name) if name in SCHEDULED else super().argument(name)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """Build the optimizer that `get_config` described, at step 0; unknown keys are a ValueError."""
        arguments = dict(config)
        excluded = arguments.pop("exclude_from_weight_decay", ())
        optimizer = super().from_config(arguments)
        optimizer.exclude_from_weight_decay(excluded)
        return optimizer

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or not isinstance(other, Optimizer):
            return NotImplemented
        return self.get_config() == other.get_config()

    __hash__ = None  # type: ignore[assignment]  # the learning rate can change

    def __repr__(self) -> str:
        config = self.get_config() | {"learning_rate": self._learning_rate, "weight_decay": self.weight_decay}
        arguments = ", ".join(f"{name}={value!r}" for name, value in config.items())
        return f"{type(self).__name__}({arguments})"

    def __getstate__(self) -> dict[str, Any]:
        # A copy, that of copy.copy too, is free, and never shares the memory that an engine reads.
        return vars(self) | {"counter": self.counter.copy(), "_ahead": None, "_owner": None}

    def progress(self) -> tuple[int, Scheduled]:
        """What changes while a model is trained: the number of updates, and the learning rate."""
        return self.iterations, self._learning_rate

    def resume(self, iterations: int, learning_rate: Scheduled) -> None:
        """Go on from another's `progress`."""
        self.iterations, self.learning_rate = iterations, learning_rate


OPTIMIZERS: Registry[Optimizer] = Registry(
    "optimizer", "its steps are native code; learning_rate can be set in a callback"
)


def get(identifier: Any, argument: str = "optimizer") -> Optimizer:
    """Turn a name, configuration, class or object into an `Optimizer`. See `Registry.get`."""
    return OPTIMIZERS.get(identifier, argument, Optimizer)

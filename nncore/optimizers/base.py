"""What every optimizer is: hyper-parameters that are checked, numbers that the engine reads, the steps it has made."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np

from nncore._kernels.table import NUMBERS, SCHEDULED, STATES
from nncore.arguments import check_flag, check_whole
from nncore.attributes import shown
from nncore.graph import Shape
from nncore.habits import HABITS
from nncore.optimizers.alone import Alone
from nncore.optimizers.choices import Choices
from nncore.optimizers.numbers import Count, Rate, check_iterations, completed, number_in, packed
from nncore.parameter import Parameter
from nncore.registry import Configurable, Registry
from nncore.schedules import Ahead, LearningRateSchedule, Scheduled, Varying, ahead, custom_classes, scheduled
from nncore.state import Settings
from nncore.warning import warn

Array = np.ndarray[Any, Any]

#: Arrays that any optimizer may need beside those of its rule, laid out as the weights.
AVERAGE, COLLECTED = "average", "collected"


class Optimizer(Alone, Choices, Configurable):
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
    use_ema : bool, default False
        Keep a running mean of the weights, W̄ ← ema_momentum W̄ + (1 − ema_momentum) W after each update, from W after
        the first one on. At the end of a fit the weights become W̄.
    ema_momentum : float, default 0.99
        In [0, 1].
    ema_overwrite_frequency : int, optional
        W ← W̄ after each so many updates, too.
    loss_scale_factor : float, optional
        > 0. What `apply` divides gradients by, and `scale_loss` multiplies a loss by. Numbers of 32 or 64 bits need no
        scaling, so a fit does none.
    gradient_accumulation_steps : int, optional
        ≥ 2: an update follows the mean gradient of so many steps. `iterations` and schedules count updates.
    name : str, optional
        Default: the name under which the class is registered.

    Attributes
    ----------
    kernel : str
        Name in ``optimizers.def``.
    numbers : ndarray of float64
        The optimizer's own hyper-parameters as the kernel's struct.
    counter : ndarray of int64, shape (2,)
        The updates made so far, and the steps since then whose gradients wait for others. Never replaced while the
        optimizer lives.
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
    #: Whether an epoch is one step, of the whole data set.
    full_batch: ClassVar[bool] = False
    #: Whether rows of an embedding that a step does not read stay as they are, with their state.
    lazy: ClassVar[bool] = False
    weight_decay: Scheduled
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    remedies: ClassVar[dict[str, str]] = {
        "lr": HABITS["lr"].remedy,
        "numbers": "Make another.",
        "counter": "Set iterations.",
        "excluded_from_weight_decay": "Call exclude_from_weight_decay.",
        "learning_rate_factors": "Call scale_learning_rate.",
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "__init__" in vars(cls):
            cls.__init__ = completed(cls.__init__, Optimizer.__init__)  # type: ignore[method-assign]
        super().__init_subclass__(**kwargs)

    def __init__(
        self,
        learning_rate: Scheduled,
        weight_decay: Scheduled | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        if len(given := [clip for clip, limit in clips.items() if limit is not None]) > 1:
            raise ValueError(
                f"{', '.join(given)}: expected at most one kind of clipping, got {len(given)}; choose one (Only one of "
                "`clipnorm`, `clipvalue` and `global_clipnorm` can be set)"
            )
        for clip, limit in clips.items():
            setattr(self, clip, None if limit is None else number_in(clip, limit, "(0, inf)"))
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name: expected a string or None, got {name!r}")
        known = OPTIMIZERS.name_of(self)  # or an error, of a class of a user's
        self.name = name or known
        self.use_ema = check_flag(use_ema, "use_ema")
        self.ema_momentum = number_in("ema_momentum", ema_momentum, "[0, 1]")
        frequency, steps = ema_overwrite_frequency, gradient_accumulation_steps
        self.ema_overwrite_frequency = None if frequency is None else check_whole(
            frequency, "ema_overwrite_frequency", "a whole number of updates ≥ 1, or None", 1
        )  # fmt: skip
        self.loss_scale_factor = (
            None if loss_scale_factor is None else number_in("loss_scale_factor", loss_scale_factor, "(0, inf)")
        )
        self.gradient_accumulation_steps = None if steps is None else check_whole(
            steps, "gradient_accumulation_steps", "a whole number of steps ≥ 2, or None", 2
        )  # fmt: skip
        self.excluded_from_weight_decay: tuple[str, ...] = ()
        self.learning_rate_factors: dict[str, float] = {}
        self._excluded: list[Any] = []
        # A subclass sets its own hyper-parameters before it comes here.
        self.numbers = packed(NUMBERS[self.kernel], vars(self))
        self.counter = np.zeros(2, np.int64)
        self.weight_decay = scheduled("weight_decay", 0.0 if weight_decay is None else weight_decay)
        self._ahead: Ahead | None = None
        self.learning_rate = learning_rate
        self._owner: weakref.ref[Any] | None = None
        self._applied: Any = None  # what `build` made

    def take(self, **hyperparameters: Any) -> None:
        """Set the kernel's own hyper-parameters, each of which is a flag or a number in its declared interval."""
        for name, value in hyperparameters.items():
            flag = NUMBERS[self.kernel][name][1] is None
            setattr(self, name, check_flag(value, name) if flag else self.hyperparameter(name, value))

    def hyperparameter(self, name: str, value: Any) -> float:
        """`value`, if it is in the interval that ``optimizers.def`` gives the hyper-parameter `name`."""
        _, interval = NUMBERS[self.kernel][name]
        assert interval is not None, "a flag, for check_flag"
        return number_in(name, value, interval)

    @property
    def clips_norm(self) -> bool:
        """Whether it looks at norms of gradients."""
        return bool(self.clipnorm or self.global_clipnorm)

    @property
    def passes_by(self) -> bool:
        """Whether nothing beside its rule asks for rows of a table whose gradient is 0: neither norms nor means."""
        return not (self.clips_norm or self.use_ema or self.gradient_accumulation_steps)

    @property
    def leaves_rows(self) -> bool:
        """Whether it leaves rows of a table alone whose gradient is 0."""
        return self.lazy and self.passes_by

    # -- what programs are made of -----------------------------------------------------------------------------------

    @property
    def parts(self) -> list[Optimizer]:
        """The optimizers that update parameters: itself, or those that it hands them to."""
        return [self]

    def part_of(self, path: str, variable: Any = None) -> int:
        """Which of these updates a parameter."""
        return 0

    def part(self, path: str, variable: Any = None) -> Optimizer:
        """That one."""
        number = self.part_of(path, variable)  # which may find another
        return self.parts[number]

    def whole(self, p: Parameter, path: str) -> bool:
        """Whether an operation of its own updates a parameter of these."""
        return False

    def settings(self, number: int, p: Parameter, path: str) -> Settings:
        """What the chunks of parameter `number` have: of one of `parts`, which is this."""
        return Settings(
            group=number if self.clipnorm is not None else 0,
            decay=float(self.decays(path, p)),
            rate=self.rate(path),
            whole=self.whole(p, path),
        )

    @property
    def steps(self) -> int:
        """The steps whose gradients make an update."""
        return self.gradient_accumulation_steps or 1

    @property
    def state_names(self) -> tuple[str, ...]:
        """The state arrays that its rule needs, each laid out as the weights, in the kernel's order."""
        spared = {name for name, number in self.spared.items() if not getattr(self, number)}
        return tuple(name for name in STATES[self.kernel] if name not in spared)

    @property
    def array_names(self) -> tuple[str, ...]:
        """All arrays that it needs, by name."""
        parts = self.parts
        names = dict.fromkeys(name for part in parts for name in part.state_names)
        averages = any(part.use_ema for part in parts)
        return (*names, *([AVERAGE] if averages else []), *([COLLECTED] if self.steps > 1 else []))

    def form(self, name: str, p: Parameter, path: str) -> Shape | None:
        """The shape that a parameter's part of an array has: its first elements; None: it uses none of it."""
        part = self.part(path, p)
        if name == AVERAGE:
            return p.shape if part.use_ema else None
        if name == COLLECTED:
            return p.shape
        return part.state_form(name, p, path) if name in part.state_names else None

    def state_form(self, name: str, p: Parameter, path: str) -> Shape | None:
        """The same, of the arrays of its rule."""
        return p.shape

    @property
    def learning_rate(self) -> Any:
        """η, a finite number ≥ 0: that of the next step. What is set takes effect there; it may be a schedule."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            rate = self.ahead().at(SCHEDULED["learning_rate"], int(self.counter[0]))
        now = Rate(rate)
        now._assign = partial(setattr, self, "learning_rate")
        return now

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
        step = int(self.counter[0])
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
        now = Count(self.counter[0])
        now._assign = partial(setattr, self, "iterations")
        return now

    @iterations.setter
    def iterations(self, value: int) -> None:
        self.counter[:] = check_iterations(value), 0

    @property
    def batches(self) -> int:
        """The steps made so far, of which `steps` make an update: what files have."""
        return int(self.counter[0]) * self.steps + int(self.counter[1])

    @batches.setter
    def batches(self, value: int) -> None:
        self.counter[:] = divmod(check_iterations(value), self.steps)

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
        warn(
            f"optimizer: expected one that no other model uses, got the {type(self).__name__} of {other!r}. Since it "
            "counts that model's steps, this one got a copy, its model.optimizer; give each model one of its own"
        )
        return copy.copy(self)

    def claim(self, model: Any) -> None:
        """Belong to `model`, as long as it is compiled with this optimizer."""
        self._owner = weakref.ref(model)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; where there are any, exclusions from weight decay, and factors."""
        config = super().get_config()
        if self.excluded_from_weight_decay:
            config["exclude_from_weight_decay"] = list(self.excluded_from_weight_decay)
        if self.learning_rate_factors:
            config["scale_learning_rate"] = dict(self.learning_rate_factors)
        return config

    def argument(self, name: str) -> Any:
        """See `Configurable.argument`; schedules, whatever they say of the step at hand."""
        return self._scheduled(name) if name in SCHEDULED else super().argument(name)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """Build the optimizer that `get_config` described, at step 0; unknown keys are a ValueError."""
        arguments = dict(config)
        excluded = arguments.pop("exclude_from_weight_decay", ())
        factors = arguments.pop("scale_learning_rate", {})
        with custom_classes(custom_objects):
            optimizer = super().from_config(arguments)
        optimizer.exclude_from_weight_decay(var_names=excluded)
        optimizer.scale_learning_rate(factors)
        return optimizer

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or not isinstance(other, Optimizer):
            return NotImplemented
        return self.get_config() == other.get_config()

    __hash__ = None  # type: ignore[assignment]  # the learning rate can change

    def __repr__(self) -> str:
        own = {"learning_rate": self._learning_rate, "weight_decay": self.weight_decay}
        return shown(self, self.get_config() | own)

    def __getstate__(self) -> dict[str, Any]:
        # A copy, that of copy.copy too, is free, and never shares the memory that an engine reads.
        return vars(self) | {"counter": self.counter.copy(), "_ahead": None, "_owner": None, "_applied": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # joblib may have mapped a file: such an array is read-only
        vars(self).update(state, counter=np.array(state["counter"]))

    def described(self) -> list[Optimizer]:
        """The optimizers in the order in which a configuration has them, perhaps some of them twice."""
        return [self]

    def rates(self) -> list[Scheduled]:
        """The learning rate of each of `parts`, or its schedule."""
        return [self._learning_rate]

    def progress(self) -> tuple[int, list[Scheduled]]:
        """What changes while a model is trained: the number of steps, and the learning rates."""
        return self.batches, self.rates()

    def resume(self, batches: int, rates: Iterable[Scheduled]) -> None:
        """Go on from another's `progress`."""
        self.batches = batches
        for part, rate in zip(self.parts, rates, strict=True):
            part.learning_rate = rate


OPTIMIZERS: Registry[Optimizer] = Registry(
    "optimizer", "its steps are native code; learning_rate can be set in a callback"
)


def get(identifier: Any, argument: str = "") -> Any:
    """Turn a name, configuration, class or object into an `Optimizer`.

    None stays, unless an argument is named. See `Registry.get`.
    """
    if identifier is None and not argument:
        return None
    return OPTIMIZERS.get(identifier, argument or "optimizer", Optimizer)

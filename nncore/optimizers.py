"""Optimizers: which update rule moves the weights, and its hyper-parameters.

An optimizer computes nothing here. It names an entry of ``src_c/operations/parameters/optimizers.def``, which declares
its hyper-parameters and state arrays; and it holds what the engine reads by address at every step, so a new learning
rate takes effect at the next one. In the formulas W are weights, g their gradient, t the step (1 at the first), η the
learning rate; state starts at 0. Before its rule every optimizer applies, in this order:

1. clipping: `clipnorm` scales each gradient tensor to this Euclidean norm if it is longer, `global_clipnorm` all
   of them together, `clipvalue` limits each element to ±clipvalue; at most one of the three;
2. weight decay, decoupled from the gradient as in [1]_: W ← W − η weight_decay W. PyTorch's SGD, Adam and
   RMSprop add weight_decay W to g instead.

Rules with g² (Adam, AdamW, RMSprop) take elements of g beyond ±2⁶³ ≈ ±9.2e18 for that (float64: ±2⁵¹¹), so that g²
does not overflow, and an epsilon below 2⁻⁶³, or below 2⁻¹²⁶ under a root, for that, so that 0 / 0 is never asked
for. Finite gradients then leave the weights finite, except for `RMSprop(centered=True, epsilon=0)`, which may divide
by nearly 0.

References
----------
.. [1] I. Loshchilov, F. Hutter: Decoupled weight decay regularization, ICLR 2019, arXiv:1711.05101.
"""

from __future__ import annotations

import copy
import gc
import warnings
import weakref
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from nncore._kernels.table import NUMBERS, STATES
from nncore.arguments import check_flag, check_number, is_number, is_whole
from nncore.habits import HABITS
from nncore.registry import Configurable, Registry, missing
from nncore.registry import serialize as serialize
from nncore.schedules import Ahead, LearningRateSchedule, Scheduled, ahead, described, scheduled

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
            return self.ahead().at("learning_rate", self.iterations)
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._learning_rate: Scheduled = scheduled("learning_rate", value)
        known = self._ahead.numbers["learning_rate"] if self._ahead else None
        if known is not None and len(known) == 1 and isinstance(self._learning_rate, float):
            known[0] = self._learning_rate  # an engine of another thread may be at work with it
        else:
            self._ahead = None

    def ahead(self) -> Ahead:
        """Learning rate and weight decay of the next steps: the same object for as long as they are true."""
        step = self.iterations
        if self._ahead is None or not self._ahead.first <= step < self._ahead.end:
            numbers = {"learning_rate": self._learning_rate, "weight_decay": self.weight_decay}
            self._ahead = ahead(step, numbers)
        return self._ahead

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
        """See `Configurable.argument`; schedules as JSON, whatever they say of the step at hand."""
        if name == "learning_rate":
            return described(self._learning_rate)
        return described(self.weight_decay) if name == "weight_decay" else super().argument(name)

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


@OPTIMIZERS.register()
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

    W ← W − η g without momentum; else v ← momentum v − η g and W ← W + v; with `nesterov` W ← W + momentum v − η g.

    Parameters
    ----------
    learning_rate : float, default 0.01
        PyTorch's default is 0.001, scikit-learn's (solver "sgd") 0.001.
    momentum : float, default 0.0
        In [0, 1]. PyTorch's default is 0 too, scikit-learn's 0.9 with Nesterov's form. PyTorch keeps v without the
        factor −η, which differs when the learning rate changes.
    nesterov : bool, default False
        Look ahead along v; with momentum 0 it changes nothing.
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`.

    References
    ----------
    I. Sutskever et al.: On the importance of initialization and momentum in deep learning, ICML 2013.
    """

    kernel: ClassVar[str] = "sgd"
    spared: ClassVar[dict[str, str]] = {"momentum": "momentum"}

    def __init__(
        self,
        learning_rate: Scheduled = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: Scheduled | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        self.momentum = self.hyperparameter("momentum", momentum)
        self.nesterov = check_flag(nesterov, "nesterov")
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)

    @property
    def leaves_rows(self) -> bool:
        """See `Optimizer`: without momentum and weight decay W stays where g is 0."""
        plain = self.momentum == 0 and self.weight_decay == 0
        return (self.lazy or plain) and not self.clips_norm


@OPTIMIZERS.register("LazySGD", name="lazysgd")
class LazySGD(SGD):
    """`SGD` that leaves rows of an `Embedding` alone, with their velocity, in steps that do not read them.

    Momentum and weight decay of such a row stand still; a step costs in proportion to the rows that it reads. All of
    this only where the table is read once in the model and has no regularizer, and no norm is clipped; otherwise, and
    for all other weights, it is `SGD`.

    Parameters
    ----------
    learning_rate, momentum, nesterov, weight_decay, clipnorm, clipvalue, global_clipnorm, name
        As for `SGD`.
    """

    lazy: ClassVar[bool] = True


@OPTIMIZERS.register()
class Adam(Optimizer):
    """Adaptive moments.

    m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  W ← W − η √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε).

    Parameters
    ----------
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9, 0.999
        Decay of the two moments, in [0, 1).
    epsilon : float, default 1e-7
        ≥ 0. It stands beside √v before the correction of its bias (the paper's ε̂); in PyTorch and scikit-learn, where
        it is 1e-8, beside the corrected √(v / (1 − β₂ᵗ)).
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`. PyTorch's Adam adds weight_decay W to g; here it is decoupled, as in `AdamW`.

    References
    ----------
    D. P. Kingma, J. Ba: Adam: a method for stochastic optimization, ICLR 2015, arXiv:1412.6980, section 2
    (the more efficient order of computation).
    """

    kernel: ClassVar[str] = "adam"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: Scheduled | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        self.beta_1 = self.hyperparameter("beta_1", beta_1)
        self.beta_2 = self.hyperparameter("beta_2", beta_2)
        self.epsilon = self.hyperparameter("epsilon", epsilon)
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)


@OPTIMIZERS.register("LazyAdam", name="lazyadam")
class LazyAdam(Adam):
    """`Adam` that leaves rows of an `Embedding` alone, with their moments, in steps that do not read them.

    The moments of such a row do not decay; t counts all steps. A step costs in proportion to the rows that it reads. As
    PyTorch's SparseAdam, and LazyAdam of TensorFlow Addons. All of this only where the table is read once in the model
    and has no regularizer, and no norm is clipped; otherwise, and for all other weights, it is `Adam`.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, weight_decay, clipnorm, clipvalue, global_clipnorm, name
        As for `Adam`; weight decay, too, is only of rows that are read.
    """

    lazy: ClassVar[bool] = True


@OPTIMIZERS.register("AdamW", name="adamw")
class AdamW(Adam):
    """`Adam` with a default for the decoupled weight decay: W ← W − η weight_decay W, then Adam's rule.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon
        As for `Adam`.
    weight_decay : float, default 0.004
        ≥ 0; PyTorch's default is 0.01.
    clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`.

    References
    ----------
    I. Loshchilov, F. Hutter: Decoupled weight decay regularization, ICLR 2019, arXiv:1711.05101, algorithm 2.
    """

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: Scheduled | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, weight_decay, clipnorm, clipvalue, global_clipnorm, name
        )


@OPTIMIZERS.register("RMSprop", name="rmsprop")
class RMSprop(Optimizer):
    """Gradients divided by a running root of their mean square.

    v ← ρ v + (1 − ρ) g²,  d = g / √(v + ε),  W ← W − η d.
    With `centered`, ḡ ← ρ ḡ + (1 − ρ) g and d = g / √(max(v − ḡ², 0) + ε).
    With `momentum`, b ← momentum b + η d and W ← W − b.

    Parameters
    ----------
    learning_rate : float, default 0.001
        PyTorch's default is 0.01.
    rho : float, default 0.9
        Decay of the running means, in [0, 1); PyTorch calls it alpha, with the default 0.99.
    momentum : float, default 0.0
        In [0, 1]. PyTorch keeps b without the factor η.
    epsilon : float, default 1e-7
        ≥ 0, inside the root; in PyTorch, where it is 1e-8, outside: √v + ε.
    centered : bool, default False
        Divide by an estimate of the standard deviation.
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`.

    References
    ----------
    T. Tieleman, G. Hinton: Neural networks for machine learning, lecture 6.5, Coursera 2012.
    A. Graves: Generating sequences with recurrent neural networks, arXiv:1308.0850, equations 38–45 (centered).
    """

    kernel: ClassVar[str] = "rmsprop"
    spared: ClassVar[dict[str, str]] = {"momentum": "momentum", "average_gradient": "centered"}

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: Scheduled | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        self.rho = self.hyperparameter("rho", rho)
        self.momentum = self.hyperparameter("momentum", momentum)
        self.epsilon = self.hyperparameter("epsilon", epsilon)
        self.centered = check_flag(centered, "centered")
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)


deserialize = get


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, [cls.__name__ for cls in OPTIMIZERS.classes.values()])

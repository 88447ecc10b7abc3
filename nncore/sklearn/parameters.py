"""The constructor's arguments: names, defaults and checks, once for both estimators."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Any, NamedTuple

from nncore.arguments import check_count, check_flag, check_nonnegative, check_number, explained, is_whole
from nncore.registry import constructor
from nncore.schedules import LearningRateSchedule

Check = Callable[[Any, str], Any]


class Argument(NamedTuple):
    """One of them."""

    default: Any
    check: Check | None = None  # called with value and name when `fit` begins; raises where the value is wrong


def one_of(*names: str) -> Check:
    """A check for one of these names."""

    def check(value: Any, argument: str) -> None:
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"{argument}: expected one of {', '.join(map(repr, names))}, got {value!r}")

    return check


def share(including_one: bool) -> Check:
    """A check for numbers from 0 to 1."""
    words = "a number in [0, 1]" if including_one else "a number in [0, 1)"

    def check(value: Any, argument: str) -> None:
        check_number(value, argument, words, lambda v: 0 <= v <= 1 and (including_one or v < 1))

    return check


def positive(value: Any, argument: str) -> None:
    """A check for numbers > 0."""
    check_number(value, argument, "a finite number > 0", lambda v: 0 < v < math.inf)


def positive_or_auto(value: Any, argument: str) -> None:
    """A check for "auto" or a number > 0."""
    if not (isinstance(value, str) and value == "auto"):
        positive(value, argument)


def not_negative(value: Any, argument: str) -> None:
    """A check for numbers ≥ 0."""
    check_nonnegative(value, argument, "it is a size")


def rate(value: Any, argument: str) -> None:
    """A check for a learning rate: a number > 0, or a schedule."""
    if not isinstance(value, LearningRateSchedule):
        positive(value, argument)


def batch(value: Any, argument: str) -> None:
    """A check for "auto" or a number of rows or epochs."""
    if not (isinstance(value, str) and value == "auto"):
        check_count(value, argument)


def patience(value: Any, argument: str) -> None:
    """A check for a number of epochs, or infinity."""
    if value != math.inf:
        check_count(value, argument)


def jobs(value: Any, argument: str) -> None:
    """A check for None, a number of threads, or that of those to leave out, as joblib counts (-1: none)."""
    if value is not None and not (is_whole(value) and value != 0):
        raise ValueError(f"{argument}: expected None or a whole number other than 0, got {value!r}")


def sizes(value: Any, argument: str) -> None:
    """A check for the units of hidden layers."""
    units = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not all(isinstance(n, Integral) and is_whole(n) for n in units):
        raise ValueError(f"{argument}: expected a whole number of units, or a sequence of them, got {value!r}")
    if any(n <= 0 for n in units):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {list(units)}.")


def verbosity(value: Any, argument: str) -> None:
    """A check for a flag, or a number ≥ 0."""
    if not isinstance(value, bool):
        check_count(value, argument, 0)


#: scikit-learn's, in its order.
THEIRS: dict[str, Argument] = {
    "hidden_layer_sizes": Argument((100,), sizes),
    "activation": Argument("relu"),
    "solver": Argument("adam", one_of("adam", "sgd", "lbfgs")),
    "alpha": Argument(0.0001, not_negative),
    "batch_size": Argument("auto", batch),
    "learning_rate": Argument("constant", one_of("constant", "invscaling", "adaptive")),
    "learning_rate_init": Argument(0.001, rate),
    "power_t": Argument(0.5, not_negative),
    "max_iter": Argument(200, check_count),
    "shuffle": Argument(True, check_flag),
    "random_state": Argument(None),
    "tol": Argument(1e-4, not_negative),
    "verbose": Argument(False, verbosity),
    "warm_start": Argument(False, check_flag),
    "momentum": Argument(0.9, share(True)),
    "nesterovs_momentum": Argument(True, check_flag),
    "early_stopping": Argument(False, check_flag),
    "validation_fraction": Argument(0.1, share(False)),
    "beta_1": Argument(0.9, share(False)),
    "beta_2": Argument(0.999, share(False)),
    "epsilon": Argument(1e-8, positive),
    "n_iter_no_change": Argument(10, patience),
    "max_fun": Argument(15000, check_count),
}

#: What theirs lacks.
OURS: dict[str, Argument] = {
    "dropout": Argument(0.0, share(False)),
    "batch_norm": Argument(False, check_flag),
    "restore_best": Argument(True, check_flag),
    "ensemble": Argument(1, check_count),
    "monotonic_cst": Argument(None),
    "callbacks": Argument(None),
    "n_jobs": Argument(None),
    "dtype": Argument(None),
    "matmul_precision": Argument(None),
}


def with_arguments(arguments: dict[str, Argument]) -> Callable[[type[Any]], type[Any]]:
    """Class decorator: a constructor that takes these arguments and keeps them as attributes, as scikit-learn asks."""

    def decorate(cls: type[Any]) -> type[Any]:
        cls.arguments = arguments
        init = constructor({name: argument.default for name, argument in arguments.items()})
        cls.__init__ = explained(init, as_given=True)  # scikit-learn's clone asks for the same objects
        return cls

    return decorate


def check(estimator: Any) -> None:
    """Check all arguments of an estimator; a ValueError or TypeError for what is wrong."""
    for name, argument in estimator.arguments.items():
        if argument.check is not None:
            argument.check(getattr(estimator, name), name)

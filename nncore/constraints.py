"""Constraints: what weights are made to fit after each update, by native code.

A norm is the Euclidean one of the elements along `axis`: for a kernel (in, out) and axis 0 that of all weights into one
neuron. ``constraint(w)`` returns an array that fits, in the dtype of `w` if that is float32 or float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nncore import runtime
from nncore._kernels import update
from nncore.arguments import check_nonnegative, check_number, is_whole
from nncore.conversion import as_array
from nncore.graph import Shape
from nncore.registry import Configurable, Registry, immutable
from nncore.registry import serialize as serialize

if TYPE_CHECKING:
    from nncore.parameter import Parameter


class Constraint(Configurable):
    """Base of the constraints; by itself it asks for nothing. Objects are equal where class and arguments are."""

    operation: ClassVar[str] = "constrain"  # which makes a weight fit: a key of `operations.updates.CONSTRAIN`

    @property
    def kernel(self) -> str:
        """Name in the CONSTRAINT list of ``kernels.def``; "" without one."""
        return ""

    @property
    def parameters(self) -> tuple[float, ...]:
        """The numbers that the kernel takes."""
        return ()

    def extent(self, shape: Shape) -> tuple[int, int]:
        """(n, inner): an array of this shape is (outer, n, inner), and n elements fit together."""
        return 1, 1

    def __call__(self, w: Any) -> Any:
        """An array that fits, from `w`, which stays."""
        values = np.asarray(as_array(w, "w"))
        fitting = np.array(values, np.float64 if values.dtype == np.float64 else np.float32, order="C")
        n, inner = self.extent(fitting.shape)
        if self.kernel and fitting.size:
            table = runtime.kernels(fitting.dtype.name)
            update.apply_constraint(table, self.kernel, fitting.reshape(-1), n, inner, self.parameters)
        return fitting


CONSTRAINTS: Registry[Constraint] = Registry("constraint", "what they do is native code")
Constraint.registry = CONSTRAINTS


def get(identifier: Any, argument: str = "constraint") -> Constraint | None:
    """Turn a name, configuration, class or object into a `Constraint`; None (none) stays. See `Registry.get`."""
    return None if identifier is None else CONSTRAINTS.get(identifier, argument, Constraint)


def span(axis: int | Sequence[int], shape: Shape) -> tuple[int, int]:
    """(n, inner) of an array whose elements along these axes, which are neighbours, belong together."""
    axes = sorted({a % len(shape) if -len(shape) <= a < len(shape) else len(shape) for a in np.atleast_1d(axis)})
    if not shape or axes[-1] >= len(shape) or axes != list(range(axes[0], axes[-1] + 1)):
        raise ValueError(f"axis: expected one axis, or neighbouring ones, of an array of shape {shape}, got {axis!r}")
    return math.prod(shape[a] for a in axes), math.prod(shape[axes[-1] + 1 :])


def check_axis(axis: Any) -> int | tuple[int, ...]:
    """`axis`, if it is a number or a list of them, which becomes a tuple."""
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    if not axes or not all(is_whole(a) for a in axes):
        raise TypeError(f"axis: expected an int or a list of ints, got {axis!r}")
    return tuple(map(int, axes)) if axes is axis else int(axis)


class NormConstraint(Constraint):
    """Base of those on norms: W ← W d / (‖W‖ + 1e−7), d = rate clip(‖W‖, low, high) + (1 − rate) ‖W‖.

    `parameters` are low, high and rate.
    """

    axis: Any

    @property
    def kernel(self) -> str:
        """See `Constraint`."""
        return "norm"

    def extent(self, shape: Shape) -> tuple[int, int]:
        """See `Constraint`."""
        return span(self.axis, shape)


@CONSTRAINTS.register()
@immutable
class MaxNorm(NormConstraint):
    """Norms of at most max_value: longer ones are scaled down to it.

    Parameters
    ----------
    max_value : float, default 2
        ≥ 0.
    axis : int or list of int, default 0
        Along which norms are taken; several are neighbours.

    References
    ----------
    N. Srivastava et al.: Dropout, JMLR 15 (2014) 1929–1958.
    """

    max_value: float = 2
    axis: Any = 0

    def __post_init__(self) -> None:
        check_nonnegative(self.max_value, "max_value", "it is a norm")
        object.__setattr__(self, "axis", check_axis(self.axis))

    @property
    def parameters(self) -> tuple[float, ...]:
        """See `Constraint`."""
        return 0.0, float(self.max_value), 1.0


@CONSTRAINTS.register("nonneg")
@immutable
class NonNeg(Constraint):
    """Weights ≥ 0: W ← max(W, 0)."""

    @property
    def kernel(self) -> str:
        """See `Constraint`."""
        return "non_neg"


@CONSTRAINTS.register()
@immutable
class UnitNorm(NormConstraint):
    """Norms of 1: W ← W / (‖W‖ + 1e−7).

    Parameters
    ----------
    axis : int or list of int, default 0
        Along which norms are taken; several are neighbours.
    """

    axis: Any = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "axis", check_axis(self.axis))

    @property
    def parameters(self) -> tuple[float, ...]:
        """See `Constraint`."""
        return 1.0, 1.0, 1.0


@CONSTRAINTS.register()
@immutable
class MinMaxNorm(NormConstraint):
    """Norms between two values, or on the way there: ‖W‖ ← rate clip(‖W‖, min, max) + (1 − rate) ‖W‖.

    Parameters
    ----------
    min_value, max_value : float, default 0.0, 1.0
        0 ≤ min_value ≤ max_value.
    rate : float, default 1.0
        In [0, 1].
    axis : int or list of int, default 0
        Along which norms are taken; several are neighbours.
    """

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: Any = 0

    def __post_init__(self) -> None:
        check_nonnegative(self.min_value, "min_value", "it is a norm")
        check_number(
            self.max_value, "max_value", f"a finite number ≥ min_value = {self.min_value!r}",
            lambda v: self.min_value <= v < math.inf,
        )  # fmt: skip
        check_number(self.rate, "rate", "a number in [0, 1]", lambda v: 0 <= v <= 1)
        object.__setattr__(self, "axis", check_axis(self.axis))

    @property
    def parameters(self) -> tuple[float, ...]:
        """See `Constraint`."""
        return float(self.min_value), float(self.max_value), float(self.rate)


@CONSTRAINTS.register()
@immutable
class Signs(Constraint):
    """Signs of the rows and columns of a matrix: w_ij ← 0 where r_i c_j w_ij < 0.

    With them a network is monotonic in some of its inputs, whatever the weights: r of the first kernel says in which,
    ±1, or 0 for all others; hidden units of an increasing activation have c = ±1, which is r of the next kernel, those
    of −1 so that the function may bend both ways; and c of the last one is 1.

    Parameters
    ----------
    rows, columns : list of {-1, 0, 1}, optional
        r, one of each row, and c, of each column; None: 1 everywhere.

    Raises
    ------
    ValueError
        They are no such numbers, or not as many as the weight has rows and columns.

    References
    ----------
    D. Runje, S. Shankaranarayana: Constrained monotonic neural networks, ICML 2023, arXiv:2205.11775 (units that bend
    both ways).
    """

    operation = "constrain_signs"

    rows: Any = None
    columns: Any = None

    def __post_init__(self) -> None:
        for argument in ("rows", "columns"):
            given = getattr(self, argument)
            if given is None:
                continue
            signs = given.tolist() if hasattr(given, "tolist") else given
            if not isinstance(signs, (list, tuple)) or not all(is_whole(s) and -1 <= s <= 1 for s in signs):
                raise ValueError(f"{argument}: expected a list of -1, 0 and 1, or None, got {given!r}")
            object.__setattr__(self, argument, tuple(map(int, signs)))

    def extent(self, shape: Shape) -> tuple[int, int]:
        """See `Constraint`."""
        self.of(shape)
        return 1, 1

    def of(self, shape: Shape) -> tuple[list[float], list[float]]:
        """Signs of all rows and columns of a matrix of this shape; a ValueError where they do not fit."""
        if len(shape) != 2:
            raise ValueError(f"Signs: expected a matrix, got a weight of shape {shape}")
        found = []
        for argument, n in zip(("rows", "columns"), shape, strict=True):
            signs = getattr(self, argument) or (1,) * n
            if len(signs) != n:
                raise ValueError(f"{argument}: expected {n} signs for a weight of shape {shape}, got {len(signs)}")
            found.append([float(s) for s in signs])
        return found[0], found[1]

    def __call__(self, w: Any) -> Any:
        """See `Constraint`."""
        values = np.asarray(as_array(w, "w"))
        rows, columns = self.of(values.shape)
        wrong = np.multiply.outer(rows, columns) * values < 0
        return np.where(wrong, 0, values).astype(np.float64 if values.dtype == np.float64 else np.float32)


class Spectral(Constraint):
    """A largest singular value of about 1: see `SpectralNormalization`, which alone makes it, for it has a state.

    Parameters
    ----------
    vector : Parameter
        u (1, n), where the weight is (…, n).
    iterations : int
    """

    operation = "spectral_normalize"

    def __init__(self, vector: Parameter, iterations: int) -> None:
        self.vector, self.iterations = vector, iterations

    def __call__(self, w: Any) -> Any:
        """A TypeError: the estimate needs what it was after the last step."""
        raise TypeError(
            "constraint: expected one that needs the weight alone, got that of SpectralNormalization, which goes on "
            "from step to step. Fit the model, or use UnitNorm"
        )


deserialize = get


def __getattr__(name: str) -> type[Constraint]:
    # The classes by Keras's other names, such as nncore.constraints.max_norm
    return CONSTRAINTS.named(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *CONSTRAINTS.names(), *CONSTRAINTS.aliases})

"""Regularizers: penalties on a layer's weights, added to the loss that is trained on and reported.

penalty(W) = l1 Σ|w| + l2 Σ w², with the gradient l1 sign(w) + 2 l2 w. The penalty is not divided by the
number of samples. PyTorch has none; the `weight_decay` of its SGD adds weight_decay w to the gradient, which
is ``L2(weight_decay / 2)`` here. scikit-learn's ``MLPClassifier(alpha)`` has alpha / 2 Σ w², divided by the
number of samples of the batch. For decay apart from the loss see `weight_decay` of the optimizers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nncore import runtime
from nncore._kernels import update
from nncore.arguments import check_nonnegative
from nncore.conversion import as_array
from nncore.registry import Configurable, Registry, immutable
from nncore.registry import serialize as serialize

Array = npt.NDArray[Any]


class Regularizer(Configurable):
    """Base of the regularizers; objects are immutable and equal where class and arguments are.

    Attributes
    ----------
    l1, l2 : float
        Factors of Σ|w| and Σ w², both ≥ 0; 0.0 where the class has no such argument.
    pairs : bool
        Whether rows or columns of a matrix are compared with one another.
    """

    @property
    def pairs(self) -> bool:
        """Whether rows or columns are compared."""
        return False

    def __call__(self, x: Any) -> np.floating[Any]:
        """The penalty on an array, of float64 if that is its dtype, else float32."""
        values = np.asarray(as_array(x, "x"))
        values = np.ascontiguousarray(values, np.float64 if values.dtype == np.float64 else np.float32)
        return values.dtype.type(self.penalty(values))

    def check(self, shape: tuple[int, ...], what: str) -> None:
        """Raise unless weights of this shape can have the penalty."""

    def penalty(self, values: Array) -> float:
        """The penalty on a contiguous array, by the native kernel."""
        return update.apply_regularize(runtime.kernels(values.dtype.name), self.l1, self.l2, values.reshape(-1))

    @property
    def l1(self) -> float:
        """Factor of Σ|w|."""
        return 0.0

    @property
    def l2(self) -> float:
        """Factor of Σ w²."""
        return 0.0

    def __post_init__(self) -> None:
        for argument in {"l1", "l2", "factor"}.intersection(self.config_names()):
            check_nonnegative(getattr(self, argument), argument, "0.0 switches the penalty off")


REGULARIZERS: Registry[Regularizer] = Registry("regularizer")


def get(identifier: Any, argument: str = "regularizer") -> Regularizer | None:
    """Turn a name, configuration, class or object into a `Regularizer`; None (none) stays. See `Registry.get`."""
    return None if identifier is None else REGULARIZERS.get(identifier, argument, Regularizer)


@REGULARIZERS.register()
@immutable
class L1(Regularizer):
    """penalty(W) = l1 Σ|w|, which drives weights to exactly zero (lasso).

    Parameters
    ----------
    l1 : float, default 0.01
        Factor, finite and ≥ 0.

    Raises
    ------
    TypeError, ValueError
        `l1` is no number, or not finite, or negative.
    """

    l1: float = 0.01


@REGULARIZERS.register()
@immutable
class L2(Regularizer):
    """penalty(W) = l2 Σ w², whose gradient is 2 l2 w (ridge).

    Parameters
    ----------
    l2 : float, default 0.01
        Factor, finite and ≥ 0.

    Raises
    ------
    TypeError, ValueError
        `l2` is no number, or not finite, or negative.
    """

    l2: float = 0.01


@REGULARIZERS.register("l1l2")
@immutable
class L1L2(Regularizer):
    """penalty(W) = l1 Σ|w| + l2 Σ w² (elastic net).

    Parameters
    ----------
    l1, l2 : float, default 0.0
        Factors, finite and ≥ 0. With both defaults there is no penalty, as in Keras.

    Raises
    ------
    TypeError, ValueError
        A factor is no number, or not finite, or negative.
    """

    l1: float = 0.0
    l2: float = 0.0


@REGULARIZERS.register("orthogonal")
@immutable
class OrthogonalRegularizer(Regularizer):
    """penalty(W) = factor Σ |rᵢ · rⱼ| / pairs over all pairs i < j of rows, or columns, of a matrix W, of norm 1 each.

    It is 0 where they are orthogonal, whatever their norms. Penalties of other regularizers on the same weights need a
    layer each.

    Parameters
    ----------
    factor : float, default 0.01
        ≥ 0.
    mode : {"rows", "columns"}, default "rows"
        Rows of a kernel (in, out) belong to inputs, columns to neurons.

    Raises
    ------
    TypeError, ValueError
        `factor` is no number ≥ 0, or `mode` unknown; where it is used: weights are no matrix.
    """

    factor: float = 0.01
    mode: str = "rows"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in ("rows", "columns"):
            raise ValueError(f'mode: expected "rows" or "columns", got {self.mode!r}')

    @property
    def pairs(self) -> bool:
        """See `Regularizer`."""
        return True

    def check(self, shape: tuple[int, ...], what: str) -> None:
        """Raise unless it is the shape of a matrix."""
        if len(shape) != 2:
            raise ValueError(f"{what}: OrthogonalRegularizer expected a matrix, got shape {shape}; use another one")

    def penalty(self, values: Array) -> float:
        """See `Regularizer`."""
        self.check(values.shape, "x")
        rows, n = values.shape if self.mode == "rows" else values.shape[::-1]
        room = np.zeros(2 * rows * n + rows * rows + rows, values.dtype)
        table = runtime.kernels(values.dtype.name)
        return update.apply_orthogonal(table, values.reshape(-1), rows, n, self.mode == "columns", self.factor, room)


def of_activity(identifier: Any) -> Regularizer | None:
    """A regularizer of a layer's output, in which rows are samples."""
    regularizer = get(identifier, "activity_regularizer")
    if regularizer is not None and regularizer.pairs:
        raise ValueError(f"activity_regularizer: expected one of elements, L1, L2 or L1L2, got {regularizer!r}")
    return regularizer


def validate_float_arg(value: Any, name: str) -> float:
    """A factor, as a finite float ≥ 0; else a ValueError."""
    try:
        return check_nonnegative(value, name, "Keras: expected a non-negative float")
    except TypeError as error:
        raise ValueError(str(error)) from None


deserialize = get


def __getattr__(name: str) -> type[Regularizer]:
    # The classes by Keras's other names, such as nncore.regularizers.l2
    return REGULARIZERS.named(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *REGULARIZERS.names(), *REGULARIZERS.aliases})

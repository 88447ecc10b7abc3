"""Variables, as Keras has them: what a metric of a user's keeps between updates, and how any shows its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from nncore import initializers
from nncore.arguments import real_name
from nncore.initializers.base import lengths

if TYPE_CHECKING:
    from nncore.conversion import Array


class Variable(NDArrayOperatorsMixin):
    """A number or an array that a metric keeps; in expressions, it is the array of its values at that moment.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : dtype
    """

    def __init__(self, values: Array, name: str, fixed: bool = False) -> None:
        self._values, self.name, self._fixed = values, name, fixed

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of its axes."""
        return self._values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""
        return self._values.dtype

    def numpy(self) -> Array:
        """A copy of its values."""
        return self._values.copy()

    @property
    def value(self) -> Array:
        """The same, by Keras's other name."""
        return self.numpy()

    def assign(self, value: Any) -> None:
        """Replace its values by an array of its shape, which is converted to its dtype."""
        given = np.asarray(value)
        if self._fixed:
            raise ValueError(f"{self.name}: follows from what the metric has seen. Call its reset_state to begin anew")
        if given.shape != self.shape:
            raise ValueError(f"{self.name}: expected an array of shape {self.shape}, got {given.shape}")
        self._values = np.array(given, self.dtype)

    def assign_add(self, value: Any) -> None:
        """Add an array to its values."""
        self.assign(self._values + np.asarray(value))

    def assign_sub(self, value: Any) -> None:
        """Subtract an array from its values."""
        self.assign(self._values - np.asarray(value))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self._values, dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        arrays = [np.asarray(x) if isinstance(x, Variable) else x for x in operands]
        return getattr(ufunc, method)(*arrays, **options)

    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Any:
        if name[:1] == "_" or not hasattr(np.ndarray, name):
            raise AttributeError(f"{name}: expected an attribute of Variable or of NumPy's arrays, got another")
        return getattr(self.numpy(), name)

    def __getitem__(self, key: Any) -> Any:
        return self.numpy()[key]

    def __len__(self) -> int:
        return len(self._values)

    def __float__(self) -> float:
        return float(self._values)

    def __int__(self) -> int:
        return int(self._values)

    def __bool__(self) -> bool:
        return bool(self._values)

    def __repr__(self) -> str:
        return f"<Variable {self.name!r}: shape {self.shape}, {self.dtype}, {self._values.tolist()}>"


def nested(value: Any) -> Iterator[Any]:
    """A metric, or those in lists and dicts of such."""
    if isinstance(value, Keeping):
        yield value
    elif isinstance(value, (list, tuple, Mapping)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from nested(part)


class Keeping:
    """The part of `Metric` that keeps variables."""

    def add_variable(
        self, shape: Any = (), initializer: Any = None, dtype: Any = None, aggregation: Any = "sum", name: Any = None
    ) -> Variable:
        """A number or array that `update_state` may change, and `reset_state` sets to 0; Keras's arguments.

        Parameters
        ----------
        shape : int or tuple of int, default ()
        initializer : str or Initializer
            What it has at first, by default 0.
        dtype : dtype, optional
            Default float32.
        aggregation
            Nothing: there is one process.
        name : str, optional
            Default "variable".
        """
        shape = lengths(shape if isinstance(shape, (list, tuple)) else (shape,))
        kind = np.dtype("float32" if dtype is None else "int32" if dtype == "int" else real_name(dtype))
        drawn = initializers.get("zeros" if initializer is None else initializer, "initializer")
        made = Variable(drawn(shape, np.float64).astype(kind), "variable" if name is None else str(name))
        vars(self).setdefault("_added", []).append(made)
        return made

    def add_weight(self, shape: Any = (), initializer: Any = None, dtype: Any = None, name: Any = None) -> Variable:
        """See `add_variable`; Keras's older name."""
        return self.add_variable(shape, initializer, dtype, name=name)

    @property
    def variables(self) -> list[Variable]:
        """What was added by `add_variable`, then the sums so far, by kind, then those of metrics that it holds."""
        found = list(vars(self).get("_added", []))
        found += [Variable(np.array(values), name, fixed=True) for name, values in self._parts().items()]
        return found + [variable for metric in self._held() for variable in metric.variables]

    def _held(self) -> Iterator[Keeping]:
        return nested(list(vars(self).values()))

    def _parts(self) -> dict[str, Any]:
        """The sums so far, by kind."""
        return {}

    def reset_state(self) -> None:
        """Begin anew."""
        for variable in vars(self).get("_added", []):
            variable.assign(np.zeros(variable.shape))
        for metric in self._held():
            metric.reset_state()

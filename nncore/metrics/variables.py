"""Variables, as Keras has them: what a metric of a user's keeps between updates, and how any shows its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import initializers
from nncore.dtypes import real_name
from nncore.initializers.base import lengths
from nncore.values import Values, fitting

if TYPE_CHECKING:
    from nncore.conversion import Array


class Variable(Values):
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

    def _bound(self) -> Array:
        return self._values

    @property
    def _label(self) -> str:
        return self.name

    def assign(self, value: Any) -> None:
        """Replace its values by an array of its shape, which is converted to its dtype."""
        if self._fixed:
            raise ValueError(f"{self.name}: follows from what the metric has seen. Call its reset_state to begin anew")
        self._values = np.array(fitting(value, self.shape, self.name), self.dtype)

    def __float__(self) -> float:
        return float(self._values)

    def __int__(self) -> int:
        return int(self._values)

    def __bool__(self) -> bool:
        return bool(self._values)

    def __repr__(self) -> str:
        return f"<Variable {self.name!r}: shape {self.shape}, {self.dtype}, {self._values.tolist()}>"


def held_by(value: Any, seen: dict[int, Any]) -> Iterator[Keeping]:
    """A metric, those in lists and dicts of such, and what these hold: each once, as two may hold each other.

    `seen` has what was looked at, by its id.
    """
    if not isinstance(value, (Keeping, list, tuple, Mapping)) or id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, Keeping):
        yield value
        value = vars(value)
    for part in list(value.values() if isinstance(value, Mapping) else value):
        yield from held_by(part, seen)


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
        return [variable for metric in held_by(self, {}) for variable in metric._own_variables()]

    def _own_variables(self) -> list[Variable]:
        sums = [Variable(np.array(values), name, fixed=True) for name, values in self._parts().items()]
        return vars(self).get("_added", []) + sums

    def _parts(self) -> dict[str, Any]:
        """The sums so far, by kind."""
        return {}

    def reset_state(self) -> None:
        """Begin anew."""
        for variable in vars(self).get("_added", []):
            variable.assign(np.zeros(variable.shape))
        if "_resets" in vars(self):  # one that holds it does this with whatever it holds, too
            return
        metrics = list(held_by(self, {}))
        try:
            for metric in metrics:
                vars(metric)["_resets"] = True
            for metric in metrics[1:]:
                metric.reset_state()
        finally:
            for metric in metrics:
                vars(metric).pop("_resets", None)

"""Parameters: the arrays that a layer learns or keeps, which have their values in the state of a model."""

from __future__ import annotations

import math
import weakref
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nncore.attributes import Guarded
from nncore.values import Array, Values

if TYPE_CHECKING:
    from nncore.constraints import Constraint
    from nncore.graph import Shape
    from nncore.initializers import Initializer
    from nncore.regularizers import Regularizer
    from nncore.state import State

ROLES = ("weight", "statistic")
GRADIENTS = ("dense", "rows")


class Parameter(Guarded, Values):
    """One array that a layer learns or keeps: ``layer.kernel``.

    In expressions, ``x @ w.T``, ``2 * w``, ``w.sum()``, ``np.exp(w)``, it is the array of its values at that moment, as
    ``np.asarray(w)`` and `numpy` give it; `assign` changes them. ``==`` and ``!=`` ask whether it is this parameter.

    Attributes
    ----------
    path : str
        ``layer/kernel``: its name in files.
    shape : tuple of int
        Kernels are (in, out).
    role : {"weight", "statistic"}
        A weight has a gradient, and is moved by the optimizer. A statistic, such as a running mean, has none: an
        operation of the update section writes it, so that a step which is abandoned has not changed it. Nothing
        decays, penalises or trains it; it is saved, copied and counted as weights are.
    gradient : {"dense", "rows"}
        "rows": in a step, few rows of the first axis have one that is not 0, as in the table of an embedding.
    changes : bool
        Whether steps of training change it: what the layer's `trainable` was when the model was compiled.
    constraint : Constraint or None
        What it is made to fit after each update.
    trainable : bool
        Whether the optimizer does; of a statistic always False.
    offset : int
        First element in the flat buffer.
    """

    own = False
    remedies: ClassVar[dict[str, str]] = {
        "trainable": "Set that of its layer, and call compile.",
        "changes": "Set trainable of its layer, and call compile.",
        "regularizer": "Set kernel_regularizer or bias_regularizer of its layer.",
        "constraint": "Set kernel_constraint or bias_constraint of its layer.",
        "value": "Call assign.",
    } | dict.fromkeys(("path", "shape", "initializer", "offset", "role", "gradient"), "It follows from its layer.")

    def __init__(
        self,
        path: str,
        shape: Shape,
        initializer: Initializer,
        regularizer: Regularizer | None = None,
        trainable: bool = True,
        role: str = "weight",
        gradient: str = "dense",
        constraint: Constraint | None = None,
    ) -> None:
        if gradient not in GRADIENTS:
            raise ValueError(
                f"gradient: expected one of {', '.join(map(repr, GRADIENTS))} for {path}, got {gradient!r}"
            )
        if role not in ROLES:
            raise ValueError(f"role: expected one of {', '.join(map(repr, ROLES))} for {path}, got {role!r}")
        if role == "statistic" and regularizer is not None:
            raise ValueError(
                f"regularizer: expected None for {path}, got {regularizer!r}. Nothing learns a statistic: leave it out"
            )
        self.path, self.shape, self.initializer, self.regularizer = path, shape, initializer, regularizer
        self.role, self.gradient, self.constraint = role, gradient, constraint
        self.changes = trainable
        self.offset = -1
        self._values: Array | None = None  # its part of the flat buffer, in its shape
        self._state: weakref.ref[State] | None = None  # weak: the state holds the parameters

    def train(self, trainable: bool) -> None:
        """Let steps of training change it, or not, from the next program on."""
        vars(self)["changes"] = trainable

    @property
    def trainable(self) -> bool:
        """Whether the optimizer changes it."""
        return self.changes and self.role == "weight"

    def bind(self, state: State) -> None:
        """Be a part of `state`."""
        self._values, self._state = state.view(self), weakref.ref(state)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_values": None, "_state": None}  # the copy of the state binds them again

    @property
    def name(self) -> str:
        """The last part of `path`: "kernel"."""
        return self.path.rpartition("/")[2]

    @property
    def _label(self) -> str:
        return self.path

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def matrix(self) -> tuple[int, int]:
        """(inputs, outputs) of a kernel as a matrix: all axes but the last, and that."""
        return math.prod(self.shape[:-1]), self.shape[-1]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its values: the model's."""
        return self._bound().dtype

    def _bound(self) -> Array:
        if self._values is None:
            raise ValueError(f"{self.path}: has no values before its model is built; call model.build(input_shape)")
        return self._values

    def _reading(self) -> AbstractContextManager[None]:
        state = self._state() if self._state else None
        return state.gate.reading() if state else nullcontext()

    def assign(self, value: Any) -> None:
        """Replace its values by an array of its shape."""
        self._bound()
        state = self._state() if self._state else None
        if state is None:
            raise ValueError(f"{self.path}: its model is gone, or was built again; take it from the layer")
        state.assign([self], [value], "assign")

    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__  # it is a key of dicts

    def __bool__(self) -> bool:
        return True  # it is there, whatever its shape

    def __repr__(self) -> str:
        dtype = "not built" if self._values is None else self.dtype
        kind = ", statistic" if self.role == "statistic" else "" if self.trainable else ", frozen"
        return f"<Parameter {self.path!r}: shape {self.shape}, {dtype}{kind}>"

    @property
    def end(self) -> int:
        """One past its last element in the flat buffer."""
        return self.offset + self.size

    def within(self, flat: Array, shape: Shape | None = None) -> Array:
        """Its elements within an array of the layout of all parameters; `shape`: the first of them, in this shape."""
        shape = self.shape if shape is None else shape
        return flat[self.offset : self.offset + math.prod(shape)].reshape(shape)

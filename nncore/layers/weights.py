"""What a layer has: its weights as users see them, and how they are declared."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nncore import initializers, regularizers
from nncore.arguments import an
from nncore.dtypes import dtype_name
from nncore.graph import Shape
from nncore.initializers import Initializer
from nncore.initializers.base import lengths
from nncore.layers import arrays
from nncore.parameter import ROLES, Parameter
from nncore.regularizers import Regularizer
from nncore.state import Array, State

if TYPE_CHECKING:
    from nncore.layers.base import Layer


class Weighted:
    """The part of `Layer` that users ask for its weights, and that declares them."""

    parameters: list[Parameter]
    state: State | None
    _declaring: bool
    _activity: np.floating[Any] | None = None  # the penalty on its output, of its last call on arrays
    _weightless = False  # whether a build has found that it declares none

    if TYPE_CHECKING:  # of `Layer`
        name: str | None
        input_shapes: tuple[Shape, ...] | None

        def draw(self, input_shape: Any) -> None:
            """See `Layer.draw`."""

        @property
        def trainable(self) -> bool:
            """See `Layer.trainable`."""

        @property
        def learns(self) -> bool:
            """See `Layer.learns`."""

        @property
        def declares_none(self) -> bool:
            """See `Layer.declares_none`."""

    @property
    def built(self) -> bool:
        """Whether it has its weights: those of a built model, or none that it would need."""
        return self.state is not None or self._weightless or self.declares_none

    @built.setter
    def built(self, value: bool) -> None:
        if not self._declaring:  # where Keras's layers say that they are
            raise AttributeError(f"built: cannot be set on {an(type(self).__name__)}. Call build(input_shape).")

    @property
    def weights(self) -> list[Parameter]:
        """All arrays: what is learned, then statistics."""
        return list(self.parameters)

    def _of_role(self, role: str) -> list[Parameter]:
        return [p for p in self.parameters if p.role == role]

    @property
    def trainable_weights(self) -> list[Parameter]:
        """The arrays that the optimizer changes."""
        return self._of_role("weight") if self.learns else []

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        """The arrays that the optimizer does not change: statistics, or all."""
        return self._of_role("statistic") if self.learns else list(self.parameters)

    variables, trainable_variables, non_trainable_variables = weights, trainable_weights, non_trainable_weights

    @property
    def losses(self) -> list[np.floating[Any]]:
        """The penalties on its trainable weights as they are now, and that on what it last made of arrays by itself."""
        learned = self.trainable_weights if self.state is not None else []
        penalties = [p.regularizer(np.asarray(p)) for p in learned if p.regularizer is not None]
        return penalties if self._activity is None else [*penalties, self._activity]

    def count_params(self) -> int:
        """Number of values, learned or kept."""
        return sum(p.size for p in self.parameters)

    def get_weights(self) -> list[Array]:
        """Copies of the layer's arrays, in Keras's order: kernel (in, out), bias (out,)."""
        if self._has_none:
            return []
        with self._built().reading() as state:
            return [state.view(p).copy() for p in self.parameters]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace the layer's arrays; each must have the shape `get_weights` gives."""
        if self._has_none and not len(weights):
            return
        self._built().assign(self.parameters, weights, f"weights of layer {arrays.label(self)}")

    @property
    def _has_none(self) -> bool:
        return self.state is None and self.built and not self.parameters

    def _built(self) -> State:
        """The arrays of the model; a ValueError before they exist.

        A layer that was called on symbols alone draws its own, which the model that is made of these then has.
        """
        if self.state is None and self.input_shapes is not None:
            self.draw(arrays.with_batch(cast("Layer", self), self.input_shapes))
        if self.state is None:
            raise ValueError(
                f"layer {arrays.label(self)}: has no weights before its model is built; call model.build(input_shape)"
            )
        return self.state

    # -- what declares them ------------------------------------------------------------------------------------------

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        name: str | None = None,
    ) -> Parameter:
        """Declare an array of the layer, in `build`; Keras's name and arguments.

        Parameters
        ----------
        shape : int or tuple of int, optional
            Default (): one number.
        initializer : str or Initializer, default "glorot_uniform"
        dtype : optional
            None: that of the model.
        trainable : bool, default True
            False: no gradient, and nothing changes it but `assign`, between steps.
        regularizer : str or Regularizer, optional
        name : str, optional
            Default "weight", with a number.
        """
        if dtype is not None:
            dtype_name(dtype)
        taken = {p.name for p in self.parameters}
        number = next(i for i in count() if (f"weight_{i}" if i else "weight") not in taken)
        name = (f"weight_{number}" if number else "weight") if name is None else name
        if not isinstance(name, str) or not name or "/" in name or name in taken:
            raise ValueError(f"name: expected one of its own without '/' for each weight, got {name!r}")
        shape = lengths(() if shape is None else shape if isinstance(shape, (list, tuple)) else (shape,))
        drawn = initializers.get(initializer, "initializer")
        penalty = regularizers.get(regularizer, "regularizer")
        return self.add_parameter(name, shape, drawn, penalty, "weight" if trainable else "statistic")

    def add_parameter(
        self,
        name: str,
        shape: Shape,
        initializer: Initializer,
        regularizer: Regularizer | None = None,
        role: str = "weight",
        gradient: str = "dense",
    ) -> Parameter:
        """Declare an array that the layer learns, or a statistic; called in `declare`, in the order of `get_weights`.

        Statistics come after all weights of the layer, as in Keras. `role` and `gradient` are those of `Parameter`. The
        constraint of a weight is the layer's attribute ``<name>_constraint``, if it has one.
        """
        constraint = getattr(self, f"{name}_constraint", None)
        if constraint is not None:
            constraint.extent(shape)  # raises where it does not fit
        if regularizer is not None and regularizer.pairs:
            regularizer.check(shape, f"{name}_regularizer")
        path = f"{self.name}/{name}"
        p = Parameter(path, shape, initializer, regularizer, self.trainable, role, gradient, constraint)
        self.parameters.append(p)
        self.parameters.sort(key=lambda p: ROLES.index(p.role))
        return p

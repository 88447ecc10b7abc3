"""What a layer has: its weights as users see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.arguments import an
from nncore.layers import arrays
from nncore.parameter import Parameter
from nncore.state import Array, State


class Weighted:
    """The part of `Layer` that users ask for its weights."""

    parameters: list[Parameter]
    state: State | None
    _declaring: bool
    _weightless = False  # whether a build has found that it declares none

    if TYPE_CHECKING:  # of `Layer`

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
        """The penalties on its trainable weights as they are now; those on activities are computed in steps alone."""
        if self.state is None:
            return []
        return [p.regularizer(np.asarray(p)) for p in self.trainable_weights if p.regularizer is not None]

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
        """The arrays of the model; a ValueError before they exist."""
        if self.state is None:
            raise ValueError(
                f"layer {arrays.label(self)}: has no weights before its model is built; call model.build(input_shape)"
            )
        return self.state

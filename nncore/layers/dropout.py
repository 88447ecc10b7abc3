"""Dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncore.layers.base import LAYERS, Layer
from nncore.operations import dropout
from nncore.schedules import Scheduled, scheduled

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


@LAYERS.register()
class Dropout(Layer):
    """In training, set each input to 0 with probability `rate` and scale the others by 1 / (1 − rate).

    The mask is a function of the model's seed, the layer, the training step and the element's position in the
    batch, so it depends on no thread count, and is computed again rather than kept for the backward pass.

    Parameters
    ----------
    rate : float or LearningRateSchedule
        Fraction to drop, in [0, 1). A schedule gives it for each step, by the number of updates made before.
    name : str, optional

    Raises
    ------
    ValueError
        `rate` is outside [0, 1); of a schedule, at the step at hand.
    TypeError
        `rate` is neither a number nor a schedule.

    References
    ----------
    N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15 (2014).
    """

    def __init__(self, rate: Scheduled, name: str | None = None) -> None:
        super().__init__(name)
        self.rate = scheduled("rate", rate, 1.0, ", the fraction to drop,")

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X ⊙ mask / (1 − rate) in training, X otherwise."""
        return dropout(b, inputs[0], self.rate, f"rate of layer {self.name}")

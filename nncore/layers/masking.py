"""The layer that says which steps count."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore.arguments import check_number
from nncore.conversion import as_array
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.operations.data import real
from nncore.operations.masks import differs, keep

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


@LAYERS.register()
class Masking(Layer):
    """Y = X, but for steps of which every element is `mask_value`: these do not count, and are 0.

    Shapes: X (B, …, features), Y likewise; the mask (B, …). What heeds it, and how far it goes, says
    `Layer.supports_masking`.

    Parameters
    ----------
    mask_value : float, default 0.0
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        `mask_value` is no finite number; X has no axis of features.
    """

    supports_masking = True

    def __init__(self, mask_value: float = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        self.mask_value = check_number(mask_value, "mask_value", "a finite number", math.isfinite)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs."""
        if not shapes[0]:
            raise ValueError("Masking: expected inputs (batch, …, features), got (batch,)")
        return shapes[0]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Which steps of an array count."""
        return (as_array(inputs, "inputs") != self.mask_value).any(-1)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X where it counts, else 0."""
        x = real(b, inputs[0])
        mask = differs(b, x, self.mask_value, x.shape[-1])
        y = keep(b, x, mask)
        y.mask = mask
        return y

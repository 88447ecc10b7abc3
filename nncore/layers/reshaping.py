"""Layers that change shapes and scales only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore.arguments import is_number, is_whole
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.operations import rescale, reshape

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


@LAYERS.register()
class Flatten(Layer):
    """(B, d1, d2, …) → (B, d1 d2 …), the last axis fastest; costs nothing."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)

    def output_shape(self, *shapes: Shape) -> Shape:
        """One axis."""
        return (math.prod(shapes[0]),)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The same elements in one axis."""
        return reshape(b, inputs[0], self.output_shape(inputs[0].shape))


@LAYERS.register()
class Reshape(Layer):
    """(B, …) → (B, *target_shape), in row-major order; costs nothing.

    Parameters
    ----------
    target_shape : tuple of int
        Without the batch axis; one entry may be −1 and is inferred.
    name : str, optional
    """

    def __init__(self, target_shape: Any, name: str | None = None) -> None:
        super().__init__(name)
        shape = tuple(target_shape) if isinstance(target_shape, (tuple, list)) else (target_shape,)
        if not all(is_whole(n) and (n > 0 or n == -1) for n in shape):
            raise ValueError(f"target_shape: expected positive sizes, at most one of them -1, got {target_shape!r}")
        if shape.count(-1) > 1:
            raise ValueError(f"target_shape: expected at most one -1, got {target_shape!r}")
        self.target_shape = tuple(int(n) for n in shape)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The target shape, with −1 filled in."""
        total = math.prod(shapes[0])
        known = math.prod(n for n in self.target_shape if n != -1)
        shape = tuple(total // known if n == -1 else n for n in self.target_shape)
        if math.prod(shape) != total:
            raise ValueError(
                f"Reshape: expected a target_shape of {total} elements for an input of shape {shapes[0]}, "
                f"got {self.target_shape}"
            )
        return shape

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The same elements in another shape."""
        return reshape(b, inputs[0], self.output_shape(inputs[0].shape))


@LAYERS.register()
class Rescaling(Layer):
    """Y = scale X + offset, so that uint8 images can be trained on as they are: ``Rescaling(1 / 255)``.

    Parameters
    ----------
    scale : float
    offset : float, default 0.0
    name : str, optional
    """

    def __init__(self, scale: float, offset: float = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        for argument, value in (("scale", scale), ("offset", offset)):
            if not is_number(value) or not math.isfinite(value):
                raise ValueError(f"{argument}: expected a finite number, got {value!r}")
        self.scale = float(scale)
        self.offset = float(offset)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = scale X + offset."""
        return rescale(b, inputs[0], self.scale, self.offset)

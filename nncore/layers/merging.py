"""Layers that join several symbols into one."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer

if TYPE_CHECKING:
    from nncore.program import Builder, Tensor


def same_shape(label: str, shapes: tuple[Shape, ...]) -> Shape:
    """The one shape that all have, or a ValueError."""
    if len(set(shapes)) != 1:
        raise ValueError(f"{label}: expected inputs of one shape, got {', '.join(map(str, shapes))}")
    return shapes[0]


@LAYERS.register()
class Add(Layer):
    """Y = X1 + X2 + …, inputs of one shape; called on a list of symbols."""

    takes_many = True

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The inputs' shape."""
        return same_shape("Add", shapes)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X1 + X2 + …, from the left."""
        return reduce(b.add, inputs)


@LAYERS.register()
class Multiply(Layer):
    """Y = X1 ⊙ X2 ⊙ …, inputs of one shape; called on a list of symbols."""

    takes_many = True

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The inputs' shape."""
        return same_shape("Multiply", shapes)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X1 ⊙ X2 ⊙ …, from the left."""
        return reduce(b.multiply, inputs)


@LAYERS.register()
class Concatenate(Layer):
    """Inputs side by side along `axis`; called on a list of symbols.

    Parameters
    ----------
    axis : int, default -1
        Axis to join, counted with the batch axis as 0, as in Keras; not 0.
    name : str, optional
    """

    takes_many = True

    def __init__(self, axis: int = -1, name: str | None = None) -> None:
        super().__init__(name)
        if not isinstance(axis, int) or isinstance(axis, bool) or axis == 0:
            raise ValueError(f"axis: expected a whole number other than 0 (the batch), got {axis!r}")
        self.axis = axis

    def sample_axis(self, shape: Shape) -> int:
        """`axis` counted from 0 within a sample."""
        axis = self.axis + len(shape) if self.axis < 0 else self.axis - 1
        if not 0 <= axis < len(shape):
            raise ValueError(f"Concatenate: expected an axis of inputs of shape (batch, *{shape}), got {self.axis}")
        return axis

    def output_shape(self, *shapes: Shape) -> Shape:
        """Sizes added up along the axis; the other axes must agree."""
        axis = self.sample_axis(shapes[0])
        if any(s[:axis] + s[axis + 1 :] != shapes[0][:axis] + shapes[0][axis + 1 :] for s in shapes):
            given = ", ".join(map(str, shapes))
            raise ValueError(f"Concatenate: expected inputs that agree except along axis {self.axis}, got {given}")
        return (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = [X1, X2, …] along the axis."""
        shapes = [x.shape for x in inputs]
        return b.concatenate(list(inputs), self.sample_axis(shapes[0]), self.output_shape(*shapes))

"""Layers that join several symbols into one."""

from __future__ import annotations

from functools import partial, reduce
from typing import TYPE_CHECKING

from nncore.arguments import is_whole
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.operations import add, concatenate, multiply

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class Elementwise(Layer):
    """Base of the layers that join inputs of one shape, element by element."""

    takes_many = True

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The inputs' shape; a ValueError where they have several."""
        if len(set(shapes)) != 1:
            given = ", ".join(map(str, shapes))
            raise ValueError(f"{type(self).__name__}: expected inputs of one shape, got {given}")
        return shapes[0]


@LAYERS.register()
class Add(Elementwise):
    """Y = X1 + X2 + …, inputs of one shape; called on a list of symbols."""

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X1 + X2 + …, from the left."""
        return reduce(partial(add, b), inputs)


@LAYERS.register()
class Multiply(Elementwise):
    """Y = X1 ⊙ X2 ⊙ …, inputs of one shape; called on a list of symbols."""

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X1 ⊙ X2 ⊙ …, from the left."""
        return reduce(partial(multiply, b), inputs)


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
        if not is_whole(axis) or axis == 0:
            raise ValueError(f"axis: expected a whole number other than 0 (the batch), got {axis!r}")
        self.axis = int(axis)

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
        return concatenate(b, list(inputs), self.sample_axis(shapes[0]), self.output_shape(*shapes))

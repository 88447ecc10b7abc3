"""Layers that hold another layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.operations import concatenate, reshape
from nncore.operations.arrangement import take

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class Wrapper(Layer):
    """Base of the layers that hold another one, whose parameters are theirs.

    Parameters
    ----------
    layer : Layer
        Of this wrapper alone.
    name : str, optional
    trainable : bool, default True
        Of the parameters, whatever the other layer's `trainable` says.
    """

    def __init__(self, layer: Any, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name, trainable)
        self.layer = LAYERS.get(layer, "layer", Layer)
        if self.layer.takes_many:
            raise ValueError(f"layer: expected one that reads one input, got {self.layer!r}")
        if self.layer.input_shapes is not None:
            raise ValueError(f"layer: expected one that was not called yet, got {self.layer!r}. Make another")

    def inner_shapes(self, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """What the layer reads, where the wrapper reads inputs of these shapes."""
        return shapes

    def _declared(self, shapes: tuple[Shape, ...]) -> list[Any]:
        return self.layer._declared(self.inner_shapes(shapes))

    def declare(self, *shapes: Shape) -> None:
        """Declare what the layer learns, under the wrapper's name."""
        layer = self.layer
        layer.parameters, layer.trainable = [], self.trainable
        named, layer.name = layer.name, self.name
        layer.declare(*self.inner_shapes(shapes))
        layer.name = named
        self.parameters = layer.parameters


@LAYERS.register()
class TimeDistributed(Wrapper):
    """A layer on each step of a sequence by itself, with the same weights: Y[:, t] = layer(X[:, t]).

    Shapes: X (B, steps, …), Y (B, steps, …). A Dense acts on the last axis of any input, and needs no TimeDistributed.

    Parameters
    ----------
    layer : Layer
        Any that reads one input and joins none; what it draws differs from step to step, and a BatchNormalization takes
        the moments of each step by itself.
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        X has no axis of steps, or the layer was called elsewhere, or reads several inputs.
    """

    def inner_shapes(self, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """Without the axis of steps."""
        if len(shapes[0]) < 2:
            raise ValueError(f"TimeDistributed: expected inputs (batch, steps, …), got (batch, *{shapes[0]})")
        return (shapes[0][1:],)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Steps of what the layer makes."""
        return (shapes[0][0], *self.layer.output_shape(*self.inner_shapes(shapes)))

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Step by step."""
        x = inputs[0]
        steps, *shape = x.shape
        parts = []
        for t in range(steps):
            step = take(b, x, [slice(t, t + 1), *[slice(None)] * len(shape)])
            y = self.layer.emit(b, reshape(b, step, tuple(shape)))
            parts.append(reshape(b, y, (1, *y.shape)))
        return concatenate(b, parts, 0, self.output_shape(x.shape)) if steps > 1 else parts[0]

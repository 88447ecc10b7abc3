"""An activation function as a layer of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore import activations
from nncore.layers.base import LAYERS, Layer
from nncore.operations import activate

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


@LAYERS.register()
class Activation(Layer):
    """Y = f(X), elementwise; softmax along the last axis.

    Parameters
    ----------
    activation : str or Activation
        f: its name, such as "relu", or an object of `nncore.activations`.
    name : str, optional
    """

    def __init__(self, activation: Any, name: str | None = None) -> None:
        super().__init__(name)
        self.activation = activations.get(activation, "activation")

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = f(X)."""
        return activate(b, inputs[0], self.activation)

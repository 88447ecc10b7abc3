"""Activation functions as layers of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore import activations, initializers, regularizers
from nncore.arguments import is_whole
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.operations import activate
from nncore.operations.elementwise import prelu

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


@LAYERS.register("prelu")
class PReLU(Layer):
    """Y = X where X > 0, else α ⊙ X, with a slope α that is learned.

    Shapes: X and Y (B, …); α has the shape of a sample, with 1 for the axes that share a slope.

    Parameters
    ----------
    alpha_initializer : str or Initializer, default "zeros"
        PyTorch begins with 0.25, and shares one slope.
    alpha_regularizer : str, Regularizer or None, default None
        A penalty on α that is added to the loss.
    shared_axes : int or list of int, optional
        Axes along which the slope is the same, counted with the batch axis as 0, as in Keras: the first ones of a
        sample, up to the last but one.
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        `shared_axes` names others than the first axes of a sample.

    References
    ----------
    K. He et al.: Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852, equation 1.
    """

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        shared_axes: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, trainable)
        self.alpha_initializer = initializers.get(alpha_initializer, "alpha_initializer")
        self.alpha_regularizer = regularizers.get(alpha_regularizer, "alpha_regularizer")
        axes = list(shared_axes) if isinstance(shared_axes, (list, tuple)) else [shared_axes]
        if shared_axes is not None and not all(is_whole(a) and a > 0 for a in axes):
            raise ValueError(f"shared_axes: expected whole numbers > 0 (the batch is axis 0), got {shared_axes!r}")
        self.shared_axes = None if shared_axes is None else [int(a) for a in axes]

    def slopes(self, shape: Shape) -> Shape:
        """The shape of α, for samples of `shape`."""
        shared = sorted(set(self.shared_axes or []))
        if shared != list(range(1, len(shared) + 1)) or (shared and len(shared) >= len(shape)):
            raise ValueError(
                f"PReLU: expected as shared_axes the first axes of inputs (batch, *{shape}), without the last, got "
                f"{self.shared_axes}. Put Reshape before it, and after it"
            )
        return (1,) * len(shared) + shape[len(shared) :]

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs."""
        self.slopes(shapes[0])
        return shapes[0]

    def declare(self, *shapes: Shape) -> None:
        """Declare α."""
        shape = self.slopes(shapes[0])
        self.alpha = self.add_parameter("alpha", shape, self.alpha_initializer, self.alpha_regularizer)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = max(X, 0) + α ⊙ min(X, 0)."""
        return prelu(b, inputs[0], self.alpha)

"""Layers that bring their inputs to a length."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore import initializers
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.layers.normalization import check_axes, check_epsilon, sample_axes
from nncore.operations import reshape
from nncore.operations.arrangement import moved_last
from nncore.operations.normalization import layer_norm, unit_norm

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


@LAYERS.register()
class RMSNormalization(Layer):
    """Y = γ ⊙ X / √(mean(X²) + ε), the mean over some axes of each sample.

    Shapes: X and Y (B, …, n); γ, which Keras calls scale, has the shape of the axes, (n,) by default.

    Parameters
    ----------
    axis : int or list of int, default -1
        The axes over which the mean is taken, counted with the batch axis as 0.
    epsilon : float, default 1e-6
        ε, > 0.
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        `epsilon` is not positive, or there is no such axis.

    References
    ----------
    B. Zhang, R. Sennrich: Root mean square layer normalization, NeurIPS 2019, arXiv:1910.07467.
    """

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name, trainable)
        self.axis = check_axes(axis)
        self.epsilon = check_epsilon(epsilon)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs."""
        sample_axes(self, shapes[0])
        return shapes[0]

    def declare(self, *shapes: Shape) -> None:
        """Declare γ."""
        shape = tuple(shapes[0][a] for a in sample_axes(self, shapes[0]))
        self.scale = self.add_parameter("scale", shape, initializers.Ones())

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = γ ⊙ X / √(mean(X²) + ε)."""
        axes = sample_axes(self, inputs[0].shape)

        def normalize(x: Tensor) -> Tensor:
            return layer_norm(b, x, x.shape[-len(axes) :], self.epsilon, self.scale, None, about_zero=True)

        return moved_last(b, inputs[0], axes, normalize)


@LAYERS.register()
class UnitNormalization(Layer):
    """Y = X / √max(Σ x², 1e-12), the sum over some axes of each sample: vectors of length 1.

    Parameters
    ----------
    axis : int or list of int, default -1
        The axes of a vector, counted with the batch axis as 0.
    name : str, optional
    """

    supports_masking = True

    def __init__(self, axis: Any = -1, name: str | None = None) -> None:
        super().__init__(name)
        self.axis = check_axes(axis)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs."""
        sample_axes(self, shapes[0])
        return shapes[0]

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X / |X|."""
        axes = sample_axes(self, inputs[0].shape)

        def normalize(x: Tensor) -> Tensor:
            kept = len(x.shape) - len(axes)
            rows = reshape(b, x, (*x.shape[:kept], math.prod(x.shape[kept:])))
            return reshape(b, unit_norm(b, rows, 1e-12), x.shape)

        return moved_last(b, inputs[0], axes, normalize)

"""Layers that bring their inputs to mean 0 and variance 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore import initializers, regularizers
from nncore.arguments import check_flag, is_number, is_whole
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.operations.normalization import layer_norm

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


@LAYERS.register()
class LayerNormalization(Layer):
    """Y = γ ⊙ (X − μ) / √(σ² + ε) + β, with the mean μ and the variance σ² of each sample over its last axes.

    Shapes: X and Y (B, …, n); γ and β have the shape of the axes that are normalized, (n,) by default.

    Parameters
    ----------
    axis : int or list of int, default -1
        The last axis, or several last ones, counted with the batch axis as 0, as in Keras.
    epsilon : float, default 0.001
        ε, > 0. PyTorch's default is 1e-5.
    center, scale : bool, default True
        Whether there is a β, whether there is a γ.
    beta_initializer, gamma_initializer : str or Initializer, default "zeros", "ones"
    beta_regularizer, gamma_regularizer : str, Regularizer or None, default None
        Penalties on β and γ that are added to the loss.
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        `epsilon` is not positive, or `axis` names others than the last axes.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton: Layer normalization, arXiv:1607.06450, equations 3 and 4.
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, trainable)
        axes = list(axis) if isinstance(axis, (list, tuple)) else [axis]
        if not axes or not all(is_whole(a) and a != 0 for a in axes):
            raise ValueError(f"axis: expected a whole number other than 0 (the batch), or a list of them, got {axis!r}")
        if not is_number(epsilon) or not 0 < epsilon < math.inf:
            raise ValueError(f"epsilon: expected a finite number > 0, got {epsilon!r}")
        self.axis = [int(a) for a in axes] if isinstance(axis, (list, tuple)) else int(axis)
        self.epsilon = float(epsilon)
        self.center = check_flag(center, "center")
        self.scale = check_flag(scale, "scale")
        self.beta_initializer = initializers.get(beta_initializer, "beta_initializer")
        self.gamma_initializer = initializers.get(gamma_initializer, "gamma_initializer")
        self.beta_regularizer = regularizers.get(beta_regularizer, "beta_regularizer")
        self.gamma_regularizer = regularizers.get(gamma_regularizer, "gamma_regularizer")

    def normalized(self, shape: Shape) -> Shape:
        """The axes of a sample that are normalized: the last ones."""
        given = self.axis if isinstance(self.axis, list) else [self.axis]
        axes = sorted({a + len(shape) if a < 0 else a - 1 for a in given})
        if axes != list(range(len(shape) - len(axes), len(shape))):
            raise ValueError(
                f"LayerNormalization: expected the last axes of inputs (batch, *{shape}), got axis={self.axis}; "
                "other axes are not normalized yet"
            )
        return shape[len(shape) - len(axes) :]

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs."""
        self.normalized(shapes[0])
        return shapes[0]

    def declare(self, *shapes: Shape) -> None:
        """Declare γ and β, as far as they are wanted."""
        shape = self.normalized(shapes[0])
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_parameter("gamma", shape, self.gamma_initializer, self.gamma_regularizer)
        if self.center:
            self.beta = self.add_parameter("beta", shape, self.beta_initializer, self.beta_regularizer)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = γ ⊙ (X − μ) / √(σ² + ε) + β."""
        x = inputs[0]
        return layer_norm(b, x, self.normalized(x.shape), self.epsilon, self.gamma, self.beta)

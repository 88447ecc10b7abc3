"""Layers for columns of numbers: a factor for each, periodic features of each, activations that learn their share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore import activations, initializers
from nncore._kernels.table import ACTIVATIONS
from nncore.activations import Cospi
from nncore.arguments import check_count
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.operations import activate, add, broadcast, concatenate, reshape
from nncore.operations.arithmetic import subtract
from nncore.operations.dense import dense_at_positions
from nncore.operations.elementwise import activate_partly
from nncore.operations.normalization import standardize

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


@LAYERS.register()
class Scale(Layer):
    """Y = γ ⊙ X, a factor for each element of the last axis.

    Shapes: X and Y (B, …, n), γ (n,).

    Parameters
    ----------
    initializer : str or Initializer, default "ones"
        Of γ.
    name : str, optional
    trainable : bool, default True
    """

    def __init__(self, initializer: Any = "ones", name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name, trainable)
        self.initializer = initializers.get(initializer, "initializer")

    def declare(self, *shapes: Shape) -> None:
        """Declare γ."""
        if not shapes[0]:
            raise ValueError("Scale: expected inputs with an axis beside the batch, got (None,)")
        self.factor = self.add_parameter("factor", shapes[0][-1:], self.initializer)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = γ ⊙ X."""
        return standardize(b, inputs[0], gamma=self.factor)


@LAYERS.register()
class ParametricActivation(Layer):
    """Y = X + α ⊙ (f(X) − X), α for each element of the last axis: between no activation and more than f.

    Shapes: X and Y (B, …, n), α (n,).

    Parameters
    ----------
    activation : str or Activation
        f, which keeps its input's shape.
    alpha_initializer : str or Initializer, default "ones"
        Of α; it begins as f.
    name : str, optional
    trainable : bool, default True

    References
    ----------
    D. Holzmüller, L. Grinsztajn, I. Steinwart: Better by default, NeurIPS 2024, arXiv:2407.04491.
    """

    def __init__(
        self, activation: Any, alpha_initializer: Any = "ones", name: str | None = None, trainable: bool = True
    ) -> None:
        super().__init__(name, trainable)
        self.activation = activations.get(activation, "activation")
        self.alpha_initializer = initializers.get(alpha_initializer, "alpha_initializer")

    def declare(self, *shapes: Shape) -> None:
        """Declare α."""
        if not shapes[0]:
            raise ValueError("ParametricActivation: expected inputs with an axis beside the batch, got (None,)")
        if self.activation.output_shape(shapes[0]) != shapes[0]:
            raise ValueError(f"activation: expected one that keeps its input's shape, got {self.activation!r}")
        self.alpha = self.add_parameter("alpha", shapes[0][-1:], self.alpha_initializer)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X + α ⊙ (f(X) − X)."""
        x = inputs[0]
        if self.activation.kernel in ACTIVATIONS:  # others see whole rows, or are a user's
            return activate_partly(b, x, self.activation, self.alpha)
        change = subtract(b, activate(b, x, self.activation), x)
        return add(b, x, standardize(b, change, gamma=self.alpha))


@LAYERS.register()
class PeriodicEmbedding(Layer):
    """Of each number x of the last axis d numbers: x itself, and d − 1 combinations of k cosines of it.

    cos(2π (w x + b)) W + c with w, b (k,), W (k, d − 1) and c of each number's own. Shapes: X (B, n), Y (B, n d): the
    combinations of all numbers, number by number, then the numbers.

    Parameters
    ----------
    frequencies : int, default 16
        k.
    outputs : int, default 4
        d, at least 2.
    stddev : float, default 0.1
        Of the normal distribution from which w is drawn: the frequencies, in periods per unit of x. b is uniform on
        ±1/2, W and c on ±1/√k.
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        X has other axes, or an argument is no such number.

    References
    ----------
    Y. Gorishniy, I. Rubachev, A. Babenko: On embeddings for numerical features in tabular deep learning, NeurIPS 2022,
    arXiv:2203.05556; D. Holzmüller et al., arXiv:2407.04491 (the form with x, "PBLD").
    """

    def __init__(
        self,
        frequencies: int = 16,
        outputs: int = 4,
        stddev: float = 0.1,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, trainable)
        self.frequencies = check_count(frequencies, "frequencies")
        self.outputs = check_count(outputs, "outputs", 2)
        self.stddev = initializers.RandomNormal(stddev=stddev).stddev

    def output_shape(self, *shapes: Shape) -> Shape:
        """(n d,)."""
        if len(shapes[0]) != 1:
            raise ValueError(f"PeriodicEmbedding: expected inputs (batch, numbers), got (batch, *{shapes[0]})")
        return (shapes[0][0] * self.outputs,)

    def declare(self, *shapes: Shape) -> None:
        """Declare 2 w and 2 b, in half periods, W and c."""
        n, k, d = shapes[0][0], self.frequencies, self.outputs - 1
        bound = k**-0.5
        uniform = initializers.RandomUniform(-bound, bound)
        self.frequency = self.add_parameter("frequency", (n, k), initializers.RandomNormal(stddev=2 * self.stddev))
        self.phase = self.add_parameter("phase", (n, k), initializers.RandomUniform(-1.0, 1.0))
        self.kernel = self.add_parameter("kernel", (n, k, d), uniform)
        self.bias = self.add_parameter("bias", (n, d), uniform)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Cosines of all numbers, a product for each number, and the numbers."""
        x = inputs[0]
        n, k, d = x.size, self.frequencies, self.outputs - 1
        repeated = reshape(b, broadcast(b, reshape(b, x, (n, 1)), (n, k)), (n * k,))
        cosines = activate(b, standardize(b, repeated, gamma=self.frequency, beta=self.phase), Cospi())
        combined = dense_at_positions(b, reshape(b, cosines, (1, n, k)), self.kernel)
        shifted = standardize(b, reshape(b, combined, (n * d,)), beta=self.bias)
        return concatenate(b, [shifted, x], 0, self.output_shape(x.shape))

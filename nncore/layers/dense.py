"""The fully connected layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore import activations, constraints, initializers, regularizers
from nncore.arguments import check_flag, check_whole
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.operations import activate, dense

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


@LAYERS.register()
class Dense(Layer):
    """A layer of neurons, each connected to every input: Y = f(X W + b).

    Shapes: X (B, …, I), W (I, O), b (O,), Y (B, …, O); the layer acts on the last axis.

    Parameters
    ----------
    units : int
        Number of neurons, O.
    activation : str, Activation or None, default None
        f; None is the identity.
    use_bias : bool, default True
        Whether there is a b.
    kernel_initializer : str or Initializer, default "glorot_uniform"
        For W. (PyTorch's default is uniform in ±1/√I, scikit-learn's Glorot's with a factor that depends on f.)
    bias_initializer : str or Initializer, default "zeros"
    kernel_regularizer, bias_regularizer : str, Regularizer or None, default None
        Penalties on W and b that are added to the loss.
    activity_regularizer : str, Regularizer or None, default None
        A penalty on Y, its mean over the batch; see `ActivityRegularization`.
    kernel_constraint, bias_constraint : str, Constraint or None, default None
        What W and b are made to fit after each update.
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        `units` is not a positive whole number, or a name is unknown.
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, trainable)
        self.units = check_whole(
            units, "units", "a positive whole number of neurons", 1, phrase="`units` must be a positive integer"
        )
        self.activation = activations.get(activation, "activation")
        self.use_bias = check_flag(use_bias, "use_bias")
        self.kernel_initializer = initializers.get(kernel_initializer, "kernel_initializer")
        self.bias_initializer = initializers.get(bias_initializer, "bias_initializer")
        self.kernel_regularizer = regularizers.get(kernel_regularizer, "kernel_regularizer")
        self.bias_regularizer = regularizers.get(bias_regularizer, "bias_regularizer")
        self.activity_regularizer = regularizers.of_activity(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint, "kernel_constraint")
        self.bias_constraint = constraints.get(bias_constraint, "bias_constraint")

    @property
    def keeps_rows_apart(self) -> bool:
        """As the activation; a class that computes something else does not say."""
        return type(self).emit is Dense.emit and self.activation.keeps_rows_apart

    def output_shape(self, *shapes: Shape) -> Shape:
        """(…, I) → (…, O), or what the activation makes of that."""
        if not shapes[0]:
            raise ValueError(
                "Dense: expected inputs with an axis beside the batch, got (None,). Give Input((1,)), "
                "or arrays of shape (n, 1)"
            )
        return self.activation.output_shape((*shapes[0][:-1], self.units))

    def declare(self, *shapes: Shape) -> None:
        """Declare W (I, O) and b (O,)."""
        kernel = (shapes[0][-1], self.units)
        self.kernel = self.add_parameter("kernel", kernel, self.kernel_initializer, self.kernel_regularizer)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_parameter("bias", (self.units,), self.bias_initializer, self.bias_regularizer)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = f(X W + b)."""
        return activate(b, dense(b, inputs[0], self.kernel, self.bias), self.activation)

"""Activation functions as layers of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore import activations, constraints, initializers, regularizers
from nncore.arguments import check_count, check_nonnegative, is_whole
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.operations import activate
from nncore.operations.arrangement import moved_last, reshape
from nncore.operations.elementwise import prelu
from nncore.operations.masks import keep, lowered

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class Applied(Layer):
    """Base of the layers that are an activation function, and may be given as that of another layer."""

    supports_masking = True
    is_activation = True

    activation: activations.Activation

    @property
    def keeps_rows_apart(self) -> bool:
        """As the activation; a class that computes something else does not say."""
        return type(self).emit is Applied.emit and self.activation.keeps_rows_apart

    def output_shape(self, *shapes: Shape) -> Shape:
        """What the function makes of the inputs' shape."""
        return self.activation.output_shape(shapes[0])

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = f(X)."""
        return activate(b, inputs[0], self.activation)


@LAYERS.register()
class ActivityRegularization(Layer):
    """Y = X, with a penalty on it that is added to the loss: l1 Σ|x| + l2 Σ x² of each sample, its mean over the batch.

    Parameters
    ----------
    l1, l2 : float, default 0.0
        Factors ≥ 0.
    name : str, optional
    """

    supports_masking = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        self.l1 = check_nonnegative(l1, "l1", "0.0 switches the penalty off")
        self.l2 = check_nonnegative(l2, "l2", "0.0 switches the penalty off")

    @property
    def activity_regularizer(self) -> regularizers.Regularizer:
        """The penalty."""
        return regularizers.L1L2(self.l1, self.l2)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The inputs."""
        return inputs[0]


@LAYERS.register()
class Activation(Applied):
    """Y = f(X), elementwise, or along an axis.

    Parameters
    ----------
    activation : str, Activation or function
        f: its name, such as "relu", an object or a function of `nncore.activations`.
    name : str, optional
    """

    def __init__(self, activation: Any, name: str | None = None) -> None:
        super().__init__(name)
        self.activation = activations.get(activation, "activation")


class Named(Applied):
    """Base of those whose constructors take the function's arguments: `made` of these it is the function."""

    def __init__(self, name: str | None) -> None:
        super().__init__(name)
        self.made()

    def made(self) -> activations.Activation:
        """The function, of the arguments as they are; the errors are its own."""
        raise NotImplementedError

    @property
    def activation(self) -> activations.Activation:  # type: ignore[override]
        """The function."""
        return self.made()


@LAYERS.register()
class ReLU(Named):
    """Y = `activations.Relu` of X: max(X, 0), or with another slope, largest value or threshold.

    Parameters
    ----------
    max_value : float, optional
        The largest value, ≥ 0; None: there is none.
    negative_slope : float, default 0.0
        Slope below the threshold, ≥ 0.
    threshold : float, default 0.0
        Up to it Y is negative_slope (X − threshold); ≥ 0.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        An argument is no number, or not finite, or negative.
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        name: str | None = None,
    ) -> None:
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold
        super().__init__(name)

    def made(self) -> activations.Activation:
        """See `Named`."""
        return activations.Relu(self.negative_slope, self.max_value, self.threshold)


@LAYERS.register()
class LeakyReLU(Named):
    """Y = `activations.LeakyRelu` of X: X where it is positive, else negative_slope X.

    Parameters
    ----------
    negative_slope : float, default 0.3
        Slope below zero, ≥ 0. The default of the function is 0.2, as in Keras.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        `negative_slope` is no number, or not finite, or negative.
    """

    def __init__(self, negative_slope: float = 0.3, name: str | None = None) -> None:
        self.negative_slope = negative_slope
        super().__init__(name)

    def made(self) -> activations.Activation:
        """See `Named`."""
        return activations.LeakyRelu(self.negative_slope)


@LAYERS.register()
class ELU(Named):
    """Y = `activations.Elu` of X: X where it is positive, else alpha (e^X − 1).

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the limit for X → −∞, ≥ 0.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        `alpha` is no number, or not finite, or negative.
    """

    def __init__(self, alpha: float = 1.0, name: str | None = None) -> None:
        self.alpha = alpha
        super().__init__(name)

    def made(self) -> activations.Activation:
        """See `Named`."""
        return activations.Elu(self.alpha)


@LAYERS.register()
class Softmax(Named):
    """Y = `activations.Softmax` of X: outputs ≥ 0 that sum to one along an axis.

    Of elements that do not count, by ``layer(x, mask=mask)`` or a mask that goes along and has this axis, Y is 0, and
    the others sum to one; where none counts, all are 0. Arrays of masks are broadcast to X as NumPy does it.

    Parameters
    ----------
    axis : int or tuple of int, default -1
        The axis, counted with the batch as 0, but not 0; several are one row together.
    name : str, optional

    Raises
    ------
    ValueError
        `axis` is none of the inputs' axes, or the batch; `mask` has other axes than all of X's, of length 1 or theirs.
    """

    mask_axes = "elements"  # one of steps would be without effect

    def __init__(self, axis: Any = -1, name: str | None = None) -> None:
        self.axis = list(axis) if isinstance(axis, tuple) else axis
        super().__init__(name)

    def made(self) -> activations.Softmax:
        """See `Named`."""
        return activations.Softmax(self.axis)

    def emit_mask(self, b: Builder, *inputs: Tensor) -> Tensor | None:
        """That of the inputs, but for one of elements, which ends: they are 0."""
        mask = super().emit_mask(b, *inputs)
        return None if mask is None or len(mask.shape) == len(inputs[0].shape) else mask

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = f(X), of what counts."""
        [x], mask = inputs, inputs[0].mask
        if mask is None or max(self.made().sample_axes(x.shape)) >= len(mask.shape):
            return super().emit(b, x)
        return keep(b, activate(b, lowered(b, x, mask), self.activation), mask)


@LAYERS.register()
class NonCrossing(Layer):
    """Quantiles that never cross: of each k outputs each is softplus(zⱼ) above the one before, the first is z₀.

    Comes after the last Dense, before the loss `losses.Pinball` of k quantiles, which side by side belong to one
    target.

    Parameters
    ----------
    quantiles : int
        k; the inputs' last axis is a multiple of it.
    name : str, optional

    Raises
    ------
    ValueError
        `quantiles` is no whole number ≥ 1, or the inputs do not fit.

    References
    ----------
    A. J. Cannon: Non-crossing nonlinear regression quantiles by monotone composite quantile regression neural network,
    Stoch. Environ. Res. Risk Assess. 32 (2018) 3207–3225, for the task; increments are the usual remedy.
    """

    def __init__(self, quantiles: int, name: str | None = None) -> None:
        super().__init__(name)
        self.quantiles = check_count(quantiles, "quantiles")

    def output_shape(self, *shapes: Shape) -> Shape:
        """The inputs'."""
        if not shapes[0] or shapes[0][-1] % self.quantiles:
            raise ValueError(
                f"layer {self.name!r}: expected inputs with a multiple of {self.quantiles} in the last axis, got shape "
                f"{shapes[0]}"
            )
        return shapes[0]

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Rows of k."""
        [x] = inputs
        if x.shape[-1] == self.quantiles:
            return activate(b, x, activations.Ascending())
        rows = reshape(b, x, (*x.shape[:-1], x.shape[-1] // self.quantiles, self.quantiles))
        return reshape(b, activate(b, rows, activations.Ascending()), x.shape)


@LAYERS.register()
class Identity(Named):
    """Y = X.

    Parameters
    ----------
    name : str, optional
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)

    def made(self) -> activations.Activation:
        """See `Named`."""
        return activations.Linear()


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
    alpha_constraint : str, Constraint or None, default None
        What α is made to fit after each update.
    shared_axes : int or list of int, optional
        Axes along which the slope is the same, counted with the batch axis as 0, as in Keras; others than the first
        ones of a sample cost two copies of the data.
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        `shared_axes` names others than axes of a sample.

    References
    ----------
    K. He et al.: Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852, equation 1.
    """

    supports_masking = True

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, trainable)
        self.alpha_initializer = initializers.get(alpha_initializer, "alpha_initializer")
        self.alpha_regularizer = regularizers.get(alpha_regularizer, "alpha_regularizer")
        self.alpha_constraint = constraints.get(alpha_constraint, "alpha_constraint")
        axes = list(shared_axes) if isinstance(shared_axes, (list, tuple)) else [shared_axes]
        if shared_axes is not None and not all(is_whole(a) and a > 0 for a in axes):
            raise ValueError(f"shared_axes: expected whole numbers > 0 (the batch is axis 0), got {shared_axes!r}")
        self.shared_axes = None if shared_axes is None else [int(a) for a in axes]

    def slopes(self, shape: Shape) -> Shape:
        """The shape of α, for samples of `shape`."""
        shared = self.shared_axes or []
        if any(axis > len(shape) for axis in shared):
            raise ValueError(
                f"PReLU: expected as shared_axes some of 1 to {len(shape)}, for inputs (batch, *{shape}), got {shared}"
            )
        return tuple(1 if axis in shared else n for axis, n in enumerate(shape, 1))

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
        own = [axis for axis in range(len(inputs[0].shape)) if axis + 1 not in (self.shared_axes or [])]
        return moved_last(b, inputs[0], own, lambda x: prelu(b, x, self.alpha))

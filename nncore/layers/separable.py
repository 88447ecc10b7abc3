"""Convolutions of each channel by itself, and then a product over the channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore import constraints, initializers, regularizers
from nncore.arguments import check_channels, check_flag
from nncore.graph import Shape
from nncore.layers.base import LAYERS
from nncore.layers.depthwise import Depthwise
from nncore.operations import dense

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class SeparableConv(Depthwise):
    """Base of `SeparableConv1D` and `SeparableConv2D`, which has the parameters and what they mean."""

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate, activation, name, trainable
        )
        self.filters = check_channels(filters, "filters", "a positive whole number of channels")
        self.use_bias = check_flag(use_bias, "use_bias")
        self.depthwise_initializer = initializers.get(depthwise_initializer, "depthwise_initializer")
        self.pointwise_initializer = initializers.get(pointwise_initializer, "pointwise_initializer")
        self.bias_initializer = initializers.get(bias_initializer, "bias_initializer")
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer, "depthwise_regularizer")
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer, "pointwise_regularizer")
        self.bias_regularizer = regularizers.get(bias_regularizer, "bias_regularizer")
        self.activity_regularizer = regularizers.of_activity(activity_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint, "depthwise_constraint")
        self.pointwise_constraint = constraints.get(pointwise_constraint, "pointwise_constraint")
        self.bias_constraint = constraints.get(bias_constraint, "bias_constraint")

    @property
    def depthwise_kernel_constraint(self) -> Any:
        """What the parameter `depthwise_kernel` is made to fit."""
        return self.depthwise_constraint

    @property
    def pointwise_kernel_constraint(self) -> Any:
        """What the parameter `pointwise_kernel` is made to fit."""
        return self.pointwise_constraint

    def output_shape(self, *shapes: Shape) -> Shape:
        """(B, h, w, n) → (B, oh, ow, filters), or what the activation makes of that."""
        axes = self.axes(self.channels_behind(shapes[0]))
        return self.shape_of(tuple(a.out for a in axes), self.filters)

    def declare(self, *shapes: Shape) -> None:
        """Declare U (kh, kw, n, depth_multiplier), V (1, 1, n depth_multiplier, filters) and b (filters,)."""
        shape = self.kernel_shape(shapes[0])
        joined = (*(1,) * self.rank, shape[-2] * shape[-1], self.filters)
        self.depthwise_kernel = self.add_parameter(
            "depthwise_kernel", shape, self.depthwise_initializer, self.depthwise_regularizer
        )
        self.pointwise_kernel = self.add_parameter(
            "pointwise_kernel", joined, self.pointwise_initializer, self.pointwise_regularizer
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_parameter("bias", (self.filters,), self.bias_initializer, self.bias_regularizer)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = f((Σ X ⊙ U) V + b)."""
        z = self.convolve(b, inputs[0], self.depthwise_kernel, None)
        return self.finished(b, dense(b, z, self.pointwise_kernel, self.bias, (z.shape[-1], self.filters)))


@LAYERS.register()
class SeparableConv1D(SeparableConv):
    """A convolution along a series of each channel by itself, then a product: Y = f((Σ X ⊙ U) V + b).

    Shapes: X (B, steps, n), U (`kernel_size`, n, m) with m = `depth_multiplier`, V (1, n m, filters), b (filters,), Y
    (B, steps', filters).

    Parameters
    ----------
    filters : int
        Channels of Y.
    kernel_size, strides, padding
        As for `DepthwiseConv1D`.
    data_format, dilation_rate, depth_multiplier, activation, use_bias, name, trainable
        As for `SeparableConv2D`; the format "channels_first" is (B, n, steps).
    depthwise_initializer, pointwise_initializer, bias_initializer
        As for `SeparableConv2D`.
    depthwise_regularizer, pointwise_regularizer, bias_regularizer, activity_regularizer
        As for `SeparableConv2D`.
    depthwise_constraint, pointwise_constraint, bias_constraint
        As for `SeparableConv2D`.

    Raises
    ------
    ValueError
        A size is not a positive whole number, a name is unknown, or X is shorter than a window.
    """

    rank = 1


@LAYERS.register()
class SeparableConv2D(SeparableConv):
    """A convolution of images of each channel by itself, then a product over channels: Y = f((Σ X ⊙ U) V + b).

    Shapes: X (B, height, width, n), U (kernel height, kernel width, n, m) with m = `depth_multiplier`, V (1, 1, n m,
    filters), b (filters,), Y (B, height', width', filters).

    Parameters
    ----------
    filters : int
        Channels of Y.
    kernel_size, strides, padding
        As for `DepthwiseConv2D`.
    data_format, dilation_rate, depth_multiplier, activation, use_bias
        As for `DepthwiseConv2D`.
    depthwise_initializer, pointwise_initializer : str or Initializer, default "glorot_uniform"
        For U, for V.
    bias_initializer : str or Initializer, default "zeros"
    depthwise_regularizer, pointwise_regularizer, bias_regularizer : str, Regularizer or None, default None
        Penalties on U, V and b that are added to the loss.
    activity_regularizer : str, Regularizer or None, default None
        A penalty on Y, its mean over the batch; see `ActivityRegularization`.
    depthwise_constraint, pointwise_constraint, bias_constraint : str, Constraint or None, default None
        What U, V and b are made to fit after each update.
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        A size is not a positive whole number, a name is unknown, or X is smaller than a window.

    References
    ----------
    F. Chollet: Xception: deep learning with depthwise separable convolutions, CVPR 2017, arXiv:1610.02357.
    """

    rank = 2

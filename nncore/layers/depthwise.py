"""Convolutions of each channel by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore import activations, constraints, initializers, regularizers
from nncore.arguments import check_flag, check_whole
from nncore.graph import Shape
from nncore.layers import windows
from nncore.layers.base import LAYERS, Layer
from nncore.layers.windows import Axis
from nncore.operations import activate, reshape
from nncore.operations.depthwise import depthwise

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor
    from nncore.parameter import Parameter


class Depthwise(Layer):
    """Base of the layers that convolve each channel by itself: how windows lie, and what they sum.

    Parameters
    ----------
    kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate
        As for `DepthwiseConv2D`.
    name : str, optional
    trainable : bool, default True
    """

    rank = 0  # how many axes windows slide over

    def __init__(
        self,
        kernel_size: Any,
        strides: Any,
        padding: str,
        depth_multiplier: int,
        data_format: str | None,
        dilation_rate: Any,
        name: str | None,
        trainable: bool,
    ) -> None:
        super().__init__(name, trainable)
        self.kernel_size = windows.check_sizes(kernel_size, "kernel_size", self.rank)
        self.strides = windows.check_sizes(strides, "strides", self.rank)
        self.padding = windows.check_choice(padding, "padding", ("valid", "same"))
        self.depth_multiplier = check_whole(
            depth_multiplier, "depth_multiplier", "a positive whole number of channels for each of the input", 1
        )
        self.data_format = windows.check_data_format(data_format)
        self.dilation_rate = windows.check_sizes(dilation_rate, "dilation_rate", self.rank)

    def axes_of(self, shape: Shape) -> list[Axis]:
        """How windows lie along the axes of a sample that has its channels behind."""
        settings = zip(shape, self.kernel_size, self.strides, self.dilation_rate, strict=False)
        return [windows.axis(*axis, self.padding, type(self).__name__) for axis in settings]

    def convolved(self, shape: Shape, channels: int | None = None) -> Shape:
        """The output's shape, from the input's as given; by default with `depth_multiplier` channels for each one."""
        shape = windows.channels_last(shape, self.rank, self.data_format, type(self).__name__)
        places = tuple(axis.out for axis in self.axes_of(shape))
        return windows.as_given((*places, channels or shape[-1] * self.depth_multiplier), self.data_format)

    def kernel_shape(self, shape: Shape) -> Shape:
        """Of the kernel, (kh, kw, n, depth_multiplier), from the input's shape as given."""
        shape = windows.channels_last(shape, self.rank, self.data_format, type(self).__name__)
        return (*self.kernel_size, shape[-1], self.depth_multiplier)

    def convolve(self, b: Builder, x: Tensor, kernel: Parameter, bias: Parameter | None) -> Tensor:
        """Z, its channels behind, for X that has them so: each channel's own sums."""
        *down, across = self.axes_of(x.shape)
        n = x.shape[-1]
        if not down:  # a series is an image of one row
            x, down = reshape(b, x, (1, *x.shape)), [Axis(1, 1, out=1)]
        z = depthwise(b, x, kernel, bias, down[0], across)
        return z if self.rank == 2 else reshape(b, z, (across.out, n * self.depth_multiplier))


class DepthwiseConv(Depthwise):
    """Base of `DepthwiseConv1D` and `DepthwiseConv2D`, which has the parameters and what they mean."""

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate, name, trainable)
        self.activation = activations.get(activation, "activation")
        self.use_bias = check_flag(use_bias, "use_bias")
        self.depthwise_initializer = initializers.get(depthwise_initializer, "depthwise_initializer")
        self.bias_initializer = initializers.get(bias_initializer, "bias_initializer")
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer, "depthwise_regularizer")
        self.bias_regularizer = regularizers.get(bias_regularizer, "bias_regularizer")
        self.activity_regularizer = regularizers.of_activity(activity_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint, "depthwise_constraint")
        self.bias_constraint = constraints.get(bias_constraint, "bias_constraint")

    @property
    def kernel_constraint(self) -> Any:
        """What the parameter `kernel` is made to fit."""
        return self.depthwise_constraint

    def output_shape(self, *shapes: Shape) -> Shape:
        """(B, h, w, n) → (B, oh, ow, n depth_multiplier), or what the activation makes of that."""
        return self.activation.output_shape(self.convolved(shapes[0]))

    def declare(self, *shapes: Shape) -> None:
        """Declare W (kh, kw, n, depth_multiplier) and b (n depth_multiplier,)."""
        shape = self.kernel_shape(shapes[0])
        self.kernel = self.add_parameter("kernel", shape, self.depthwise_initializer, self.depthwise_regularizer)
        self.bias = None
        if self.use_bias:
            n = (shape[-2] * shape[-1],)
            self.bias = self.add_parameter("bias", n, self.bias_initializer, self.bias_regularizer)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = f(b + Σ X ⊙ W)."""
        z = self.convolve(b, windows.to_channels_last(b, inputs[0], self.data_format), self.kernel, self.bias)
        if self.data_format == "channels_last":
            return activate(b, z, self.activation)
        return activate(b, windows.from_channels_last(b, z, self.data_format), self.activation)


@LAYERS.register()
class DepthwiseConv1D(DepthwiseConv):
    """A convolution along a series of each channel by itself: Y = f(b + Σ X ⊙ W), sums over the places of a window.

    Channel c m + j of Y is made of channel c of X, m = `depth_multiplier`, j < m. Shapes: X (B, steps, n), W
    (`kernel_size`, n, m), b (n m,), Y (B, steps', n m).

    Parameters
    ----------
    kernel_size : int
        Places of a window.
    strides : int, default 1
        Places from one window to the next.
    padding : {"valid", "same"}, default "valid"
        Which windows there are: those that lie inside, steps' = ⌊(steps − reach) / strides⌋ + 1 with reach
        (kernel_size − 1) dilation_rate + 1; or ⌈steps / strides⌉, zeros beside X, as many before as behind, or one
        more behind.
    depth_multiplier, data_format, dilation_rate, activation, use_bias, name, trainable
        As for `DepthwiseConv2D`; the format "channels_first" is (B, n, steps).
    depthwise_initializer, bias_initializer, depthwise_regularizer, bias_regularizer, activity_regularizer
        As for `DepthwiseConv2D`.
    depthwise_constraint, bias_constraint
        As for `DepthwiseConv2D`.

    Raises
    ------
    ValueError
        A size is not a positive whole number, a name is unknown, or X is shorter than a window.
    """

    rank = 1


@LAYERS.register()
class DepthwiseConv2D(DepthwiseConv):
    """A convolution of images of each channel by itself: Y = f(b + Σ X ⊙ W), sums over the places of a window.

    Channel c m + j of Y is made of channel c of X, m = `depth_multiplier`, j < m. Shapes: X (B, height, width, n), W
    (kernel height, kernel width, n, m), b (n m,), Y (B, height', width', n m).

    Parameters
    ----------
    kernel_size : int or tuple of 2 int
        Height and width of a window.
    strides : int or tuple of 2 int, default 1
        Places from one window to the next. Keras computes only equal ones.
    padding : {"valid", "same"}, default "valid"
        Which windows there are: those that lie inside, height' = ⌊(height − reach) / stride⌋ + 1 with reach (kernel
        height − 1) dilation + 1; or ⌈height / stride⌉, zeros beside X, as many before as behind, or one more behind.
        PyTorch puts as many on both sides.
    depth_multiplier : int, default 1
        m, channels of Y for each one of X. Others than 1 cost a copy of X of the size of Y.
    data_format : {"channels_last", "channels_first"} or None, default None
        Where the channels of X and Y are; None is "channels_last". "channels_first", (B, n, height, width), costs two
        copies.
    dilation_rate : int or tuple of 2 int, default 1
        Places between neighbours in a window, + 1.
    activation : str, Activation or None, default None
        f; None is the identity.
    use_bias : bool, default True
        Whether there is a b.
    depthwise_initializer : str or Initializer, default "glorot_uniform"
        For W. (PyTorch's default is uniform in ±1 / √(kernel height · kernel width).)
    bias_initializer : str or Initializer, default "zeros"
    depthwise_regularizer, bias_regularizer : str, Regularizer or None, default None
        Penalties on W and b that are added to the loss.
    activity_regularizer : str, Regularizer or None, default None
        A penalty on Y, its mean over the batch; see `ActivityRegularization`.
    depthwise_constraint, bias_constraint : str, Constraint or None, default None
        What W and b are made to fit after each update.
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

"""Convolutions of each channel by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore import constraints, initializers, regularizers
from nncore.arguments import check_channels, check_flag
from nncore.graph import Shape
from nncore.layers import windows
from nncore.layers.base import LAYERS
from nncore.layers.windowed import Windowed
from nncore.operations.depthwise import depthwise

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor
    from nncore.parameter import Parameter


class Depthwise(Windowed):
    """Base of the layers that convolve each channel by itself.

    Parameters
    ----------
    kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate, activation
        As for `DepthwiseConv2D`.
    name : str, optional
    trainable : bool, default True
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any,
        padding: str,
        depth_multiplier: int,
        data_format: str | None,
        dilation_rate: Any,
        activation: Any,
        name: str | None,
        trainable: bool,
    ) -> None:
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, activation, name, trainable)
        self.depth_multiplier = check_channels(
            depth_multiplier, "depth_multiplier", "a positive whole number of channels for each of the input"
        )

    def kernel_shape(self, shape: Shape) -> Shape:
        """Of the kernel, (…, n, depth_multiplier), from the input's shape as given."""
        return (*self.kernel_size, self.channels_behind(shape)[-1], self.depth_multiplier)

    def convolve(self, b: Builder, x: Tensor, kernel: Parameter, bias: Parameter | None) -> Tensor:
        """Z, its channels behind, for X as given: each channel's own sums."""
        x = windows.to_channels_last(b, x, self.data_format)
        return depthwise(b, x, kernel, bias, self.axes(x.shape))


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
        super().__init__(
            kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate, activation, name, trainable
        )
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
        shape = self.channels_behind(shapes[0])
        return self.shape_of(tuple(a.out for a in self.axes(shape)), shape[-1] * self.depth_multiplier)

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
        return self.finished(b, self.convolve(b, inputs[0], self.kernel, self.bias))


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

"""Convolutions: windows of an image or a series, each seen by the same neurons."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore import constraints, initializers, regularizers
from nncore._kernels.table import WINDOW_PLACES
from nncore.arguments import check_channels, check_count, check_flag
from nncore.graph import Shape
from nncore.layers.base import LAYERS
from nncore.layers.windowed import Windowed
from nncore.layers.windows import to_channels_last
from nncore.operations.convolution import MOST_REACHED, convolve
from nncore.operations.depthwise import depthwise

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class Convolution(Windowed):
    """What `Conv1D` and `Conv2D` have in common."""

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
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
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, activation, name, trainable)
        self.filters = check_channels(filters, "filters", "a whole number of at least 1")
        self.groups = check_count(groups, "groups")
        if self.filters % self.groups:
            raise ValueError(f"filters: expected a multiple of groups, {self.groups}, got {self.filters}")
        self.use_bias = check_flag(use_bias, "use_bias")
        self.kernel_initializer = initializers.get(kernel_initializer, "kernel_initializer")
        self.bias_initializer = initializers.get(bias_initializer, "bias_initializer")
        self.kernel_regularizer = regularizers.get(kernel_regularizer, "kernel_regularizer")
        self.bias_regularizer = regularizers.get(bias_regularizer, "bias_regularizer")
        self.activity_regularizer = regularizers.of_activity(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint, "kernel_constraint")
        self.bias_constraint = constraints.get(bias_constraint, "bias_constraint")

    def output_shape(self, *shapes: Shape) -> Shape:
        """(…, C) → (…, filters), or what the activation makes of that."""
        shape = self.channels_behind(shapes[0])
        if shape[-1] % self.groups:
            raise ValueError(
                f"{type(self).__name__}: expected inputs whose channels are a multiple of groups, {self.groups}, "
                f"got {shape[-1]}"
            )
        return self.shape_of(tuple(a.out for a in self.axes(shape)), self.filters)

    def declare(self, *shapes: Shape) -> None:
        """Declare W (…, C / groups, filters) and b (filters,)."""
        channels = self.channels_behind(shapes[0])[-1]
        self.declare_weights((*self.kernel_size, channels // self.groups, self.filters), self.filters)

    def declare_weights(self, kernel: Shape, biases: int) -> None:
        """Declare W and b of these shapes."""
        sizes = zip(self.kernel_size, self.dilation_rate, strict=True)
        reach = math.prod((k - 1) * d + 1 for k, d in sizes) * kernel[-2] * self.groups
        if reach > MOST_REACHED or math.prod(self.kernel_size) > WINDOW_PLACES:
            raise ValueError(
                f"kernel_size: expected windows of at most {WINDOW_PLACES} places, over {MOST_REACHED} numbers at "
                f"most, got {self.kernel_size}, reaching over {reach}. Give a smaller kernel or dilation_rate"
            )
        self.kernel = self.add_parameter("kernel", kernel, self.kernel_initializer, self.kernel_regularizer)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_parameter("bias", (biases,), self.bias_initializer, self.bias_regularizer)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = f(Σ X ⊙ W + b) over windows."""
        x = to_channels_last(b, inputs[0], self.data_format)
        axes = self.axes(x.shape)
        if self.groups == x.shape[-1] > 1:  # each channel by itself
            return self.finished(b, depthwise(b, x, self.kernel, self.bias, axes))
        return self.finished(b, convolve(b, x, self.kernel, self.bias, axes, self.groups))


@LAYERS.register()
class Conv1D(Convolution):
    """A convolution of series: Y[t] = f(b + Σ_k X[t s + k d − p] W[k]).

    Each window of `kernel_size` steps is seen by the same `filters` neurons; s is the stride, d the dilation, p the
    number of zeros before the series.

    Shapes: X (B, steps, C), W (size, C / groups, filters), b (filters,), Y (B, windows, filters).

    Parameters
    ----------
    filters : int
        Number of neurons, which are the channels of Y.
    kernel_size : int
        Steps of a window.
    strides : int, default 1
        Steps from one window to the next.
    padding : {"valid", "same", "causal"}, default "valid"
        "valid": windows inside the series; "same": ⌈steps / stride⌉ of them, with zeros around the series; "causal": as
        many, each ending where its step is, with zeros before the series.
    data_format : {"channels_last", "channels_first"} or None, default None
        Where the channels of inputs and outputs are; None is "channels_last", which costs no copies.
    dilation_rate : int, default 1
        Steps from one place of a window to the next.
    groups : int, default 1
        Into how many groups the channels are cut; those of a group are seen by as many of the filters.
    activation : str, Activation or None, default None
        f; None is the identity.
    use_bias : bool, default True
        Whether there is a b.
    kernel_initializer : str or Initializer, default "glorot_uniform"
    bias_initializer : str or Initializer, default "zeros"
    kernel_regularizer, bias_regularizer, activity_regularizer : str, Regularizer or None, default None
    kernel_constraint, bias_constraint : str, Constraint or None, default None
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        An argument is outside its range; inputs have other axes, are shorter than a window, or have a number of
        channels that `groups` does not divide.

    Notes
    -----
    Windows of 3 or 5 places across that lie one place apart, of 8 channels and filters or more, are mostly computed
    by Winograd's minimal filtering, which takes 0.5 to 0.75 of the multiplications of direct sums: not with `groups`,
    nor for fewer than 32 windows in a sample, nor where `matmul_precision` has a faster way. It makes up to 4 windows
    side by side of the 6 places in a row that these read together. So rounding errors, up to twice those of direct
    sums, go by the largest of these numbers, also in a window that does not read that one; and an inf or nan reaches
    up to 3 windows beside its own, too.

    References
    ----------
    Y. LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proceedings of the IEEE 86 (1998).
    A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308 (2015).
    """

    rank = 1
    paddings = ("valid", "same", "causal")


@LAYERS.register()
class Conv2D(Convolution):
    """A convolution of images: Y[h, w] = f(b + Σ_ij X[h s + i d − p, w s + j d − q] W[i, j]).

    Each window of `kernel_size` places is seen by the same `filters` neurons; s is the stride, d the dilation, p and q
    how many zeros are put above and left of the image.

    Shapes: X (B, height, width, C), W (size, size, C / groups, filters), b (filters,), Y (B, rows, columns, filters).

    Parameters
    ----------
    filters : int
        Number of neurons, which are the channels of Y.
    kernel_size : int or tuple of int
        Height and width of a window.
    strides : int or tuple of int, default 1
        Places from one window to the next.
    padding : {"valid", "same"}, default "valid"
        "valid": windows inside the image; "same": ⌈length / stride⌉ along each axis, with zeros around the image.
    data_format : {"channels_last", "channels_first"} or None, default None
        Where the channels of inputs and outputs are; None is "channels_last", which costs no copies.
    dilation_rate : int or tuple of int, default 1
        Places from one place of a window to the next.
    groups : int, default 1
        Into how many groups the channels are cut; those of a group are seen by as many of the filters.
    activation : str, Activation or None, default None
        f; None is the identity.
    use_bias : bool, default True
        Whether there is a b.
    kernel_initializer : str or Initializer, default "glorot_uniform"
    bias_initializer : str or Initializer, default "zeros"
    kernel_regularizer, bias_regularizer, activity_regularizer : str, Regularizer or None, default None
    kernel_constraint, bias_constraint : str, Constraint or None, default None
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        An argument is outside its range; inputs have other axes, are smaller than a window, or have a number of
        channels that `groups` does not divide.

    Notes
    -----
    How it is computed: see `Conv1D`.

    References
    ----------
    Y. LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proceedings of the IEEE 86 (1998).
    """

    rank = 2

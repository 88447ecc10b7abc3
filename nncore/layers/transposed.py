"""Transposed convolutions: what a convolution sees in windows, given back to their places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore.graph import Shape
from nncore.layers.base import LAYERS
from nncore.layers.convolution import Convolution
from nncore.layers.windows import Axis, check_sizes, to_channels_last, transposed_axis
from nncore.operations.convolution import convolve_transposed

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class TransposedConvolution(Convolution):
    """What `Conv1DTranspose` and `Conv2DTranspose` have in common."""

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
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
        super().__init__(
            filters, kernel_size, strides, padding, data_format, dilation_rate, 1, activation, use_bias,
            kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer,
            kernel_constraint, bias_constraint, name, trainable,
        )  # fmt: skip
        self.output_padding = None
        if output_padding is not None:
            self.output_padding = check_sizes(output_padding, "output_padding", self.rank, 0)
            if any(more >= stride for more, stride in zip(self.output_padding, self.strides, strict=True)):
                raise ValueError(
                    f"output_padding: expected less than the strides, {self.strides}, got {self.output_padding}"
                )

    def axes(self, shape: Shape) -> list[Axis]:
        """How windows lie in the output, of which samples of this shape, channels last, are what each has seen."""
        more = self.output_padding or (None,) * self.rank
        settings = zip(shape, self.kernel_size, self.strides, self.dilation_rate, more, strict=False)
        return [transposed_axis(*numbers, self.padding) for numbers in settings]

    def output_shape(self, *shapes: Shape) -> Shape:
        """(…, C) → (…, filters), or what the activation makes of that."""
        places = tuple(a.length for a in self.axes(self.channels_behind(shapes[0])))
        return self.shape_of(places, self.filters)

    def declare(self, *shapes: Shape) -> None:
        """Declare W (…, filters, C) and b (filters,)."""
        channels = self.channels_behind(shapes[0])[-1]
        self.declare_weights((*self.kernel_size, self.filters, channels), self.filters)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = f(b + the sum of what each place of X gives to its window)."""
        x = to_channels_last(b, inputs[0], self.data_format)
        return self.finished(b, convolve_transposed(b, x, self.kernel, self.bias, self.axes(x.shape)))


@LAYERS.register()
class Conv1DTranspose(TransposedConvolution):
    """A transposed convolution of series: Y[t s + k d − p] += W[k] X[t], then f(b + Y).

    Its products are those of the backward pass of `Conv1D`: with strides it makes series longer.

    Shapes: X (B, steps, C), W (size, filters, C), b (filters,), Y (B, steps', filters); without `output_padding`
    steps' is steps · s, and with "valid" max(size − s, 0) more.

    Parameters
    ----------
    filters : int
        Channels of Y.
    kernel_size : int
        Steps of a window.
    strides : int, default 1
        Steps of Y from one window to the next, s.
    padding : {"valid", "same"}, default "valid"
        "same": the ends of Y that only part of the windows reach are left out.
    output_padding : int or None, default None
        Steps more at the end of Y, fewer than `strides`: steps' is (steps − 1) s + (size − 1) d + 1, less
        2 ⌊((size − 1) d + 1) / 2⌋ with "same", and these.
    data_format : {"channels_last", "channels_first"} or None, default None
        Where the channels of inputs and outputs are; None is "channels_last", which costs no copies.
    dilation_rate : int, default 1
        Steps from one place of a window to the next, d.
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
        An argument is outside its range, or inputs have other axes.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285 (2016).
    """

    rank = 1


@LAYERS.register()
class Conv2DTranspose(TransposedConvolution):
    """A transposed convolution of images: Y[h s + i d − p, w s + j d − q] += W[i, j] X[h, w], then f(b + Y).

    Its products are those of the backward pass of `Conv2D`: with strides it makes images larger.

    Shapes: X (B, height, width, C), W (size, size, filters, C), b (filters,), Y (B, height', width', filters); without
    `output_padding` height' is height · s, and with "valid" max(size − s, 0) more; width' likewise.

    Parameters
    ----------
    filters : int
        Channels of Y.
    kernel_size : int or tuple of int
        Height and width of a window.
    strides : int or tuple of int, default 1
        Places of Y from one window to the next, s.
    padding : {"valid", "same"}, default "valid"
        "same": the edges of Y that only part of the windows reach are left out.
    output_padding : int or tuple of int or None, default None
        Places more at the ends of Y, fewer than `strides`: height' is (height − 1) s + (size − 1) d + 1, less
        2 ⌊((size − 1) d + 1) / 2⌋ with "same", and these.
    data_format : {"channels_last", "channels_first"} or None, default None
        Where the channels of inputs and outputs are; None is "channels_last", which costs no copies.
    dilation_rate : int or tuple of int, default 1
        Places from one place of a window to the next, d.
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
        An argument is outside its range, or inputs have other axes.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285 (2016).
    """

    rank = 2

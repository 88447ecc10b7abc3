"""What layers with kernels that slide over images or series have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nncore import activations
from nncore._kernels.table import ACTIVATIONS
from nncore.graph import Shape
from nncore.layers import arrays, windows
from nncore.layers.base import Layer
from nncore.operations import activate

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class Windowed(Layer):
    """Base of convolutions: how their windows lie, where the channels are, and what ends them.

    Parameters
    ----------
    kernel_size, strides, padding, data_format, dilation_rate, activation
        As for `Conv2D`.
    name : str, optional
    trainable : bool, default True
    """

    rank: ClassVar[int]  # how many axes windows slide over
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")

    def __init__(
        self,
        kernel_size: Any,
        strides: Any,
        padding: str,
        data_format: str | None,
        dilation_rate: Any,
        activation: Any,
        name: str | None,
        trainable: bool,
    ) -> None:
        super().__init__(name, trainable)
        self.kernel_size = windows.check_sizes(kernel_size, "kernel_size", self.rank)
        self.strides = windows.check_sizes(strides, "strides", self.rank)
        self.padding = windows.check_choice(padding, "padding", self.paddings)
        self.data_format = windows.check_data_format(data_format)
        self.dilation_rate = windows.check_sizes(dilation_rate, "dilation_rate", self.rank)
        self.activation = activations.get(activation, "activation")

    def channels_behind(self, shape: Shape) -> Shape:
        """A sample's shape, given as `data_format` has it, with the channels behind; ValueError for other axes."""
        return windows.channels_last(shape, self.rank, self.data_format, type(self).__name__)

    def axes(self, shape: Shape) -> list[windows.Axis]:
        """How the windows lie in samples of this shape, which has its channels behind."""
        settings = self.kernel_size, self.strides, self.dilation_rate
        return windows.axes_of(shape, *settings, self.padding, arrays.label(self))

    def shape_of(self, places: tuple[int, ...], channels: int) -> Shape:
        """Of Y, as `data_format` has it, after the activation."""
        return self.activation.output_shape(windows.as_given((*places, channels), self.data_format))

    def finished(self, b: Builder, z: Tensor) -> Tensor:
        """Y = f(Z), for Z that has its channels behind, as `data_format` has it."""
        if self.activation.kernel in ACTIVATIONS:  # of single elements: joined to what makes Z
            return windows.from_channels_last(b, activate(b, z, self.activation), self.data_format)
        return activate(b, windows.from_channels_last(b, z, self.data_format), self.activation)

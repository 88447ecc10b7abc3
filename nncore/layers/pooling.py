"""Layers that see images and series through windows of a size: the largest of each, or the mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from nncore.graph import Shape
from nncore.layers.arrays import label
from nncore.layers.base import LAYERS, Layer
from nncore.layers.windows import (
    Axis,
    as_given,
    axes_of,
    channels_last,
    check_choice,
    check_data_format,
    check_sizes,
    from_channels_last,
    to_channels_last,
)
from nncore.operations.pooling import average_pool, max_pool

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor

    Pool = Callable[[Builder, Tensor, list[Axis]], Tensor]


class Pooling(Layer, ABC):
    """Base of the layers that pool: windows over the axes of an image or a series.

    Attributes
    ----------
    rank : int
        Axes that windows slide over: 1 or 2.
    pool : function
        What is emitted of X, with the channels behind, and the windows along each axis.
    data_format : str
        Where the channels are.
    """

    rank: ClassVar[int]
    pool: ClassVar[Pool]
    data_format: str

    @abstractmethod
    def axes(self, shape: Shape) -> list[Axis]:
        """The windows along the axes of a sample, which has the channels behind."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """A place for each window, with as many channels as X."""
        shape = channels_last(shapes[0], self.rank, self.data_format, type(self).__name__)
        return as_given((*(a.out for a in self.axes(shape)), shape[-1]), self.data_format)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The largest or the mean of each window."""
        x = to_channels_last(b, inputs[0], self.data_format)
        return from_channels_last(b, type(self).pool(b, x, self.axes(x.shape)), self.data_format)


class Sliding(Pooling):
    """Base of the layers whose windows have a size.

    Parameters
    ----------
    pool_size : int or tuple of int
        Places of a window along each axis, one number for all or one for each, ≥ 1.
    strides : int or tuple of int, optional
        Places from one window to the next, ≥ 1. Default: `pool_size`, so that windows lie side by side.
    padding : {"valid", "same"}, default "valid"
        "valid": windows lie inside; "same": ⌈length / stride⌉ of them, of which those at the borders may lie partly
        outside, as many places before as behind, or one more behind. What lies outside does not count.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        Where the channels are; with "channels_first" they are brought behind and back.
    name : str, optional
    """

    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.pool_size = check_sizes(pool_size, "pool_size", self.rank)
        self.strides = self.pool_size if strides is None else check_sizes(strides, "strides", self.rank)
        self.padding = check_choice(padding, "padding", ("valid", "same"))
        self.data_format = check_data_format(data_format)

    def axes(self, shape: Shape) -> list[Axis]:
        """See `Pooling`."""
        return axes_of(shape, self.pool_size, self.strides, (1,) * self.rank, self.padding, label(self))


@LAYERS.register()
class MaxPooling1D(Sliding):
    """Y: the largest of each window over the steps of a series, channel by channel; nan where it has one.

    Shapes: X (B, steps, channels), Y (B, ⌊(steps − pool_size) / strides⌋ + 1, channels), with padding "same"
    (B, ⌈steps / strides⌉, channels). The gradient of Y goes to the first place of a window that has the largest.

    Parameters
    ----------
    pool_size : int or tuple of int, default 2
        Places of a window, ≥ 1.
    strides : int or tuple of int, optional
        Places from one window to the next, ≥ 1. Default: `pool_size`.
    padding : {"valid", "same"}, default "valid"
        "valid": windows lie inside; "same": those at the ends may lie partly outside, where nothing counts.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, steps).
    name : str, optional

    Raises
    ------
    ValueError
        A size or a stride is no whole number ≥ 1, `padding` or `data_format` is none of these; X has other axes, or
        with "valid" fewer steps than a window.
    """

    rank, pool = 1, max_pool

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name)


@LAYERS.register()
class MaxPooling2D(Sliding):
    """Y: the largest of each window over an image, channel by channel; nan where it has one.

    Shapes: X (B, height, width, channels), Y (B, ⌊(height − pool_size) / strides⌋ + 1, likewise of the width,
    channels), with padding "same" (B, ⌈height / strides⌉, ⌈width / strides⌉, channels). The gradient of Y goes to the
    first place of a window, row by row, that has the largest.

    Parameters
    ----------
    pool_size : int or tuple of two int, default (2, 2)
        Rows and columns of a window, ≥ 1.
    strides : int or tuple of two int, optional
        Rows and columns from one window to the next, ≥ 1. Default: `pool_size`.
    padding : {"valid", "same"}, default "valid"
        "valid": windows lie inside; "same": those at the borders may lie partly outside, where nothing counts.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, height, width).
    name : str, optional

    Raises
    ------
    ValueError
        A size or a stride is no whole number ≥ 1, `padding` or `data_format` is none of these; X has other axes, or
        with "valid" fewer rows or columns than a window.
    """

    rank, pool = 2, max_pool

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name)


@LAYERS.register()
class AveragePooling1D(Sliding):
    """Y: the mean of each window over the steps of a series, channel by channel, of the places that it has inside.

    Shapes: as of `MaxPooling1D`.

    Parameters
    ----------
    pool_size : int or tuple of int
        Places of a window, ≥ 1.
    strides : int or tuple of int, optional
        Places from one window to the next, ≥ 1. Default: `pool_size`.
    padding : {"valid", "same"}, default "valid"
        "valid": windows lie inside; "same": those at the ends may lie partly outside, where nothing counts. PyTorch
        counts zeros there unless it is told ``count_include_pad=False``.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, steps).
    name : str, optional

    Raises
    ------
    ValueError
        As of `MaxPooling1D`.
    """

    rank, pool = 1, average_pool


@LAYERS.register()
class AveragePooling2D(Sliding):
    """Y: the mean of each window over an image, channel by channel, of the places that it has inside.

    Shapes: as of `MaxPooling2D`.

    Parameters
    ----------
    pool_size : int or tuple of two int
        Rows and columns of a window, ≥ 1.
    strides : int or tuple of two int, optional
        Rows and columns from one window to the next, ≥ 1. Default: `pool_size`.
    padding : {"valid", "same"}, default "valid"
        "valid": windows lie inside; "same": those at the borders may lie partly outside, where nothing counts. PyTorch
        counts zeros there unless it is told ``count_include_pad=False``.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, height, width).
    name : str, optional

    Raises
    ------
    ValueError
        As of `MaxPooling2D`.
    """

    rank, pool = 2, average_pool

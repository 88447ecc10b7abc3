"""Layers that pool whole images and series, into one place or as many as wanted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore.arguments import check_flag
from nncore.graph import Shape
from nncore.layers.base import LAYERS
from nncore.layers.pooling import Pooling
from nncore.layers.windows import Axis, check_data_format, check_sizes, to_channels_last
from nncore.operations import reshape
from nncore.operations.masks import mean_where
from nncore.operations.pooling import average_pool, max_pool

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class GlobalPooling(Pooling):
    """Base of the layers whose only window is the whole image or series.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        Where the channels are.
    keepdims : bool, default False
        Whether Y has axes of length 1 in place of those that are pooled.
    name : str, optional
    """

    def __init__(self, data_format: str | None = None, keepdims: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.data_format = check_data_format(data_format)
        self.keepdims = check_flag(keepdims, "keepdims")

    def axes(self, shape: Shape) -> list[Axis]:
        """See `Pooling`."""
        return [Axis(n, n, n, out=1) for n in shape[:-1]]

    def output_shape(self, *shapes: Shape) -> Shape:
        """The channels, alone or beside axes of length 1."""
        shape = super().output_shape(*shapes)
        return shape if self.keepdims else (math.prod(shape),)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: what was masked is pooled."""

    def emit_mask(self, b: Builder, *inputs: Tensor) -> None:
        """None, likewise."""

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The largest or the mean of each channel."""
        y = super().emit(b, *inputs)
        return y if self.keepdims else reshape(b, y, (y.size,))


@LAYERS.register()
class GlobalMaxPooling1D(GlobalPooling):
    """Y: the largest of all steps of a series, channel by channel; nan where it has one.

    Shapes: X (B, steps, channels), Y (B, channels), with `keepdims` (B, 1, channels). The gradient goes to the first
    step that has the largest.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, steps), with `keepdims` Y (B, channels, 1).
    keepdims : bool, default False
    name : str, optional

    Raises
    ------
    ValueError
        `data_format` is none of these, or X has other axes.
    TypeError
        `keepdims` is no bool.
    """

    rank, pool = 1, max_pool


@LAYERS.register()
class GlobalMaxPooling2D(GlobalPooling):
    """Y: the largest of an image, channel by channel; nan where it has one.

    Shapes: X (B, height, width, channels), Y (B, channels), with `keepdims` (B, 1, 1, channels). The gradient goes to
    the first place, row by row, that has the largest.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, height, width), with `keepdims` Y (B, channels, 1, 1).
    keepdims : bool, default False
    name : str, optional

    Raises
    ------
    ValueError
        `data_format` is none of these, or X has other axes.
    TypeError
        `keepdims` is no bool.
    """

    rank, pool = 2, max_pool


@LAYERS.register()
class GlobalAveragePooling1D(GlobalPooling):
    """Y: the mean over all steps of a series, channel by channel; over those that a mask lets count, 0 where none does.

    Shapes: X (B, steps, channels), Y (B, channels), with `keepdims` (B, 1, channels).

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, steps), with `keepdims` Y (B, channels, 1).
    keepdims : bool, default False
    name : str, optional

    Raises
    ------
    ValueError
        `data_format` is none of these, or X has other axes.
    TypeError
        `keepdims` is no bool.
    """

    rank, pool = 1, average_pool
    supports_masking = True

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The mean of each channel."""
        [x] = inputs
        if x.mask is None:
            return super().emit(b, x)
        mean = mean_where(b, to_channels_last(b, x, self.data_format), x.mask)
        return reshape(b, mean, self.output_shape(x.shape))


@LAYERS.register()
class GlobalAveragePooling2D(GlobalPooling):
    """Y: the mean over an image, channel by channel.

    Shapes: X (B, height, width, channels), Y (B, channels), with `keepdims` (B, 1, 1, channels).

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, height, width), with `keepdims` Y (B, channels, 1, 1).
    keepdims : bool, default False
    name : str, optional

    Raises
    ------
    ValueError
        `data_format` is none of these, or X has other axes.
    TypeError
        `keepdims` is no bool.
    """

    rank, pool = 2, average_pool


class AdaptivePooling(Pooling):
    """Base of the layers that have as many windows as they are told to, whatever the input's size.

    Parameters
    ----------
    output_size : int or tuple of int
        Windows along each axis, one number for all or one for each, ≥ 1.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        Where the channels are.
    name : str, optional
    """

    def __init__(self, output_size: Any, data_format: str | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.output_size = check_sizes(output_size, "output_size", self.rank)
        self.data_format = check_data_format(data_format)

    def axes(self, shape: Shape) -> list[Axis]:
        """See `Pooling`."""
        return [parts(n, out) for n, out in zip(shape[:-1], self.output_size, strict=True)]


def parts(length: int, out: int) -> Axis:
    """An axis in so many parts: windows of one size, where they can be, else such as a size of 0 stands for."""
    each = length // out if length % out == 0 else 0
    return Axis(length, each, each, out=out)


@LAYERS.register()
class AdaptiveMaxPooling1D(AdaptivePooling):
    """Y: the largest of each part of a series, in as many parts as wanted, whatever its length.

    Window o goes from step ⌊o steps / output_size⌋ to before ⌈(o + 1) steps / output_size⌉, so two may share a step.
    Shapes: X (B, steps, channels), Y (B, output_size, channels).

    Parameters
    ----------
    output_size : int or tuple of int
        How many windows, ≥ 1.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, steps).
    name : str, optional

    Raises
    ------
    ValueError
        `output_size` is no whole number ≥ 1, `data_format` is none of these, or X has other axes.
    """

    rank, pool = 1, max_pool


@LAYERS.register()
class AdaptiveMaxPooling2D(AdaptivePooling):
    """Y: the largest of each part of an image, in as many parts as wanted, whatever its size.

    Along each axis window o goes from place ⌊o length / output_size⌋ to before ⌈(o + 1) length / output_size⌉, so two
    may share places. Shapes: X (B, height, width, channels), Y (B, *output_size, channels).

    Parameters
    ----------
    output_size : int or tuple of two int
        How many windows along each axis, ≥ 1.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, height, width).
    name : str, optional

    Raises
    ------
    ValueError
        `output_size` is no whole number ≥ 1, `data_format` is none of these, or X has other axes.
    """

    rank, pool = 2, max_pool


@LAYERS.register()
class AdaptiveAveragePooling1D(AdaptivePooling):
    """Y: the mean of each part of a series, in as many parts as wanted, whatever its length.

    The windows are those of `AdaptiveMaxPooling1D`. Shapes: X (B, steps, channels), Y (B, output_size, channels).

    Parameters
    ----------
    output_size : int or tuple of int
        How many windows, ≥ 1.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, steps).
    name : str, optional

    Raises
    ------
    ValueError
        `output_size` is no whole number ≥ 1, `data_format` is none of these, or X has other axes.
    """

    rank, pool = 1, average_pool


@LAYERS.register()
class AdaptiveAveragePooling2D(AdaptivePooling):
    """Y: the mean of each part of an image, in as many parts as wanted, whatever its size.

    The windows are those of `AdaptiveMaxPooling2D`. Shapes: X (B, height, width, channels), Y (B, *output_size,
    channels).

    Parameters
    ----------
    output_size : int or tuple of two int
        How many windows along each axis, ≥ 1.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, height, width).
    name : str, optional

    Raises
    ------
    ValueError
        `output_size` is no whole number ≥ 1, `data_format` is none of these, or X has other axes.
    """

    rank, pool = 2, average_pool

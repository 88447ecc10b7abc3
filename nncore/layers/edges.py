"""Layers that make images and series larger or smaller: zeros around them, edges cut off, places repeated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from nncore.arguments import is_whole
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.layers.windows import (
    Axis,
    as_given,
    channels_last,
    check_choice,
    check_data_format,
    check_sizes,
    from_channels_last,
    to_channels_last,
)
from nncore.operations import take
from nncore.operations.arrangement import pad
from nncore.operations.pooling import enlarge, interpolate
from nncore.operations.resampling import SMOOTH, resample

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor

Margins = tuple[tuple[int, int], ...]  # places before and behind, along each axis


def check_margins(value: Any, argument: str, rank: int) -> Any:
    """Places at both ends of each axis, from what Keras takes; a ValueError for anything else.

    Of a series (before, behind), also from one number for both. Of an image ((top, bottom), (left, right)); a number in
    place of a pair stands for it twice, and one number for all.
    """

    def both(value: Any) -> tuple[int, int] | None:
        ends = (value, value) if is_whole(value) else value
        fits = isinstance(ends, (tuple, list)) and len(ends) == 2 and all(is_whole(n) and n >= 0 for n in ends)
        return (int(ends[0]), int(ends[1])) if fits else None

    whole = is_whole(value) or rank == 1
    given = [value] * rank if whole else list(value) if isinstance(value, (tuple, list)) else []
    found = [both(entry) for entry in given]
    if len(found) == rank and all(found):
        return tuple(found) if rank > 1 else found[0]
    pairs = "(before, behind)" if rank == 1 else "(rows, columns), or ((top, bottom), (left, right))"
    raise ValueError(f"{argument}: expected a whole number of at least 0, or {pairs} of such, got {value!r}")


class Edges(Layer, ABC):
    """Base of the layers that change the edges of images and series."""

    rank: ClassVar[int]
    data_format = "channels_last"

    @property
    @abstractmethod
    def margins(self) -> Margins:
        """How many places are added before and behind, or taken away, along each axis that is no channel."""

    def along(self, shape: Shape, sign: int) -> Shape:
        """The shape of a sample with the margins added, or taken away."""
        *lengths, n = channels_last(shape, self.rank, self.data_format, type(self).__name__)
        changed = (m + sign * sum(ends) for m, ends in zip(lengths, self.margins, strict=True))
        return as_given((*changed, n), self.data_format)

    def of_axes(self) -> Margins:
        """The margins of all axes of a sample."""
        none = ((0, 0),)
        return none + self.margins if self.data_format == "channels_first" else self.margins + none


class Padding(Edges):
    """Base of the layers that put zeros around."""

    padding: Any

    @property
    def margins(self) -> Margins:
        """See `Edges`."""
        return (self.padding,) if self.rank == 1 else self.padding

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of X with the margins."""
        return self.along(shapes[0], 1)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """X among zeros."""
        return pad(b, inputs[0], self.of_axes())


@LAYERS.register()
class ZeroPadding1D(Padding):
    """Y: a series X with zeros before and behind it. Shapes: X (B, steps, channels), Y (B, before + steps + behind, …).

    Parameters
    ----------
    padding : int or (before, behind), default 1
        How many steps of zeros, ≥ 0.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, steps).
    name : str, optional

    Raises
    ------
    ValueError
        `padding` or `data_format` is none of these, or X has other axes.
    """

    rank = 1

    def __init__(self, padding: Any = 1, data_format: str | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.padding = check_margins(padding, "padding", self.rank)
        self.data_format = check_data_format(data_format)


@LAYERS.register()
class ZeroPadding2D(Padding):
    """Y: an image X in a frame of zeros. Shapes: X (B, height, width, channels), Y (B, top + height + bottom, …).

    Parameters
    ----------
    padding : int, (rows, columns) or ((top, bottom), (left, right)), default (1, 1)
        How many rows and columns of zeros, ≥ 0; one number of an axis stands for both of its ends.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, height, width).
    name : str, optional

    Raises
    ------
    ValueError
        `padding` or `data_format` is none of these, or X has other axes.
    """

    rank = 2

    def __init__(self, padding: Any = (1, 1), data_format: str | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.padding = check_margins(padding, "padding", self.rank)
        self.data_format = check_data_format(data_format)


class Cropping(Edges):
    """Base of the layers that cut edges off."""

    cropping: Any
    phrase: ClassVar[str]  # of Keras, for a cropping that leaves nothing

    @property
    def margins(self) -> Margins:
        """See `Edges`."""
        return (self.cropping,) if self.rank == 1 else self.cropping

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of X without the margins."""
        shape = self.along(shapes[0], -1)
        if min(shape) < 1:
            raise ValueError(
                f"{type(self).__name__}: expected a cropping that leaves a place of each axis of inputs (batch, "
                f"{', '.join(map(str, shapes[0]))}), got {self.cropping} ({self.phrase})"
            )
        return shape

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The inner part of X."""
        x = inputs[0]
        ends = zip(x.shape, self.of_axes(), strict=True)
        return take(b, x, [slice(before, n - behind) for n, (before, behind) in ends])


@LAYERS.register()
class Cropping1D(Cropping):
    """Y: a series X without its first and last steps. Shapes: X (B, steps, channels), Y (B, steps − both, channels).

    Parameters
    ----------
    cropping : int or (before, behind), default (1, 1)
        How many steps are cut off, ≥ 0.
    name : str, optional

    Raises
    ------
    ValueError
        `cropping` is none of these, or leaves nothing; X has other axes.
    """

    rank = 1
    phrase = "`cropping` parameter of `Cropping1D` layer must be smaller than the input length"

    def __init__(self, cropping: Any = (1, 1), name: str | None = None) -> None:
        super().__init__(name)
        self.cropping = check_margins(cropping, "cropping", self.rank)


@LAYERS.register()
class Cropping2D(Cropping):
    """Y: an image X without its edges. Shapes: X (B, height, width, channels), Y (B, height − top − bottom, …).

    Parameters
    ----------
    cropping : int, (rows, columns) or ((top, bottom), (left, right)), default ((0, 0), (0, 0))
        How many rows and columns are cut off, ≥ 0; one number of an axis stands for both of its ends.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, height, width).
    name : str, optional

    Raises
    ------
    ValueError
        `cropping` or `data_format` is none of these, or the cropping leaves nothing; X has other axes.
    """

    rank = 2
    phrase = "Values in `cropping` argument should be smaller than the corresponding spatial dimension of the input."

    def __init__(
        self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, name: str | None = None
    ) -> None:
        super().__init__(name)
        self.cropping = check_margins(cropping, "cropping", self.rank)
        self.data_format = check_data_format(data_format)


class UpSampling(Layer, ABC):
    """Base of the layers that have more places than their inputs."""

    rank: ClassVar[int]
    data_format = "channels_last"
    interpolation = "nearest"

    @property
    @abstractmethod
    def factors(self) -> tuple[int, ...]:
        """How many times as long each axis becomes."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of X with longer axes."""
        *lengths, n = channels_last(shapes[0], self.rank, self.data_format, type(self).__name__)
        return as_given((*(m * k for m, k in zip(lengths, self.factors, strict=True)), n), self.data_format)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Each place of X several times, or what lies between."""
        y = to_channels_last(b, inputs[0], self.data_format)
        if self.interpolation == "nearest":
            each = zip(y.shape[:-1], self.factors, strict=True)
            y = enlarge(b, y, [Axis(n * factor, factor, factor, out=n) for n, factor in each])
        elif self.interpolation == "bilinear":
            y = interpolate(b, y, self.factors)
        else:
            (height, width, _), (down, right) = y.shape, self.factors
            y = resample(b, y, (down * height, right * width), self.interpolation)
        return from_channels_last(b, y, self.data_format)


@LAYERS.register()
class UpSampling1D(UpSampling):
    """Y: each step of a series `size` times. Shapes: X (B, steps, channels), Y (B, size steps, channels).

    Parameters
    ----------
    size : int, default 2
        How many times, ≥ 1.
    name : str, optional

    Raises
    ------
    ValueError
        `size` is no whole number ≥ 1, or X has other axes.
    """

    rank = 1

    def __init__(self, size: int = 2, name: str | None = None) -> None:
        super().__init__(name)
        [self.size] = check_sizes(size, "size", 1)

    @property
    def factors(self) -> tuple[int, ...]:
        """See `UpSampling`."""
        return (self.size,)


@LAYERS.register()
class UpSampling2D(UpSampling):
    """Y: an image with more rows and columns. Shapes: X (B, height, width, channels), Y (B, size[0] height, …).

    Parameters
    ----------
    size : int or tuple of two int, default (2, 2)
        How many times as many rows and columns, ≥ 1.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X (B, channels, height, width).
    interpolation : {"nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"}, default "nearest"
        "nearest": each place several times; "bilinear": linear between the middles of places along both axes, and as
        the outermost places beyond their middles (PyTorch's ``align_corners=False``); the others as of `Resizing`.
    name : str, optional

    Raises
    ------
    ValueError
        `size`, `data_format` or `interpolation` is none of these, or X has other axes.
    """

    rank = 2

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.size = check_sizes(size, "size", self.rank)
        self.data_format = check_data_format(data_format)
        self.interpolation = check_choice(interpolation, "interpolation", ("nearest", "bilinear", *SMOOTH))

    @property
    def factors(self) -> tuple[int, ...]:
        """See `UpSampling`."""
        return self.size

"""Images of other sizes: scaled, cut out of the middle, or anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncore.arguments import check_count, check_flag, check_number
from nncore.layers.base import LAYERS
from nncore.layers.images.base import RandomImageLayer, SteadyImageLayer
from nncore.layers.windows import check_choice, check_data_format
from nncore.operations import take
from nncore.operations.images import INTERPOLATIONS, Places, sample_images
from nncore.operations.random import Stream
from nncore.operations.resampling import SMOOTH, resample

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor

Size = tuple[int, int]


def resized(b: Builder, x: Tensor, size: Size, interpolation: str = "bilinear", antialias: bool = False) -> Tensor:
    """X scaled to a size: the center of pixel i is at (i + ½) old / new − ½; beyond the outermost pixels are these."""
    old = x.shape[0], x.shape[1]
    if old == size:
        return x
    if interpolation not in INTERPOLATIONS or (antialias and interpolation != "nearest"):
        return resample(b, x, size, interpolation, antialias)
    zoom = (float(old[0]),) * 2, (float(old[1]),) * 2
    return sample_images(b, x, Places(size, zoom=zoom, over=size), None, interpolation, "nearest")


def cut_out(b: Builder, x: Tensor, size: Size) -> Tensor:
    """The middle of X, of a size that it has; of two middles the one that is nearer to the first pixel."""
    return take(
        b, x, [*(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(x.shape, size, strict=False)), slice(None)]
    )


def largest(of: Size, ratio: Size) -> Size:
    """Rows and columns of the largest part of an image of this size that has the sides' ratio of another."""
    height, width = min(of[0], of[1] * ratio[0] // ratio[1]), min(of[1], of[0] * ratio[1] // ratio[0])
    return max(height, 1), max(width, 1)


def fitted(b: Builder, x: Tensor, size: Size, interpolation: str = "bilinear", antialias: bool = False) -> Tensor:
    """X scaled to a size without distortion, after what is too much was cut off at both sides."""
    return resized(b, cut_out(b, x, largest((x.shape[0], x.shape[1]), size)), size, interpolation, antialias)


def padded(b: Builder, x: Tensor, ratio: Size, value: float) -> Tensor:
    """X with margins of a value at two sides, so that its sides have the ratio of a size."""
    old = x.shape[0], x.shape[1]
    wanted = max(old[0], old[1] * ratio[0] // ratio[1]), max(old[1], old[0] * ratio[1] // ratio[0])
    down, right = (wanted[0] - old[0]) // 2, (wanted[1] - old[1]) // 2
    if not (down or right):
        return x
    shift = (float(down),) * 2, (float(right),) * 2
    places = Places((old[0] + 2 * down, old[1] + 2 * right), shift=shift, center=(0.0, 0.0), start=(0.0, 0.0))
    return sample_images(b, x, places, None, "nearest", "constant", value)


@LAYERS.register()
class Resizing(SteadyImageLayer):
    """Scale images to a size.

    Pixels are squares: the center of pixel i of the output, of n, lies at (i + ½) m / n − ½ of m pixels of the input.
    Its value is that of the nearest pixel, or of the two (four, with both axes) around it, by distance; or a weighted
    mean of four, six or ten along each axis, as far as the image has them. Results are reals, also of images of whole
    numbers. "bicubic", "lanczos3", "lanczos5" and `antialias` cost two products, with matrices (h, height) and (w,
    width), and copies.

    Shapes: X (B, h, w, channels), Y (B, height, width, channels).

    Parameters
    ----------
    height, width : int
        Of the output.
    interpolation : {"bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"}, default "bilinear"
        "bicubic" is Keys's, with a = −½, as in TensorFlow and JAX; PyTorch has −¾ without `antialias`.
    crop_to_aspect_ratio : bool, default False
        Cut off at both sides what would be too much at the ratio of `height` to `width`, instead of distorting it.
    pad_to_aspect_ratio : bool, default False
        Add margins of `fill_value` at both sides instead.
    fill_mode : {"constant"}, default "constant"
    fill_value : float, default 0.0
    antialias : bool, default False
        Along an axis that becomes shorter, take sums of as many times more pixels, so that fine patterns are smoothed
        instead of becoming coarse ones. Nothing to "nearest".
    data_format : {"channels_last", "channels_first"}, optional
    name : str, optional

    Raises
    ------
    ValueError
        A size is no whole number ≥ 1, both ways to keep the ratio are asked for, an interpolation is not known,
        or X has another number of axes.
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.height, self.width = check_count(height, "height"), check_count(width, "width")
        self.antialias = check_flag(antialias, "antialias")
        self.interpolation = check_choice(interpolation, "interpolation", (*INTERPOLATIONS, *SMOOTH))
        self.crop_to_aspect_ratio = check_flag(crop_to_aspect_ratio, "crop_to_aspect_ratio")
        self.pad_to_aspect_ratio = check_flag(pad_to_aspect_ratio, "pad_to_aspect_ratio")
        self.fill_mode = check_choice(fill_mode, "fill_mode", ("constant",))
        self.fill_value = check_number(fill_value, "fill_value", "a finite number", lambda v: abs(v) < float("inf"))
        self.data_format = check_data_format(data_format)
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            raise ValueError("crop_to_aspect_ratio, pad_to_aspect_ratio: expected at most one of them, got both")

    def sizes(self, height: int, width: int) -> Size:
        """The layer's."""
        return self.height, self.width

    def changed(self, b: Builder, x: Tensor) -> Tensor:
        """The scaled images."""
        size = self.height, self.width
        if self.crop_to_aspect_ratio:
            return fitted(b, x, size, self.interpolation, self.antialias)
        if self.pad_to_aspect_ratio:
            x = padded(b, x, size, self.fill_value)
        return resized(b, x, size, self.interpolation, self.antialias)


@LAYERS.register()
class CenterCrop(SteadyImageLayer):
    """Cut the middle out of images; of images that are smaller, scale the largest part with the same ratio of sides.

    Shapes: X (B, h, w, channels), Y (B, height, width, channels). The first row is (h − height) // 2.

    Parameters
    ----------
    height, width : int
        Of the output.
    data_format : {"channels_last", "channels_first"}, optional
    name : str, optional

    Raises
    ------
    ValueError
        A size is no whole number ≥ 1, or X has another number of axes.
    """

    def __init__(self, height: int, width: int, data_format: str | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.height, self.width = check_count(height, "height"), check_count(width, "width")
        self.data_format = check_data_format(data_format)

    def sizes(self, height: int, width: int) -> Size:
        """The layer's."""
        return self.height, self.width

    def changed(self, b: Builder, x: Tensor) -> Tensor:
        """The middle."""
        size = self.height, self.width
        return cut_out(b, x, size) if covers(x, size) else fitted(b, x, size)


def covers(x: Tensor, size: Size) -> bool:
    """Whether images have at least a size."""
    return x.shape[0] >= size[0] and x.shape[1] >= size[1]


@LAYERS.register()
class RandomCrop(RandomImageLayer):
    """In training, cut a part out of images, at a place that is drawn for each batch; otherwise the middle, scaled.

    Otherwise, and of images that are smaller than the part, the largest part of the middle with its ratio of sides is
    scaled to its size.

    Shapes: X (B, h, w, channels), Y (B, height, width, channels).

    Parameters
    ----------
    height, width : int
        Of the output.
    seed : int, optional
        Of what is drawn; None: it follows from the model's.
    data_format : {"channels_last", "channels_first"}, optional
    name : str, optional

    Raises
    ------
    ValueError
        A size is no whole number ≥ 1, or X has another number of axes.

    Notes
    -----
    Keras's documentation says this; its version 3.15 leaves images whole outside of training, so that a model could
    not take them.
    """

    def __init__(
        self, height: int, width: int, seed: int | None = None, data_format: str | None = None, name: str | None = None
    ) -> None:
        super().__init__(seed, data_format, name)
        self.height, self.width = check_count(height, "height"), check_count(width, "width")

    def sizes(self, height: int, width: int) -> Size:
        """The layer's."""
        return self.height, self.width

    def left(self, b: Builder, x: Tensor) -> Tensor:
        """The largest part of the middle, scaled."""
        return self.channels_behind(b, x, lambda images: fitted(b, images, (self.height, self.width)))

    def disturbed(self, b: Builder, x: Tensor, stream: Stream) -> Tensor:
        """A part from anywhere."""
        size = self.height, self.width
        if not covers(x, size):
            return fitted(b, x, size)
        origin = 0.0, 0.0
        shift = (0.0, -float(x.shape[0] - size[0] + 1)), (0.0, -float(x.shape[1] - size[1] + 1))
        places = Places(size, shift=shift, center=origin, start=origin, joined=True)
        return sample_images(b, x, places, stream, "nearest")

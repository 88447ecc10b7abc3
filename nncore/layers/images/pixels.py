"""Images whose pixels are changed at random: contrast, brightness, rectangles that are erased."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore.arguments import is_number
from nncore.graph import Shape
from nncore.layers.base import LAYERS
from nncore.layers.images.base import RandomImageLayer, around, check_factor, check_range, up_to
from nncore.layers.windows import channels_last
from nncore.operations.images import adjust_images, erase_images
from nncore.operations.random import Stream

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


@LAYERS.register()
class RandomContrast(RandomImageLayer):
    """In training, multiply what each pixel differs by from its channel's mean by a number that is drawn for the image.

    Y = clip((X − mean) f + mean, value_range), with the mean of the image's channel. Shapes: X and Y (B, height, width,
    channels).

    Parameters
    ----------
    factor : float or tuple of float
        (lower, upper), each in [0, 1]: f is from 1 − lower to 1 + upper; one number is both.
    value_range : tuple of float, default (0, 255)
        The least and the greatest value of a pixel: (0, 1) behind ``Rescaling(1 / 255)``.
    seed : int, optional
        Of what is drawn; None: it follows from the model's.
    data_format : {"channels_last", "channels_first"}, optional
    name : str, optional

    Raises
    ------
    ValueError
        An argument is not one of these, or X has another number of axes.

    Notes
    -----
    This is what Keras's documentation says; its version 3.15 takes one number as (0, factor).
    """

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(seed, data_format, name)
        self.factor = check_factor(factor, "factor", 0, 1)
        self.value_range = check_range(value_range, "value_range")

    def disturbed(self, b: Builder, x: Tensor, stream: Stream) -> Tensor:
        """(X − mean) f + mean."""
        lower, upper = self.factor if isinstance(self.factor, tuple) else (self.factor, self.factor)
        return adjust_images(b, x, (1 - lower, 1 + upper), (0, 0), self.value_range, stream)


@LAYERS.register()
class RandomBrightness(RandomImageLayer):
    """In training, add a number to all pixels of an image that is drawn for it.

    Y = clip(X + f (high − low), value_range). Shapes: X and Y (B, height, width, channels).

    Parameters
    ----------
    factor : float or tuple of float
        A number in [−1, 1]: f is from −|factor| to |factor|; two: from the lower to the upper one.
    value_range : tuple of float, default (0, 255)
        (low, high), the least and the greatest value of a pixel: (0, 1) behind ``Rescaling(1 / 255)``.
    seed : int, optional
        Of what is drawn; None: it follows from the model's.
    data_format : {"channels_last", "channels_first"}, optional
    name : str, optional

    Raises
    ------
    ValueError
        An argument is not one of these, or X has another number of axes.
    """

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(seed, data_format, name)
        self.factor = check_factor(factor, "factor", -1, 1)
        self.value_range = check_range(value_range, "value_range")

    def disturbed(self, b: Builder, x: Tensor, stream: Stream) -> Tensor:
        """X + f (high − low)."""
        low, high = around(self.factor)
        span = self.value_range[1] - self.value_range[0]
        return adjust_images(b, x, (1, 1), (low * span, high * span), self.value_range, stream)


@LAYERS.register()
class RandomErasing(RandomImageLayer):
    """In training, erase a rectangle of an image, or none.

    Its sides are the square roots of two numbers, drawn from `scale`, times the image's; it lies anywhere within the
    image. Shapes: X and Y (B, height, width, channels).

    Parameters
    ----------
    factor : float or tuple of float, default 1.0
        In [0, 1], the probability that there is one. One number f: drawn for each image from 0 to f, so that 1.0 erases
        in half of the images; two: from the lower to the upper one, so that (1, 1) always erases.
    scale : float or tuple of float, default (0.02, 0.33)
        In [0, 1]: from the lower to the upper one; one number: from 0 to that.
    fill_value : float or sequence of float, optional
        What is in the rectangle, one number or one for each channel; None: N times the upper end of the range, N
        standard normal, for each pixel and channel, half of which is below 0 and cut off at the lower end.
    value_range : tuple of float, default (0, 255)
        The least and the greatest value of a pixel, which what is filled in does not leave.
    seed : int, optional
        Of what is drawn; None: it follows from the model's.
    data_format : {"channels_last", "channels_first"}, optional
    name : str, optional

    Raises
    ------
    ValueError
        An argument is not one of these, or X has another number of axes or channels.

    References
    ----------
    Z. Zhong et al.: Random erasing data augmentation, AAAI 2020, arXiv:1708.04896.
    """

    parts = 2

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = (0.02, 0.33),
        fill_value: Any = None,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(seed, data_format, name)
        self.factor = check_factor(factor, "factor", 0, 1)
        self.scale = check_factor(scale, "scale", 0, 1)
        self.fill_value: float | tuple[float, ...] | None = check_values(fill_value)
        self.value_range = check_range(value_range, "value_range")

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs, whose channels have values to be filled with."""
        channels = channels_last(shapes[0], 2, self.data_format, type(self).__name__)[-1]
        if isinstance(self.fill_value, tuple) and len(self.fill_value) != channels:
            raise ValueError(
                f"fill_value: expected a number, or one for each of {channels} channels, got {self.fill_value!r}"
            )
        return super().output_shape(*shapes)

    def disturbed(self, b: Builder, x: Tensor, stream: Stream) -> Tensor:
        """X, perhaps with a rectangle."""
        filled, (low, high) = self.fill_value, self.value_range
        each = filled if isinstance(filled, tuple) else (filled,) * x.shape[-1]
        values = None if filled is None else [min(max(v, low), high) for v in each if v is not None]
        return erase_images(b, x, up_to(self.factor), up_to(self.scale), values, self.value_range, stream)


def check_values(value: Any) -> float | tuple[float, ...] | None:
    """What an erased rectangle is filled with, as floats."""
    if value is None:
        return None
    numbers = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not numbers or not all(is_number(n) and abs(n) < float("inf") for n in numbers):
        raise ValueError(f"fill_value: expected a finite number, or one for each channel, or None, got {value!r}")
    floats = tuple(map(float, numbers))
    return floats if isinstance(value, (list, tuple)) else floats[0]

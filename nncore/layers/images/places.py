"""Images whose content is moved at random: turned over, shifted, rotated, zoomed."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from nncore.arguments import check_number
from nncore.layers.base import LAYERS
from nncore.layers.images.base import Factor, RandomImageLayer, around, check_factor
from nncore.layers.windows import check_choice
from nncore.operations.images import FILL_MODES, INTERPOLATIONS, Interval, Places, sample_images
from nncore.operations.random import Stream

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor

MODES = "horizontal_and_vertical", "horizontal", "vertical"


@LAYERS.register()
class RandomFlip(RandomImageLayer):
    """In training, turn each image over with a probability of ½: left and right, top and bottom, or each of them.

    Shapes: X and Y (B, height, width, channels).

    Parameters
    ----------
    mode : {"horizontal_and_vertical", "horizontal", "vertical"}, default "horizontal_and_vertical"
        "horizontal" exchanges left and right. With both, one is drawn independently of the other.
    seed : int, optional
        Of what is drawn; None: it follows from the model's.
    data_format : {"channels_last", "channels_first"}, optional
    name : str, optional

    Raises
    ------
    ValueError
        The mode is not known, or X has another number of axes.

    Notes
    -----
    Keras 3.15 draws one number for both, so that images are rotated by a half turn or stay; before, it drew two.
    """

    def __init__(
        self, mode: str = MODES[0], seed: int | None = None, data_format: str | None = None, name: str | None = None
    ) -> None:
        super().__init__(seed, data_format, name)
        self.mode = check_choice(mode, "mode", MODES)

    def disturbed(self, b: Builder, x: Tensor, stream: Stream) -> Tensor:
        """Each image, or its mirror image."""
        flip = 0.5 * ("vertical" in self.mode), 0.5 * ("horizontal" in self.mode)
        return sample_images(b, x, Places((x.shape[0], x.shape[1]), flip=flip), stream, "nearest")


class Moving(RandomImageLayer):
    """Base of the layers that read pixels between those that there are, and beyond them.

    Parameters
    ----------
    fill_mode : {"constant", "nearest", "wrap", "reflect"}
        Beyond an image a b c d is, with "constant", `fill_value`: k k | a b c d | k k; with "nearest" a a | a b c d |
        d d; with "wrap" c d | a b c d | a b; with "reflect" b a | a b c d | d c.
    interpolation : {"bilinear", "nearest"}
    fill_value : float
    """

    def __init__(
        self,
        fill_mode: str,
        interpolation: str,
        seed: int | None,
        fill_value: float,
        data_format: str | None,
        name: str | None,
    ) -> None:
        super().__init__(seed, data_format, name)
        self.fill_mode = check_choice(fill_mode, "fill_mode", FILL_MODES)
        self.interpolation = check_choice(interpolation, "interpolation", INTERPOLATIONS)
        self.fill_value = check_number(fill_value, "fill_value", "a finite number", math.isfinite)

    def disturbed(self, b: Builder, x: Tensor, stream: Stream) -> Tensor:
        """Each image at places of its own."""
        places = self.places((x.shape[0], x.shape[1]))
        return sample_images(b, x, places, stream, self.interpolation, self.fill_mode, self.fill_value)

    @abstractmethod
    def places(self, size: tuple[int, int]) -> Places:
        """Where images of a size are read."""


@LAYERS.register()
class RandomTranslation(Moving):
    """In training, shift each image by parts of its height and width that are drawn for it.

    Shapes: X and Y (B, height, width, channels).

    Parameters
    ----------
    height_factor, width_factor : float or tuple of float
        A number f in [−1, 1]: parts from −|f| to |f|; two: from the lower to the upper one. Positive ones shift down,
        and to the right.
    fill_mode : {"reflect", "constant", "nearest", "wrap"}, default "reflect"
        What lies beyond an image a b c d: "reflect" b a | a b c d | d c, "constant" `fill_value`, "nearest" the pixel
        at the edge, "wrap" c d | a b c d | a b.
    interpolation : {"bilinear", "nearest"}, default "bilinear"
    seed : int, optional
        Of what is drawn; None: it follows from the model's.
    fill_value : float, default 0.0
    data_format : {"channels_last", "channels_first"}, optional
    name : str, optional

    Raises
    ------
    ValueError
        A factor, mode or interpolation is not one of these, or X has another number of axes.
    """

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, name)
        self.height_factor = check_factor(height_factor, "height_factor", -1, 1)
        self.width_factor = check_factor(width_factor, "width_factor", -1, 1)

    def places(self, size: tuple[int, int]) -> Places:
        """Shifts in pixels."""
        factors = self.height_factor, self.width_factor
        down, right = (scaled(around(factor), n) for factor, n in zip(factors, size, strict=True))
        return Places(size, shift=(down, right))


def scaled(interval: Interval, by: float) -> Interval:
    """Both ends times a number."""
    return interval[0] * by, interval[1] * by


@LAYERS.register()
class RandomRotation(Moving):
    """In training, rotate each image about its center by an angle that is drawn for it.

    Shapes: X and Y (B, height, width, channels).

    Parameters
    ----------
    factor : float or tuple of float
        Of a whole turn. A number f in [−1, 1]: from −|f| to |f|; two: from the lower to the upper one. Positive ones
        rotate counter-clockwise. 0.1 is up to 36 degrees, to either side.
    fill_mode : {"reflect", "constant", "nearest", "wrap"}, default "reflect"
        As of `RandomTranslation`.
    interpolation : {"bilinear", "nearest"}, default "bilinear"
    seed : int, optional
        Of what is drawn; None: it follows from the model's.
    fill_value : float, default 0.0
    data_format : {"channels_last", "channels_first"}, optional
    name : str, optional

    Raises
    ------
    ValueError
        The factor, mode or interpolation is not one of these, or X has another number of axes.
    """

    def __init__(
        self,
        factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, name)
        self.factor = check_factor(factor, "factor", -1, 1)

    def places(self, size: tuple[int, int]) -> Places:
        """Half turns."""
        return Places(size, turn=scaled(around(self.factor), 2))


@LAYERS.register()
class RandomZoom(Moving):
    """In training, zoom each image about its center by factors that are drawn for it.

    Shapes: X and Y (B, height, width, channels).

    Parameters
    ----------
    height_factor : float or tuple of float
        A number f in (−1, 1]: from −|f| to |f|; two: from the lower to the upper one. A factor z shows 1 + z times the
        height: positive ones zoom out, negative ones in.
    width_factor : float or tuple of float, optional
        Likewise; None: that of the height, so that nothing is distorted.
    fill_mode : {"reflect", "constant", "nearest", "wrap"}, default "reflect"
        As of `RandomTranslation`.
    interpolation : {"bilinear", "nearest"}, default "bilinear"
    seed : int, optional
        Of what is drawn; None: it follows from the model's.
    fill_value : float, default 0.0
    data_format : {"channels_last", "channels_first"}, optional
    name : str, optional

    Raises
    ------
    ValueError
        A factor, mode or interpolation is not one of these, or X has another number of axes.
    """

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, name)
        self.height_factor = check_factor(height_factor, "height_factor", -1, 1, open_below=True)
        self.width_factor: Factor | None = None
        if width_factor is not None:
            self.width_factor = check_factor(width_factor, "width_factor", -1, 1, open_below=True)

    def places(self, size: tuple[int, int]) -> Places:
        """What a pixel of the output is in the input."""
        down = around(self.height_factor, 1)
        right = down if self.width_factor is None else around(self.width_factor, 1)
        return Places(size, zoom=(down, right), linked=self.width_factor is None)

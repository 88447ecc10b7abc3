"""What layers for images have in common: their axes, single images, intervals that numbers are drawn from."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nncore import conversion, runtime
from nncore.arguments import is_number
from nncore.graph import Shape, Symbol
from nncore.layers.arrays import label
from nncore.layers.base import Layer
from nncore.layers.windows import as_given, channels_last, check_data_format, from_channels_last, to_channels_last
from nncore.operations.images import Interval
from nncore.operations.random import Stream

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor

#: One number, or the least and the greatest.
Factor = float | tuple[float, float]


class ImageLayer(Layer):
    """Base of the layers for images (B, height, width, channels), or with the channels first.

    What it is called on may also be one image, an array of three axes, or a dict with the key "images", whose other
    entry "labels" stays as it is.
    """

    data_format = "channels_last"

    def __call__(self, inputs: Any, training: Any = None, *, mask: Any = None) -> Any:
        """Connect the layer to the symbol it reads, or compute it on images: by default as in training, as Keras does.

        Parameters
        ----------
        inputs : Symbol, array_like or dict
            Images (B, height, width, channels), one image, or {"images": those, "labels": anything}.
        training : bool, default True
            Of arrays: whether what is random is done. None is the default.
        mask : None
            See `Layer`.

        Returns
        -------
        Symbol, ndarray or dict
            Like `inputs`.
        """
        if isinstance(inputs, Symbol) or (isinstance(inputs, (list, tuple)) and any_symbol(inputs)):
            return super().__call__(inputs, training, mask=mask)
        training = True if training is None else training
        if isinstance(inputs, Mapping):
            return self.on_labelled(inputs, training)
        images = conversion.as_array(inputs, f"{label(self)}: inputs")
        if images.ndim == 3:
            return super().__call__(images[None], training, mask=mask)[0]
        return super().__call__(images, training, mask=mask)

    def on_labelled(self, given: Mapping[Any, Any], training: Any) -> dict[Any, Any]:
        """The same of the images in a dict."""
        if not {"images"} <= given.keys() <= {"images", "labels"}:
            raise ValueError(
                f"{label(self)}: inputs: expected a dict with the keys 'images' and perhaps 'labels', got "
                f"{list(given)}. Boxes and masks are not moved; two layers of one seed move images and masks alike"
            )
        return {**given, "images": self(given["images"], training)}

    def sizes(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the output."""
        return height, width

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs, with the layer's height and width."""
        height, width, channels = channels_last(shapes[0], 2, self.data_format, type(self).__name__)
        return as_given((*self.sizes(height, width), channels), self.data_format)

    def channels_behind(self, b: Builder, x: Tensor, work: Callable[[Tensor], Tensor]) -> Tensor:
        """What `work` makes of images with the channels behind, in the layer's order of axes."""
        return from_channels_last(b, work(to_channels_last(b, x, self.data_format)), self.data_format)


class SteadyImageLayer(ImageLayer, ABC):
    """Base of the layers that do the same to every image, in training and otherwise."""

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """What the layer makes of images with the channels behind, in its own order of axes."""
        return self.channels_behind(b, inputs[0], lambda x: self.changed(b, x))

    @abstractmethod
    def changed(self, b: Builder, x: Tensor) -> Tensor:
        """What it makes of images (height, width, channels)."""


class RandomImageLayer(ImageLayer, ABC):
    """Base of the layers that do something random in training, and nothing otherwise.

    What they draw follows from the seed, the training step and the image's place in the batch. Layers with the same
    seed of their own draw the same numbers.
    """

    parts = 1  # streams of random numbers that it needs
    augments = True

    def __init__(self, seed: int | None, data_format: str | None, name: str | None) -> None:
        super().__init__(name)
        self.seed = None if seed is None else runtime.check_seed(seed, "seed")
        self.data_format = check_data_format(data_format)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """What the layer makes of images in training, and the images otherwise."""
        stream = Stream.of(b, self.seed, self.parts)
        if not b.training:
            return self.left(b, inputs[0])
        return self.channels_behind(b, inputs[0], lambda x: self.disturbed(b, x, stream))

    def left(self, b: Builder, x: Tensor) -> Tensor:
        """What it makes of them otherwise."""
        return x

    @abstractmethod
    def disturbed(self, b: Builder, x: Tensor, stream: Stream) -> Tensor:
        """What it makes of images (height, width, channels) in training."""


def any_symbol(given: Any) -> bool:
    """Whether there are symbols in a list."""
    return any(isinstance(part, Symbol) for part in given)


def check_factor(value: Any, argument: str, low: float, high: float, open_below: bool = False) -> Factor:
    """`value`, a number in [low, high] or two of them, as floats; an error where it is neither."""
    numbers = value if (pair := isinstance(value, (list, tuple))) else [value]
    if len(numbers) == 1 + pair and all(
        is_number(n) and (low < n <= high or (n == low and not open_below)) for n in numbers
    ):
        return (float(numbers[0]), float(numbers[1])) if pair else float(numbers[0])
    interval = f"{'(' if open_below else '['}{low:g}, {high:g}]"
    phrase = f"The `{argument}` argument should be a number (or a list of two numbers) in the range {interval}."
    raise ValueError(f"{argument}: expected a number in {interval} or two of them, got {value!r} ({phrase})")


def check_range(value: Any, argument: str) -> tuple[float, float]:
    """`value`, the least and the greatest value of a pixel, as floats, in order."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(is_number(n) and math.isfinite(n) for n in value):
        return float(min(value)), float(max(value))
    phrase = f"The `{argument}` argument should be a list of two numbers."
    raise ValueError(
        f"{argument}: expected two numbers, the least and the greatest value of a pixel, got {value!r} ({phrase})"
    )


def around(factor: Factor, middle: float = 0.0) -> Interval:
    """What numbers are drawn from: by one number f from middle − |f| to middle + |f|, by two between them."""
    low, high = sorted(factor) if isinstance(factor, tuple) else (-abs(factor), abs(factor))
    return middle + low, middle + high


def up_to(factor: Factor) -> Interval:
    """The same, where one number is the greatest, and 0 the least."""
    return around(factor) if isinstance(factor, tuple) else (0.0, factor)

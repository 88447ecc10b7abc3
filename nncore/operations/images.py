"""Images: at other places, in other colours, with parts erased or taken from one another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nncore.compiler.operation import Op, Tensor
from nncore.operations.data import real
from nncore.operations.random import Stream

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.graph import Shape

FILL_MODES = ("constant", "nearest", "wrap", "reflect")  # by the numbers of images.def
INTERPOLATIONS = ("nearest", "bilinear")

#: The least number that is drawn, and the greatest.
Interval = tuple[float, float]


@dataclass
class Places:
    """Where pixels of the output are read in the input; rows come before columns. See images.def.

    Attributes
    ----------
    size : tuple of int
        Rows and columns of the output.
    flip : tuple of float
        Probabilities.
    turn : tuple of float
        Half turns.
    zoom, shift : tuple of tuple of float
        Of rows, of columns; in pixels.
    over, center, start : tuple of float
        What zooms are divided by; c_X, by default the input's center; c_Y, by default the output's.
    """

    size: tuple[int, int]
    flip: tuple[float, float] = (0.0, 0.0)
    turn: Interval = (0.0, 0.0)
    zoom: tuple[Interval, Interval] = ((1.0, 1.0), (1.0, 1.0))
    shift: tuple[Interval, Interval] = ((0.0, 0.0), (0.0, 0.0))
    over: tuple[float, float] = (1.0, 1.0)
    center: tuple[float, float] | None = None
    start: tuple[float, float] | None = None
    linked: bool = False
    joined: bool = False


def middle(size: tuple[int, int]) -> tuple[float, float]:
    """The center of an image of so many rows and columns."""
    return (size[0] - 1) / 2, (size[1] - 1) / 2


def sample_images(
    b: Builder,
    x: Tensor,
    places: Places,
    stream: Stream | None,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0.0,
) -> Tensor:
    """Y, what X is at these places; backward: dX, each dY added up where it was read."""
    x = real(b, x)
    height, width, channels = x.shape
    y = Tensor((*places.size, channels), x.differentiable)
    settings: dict[str, Any] = {"height": height, "width": width, "channels": channels}
    settings |= {"to_height": places.size[0], "to_width": places.size[1]}
    settings |= {"flip": places.flip, "turn": places.turn, "over": places.over}
    settings |= {"zoom": (*places.zoom[0], *places.zoom[1]), "shift": (*places.shift[0], *places.shift[1])}
    settings["center"] = (*(places.center or middle((height, width))), *(places.start or middle(places.size)))
    settings |= {"linked": int(places.linked), "joined": int(places.joined)}
    settings |= {"bilinear": INTERPOLATIONS.index(interpolation), "fill_mode": FILL_MODES.index(fill_mode)}
    settings |= {"fill_value": fill_value} | of_stream(stream)
    settings["cost"] = 10 * math.prod(y.shape) + 20 * math.prod(places.size)
    b.record(
        y,
        Op("sample_images", X=x, Y=y, **settings),
        lambda to, dy: to.send(x, lambda dx: Op("sample_images", X=dy, Y=dx, backward=1, **settings)),
    )
    return y


def of_stream(stream: Stream | None) -> dict[str, int]:
    """The attributes of an operation that draws from a stream; None: it draws nothing."""
    return Stream(-1, -1)._asdict() if stream is None else stream._asdict()


def adjust_images(
    b: Builder, x: Tensor, contrast: Interval, brightness: Interval, value_range: Interval, stream: Stream
) -> Tensor:
    """Y = clip(f (X − mean) + mean + δ), by channels; backward: dX = f m + (1 − f) mean(m), m dY where none is cut."""
    x = real(b, x)
    y = Tensor(x.shape, x.differentiable)
    settings: dict[str, Any] = {"pixels": math.prod(x.shape[:-1]), "channels": x.shape[-1], "cost": 8 * x.size}
    settings |= {"factors": (*contrast, *brightness), "range": value_range} | of_stream(stream)
    b.record(
        y,
        Op("adjust_images", X=x, Y=y, **settings),
        lambda to, dy: to.send(x, lambda dx: Op("adjust_images_backward", X=x, dY=dy, dX=dx, **settings)),
    )
    return y


def erase_images(
    b: Builder,
    x: Tensor,
    probability: Interval,
    area: Interval,
    values: list[float] | None,
    value_range: Interval,
    stream: Stream,
) -> Tensor:
    """Y, X with a rectangle of `values` in its channels, None: of noise; backward: dX = dY, 0 there."""
    x = real(b, x)
    y = Tensor(x.shape, x.differentiable)
    height, width, channels = x.shape
    settings: dict[str, Any] = {"height": height, "width": width, "channels": channels, "cost": 2 * x.size}
    settings |= {"factors": (*probability, *area), "range": value_range} | of_stream(stream)
    b.record(
        y,
        Op("erase_images", X=x, values=None if values is None else b.constant(values), Y=y, **settings),
        lambda to, dy: to.send(x, lambda dx: Op("erase_images", X=dy, Y=dx, backward=1, **settings)),
    )
    return y


def mix_samples(b: Builder, x: Tensor, alphas: Interval, image: Shape, stream: Stream) -> Tensor:
    """Y, each sample of X mixed with another one of the batch: all over, or a rectangle of an `image`.

    `image`: (height, width, channels); without channels, X is mixed all over by as much as a rectangle of that has.
    """
    x = real(b, x)
    y = Tensor(x.shape, x.differentiable)
    height, width, channels = image
    settings: dict[str, Any] = {"n": x.size, "height": height, "width": width, "channels": channels}
    settings |= {"alphas": alphas, "cost": 3 * x.size} | of_stream(stream)
    b.record(
        y,
        Op("mix_samples", X=x, Y=y, **settings),
        lambda to, dy: to.send(x, lambda dx: Op("mix_samples", X=dy, Y=dx, backward=1, **settings)),
    )
    return y

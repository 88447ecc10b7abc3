"""Layers that disturb their inputs in training, and leave them alone otherwise.

What they draw is a function of the model's seed, the layer, the training step and the element's position in the batch,
so it depends on no thread count; it is drawn again, rather than saved, for the backward pass. A layer with a `seed` of
its own has that in place of the model's and of its number: layers with the same seed draw the same numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from nncore import runtime
from nncore.arguments import check_number, is_whole
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.layers.windows import channels_last, check_data_format, from_channels_last, to_channels_last
from nncore.operations import dropout, reshape, transpose
from nncore.operations.random import alpha_dropout, column_dropout, gaussian_dropout, gaussian_noise
from nncore.schedules import Scheduled, scheduled

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


#: What Keras says of a rate.
RATE = "Invalid value received for argument `rate`. Expected a float value between 0 and 1."


def own_seed(seed: Any) -> int | None:
    """The seed of a layer; None: that of its model."""
    return None if seed is None else runtime.check_seed(seed, "seed")


def check_noise_shape(value: Any) -> tuple[int | None, ...] | None:
    """Sizes of a mask, the batch first, each a whole number ≥ 1 or None; a ValueError where it is none."""
    if value is None:
        return None
    sizes = value if (several := isinstance(value, (tuple, list))) else ()
    known = [n for n in sizes if n is not None]
    if not several or not all(is_whole(n) and n >= 1 for n in known):
        whole = "all dimensions to be positive integers" if all(map(is_whole, known)) else "all elements to be integers"
        wanted = f"{whole} or None" if several else "a tuple or list of integers"
        phrase = f"Invalid value received for argument `noise_shape`. Expected {wanted}."
        raise ValueError(
            f"noise_shape: expected a tuple of positive whole numbers or None, such as (None, 1, None), got {value!r} "
            f"({phrase})"
        )
    return tuple(None if n is None else int(n) for n in value)


def shared_axes(noise_shape: tuple[int | None, ...] | None, shape: Shape, label: str) -> list[int]:
    """The axes of a sample along which a mask of `noise_shape` stays the same; ValueError where it does not fit."""
    if noise_shape is None:
        return []
    fits = len(noise_shape) == len(shape) + 1 and all(
        n in (None, 1, size) for n, size in zip(noise_shape[1:], shape, strict=True)
    )
    if not fits or noise_shape[0] == 1:
        raise ValueError(
            f"noise_shape of {label}: expected None or the size of each axis of inputs (batch, *{shape}), or 1 where "
            f"the mask is to stay the same along it, got {noise_shape}. Each sample of a batch has a mask of its own"
        )
    return [axis for axis, n in enumerate(noise_shape[1:]) if n == 1 and shape[axis] > 1]


class Dropping(Layer):
    """Base of the layers with a rate.

    Parameters
    ----------
    rate : float or LearningRateSchedule
        Fraction to drop, in [0, 1). A schedule gives it for each step, by the number of updates made before.
    seed : int, optional
        From 0 to 2⁶⁴ − 1: random numbers of its own. Default: those of the model.
    name : str, optional

    Raises
    ------
    ValueError
        `rate` is outside [0, 1); of a schedule, at the step at hand.
    TypeError
        `rate` is neither a number nor a schedule.
    """

    supports_masking = True

    def __init__(self, rate: Scheduled, seed: int | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.rate = scheduled("rate", rate, 1.0, ", the fraction to drop,", RATE)
        self.seed = own_seed(seed)

    @property
    def called(self) -> str:
        """What errors call the rate."""
        return f"rate of layer {self.name}"


class NoiseShaped(Dropping):
    """Base of those whose mask may have another shape than the inputs.

    Parameters
    ----------
    rate : float or LearningRateSchedule
        See `Dropping`.
    noise_shape : tuple, optional
        Of the mask, the batch first.
    seed : int, optional
    name : str, optional
    """

    def __init__(
        self, rate: Scheduled, noise_shape: Any = None, seed: int | None = None, name: str | None = None
    ) -> None:
        super().__init__(rate, seed, name)
        self.noise_shape = check_noise_shape(noise_shape)


@LAYERS.register()
class Dropout(NoiseShaped):
    """In training, set each input to 0 with probability `rate` and scale the others by 1 / (1 − rate).

    Parameters
    ----------
    rate : float or LearningRateSchedule
        Fraction to drop, in [0, 1). A schedule gives it for each step, by the number of updates made before.
    noise_shape : tuple, optional
        Of the mask, the batch first; None for the size of an axis, 1 where it stays the same along it: (None, 1, None)
        drops whole features of inputs (B, steps, features). Each sample of a batch has a mask of its own.
    seed : int, optional
        From 0 to 2⁶⁴ − 1: random numbers of its own. Default: those of the model.
    name : str, optional

    Raises
    ------
    ValueError
        `rate` is outside [0, 1); of a schedule, at the step at hand. Or `noise_shape` does not fit the inputs.
    TypeError
        `rate` is neither a number nor a schedule.

    References
    ----------
    N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15 (2014).
    """

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs."""
        shared_axes(self.noise_shape, shapes[0], self.name or type(self).__name__)
        return shapes[0]

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X ⊙ mask / (1 − rate) in training, X otherwise."""
        x = inputs[0]
        shared = shared_axes(self.noise_shape, x.shape, str(self.name))
        if not shared or not b.training:
            return dropout(b, x, self.rate, self.called, self.seed)
        order = shared + [axis for axis in range(len(x.shape)) if axis not in shared]
        moved = transpose(b, x, order)
        columns = math.prod(x.shape[axis] for axis in order[len(shared) :])
        rows = reshape(b, moved, (moved.size // columns, columns))
        y = reshape(b, column_dropout(b, rows, self.rate, self.called, self.seed), moved.shape)
        return transpose(b, y, [order.index(axis) for axis in range(len(order))])


class SpatialDropping(Dropping):
    """Base of the layers that drop whole features: one that is dropped is 0 at all places of its sample.

    Parameters
    ----------
    rate : float or LearningRateSchedule
        Fraction of the features to drop, in [0, 1).
    seed : int, optional
        From 0 to 2⁶⁴ − 1: random numbers of its own. Default: those of the model.
    name : str, optional
    """

    rank: ClassVar[int]
    data_format = "channels_last"

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs."""
        channels_last(shapes[0], self.rank, self.data_format, type(self).__name__)
        return shapes[0]

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X ⊙ a mask of each sample's features / (1 − rate) in training, X otherwise."""
        if not b.training:
            return column_dropout(b, inputs[0], self.rate, self.called, self.seed)
        x = to_channels_last(b, inputs[0], self.data_format)
        return from_channels_last(b, column_dropout(b, x, self.rate, self.called, self.seed), self.data_format)


@LAYERS.register()
class SpatialDropout1D(SpatialDropping):
    """`Dropout` of whole features: one that is dropped is 0 at all steps of its sample.

    Shapes: X and Y (B, steps, channels).

    Parameters
    ----------
    rate : float or LearningRateSchedule
        Fraction of the features to drop, in [0, 1).
    seed : int, optional
        From 0 to 2⁶⁴ − 1: random numbers of its own. Default: those of the model.
    name : str, optional

    Raises
    ------
    ValueError
        X has another number of axes, or `rate` is outside [0, 1).
    TypeError
        `rate` is neither a number nor a schedule.

    References
    ----------
    J. Tompson et al.: Efficient object localization using convolutional networks, CVPR 2015, arXiv:1411.4280.
    """

    rank = 1


@LAYERS.register()
class SpatialDropout2D(SpatialDropping):
    """`Dropout` of whole features: one that is dropped is 0 at all places of its image.

    Shapes: X and Y (B, height, width, channels).

    Parameters
    ----------
    rate : float or LearningRateSchedule
        Fraction of the features to drop, in [0, 1).
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        "channels_first": X and Y (B, channels, height, width).
    seed : int, optional
        From 0 to 2⁶⁴ − 1: random numbers of its own. Default: those of the model.
    name : str, optional

    Raises
    ------
    ValueError
        X has another number of axes, `rate` is outside [0, 1), or `data_format` is none of these.
    TypeError
        `rate` is neither a number nor a schedule.

    References
    ----------
    J. Tompson et al.: Efficient object localization using convolutional networks, CVPR 2015, arXiv:1411.4280.
    """

    rank = 2

    def __init__(
        self, rate: Scheduled, data_format: str | None = None, seed: int | None = None, name: str | None = None
    ) -> None:
        super().__init__(rate, seed, name)
        self.data_format = check_data_format(data_format)


@LAYERS.register()
class GaussianDropout(Dropping):
    """In training, multiply each input by 1 + √(rate / (1 − rate)) N, N standard normal.

    Mean and variance of what comes out are those of `Dropout`. N is of float32's accuracy, with |N| ≤ 5.5.

    Parameters
    ----------
    rate : float or LearningRateSchedule
        In [0, 1), as of `Dropout`.
    seed : int, optional
        From 0 to 2⁶⁴ − 1: random numbers of its own. Default: those of the model.
    name : str, optional

    Raises
    ------
    ValueError
        `rate` is outside [0, 1).
    TypeError
        `rate` is neither a number nor a schedule.

    References
    ----------
    N. Srivastava et al.: Dropout, JMLR 15 (2014), section 10.
    """

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X ⊙ (1 + √(rate / (1 − rate)) N) in training, X otherwise."""
        return gaussian_dropout(b, inputs[0], self.rate, self.called, self.seed)


@LAYERS.register()
class AlphaDropout(NoiseShaped):
    """In training, set each input to −λ α ≈ −1.758, the limit of SELU, with probability `rate`, then scale and shift.

    Y = a (X or −λ α) + b with a and b such that inputs of mean 0 and variance 1 keep these: the dropout of networks
    with the activation "selu".

    Parameters
    ----------
    rate : float or LearningRateSchedule
        Fraction to drop, in [0, 1).
    noise_shape : tuple, optional
        Only such a one as leaves each element its own: None for each axis, or their sizes.
    seed : int, optional
        From 0 to 2⁶⁴ − 1: random numbers of its own. Default: those of the model.
    name : str, optional

    Raises
    ------
    ValueError
        `rate` is outside [0, 1), or `noise_shape` has elements dropped together.
    TypeError
        `rate` is neither a number nor a schedule.

    References
    ----------
    G. Klambauer et al.: Self-normalizing neural networks, NeurIPS 2017, arXiv:1706.02515, section 2.
    """

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs."""
        label = self.name or type(self).__name__
        if shared_axes(self.noise_shape, shapes[0], label):
            raise ValueError(
                f"noise_shape of {label}: expected None, got {self.noise_shape}. Its native code drops each element "
                "for itself; Dropout and SpatialDropout1D drop several together"
            )
        return shapes[0]

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = a (X or −λ α) + b in training, X otherwise."""
        return alpha_dropout(b, inputs[0], self.rate, self.called, self.seed)


@LAYERS.register()
class GaussianNoise(Layer):
    """In training, add stddev N to each input, N standard normal.

    N is of float32's accuracy, with |N| ≤ 5.5.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise, ≥ 0, in the units of the inputs.
    seed : int, optional
        From 0 to 2⁶⁴ − 1: random numbers of its own. Default: those of the model.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        `stddev` is no number, or not finite, or negative.
    """

    supports_masking = True

    def __init__(self, stddev: float, seed: int | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.stddev = check_number(stddev, "stddev", "a finite number ≥ 0", lambda s: 0 <= s < math.inf)
        self.seed = own_seed(seed)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X + stddev N in training, X otherwise."""
        return gaussian_noise(b, inputs[0], self.stddev, self.seed)

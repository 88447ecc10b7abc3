"""Layers that disturb their inputs in training, and leave them alone otherwise.

What they draw is a function of the model's seed, the layer, the training step and the element's position in the batch,
so it depends on no thread count; it is drawn again, rather than saved, for the backward pass.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from nncore.arguments import check_number
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.layers.windows import channels_last, check_data_format, from_channels_last, to_channels_last
from nncore.operations import dropout
from nncore.operations.random import alpha_dropout, column_dropout, gaussian_dropout, gaussian_noise
from nncore.schedules import Scheduled, scheduled

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class Dropping(Layer):
    """Base of the layers with a rate.

    Parameters
    ----------
    rate : float or LearningRateSchedule
        Fraction to drop, in [0, 1). A schedule gives it for each step, by the number of updates made before.
    name : str, optional

    Raises
    ------
    ValueError
        `rate` is outside [0, 1); of a schedule, at the step at hand.
    TypeError
        `rate` is neither a number nor a schedule.
    """

    def __init__(self, rate: Scheduled, name: str | None = None) -> None:
        super().__init__(name)
        self.rate = scheduled("rate", rate, 1.0, ", the fraction to drop,")

    @property
    def called(self) -> str:
        """What errors call the rate."""
        return f"rate of layer {self.name}"


@LAYERS.register()
class Dropout(Dropping):
    """In training, set each input to 0 with probability `rate` and scale the others by 1 / (1 − rate).

    Parameters
    ----------
    rate : float or LearningRateSchedule
        Fraction to drop, in [0, 1). A schedule gives it for each step, by the number of updates made before.
    name : str, optional

    Raises
    ------
    ValueError
        `rate` is outside [0, 1); of a schedule, at the step at hand.
    TypeError
        `rate` is neither a number nor a schedule.

    References
    ----------
    N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15 (2014).
    """

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X ⊙ mask / (1 − rate) in training, X otherwise."""
        return dropout(b, inputs[0], self.rate, self.called)


class SpatialDropping(Dropping):
    """Base of the layers that drop whole features: one that is dropped is 0 at all places of its sample.

    Parameters
    ----------
    rate : float or LearningRateSchedule
        Fraction of the features to drop, in [0, 1).
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
            return column_dropout(b, inputs[0], self.rate, self.called)
        x = to_channels_last(b, inputs[0], self.data_format)
        return from_channels_last(b, column_dropout(b, x, self.rate, self.called), self.data_format)


@LAYERS.register()
class SpatialDropout1D(SpatialDropping):
    """`Dropout` of whole features: one that is dropped is 0 at all steps of its sample.

    Shapes: X and Y (B, steps, channels).

    Parameters
    ----------
    rate : float or LearningRateSchedule
        Fraction of the features to drop, in [0, 1).
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

    def __init__(self, rate: Scheduled, data_format: str | None = None, name: str | None = None) -> None:
        super().__init__(rate, name)
        self.data_format = check_data_format(data_format)


@LAYERS.register()
class GaussianDropout(Dropping):
    """In training, multiply each input by 1 + √(rate / (1 − rate)) N, N standard normal.

    Mean and variance of what comes out are those of `Dropout`. N is of float32's accuracy, with |N| ≤ 5.5.

    Parameters
    ----------
    rate : float or LearningRateSchedule
        In [0, 1), as of `Dropout`.
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
        return gaussian_dropout(b, inputs[0], self.rate, self.called)


@LAYERS.register()
class AlphaDropout(Dropping):
    """In training, set each input to −λ α ≈ −1.758, the limit of SELU, with probability `rate`, then scale and shift.

    Y = a (X or −λ α) + b with a and b such that inputs of mean 0 and variance 1 keep these: the dropout of networks
    with the activation "selu".

    Parameters
    ----------
    rate : float or LearningRateSchedule
        Fraction to drop, in [0, 1).
    name : str, optional

    Raises
    ------
    ValueError
        `rate` is outside [0, 1).
    TypeError
        `rate` is neither a number nor a schedule.

    References
    ----------
    G. Klambauer et al.: Self-normalizing neural networks, NeurIPS 2017, arXiv:1706.02515, section 2.
    """

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = a (X or −λ α) + b in training, X otherwise."""
        return alpha_dropout(b, inputs[0], self.rate, self.called)


@LAYERS.register()
class GaussianNoise(Layer):
    """In training, add stddev N to each input, N standard normal.

    N is of float32's accuracy, with |N| ≤ 5.5.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise, ≥ 0, in the units of the inputs.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        `stddev` is no number, or not finite, or negative.
    """

    def __init__(self, stddev: float, name: str | None = None) -> None:
        super().__init__(name)
        self.stddev = check_number(stddev, "stddev", "a finite number ≥ 0", lambda s: 0 <= s < math.inf)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X + stddev N in training, X otherwise."""
        return gaussian_noise(b, inputs[0], self.stddev)

"""Samples of a batch that are mixed with one another, and their targets likewise."""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import conversion
from nncore.arguments import check_flag, check_number
from nncore.graph import Shape, Symbol
from nncore.layers.arrays import label
from nncore.layers.base import LAYERS, Layer
from nncore.layers.images.base import RandomImageLayer, check_factor, up_to
from nncore.operations import concatenate, reshape
from nncore.operations.images import Interval, mix_samples
from nncore.operations.random import Stream

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class Mixing(RandomImageLayer):
    """Base of the layers that mix samples: each with the one r places further on in the batch, in a ring."""

    parts = 2
    rectangle = False
    _together: Together | None = None
    _transient = (*RandomImageLayer._transient, "_together")

    @property
    @abstractmethod
    def alphas(self) -> Interval:
        """What α of a batch is drawn from."""

    def disturbed(self, b: Builder, x: Tensor, stream: Stream) -> Tensor:
        """The mixed images; the step's targets will be mixed with the same numbers."""
        image = x.shape if self.rectangle else (0, 0, 0)
        b.mixes.append(functools.partial(mix_samples, alphas=self.alphas, image=(*image[:2], 0), stream=stream))
        return mix_samples(b, x, self.alphas, image, stream)

    def on_labelled(self, given: Mapping[Any, Any], training: Any) -> dict[Any, Any]:
        """Mixed images and labels."""
        training = check_flag(training, "training")
        if given.keys() == {"images"} or not training:
            return super().on_labelled(given, training)
        if given.keys() != {"images", "labels"} or any(isinstance(part, Symbol) for part in given.values()):
            raise ValueError(
                f"{label(self)}: inputs: expected a dict of arrays with the keys 'images' and 'labels', got "
                f"{list(given)}. In a model the layer mixes the targets of fit, too: give it the images alone"
            )
        images, labels = (conversion.as_array(given[key], key) for key in ("images", "labels"))
        if labels.dtype.kind != "f" and labels.ndim < 2:
            raise ValueError(
                f"labels: expected rows that can be mixed, such as one-hot ones, got shape {labels.shape} of "
                f"{labels.dtype}. nncore.to_categorical makes rows of class numbers"
            )
        labels = labels.astype(np.float64 if images.dtype == np.float64 else np.float32, copy=False)
        config = self.get_config()
        if self._together is None or self._together.config != config:
            self._together = Together(type(self).from_config(config), config)
        joined = self._together([images, labels], training=True)
        size = math.prod(images.shape[1:])
        return {"images": joined[:, :size].reshape(images.shape), "labels": joined[:, size:].reshape(labels.shape)}


class Together(Layer):
    """A mixing layer on images and labels: rows of both."""

    takes_many = True

    def __init__(self, mixing: Mixing, config: dict[str, Any]) -> None:
        super().__init__()
        self.mixing, self.config = mixing, config

    def output_shape(self, *shapes: Shape) -> Shape:
        """One axis."""
        self.mixing.output_shape(shapes[0])
        return (sum(map(math.prod, shapes)),)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The mixed images, then the mixed labels."""
        shapes = [x.shape for x in inputs]
        parts = self.mixing.emit(b, inputs[0]), b.mixes[-1](b, inputs[1])
        return concatenate(b, [reshape(b, part, (part.size,)) for part in parts], 0, self.output_shape(*shapes))


@LAYERS.register()
class MixUp(Mixing):
    """In training, mix images with one another, and their targets likewise: Y = λ X + (1 − λ) X′.

    X′ is the image r places further on in the batch, in a ring, r drawn for each batch from 1 to B − 1, and λ is drawn
    for each image from Beta(α, α). In a model the layer stands where there are three axes, as a rule first; `fit` and
    `train_on_batch` then compare outputs with λ T + (1 − λ) T′ of the targets T. These must be such that can be mixed:
    one-hot rows and "categorical_crossentropy", say, no class numbers. Weights of samples stay as they are.
    Evaluations and predictions leave everything alone.

    Outside of models it is called on a dict, ``MixUp()({"images": x, "labels": y})``, and mixes both.

    Shapes: X and Y (B, height, width, channels).

    Parameters
    ----------
    alpha : float, default 0.2
        α > 0: the smaller, the more an image is left as it is, or replaced; the greater, the nearer λ is to ½.
    data_format : {"channels_last", "channels_first"}, optional
    seed : int, optional
        Of what is drawn; None: it follows from the model's.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        `alpha` is not positive, or targets are class numbers.

    Notes
    -----
    Keras takes X′ in the order of a permutation that it draws, and within a model mixes images alone.

    References
    ----------
    H. Zhang et al.: mixup: Beyond empirical risk minimization, ICLR 2018, arXiv:1710.09412.
    """

    def __init__(
        self, alpha: float = 0.2, data_format: str | None = None, seed: int | None = None, name: str | None = None
    ) -> None:
        super().__init__(seed, data_format, name)
        self.alpha = check_number(alpha, "alpha", "a finite number > 0", lambda a: 0 < a < math.inf)

    @property
    def alphas(self) -> Interval:
        """The layer's."""
        return self.alpha, self.alpha


@LAYERS.register()
class CutMix(Mixing):
    """In training, replace a rectangle of each image by that of another one, and mix their targets by its area.

    The rectangle is 1 − λ of the image's area, with the image's ratio of sides, and lies anywhere in it; what is inside
    comes from the image r places further on in the batch, in a ring, r drawn for each batch from 1 to B − 1. λ is drawn
    for each image from Beta(α, α), α for each batch, and is then what the whole pixels of the rectangle leave. Outputs
    are compared with λ T + (1 − λ) T′ of the targets T: see `MixUp`, which stands in models, and is called on a dict of
    "images" and "labels", in the same way.

    Shapes: X and Y (B, height, width, channels).

    Parameters
    ----------
    factor : float or tuple of float, default 1.0
        α in [0, 1]: from 0 to that; two: from the lower to the upper one.
    seed : int, optional
        Of what is drawn; None: it follows from the model's.
    data_format : {"channels_last", "channels_first"}, optional
    name : str, optional

    Raises
    ------
    ValueError
        `factor` is not in [0, 1], X has another number of axes, or targets are class numbers.

    References
    ----------
    S. Yun et al.: CutMix: Regularization strategy to train strong classifiers with localizable features, ICCV 2019,
    arXiv:1905.04899.
    """

    rectangle = True

    def __init__(
        self, factor: Any = 1.0, seed: int | None = None, data_format: str | None = None, name: str | None = None
    ) -> None:
        super().__init__(seed, data_format, name)
        self.factor = check_factor(factor, "factor", 0, 1)

    @property
    def alphas(self) -> Interval:
        """From `factor`; never 0, of which there is no distribution."""
        low, high = up_to(self.factor)
        return low + 1e-6, high + 1e-6

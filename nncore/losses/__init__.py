"""Losses: which kernel measures the error of a batch, and whether it looks through the last activation.

For predictions p and targets t with n outputs each, a native kernel computes the loss ℓᵢ of every sample i, a mean over
its n outputs (or a sum over classes, for the crossentropies), and the batch's loss is Σᵢ wᵢ ℓᵢ / B, where B is the
number of samples and wᵢ their weights (1 unless given). That is Keras's convention: divided by B, not by Σ wᵢ as
scikit-learn and PyTorch's class weights do; the argument `reduction` asks for that, and for sums. Gradients below are
∂ℓᵢ/∂p; the kernel multiplies them by wᵢ / B. Weights may have any sign.

A crossentropy after the softmax or sigmoid that it belongs to is *fused*: its kernel reads the logits z, the
inputs of that activation, and differentiates through it. Then nothing overflows, no logarithm meets a zero,
and the gradient is p − t, without the cancellation that a division by p would bring.

A loss is also called on arrays, ``nn.losses.Huber()(y_true, y_pred)``, and each has a function of its name that gives
the loss of each sample, ``nn.losses.huber(y_true, y_pred, delta=1.0)``. Losses and functions are multiplied by numbers
and added: ``0.7 * nn.losses.mse + 0.3 * nn.losses.cosine_similarity``. A function of your own,
``(y_true, y_pred) → (losses, gradient by y_pred)``, is a loss, too.
"""

from __future__ import annotations

from nncore.losses.base import LOSSES, Loss, LossChoice
from nncore.losses.deviances import GammaDeviance, GaussianNLL, Poisson, PoissonDeviance, TweedieDeviance
from nncore.losses.functions import LossFunction, function
from nncore.losses.margins import (
    CategoricalHinge,
    Circle,
    Contrastive,
    Hinge,
    SquaredHinge,
    Triplet,
)
from nncore.losses.overlaps import Dice, Tversky
from nncore.losses.own import FunctionLoss, get
from nncore.losses.probabilities import (
    CORN,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    Crossentropy,
    KLDivergence,
    SparseCategoricalCrossentropy,
)
from nncore.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Pinball,
)
from nncore.losses.sums import WeightedSum
from nncore.masks import squeeze_or_expand_to_same_rank
from nncore.registry import MODULES, serialize

__all__ = [
    "CORN",
    "LOSSES",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "Contrastive",
    "CosineSimilarity",
    "Crossentropy",
    "Dice",
    "FunctionLoss",
    "GammaDeviance",
    "GaussianNLL",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "LossChoice",
    "LossFunction",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Pinball",
    "Poisson",
    "PoissonDeviance",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Triplet",
    "Tversky",
    "TweedieDeviance",
    "WeightedSum",
    "deserialize",
    "get",
    "serialize",
    "squeeze_or_expand_to_same_rank",
]


deserialize = get


def __getattr__(name: str) -> LossFunction:
    # The functions of Keras, such as nncore.losses.mse
    return function(__name__, name)


MODULES[__name__] = __getattr__


def __dir__() -> list[str]:
    return sorted({*globals(), *LOSSES.names(), *LOSSES.aliases})

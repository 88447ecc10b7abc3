"""Metrics: what is reported beside the loss, of all rows of an epoch.

A metric computes nothing here. Kernels give a value per row, or count rows, or sum powers of them, in float64 and in
the order of the rows: results have the same bits for any number of threads, and are exact for any size of batches. What
the sums come to, Python says.

Predictions that are NaN make means of errors, areas and calibration NaN. Where decisions are counted, a score that is
NaN is above no threshold and not the largest of its row; a row of nothing else is no right answer, and left out of
confusion matrices and what is made of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nncore.custom import register_function
from nncore.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from nncore.metrics.base import METRICS, Given, Metric, Plan
from nncore.metrics.classes import CohenKappa, ConfusionMatrix, MatthewsCorrelation
from nncore.metrics.crossentropies import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    LogLoss,
    SparseCategoricalCrossentropy,
)
from nncore.metrics.curves import AUC
from nncore.metrics.errors import (
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SquaredHinge,
)
from nncore.metrics.moments import ConcordanceCorrelation, ExplainedVariance, PearsonCorrelation, R2Score
from nncore.metrics.overlap import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from nncore.metrics.points import (
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from nncore.metrics.probabilities import BrierScore, ExpectedCalibrationError
from nncore.metrics.reduction import Mean, MeanMetricWrapper, Sum, is_loss
from nncore.metrics.scores import F1Score, FBetaScore
from nncore.metrics.thresholds import (
    FalseNegatives,
    FalsePositives,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from nncore.registry import LIBRARIES, MODULES, class_behind, serialize

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "BrierScore",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CohenKappa",
    "ConcordanceCorrelation",
    "ConfusionMatrix",
    "CosineSimilarity",
    "ExpectedCalibrationError",
    "ExplainedVariance",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Given",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "LogLoss",
    "METRICS",
    "MatthewsCorrelation",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PearsonCorrelation",
    "Plan",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "deserialize",
    "get",
    "register_function",
    "serialize",
]


def get(identifier: Any, argument: str = "metrics") -> Any:
    """Turn a name, configuration, class or object into a `Metric`, called what the user wrote. See `Registry.get`.

    A function ``(y_true, y_pred) → value per sample``, or that of a loss, becomes a `MeanMetricWrapper`, and so does a
    loss, which may be a class; None stays.
    """
    if identifier is None:
        return None
    if isinstance(identifier, type) and is_loss(identifier):
        identifier = identifier()
    if is_function(identifier) or is_loss_function(identifier):
        return MeanMetricWrapper(identifier)
    if isinstance(identifier, str):
        return METRICS.find(identifier, argument)(name=identifier)
    return METRICS.get(identifier, argument, Metric)


def is_function(given: Any) -> bool:
    """Whether it is a function of a user's, and no class, nor another library's."""
    library = str(getattr(given, "__module__", type(given).__module__)).partition(".")[0]
    plain = callable(given) and not isinstance(given, (type, Metric)) and class_behind(given) is None
    return plain and library not in LIBRARIES


def is_loss_function(given: Any) -> bool:
    """Whether it is a function of targets and predictions that stands for a class, and for none of metrics."""
    cls = class_behind(given)
    return cls is not None and is_loss(cls)


deserialize = get


def __getattr__(name: str) -> Callable[..., Any]:
    # The functions of Keras, such as nncore.metrics.mse
    return METRICS.function(__name__, name)


MODULES[__name__] = __getattr__


def __dir__() -> list[str]:
    return sorted({*globals(), *METRICS.names(), *METRICS.aliases})

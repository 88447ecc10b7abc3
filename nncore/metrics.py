"""Metrics: what is reported beside the loss, averaged over the samples of an epoch.

A metric computes nothing here. A kernel gives one value per sample; the weighted metrics divide
Σᵢ wᵢ valueᵢ by Σᵢ wᵢ, as Keras does. Accuracies lie in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from nncore.arguments import check_number
from nncore.registry import Configurable, Registry, immutable, snake_case
from nncore.registry import serialize as serialize

if TYPE_CHECKING:
    from nncore.losses import Loss


class MetricChoice(NamedTuple):
    """What the compiler of programs emits for a metric.

    Attributes
    ----------
    kernel : str
        Name in the METRIC list of ``kernels.def``.
    parameters : tuple of float
        The numbers that the kernel takes, as ``kernels.def`` names them: the threshold of binary accuracy.
    reads : {"logits", "outputs"}
        The inputs or the outputs of the model's last activation.
    """

    kernel: str
    parameters: tuple[float, ...]
    reads: Literal["logits", "outputs"]


@immutable
class Metric(Configurable):
    """Base of the metrics; objects are immutable and equal where class and arguments are.

    Parameters
    ----------
    name : str, optional
        Name in logs and in `History`; default: the class's name in snake case, or what the user wrote
        where the metric was given as a string ("mse").

    Attributes
    ----------
    target : {"values", "labels"}
        What it is compared with: (B, n) reals, or (B,) integers in [0, n).
    ranks : bool
        Only the order of a row's predictions matters, so that logits serve as well as probabilities.

    Raises
    ------
    TypeError
        `name` is neither None nor a string with characters.
    """

    name: Any = None

    arrays = ("y_true", "y_pred")
    target: ClassVar[Literal["values", "labels"]] = "values"
    ranks: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.name is None:
            object.__setattr__(self, "name", snake_case(type(self).__name__))
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"name: expected a string with characters, or None for the default, got {self.name!r}")

    def choose(self, loss: Loss | None, outputs: int, fused: bool, activation: str) -> MetricChoice:
        """Say how the metric is computed.

        Parameters
        ----------
        loss : Loss or None
            The model's loss, which settles what the targets are; None: the metric's own.
        outputs : int
            Outputs per sample, n.
        fused : bool
            The loss reads the logits, so that they are at hand.
        activation : str
            Kernel of the model's last activation.

        Raises
        ------
        ValueError
            The metric does not fit the loss's targets or the number of outputs.
        """
        kernel = self.registry.name_of(self)
        if loss is not None and loss.target != self.target:
            wanted, given = (
                ("integer labels", "a row of values per sample")
                if self.target == "labels"
                else ("a row of values per sample", "integer labels")
            )
            own = f', or "{loss.accuracy}"' if loss.accuracy else ""
            raise ValueError(
                f"metrics: {kernel} expects {wanted} as targets, but the loss {loss.registry.name_of(loss)} is given "
                f'{given}. Use "accuracy", which follows the loss{own}'
            )
        return MetricChoice(kernel, (), "logits" if fused and self.ranks else "outputs")


METRICS: Registry[Metric] = Registry(
    "metric", "what it computes is native code; compute others from predict, in a callback"
)


def get(identifier: Any, argument: str = "metrics") -> Metric:
    """Turn a name, configuration, class or object into a `Metric`, called what the user wrote. See `Registry.get`."""
    if isinstance(identifier, str):
        return METRICS.find(identifier, argument)(name=identifier)
    return METRICS.get(identifier, argument, Metric)


@METRICS.register("acc")
@immutable
class Accuracy(Metric):
    """Share of right answers, in the form that suits the loss, as Keras's name "accuracy" does.

    - integer labels: `SparseCategoricalAccuracy`;
    - a binary crossentropy, or a single output: `BinaryAccuracy` with the threshold 0.5;
    - else: `CategoricalAccuracy`.

    Keras decides by shapes alone, so that it takes `CategoricalAccuracy` with a binary crossentropy over several
    outputs; and its class of this name, unlike the string, compares predictions and targets for equality.
    """

    def choose(self, loss: Loss | None, outputs: int, fused: bool, activation: str) -> MetricChoice:
        """See `Metric.choose`."""
        if loss is not None and loss.target == "labels":
            kind = "sparse_categorical_accuracy"
        elif outputs == 1:
            kind = "binary_accuracy"
        else:
            kind = (loss and loss.accuracy) or "categorical_accuracy"
        return METRICS.classes[kind]().choose(loss, outputs, fused, activation)


@METRICS.register()
@immutable
class BinaryAccuracy(Metric):
    """1/n Σⱼ [(pⱼ > threshold) = tⱼ] for targets 0 and 1.

    Parameters
    ----------
    name : str, optional
        Name in logs.
    threshold : float, default 0.5
        A probability, in (0, 1). Where the predictions are logits z, because the loss is fused with a sigmoid or
        is a binary crossentropy with ``from_logits=True``, the comparison is z > log(threshold / (1 − threshold)),
        that is z > 0 by default. (In the latter case Keras compares z with the probability itself.)

    Raises
    ------
    TypeError, ValueError
        `threshold` is no number, or not between 0 and 1.
    """

    threshold: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        remedy = "it is a probability, also where the model gives logits"
        check_number(self.threshold, "threshold", "a number between 0 and 1", lambda t: 0 < t < 1, remedy)

    def choose(self, loss: Loss | None, outputs: int, fused: bool, activation: str) -> MetricChoice:
        """See `Metric.choose`."""
        kernel, _, _ = super().choose(loss, outputs, fused, activation)
        through = fused and activation == "sigmoid"
        t = float(self.threshold)
        if through or (loss is not None and loss.accuracy == kernel and loss.from_logits):
            t = math.log(t / (1 - t))
        return MetricChoice(kernel, (t,), "logits" if through else "outputs")


@METRICS.register()
@immutable
class CategoricalAccuracy(Metric):
    """[argmaxⱼ pⱼ = argmaxⱼ tⱼ] for one-hot targets; of equal values the first counts."""

    ranks = True


@METRICS.register()
@immutable
class SparseCategoricalAccuracy(Metric):
    """[argmaxⱼ pⱼ = c] for the integer label c; of equal values the first counts."""

    target = "labels"
    ranks = True


@METRICS.register("mse")
@immutable
class MeanSquaredError(Metric):
    """1/n Σⱼ (pⱼ − tⱼ)²."""


@METRICS.register("mae")
@immutable
class MeanAbsoluteError(Metric):
    """1/n Σⱼ |pⱼ − tⱼ|."""


deserialize = get


def __getattr__(name: str) -> Callable[..., Any]:
    # The functions of Keras, such as nncore.metrics.mse
    return METRICS.function(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *METRICS.names(), *METRICS.aliases})

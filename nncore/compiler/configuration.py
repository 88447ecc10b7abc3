"""What `compile` was told, as objects."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nncore import losses, metrics, optimizers
from nncore._kernels.table import PRECISIONS
from nncore.arguments import check_number, the_only
from nncore.bindings import Integers
from nncore.graph import Shape
from nncore.metrics import Metric
from nncore.registry import serialize


@dataclass
class Head:
    """What the values of one output are compared by.

    Attributes
    ----------
    loss : Loss or None
    weight : float
        Of that loss in the sum of all.
    metrics, weighted_metrics : list of Metric
        The latter weighted by `sample_weight`.
    compares : bool
        Whether there is anything that needs targets.
    labels, probable : bool
        Whether these are labels, and whether probabilities.
    by_elements : bool
        Whether each element of the targets may have a weight.
    """

    loss: losses.Loss | None
    weight: float = 1.0
    metrics: list[Metric] = field(default_factory=list)
    weighted_metrics: list[Metric] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.compares = bool(self.loss or self.metrics or self.weighted_metrics)
        self.labels = self.takes_labels()
        self.probable = self.loss is not None and self.loss.probable
        self.by_elements = self.loss is not None and all(term.by_elements for _, term in self.terms())

    def terms(self) -> list[tuple[float, losses.Loss]]:
        """The losses that its loss is a sum of, with their factors."""
        return self.loss.terms() if self.loss else []

    def target_shape(self, outputs: Shape) -> Shape:
        """The shape of a sample's targets, for outputs of this shape; a ValueError where the loss does not fit."""
        if self.loss is not None:
            return self.loss.target_shape(outputs)
        return outputs[:-1] if self.labels else outputs

    def integers(self, outputs: Shape) -> Integers | None:
        """What targets may be, where they are labels."""
        if not self.labels:
            return None
        return Integers.labels(outputs[-1], *(self.loss.labels(outputs[-1]) if self.loss else ()))

    def takes_labels(self) -> bool:
        """Whether targets are labels, for the loss, or without one for the metrics; a ValueError where these differ."""
        if self.loss is not None:
            return bool(self.loss.target == "labels")
        kinds = {metric.targets_in_model: metric.name for metric in (*self.metrics, *self.weighted_metrics)}
        if "labels" in kinds and "values" in kinds:
            raise ValueError(
                f"metrics: expected metrics of one kind of targets for an output without a loss, got "
                f"{kinds['labels']} of labels and {kinds['values']} of values. Leave one of them out"
            )
        return "labels" in kinds


class GivenGradients:
    """What a step is told in place of losses: the gradients of some outputs, from a function of these.

    Parameters
    ----------
    outputs : tuple of int
        Numbers of the outputs.

    Attributes
    ----------
    function : callable or None
        Of the step at hand: given the batch's outputs, it returns the loss of the batch and the gradient of each.
    """

    def __init__(self, outputs: tuple[int, ...]) -> None:
        self.outputs = outputs
        self.function: Callable[..., tuple[float, Sequence[Any]]] | None = None

    def compute(self, *arrays: Any) -> None:
        """Fill the gradients and the losses of the samples, all of which are that of the batch."""
        assert self.function is not None
        n = len(self.outputs)
        loss, gradients = self.function(*arrays[:n])
        for gradient, given in zip(arrays[n:-1], gradients, strict=True):
            gradient[...] = given
        arrays[-1][...] = loss


@dataclass
class CompileConfiguration:
    """What `compile` was told.

    Attributes
    ----------
    optimizer : Optimizer
    heads : list of Head
        One for each output.
    matmul_precision : {"highest", "high", "medium"}
    given : GivenGradients or None
        In place of losses and metrics.
    has_loss : bool
        Whether there is anything to train by.
    """

    optimizer: optimizers.Optimizer
    heads: list[Head]
    matmul_precision: str = "highest"
    given: GivenGradients | None = None

    def __post_init__(self) -> None:
        self.has_loss = any(head.loss for head in self.heads)

    @classmethod
    def of(
        cls,
        optimizer: Any,
        loss: Any,
        loss_weights: Any = None,
        plain: Any = None,
        weighted: Any = None,
        matmul_precision: Any = "highest",
        names: Sequence[str] | None = None,
    ) -> CompileConfiguration:
        """Turn the arguments of `compile` into objects; `names` are those of the outputs, if they are known."""
        if not isinstance(matmul_precision, str) or matmul_precision not in PRECISIONS:
            raise ValueError(f"matmul_precision: expected one of {', '.join(PRECISIONS)}, got {matmul_precision!r}")
        optimizer = optimizers.OPTIMIZERS.get(optimizer, "optimizer", optimizers.Optimizer)
        if names is not None and len(names) > 1:
            given = several_heads(loss, loss_weights, plain, weighted, names)
        else:
            name = names[0] if names else None
            given = [
                (
                    of_output(loss, "loss", name),
                    of_output(loss_weights, "loss_weights", name),
                    metric_list(plain, "metrics", name),
                    metric_list(weighted, "weighted_metrics", name),
                )
            ]
        heads = [
            Head(trainable(losses.get(alone(a), "loss")), loss_weight(b), list(c), list(d)) for a, b, c, d in given
        ]
        return cls(optimizer, heads, str(matmul_precision))  # of a grid, perhaps: NumPy's

    @property
    def compared(self) -> list[int]:
        """The outputs that something is compared with, or whose gradients are given."""
        if self.given is not None:
            return list(self.given.outputs)
        return [i for i, head in enumerate(self.heads) if head.compares]

    def of_each(self, what: Callable[[Head], Any]) -> Any:
        """Of each head this; where there is one, by itself."""
        values = [what(head) for head in self.heads]
        return values[0] if len(values) == 1 else values

    def arguments(self) -> dict[str, Any]:
        """What `compile` is to be given for the same."""
        return {
            "optimizer": self.optimizer,
            "loss": self.of_each(lambda head: head.loss),
            "loss_weights": self.of_each(lambda head: head.weight),
            "metrics": self.of_each(lambda head: head.metrics),
            "weighted_metrics": self.of_each(lambda head: head.weighted_metrics),
            "matmul_precision": self.matmul_precision,
        }

    def config(self) -> dict[str, Any]:
        """As JSON, for a checkpoint; `restored` is its inverse."""
        weights = self.of_each(lambda head: head.weight)
        return {
            "optimizer": serialize(self.optimizer),
            "loss": self.of_each(lambda head: head.loss and serialize(head.loss)),
            "plain": self.of_each(lambda head: [serialize(m) for m in head.metrics]),
            "weighted": self.of_each(lambda head: [serialize(m) for m in head.weighted_metrics]),
            "matmul_precision": self.matmul_precision,
        } | ({} if all(head.weight == 1 for head in self.heads) else {"loss_weights": weights})

    @classmethod
    def restored(cls, document: Mapping[str, Any], outputs: int) -> CompileConfiguration:
        """What `config` made, for a model of so many outputs."""
        return cls.of(**document, names=None if outputs == 1 else [str(i) for i in range(outputs)])

    # -- names in logs ---------------------------------------------------------------------------------------------

    def loss_name(self, output: int, names: Sequence[str]) -> str:
        """Of an output's loss: "loss" where no other has one."""
        alone = sum(head.loss is not None for head in self.heads) == 1
        return "loss" if alone else f"{names[output]}_loss"

    def every_metric(self, names: Sequence[str]) -> Iterator[tuple[int, Metric, bool, str]]:
        """(output, metric, whether it is weighted, its name), the weighted ones last.

        A weighted metric whose plain form is asked for too is called weighted_…; where there are several outputs, that
        of the metric's comes first. Of several by the same name the later ones have numbers: precision, precision_1.
        """
        prefixes = [f"{name}_" for name in names] if len(self.heads) > 1 else [""]
        used: Counter[str] = Counter()

        def called(name: str) -> str:
            used[name] += 1
            return name if used[name] == 1 else f"{name}_{used[name] - 1}"

        for i, head in enumerate(self.heads):
            for metric in head.metrics:
                yield i, metric, False, called(f"{prefixes[i]}{metric.name}")
        for i, head in enumerate(self.heads):
            plain = [metric.name for metric in head.metrics]
            for metric in head.weighted_metrics:
                kind = "weighted_" if metric.name in plain else ""
                yield i, metric, True, called(f"{prefixes[i]}{kind}{metric.name}")

    def log_names(self, names: Sequence[str]) -> list[str]:
        """Names in logs, in order, where the outputs have these."""
        own = [self.loss_name(i, names) for i, head in enumerate(self.heads) if head.loss]
        return list(dict.fromkeys(["loss", *own, *(name for *_, name in self.every_metric(names))]))


# -- what is given for one output, or for several ----------------------------------------------------------------------


def several_heads(
    loss: Any, loss_weights: Any, plain: Any, weighted: Any, names: Sequence[str]
) -> list[tuple[Any, Any, list[Metric], list[Metric]]]:
    """Loss, its weight and metrics of each of several outputs."""
    alike = not (isinstance(loss, (list, tuple)) or is_by_name(loss))
    plain, weighted = or_none(plain), or_none(weighted)
    return list(
        zip(
            [loss] * len(names) if alike else for_each(loss, "loss", names),
            for_each(loss_weights, "loss_weights", names),
            [metric_list(given, "metrics") for given in for_each(plain, "metrics", names)],
            [metric_list(given, "weighted_metrics") for given in for_each(weighted, "weighted_metrics", names)],
            strict=True,
        )
    )


def is_by_name(given: Any) -> bool:
    """Whether it is a dict by output, and not a loss or metric as a dict."""
    return isinstance(given, Mapping) and set(given) != {"class", "config"}


def for_each(given: Any, argument: str, names: Sequence[str]) -> list[Any]:
    """What is given for outputs of these names, in a list, or in a dict by name; None where there is nothing."""
    if given is None:
        return [None] * len(names)
    known = f"the outputs {list(names)}"
    if is_by_name(given):
        if strange := [key for key in given if key not in names]:
            raise ValueError(f"{argument}: expected as keys names of {known}, got {strange}")
        return [given.get(name) for name in names]
    if not isinstance(given, (list, tuple)) or len(given) != len(names):
        what = f"{len(given)}" if isinstance(given, (list, tuple)) else repr(given)
        raise ValueError(f"{argument}: expected a list with one for each of {known}, or a dict by name, got {what}")
    return list(given)


def of_output(given: Any, argument: str, name: str | None) -> Any:
    """What is given for the only output: for each in a list, or by its name, that of the last layer, in a dict."""
    if not (isinstance(given, (list, tuple)) or is_by_name(given)):
        return given
    if len(given) != 1:
        raise ValueError(f"{argument}: expected that of the only output, got {given!r} for {len(given)}")
    if isinstance(given, Mapping) and name is not None and name not in given:
        raise ValueError(f"{argument}: expected as key the last layer's name {name!r}, got {next(iter(given))!r}")
    return the_only(given)


def metric_list(given: Any, argument: str, name: str | None = None) -> list[Metric]:
    """One metric, or a list of them, also in a list or dict of the only output, as a list."""
    given = or_none(given)
    if isinstance(given, Mapping) or (isinstance(given, (list, tuple)) and any(map(several, given))):
        given = of_output(given, argument, name)
    items = [] if given is None else list(given) if isinstance(given, (list, tuple)) else [given]
    return [metrics.get(item, argument) for item in items]


def or_none(given: Any) -> Any:
    """Metrics as they are given; None where a list or dict of them is empty."""
    return None if isinstance(given, (list, tuple, Mapping)) and not given else given


def several(item: Any) -> bool:
    """Whether it is the list of an output, or None for an output without metrics."""
    return item is None or isinstance(item, (list, tuple))


def alone(given: Any) -> Any:
    """The loss of an output, which may be in a list of its own, as metrics are."""
    return given[0] if isinstance(given, (list, tuple)) and len(given) == 1 else given


def trainable(loss: losses.Loss | None) -> losses.Loss | None:
    """A loss that gives a number to minimize."""
    for _, term in loss.terms() if loss else ():
        if term.reduction in (None, "none"):
            raise ValueError(
                f"loss: expected a reduction to a number, such as 'sum_over_batch_size', got {term.reduction!r} of "
                f"{term.name}"
            )
    return loss


def loss_weight(given: Any) -> float:
    """A loss's weight; by default 1."""
    if given is None:
        return 1.0
    return float(check_number(given, "loss_weights", "a finite number", math.isfinite))

"""What `compile` was told, as objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nncore import losses, metrics, optimizers
from nncore._kernels.table import PRECISIONS
from nncore.arguments import the_only
from nncore.metrics import Metric
from nncore.registry import serialize


@dataclass
class CompileConfiguration:
    """What `compile` was told.

    Attributes
    ----------
    optimizer : Optimizer
    loss : Loss or None
    metrics, weighted_metrics : list of Metric
        The latter weighted by `sample_weight`.
    matmul_precision : {"highest", "high", "medium"}
    """

    optimizer: optimizers.Optimizer
    loss: losses.Loss | None
    metrics: list[Metric] = field(default_factory=list)
    weighted_metrics: list[Metric] = field(default_factory=list)
    matmul_precision: str = "highest"

    @classmethod
    def of(
        cls, optimizer: Any, loss: Any, plain: Any, weighted: Any, matmul_precision: Any, last: str | None = None
    ) -> CompileConfiguration:
        """Turn the arguments of `compile` into objects; `last` is the name of the last layer, if it is known."""
        if not isinstance(matmul_precision, str) or matmul_precision not in PRECISIONS:
            raise ValueError(f"matmul_precision: expected one of {', '.join(PRECISIONS)}, got {matmul_precision!r}")
        return cls(
            optimizers.get(optimizer, "optimizer"),
            losses.get(of_output(loss, "loss", last), "loss"),
            metric_list(plain, "metrics", last),
            metric_list(weighted, "weighted_metrics", last),
            str(matmul_precision),  # of a grid, perhaps: NumPy's
        )

    def config(self) -> dict[str, Any]:
        """As JSON, for a checkpoint; `of(**config)` is its inverse."""
        return {
            "optimizer": serialize(self.optimizer),
            "loss": serialize(self.loss) if self.loss else None,
            "plain": [serialize(m) for m in self.metrics],
            "weighted": [serialize(m) for m in self.weighted_metrics],
            "matmul_precision": self.matmul_precision,
        }


def of_output(given: Any, argument: str, last: str | None) -> Any:
    """What is given for the only output: for each in a list, or by its name, that of the last layer, in a dict."""
    single = isinstance(given, (list, tuple)) or (isinstance(given, Mapping) and set(given) != {"class", "config"})
    if not single:
        return given
    if len(given) != 1:
        raise ValueError(f"{argument}: expected that of the only output, got {given!r} for {len(given)}")
    if isinstance(given, Mapping) and last is not None and last not in given:
        raise ValueError(f"{argument}: expected as key the last layer's name {last!r}, got {next(iter(given))!r}")
    return the_only(given)


def metric_list(given: Any, argument: str, last: str | None = None) -> list[Metric]:
    """One metric, or a list of them, also in a list or dict of the only output, as a list."""
    if isinstance(given, Mapping) or (isinstance(given, (list, tuple)) and any(map(several, given))):
        given = of_output(given, argument, last)
    items = [] if given is None else list(given) if isinstance(given, (list, tuple)) else [given]
    return [metrics.get(item, argument) for item in items]


def several(item: Any) -> bool:
    """Whether it is the list of an output, or None for an output without metrics."""
    return item is None or isinstance(item, (list, tuple))


def metric_names(config: CompileConfiguration) -> list[str]:
    """Names in logs: a weighted metric whose plain form is asked for too is called weighted_…."""
    plain = [m.name for m in config.metrics]
    return plain + [f"weighted_{m.name}" if m.name in plain else m.name for m in config.weighted_metrics]

"""Metrics: what is summed of a batch's predictions and targets, over a pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore._kernels.table import LOSSES, METRICS, TALLIES
from nncore.compiler.operation import Op, PythonCall, Tensor
from nncore.operations.arithmetic import dot
from nncore.operations.arrangement import reshape
from nncore.operations.elementwise import rescale
from nncore.operations.losses import accumulate, of_rows
from nncore.operations.masks import ones, weights

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.metrics import Metric, Plan

COLUMNS = 64  # of which moments are summed in one span


def measure(
    b: Builder,
    name: str,
    metric: Metric,
    plan: Plan,
    p: Tensor,
    target: Tensor,
    weight: Tensor | None,
    mask: Tensor | None = None,
) -> None:
    """The sums of a plan, of predictions and targets of a batch, as far as they count by a mask of the rows."""
    if not target.integer and target.size != p.size:
        raise ValueError(
            f"metrics: {metric.name} expects as many targets as outputs, {p.size} a sample, but the loss takes "
            f"{target.size}. Compute it from predict, in a callback"
        )
    fields = of_rows(p, target, weight)
    if plan.flat:
        fields |= {"rows": p.size, "n": 1}
    if mask is not None:
        if plan.sums != "mean":
            raise ValueError(
                f"metrics: {metric.name} counts all steps, and a mask says that some of the output do not count. "
                "Compute it from predict, in a callback"
            )
        fields["weight"] = weights(b, weight, mask)
    {"mean": mean, "tally": tally, "moments": moments, "python": called}[plan.sums](b, name, metric, plan, fields)


def mean(b: Builder, name: str, metric: Metric, plan: Plan, fields: dict[str, Any]) -> None:
    """Σ weight metric(p, target), of each row a value."""
    kernel = METRICS[plan.kernel] if plan.kernel in METRICS else len(METRICS) + LOSSES[plan.kernel]
    weight, rows = fields["weight"], fields["rows"]
    each = weight.size if weight else 1
    if each > 1:  # of a sample's rows not the mean but the sum, as of their weights
        fields["weight"] = rescale(b, weight, float(rows), 0.0)
        weight = dot(b, reshape(b, weight, (1, rows)), ones(b, (1, rows)))
    number = b.sum(name, "metric", weight, metric=metric)
    b.emit(Op("metric", function=kernel, parameters=plan.parameters, sum=number, weights=each, **fields))


def called(b: Builder, name: str, metric: Metric, plan: Plan, fields: dict[str, Any]) -> None:
    """Σ weight value, of each sample a value that a function of Python fills in."""
    assert plan.function is not None
    values = Tensor((1,))
    b.emit(PythonCall(plan.function, [fields["T"], fields["P"]], [values]))
    accumulate(b, name, "metric", values, fields["weight"], metric=metric)


def tally(b: Builder, name: str, metric: Metric, plan: Plan, fields: dict[str, Any]) -> None:
    """Counts of rows, at places that the rows say."""
    events = plan.events * fields["rows"]
    number = b.sum(name, "metric", fields["weight"], plan.width, rows=1, events=events, metric=metric)
    settings: dict[str, Any] = {
        "function": TALLIES[plan.kernel],
        "parameters": plan.parameters,
        "count": plan.thresholds,
    }
    b.emit(Op("tally", numbers=b.constant(plan.numbers), events=events, sum=number, **settings, **fields))


def moments(b: Builder, name: str, metric: Metric, plan: Plan, fields: dict[str, Any]) -> None:
    """Sums of powers of columns."""
    fields = {key: value for key, value in fields.items() if key not in ("labels", "block")}
    number = b.sum(name, "metric", fields["weight"], plan.width, rows=0, metric=metric)
    b.emit(Op("moments", sum=number, fixed=fields["n"], block=COLUMNS, **fields))

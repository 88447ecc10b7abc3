"""Losses: sums over the batch, and the gradients from which the backward pass starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import CHUNK_ROWS, LOSS_FORMS, LOSSES
from nncore.compiler.operation import Op, PythonCall, Tensor

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.losses import Loss


def loss(
    b: Builder,
    name: str,
    loss: Loss,
    kernel: str,
    p: Tensor,
    target: Tensor,
    weight: Tensor | None,
    *,
    prob: Tensor | None = None,
    scale: float = 1.0,
    part: float = 1.0,
) -> None:
    """Σ weight loss(p, target), which counts `scale` times; in training also dP, with `prob` the logits' probabilities.

    `part`: of that loss in what is called by its name. Losses of the same `p` add to its gradient.
    """
    gradient = Tensor(p.shape) if b.training and p.differentiable else None
    n, joined = loss.row(p.shape), loss.joined
    rows = p.size // n
    fields: dict[str, Any] = {"P": p, "T": target, "weight": weight, "dP": gradient, "rows": rows, "n": n}
    fields |= {"function": LOSSES[kernel], "parameters": loss.numbers(kernel), "scale": scale}
    fields |= {"labels": int(target.integer), "targets": target.size // rows, "total": int(loss.reduction == "sum")}
    fields["sum"] = b.sum(name, "loss", scale=scale, part=part)
    mean_of_weights = loss.reduction == "mean_with_sample_weight" and weight is not None
    if joined or LOSS_FORMS[kernel] == "BATCH":
        fields |= {"joined": int(joined), "weighted": int(mean_of_weights)}
        b.emit(Op("batch_loss", fixed=1, **fields))
    else:
        weights = 1 if weight is None else weight.size
        ignored = loss.labels(p.shape[-1])[2] if target.integer else None
        if mean_of_weights or (ignored is not None and loss.reduction != "sum"):
            fields["divisor"] = divisor = Tensor((1,), per_sample=False)
            counted: dict[str, Any] = {"weight": weight if mean_of_weights else None, "weights": weights, "rows": rows}
            counted |= {"label": None if ignored is None else target, "ignored": ignored or 0}
            b.emit(Op("weight_sum", Y=divisor, fixed=1, **counted))
        columns = b.constant(loss.columns)
        b.emit(Op("loss", columns=columns, prob=prob, weights=weights, block=CHUNK_ROWS, **fields))
    if gradient is not None:
        b.add_gradient(p, gradient)


def given_gradients(b: Builder, ys: list[Tensor], compute: Callable[..., None]) -> list[Tensor]:
    """dL/dY of each of `ys`, and the losses of the samples: Python fills them by ``compute(*ys, *dys, losses)``."""
    dys, values = [Tensor(y.shape) for y in ys], Tensor(())
    b.emit(PythonCall(compute, ys, [*dys, values]))
    accumulate(b, "loss", "loss", values)
    for y, dy in zip(ys, dys, strict=True):
        b.add_gradient(y, dy)
    return ys


def accumulate(b: Builder, name: str, kind: str, values: Tensor, weight: Tensor | None = None, **settings: Any) -> None:
    """Σ weight values, one of each sample, which something else has computed: a "loss" or a "metric"."""
    number = b.sum(name, kind, weight if kind == "metric" else None, **settings)
    b.emit(Op("accumulate", V=values, weight=weight, sum=number, block=CHUNK_ROWS))


def of_rows(p: Tensor, target: Tensor, weight: Tensor | None) -> dict[str, Any]:
    """What an operation on predictions and targets takes, in spans of the chunks that sums are made of."""
    n = p.shape[-1]
    sizes = {"rows": p.size // n, "n": n, "labels": int(target.integer), "block": CHUNK_ROWS}
    return {"P": p, "T": target, "weight": weight} | sizes

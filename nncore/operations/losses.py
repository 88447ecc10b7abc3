"""Losses: sums over the batch, and the gradients from which the backward pass starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore._kernels.table import CHUNK_ROWS, LOSS_FORMS, LOSSES
from nncore.compiler.operation import Op, PythonCall, Tensor
from nncore.losses.own import of_batch
from nncore.operations.masks import weights

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.losses import Loss
    from nncore.state import Array


def loss(
    b: Builder,
    name: str,
    loss: Loss,
    kernel: str,
    p: Tensor,
    target: Tensor,
    weight: Tensor | None,
    *,
    mask: Tensor | None = None,
    prob: Tensor | None = None,
    scale: float = 1.0,
    part: float = 1.0,
) -> None:
    """Σ weight loss(p, target), which counts `scale` times; in training also dP, with `prob` the logits' probabilities.

    Means are of what counts by the mask, a number for each row. `part`: of that loss in what is called by its name.
    Losses of the same `p` add to its gradient.
    """
    gradient = Tensor(p.shape) if b.training and p.differentiable else None
    by_batch = loss.python is None and (loss.joined or LOSS_FORMS[kernel] == "BATCH")
    if mask is not None and (loss.python is not None or by_batch or loss.row(p.shape) * mask.size != p.size):
        raise ValueError(
            "loss: expected one of nncore's along the last axis, for a mask says which steps count, got "
            f"{loss.name}. Let a layer that does not support masking come last"
        )
    if loss.python is not None:
        own_loss(b, name, loss, p, target, weight, gradient, scale, part)
        return
    n = loss.row(p.shape)
    rows = p.size // n
    if mask is not None:
        weight = weights(b, weight, mask)
    fields: dict[str, Any] = {"P": p, "T": target, "weight": weight, "dP": gradient, "rows": rows, "n": n}
    fields |= {"function": LOSSES[kernel], "parameters": loss.numbers(kernel), "scale": scale}
    fields |= {"labels": int(target.integer), "targets": target.size // rows, "total": int(loss.reduction == "sum")}
    counts = {"mean_with_sample_weight": weight, "sum": None}.get(str(loss.reduction), mask)  # in what a mean is of
    ignored = loss.labels(p.shape[-1])[2] if target.integer and not by_batch else None
    divides = counts is not None or (ignored is not None and loss.reduction != "sum")
    whole = by_batch or divides or loss.reduction == "sum"
    fields["sum"] = b.sum(name, "loss", scale=scale, part=part, of_batch=whole)
    if by_batch:
        fields |= {"joined": int(loss.joined), "weighted": int(counts is not None)}
        b.emit(Op("batch_loss", fixed=1, **fields))
    else:
        if divides:
            fields["divisor"] = divisor = Tensor((1,), per_sample=False)
            counted: dict[str, Any] = {"weight": counts, "weights": counts.size if counts else 1, "rows": rows}
            counted |= {"label": None if ignored is None else target, "ignored": ignored or 0}
            b.emit(Op("weight_sum", Y=divisor, fixed=1, cost=rows, **counted))
        columns, each = b.constant(loss.columns), weight.size if weight else 1
        b.emit(Op("loss", columns=columns, prob=prob, weights=each, block=CHUNK_ROWS, **fields))
    if gradient is not None:
        b.add_gradient(p, gradient)


def own_loss(
    b: Builder,
    name: str,
    loss: Loss,
    p: Tensor,
    target: Tensor,
    weight: Tensor | None,
    gradient: Tensor | None,
    scale: float,
    part: float,
) -> None:
    """The same of a loss that Python computes, for each sample."""
    if weight is not None and weight.size > 1:
        raise ValueError(
            f"sample_weight: expected a weight for each sample with the loss {loss.name}, got {weight.size}"
        )
    values, given = Tensor(()), [target, p] if weight is None else [target, p, weight]
    made = [values] if gradient is None else [values, gradient]
    b.emit(PythonCall(filler(loss, weight is not None, scale), given, made))
    whole = loss.reduction == "sum" or (loss.reduction == "mean_with_sample_weight" and weight is not None)
    number = b.sum(name, "loss", scale=scale, part=part, of_batch=whole)
    b.emit(Op("accumulate", V=values, sum=number, block=CHUNK_ROWS))
    if gradient is not None:
        b.add_gradient(p, gradient)


def filler(loss: Loss, weighted: bool, scale: float) -> Callable[..., None]:
    """What is given targets, predictions and perhaps weights, and fills losses and perhaps their gradient."""
    compute, reduction, name = loss.python, loss.reduction, loss.name
    assert compute is not None

    def fill(t: Array, p: Array, *arrays: Array) -> None:
        weight, arrays = (arrays[0], arrays[1:]) if weighted else (None, arrays)
        losses, gradient = of_batch(compute(t, p), p, name)
        samples = len(p)
        divisor: Any = samples if reduction != "sum" else 1
        if reduction == "mean_with_sample_weight" and weight is not None:
            divisor = weight.sum()
        factor = 1 / divisor if divisor else 0.0
        shares: Any = factor if weight is None else factor * weight[:, 0]
        np.multiply(losses, shares * samples, out=arrays[0], casting="same_kind")
        if len(arrays) > 1:
            by_sample = scale * shares if weight is None else (scale * shares).reshape(-1, *[1] * (p.ndim - 1))
            np.multiply(gradient, by_sample, out=arrays[1], casting="same_kind")

    return fill


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

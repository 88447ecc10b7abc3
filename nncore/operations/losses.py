"""Losses: sums over the batch, and the gradients from which the backward pass starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import CHUNK_ROWS, LOSSES
from nncore.compiler.operation import Op, PythonCall, Tensor

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder


def loss(
    b: Builder,
    name: str,
    kernel: str,
    p: Tensor,
    target: Tensor,
    weight: Tensor | None,
    prob: Tensor | None,
    scale: float,
    parameters: tuple[float, ...],
) -> None:
    """Σ weight loss(p, target), which counts `scale` times; in training also dP, with `prob` the logits' probabilities.

    Losses of the same `p` add to its gradient.
    """
    gradient = Tensor(p.shape) if b.training and p.differentiable else None
    fields = of_rows(p, target, weight) | {"function": LOSSES[kernel], "parameters": parameters, "scale": scale}
    fields |= {"targets": 1 if target.integer else p.shape[-1], "weights": 1}
    op = Op("loss", dP=gradient, prob=prob, sum=b.sum(name, "loss", scale=scale), **fields)
    b.emit(op)
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

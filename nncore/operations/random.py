"""Noise on activations, in training alone; see `elementwise.dropout`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore.compiler.operation import Op, Tensor
from nncore.schedules import LearningRateSchedule, Scheduled

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder


def noisy(b: Builder, x: Tensor, kind: str, settings: dict[str, Any], **of_backward: Any) -> Tensor:
    """Y = operation `kind` of X; backward: the same of dY, with the same random numbers, and these settings beside."""
    y = Tensor(x.shape, x.differentiable)
    b.record(
        y,
        Op(kind, X=x, Y=y, **settings),
        lambda to, dy: to.send(x, lambda dx: Op(kind, X=dy, Y=dx, **settings, **of_backward)),
    )
    return y


def rate_of(b: Builder, rate: Scheduled, argument: str) -> dict[str, Any]:
    """The attributes of an operation that drops at a rate, a number or a schedule."""
    layer = {"layer": b.next_random_layer()}
    if isinstance(rate, LearningRateSchedule):
        return layer | {"scheduled": b.follow(argument, rate, 1.0)}
    return layer | {"rate": rate}


def gaussian_noise(b: Builder, x: Tensor, stddev: float) -> Tensor:
    """Y = X + stddev N in training, X otherwise; backward: dX = dY."""
    layer = b.next_random_layer()
    if not b.training or stddev == 0:
        return x
    y = Tensor(x.shape, x.differentiable)
    b.record(
        y,
        Op("gaussian_noise", X=x, Y=y, layer=layer, stddev=stddev),
        lambda to, dy: to.send(x, lambda dx: Op("rescale", X=dy, Y=dx, scale=1.0)),
    )
    return y


def gaussian_dropout(b: Builder, x: Tensor, rate: Scheduled, argument: str) -> Tensor:
    """Y = X ⊙ (1 + √(rate / (1 − rate)) N) in training, X otherwise; backward: dX likewise of dY."""
    settings = rate_of(b, rate, argument)
    return noisy(b, x, "gaussian_dropout", settings) if b.training and rate != 0 else x


def alpha_dropout(b: Builder, x: Tensor, rate: Scheduled, argument: str) -> Tensor:
    """Y = scale (X where it stays, else −λ α) + offset in training, X otherwise; backward: dX = scale dY ⊙ mask."""
    settings = rate_of(b, rate, argument)
    return noisy(b, x, "alpha_dropout", settings, backward=1) if b.training and rate != 0 else x


def column_dropout(b: Builder, x: Tensor, rate: Scheduled, argument: str) -> Tensor:
    """Dropout of whole columns of a sample (…, n) in training, X otherwise; backward: the same mask on dY."""
    n = x.shape[-1]
    settings = rate_of(b, rate, argument) | {"rows": x.size // n, "n": n}
    return noisy(b, x, "column_dropout", settings) if b.training and rate != 0 else x

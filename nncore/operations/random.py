"""Noise on activations, in training alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nncore.compiler.operation import Op, Tensor
from nncore.runtime import derived_seed
from nncore.schedules import LearningRateSchedule, Scheduled

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder


#: Number of the seed that follows from a layer's own: those of models have the first ones, by clones and
#: `set_random_seed`, and their first layer would draw the same.
OWN = 2**64 - 2


class Stream(NamedTuple):
    """Where random numbers come from: the number of a layer, and its own seed, −1 for that of the model."""

    layer: int
    seed: int

    @classmethod
    def of(cls, b: Builder, seed: int | None, parts: int = 1) -> Stream:
        """That of the next layer, which needs so many; all that have the same seed of their own have the same."""
        layer, *_ = [b.next_random_layer() for _ in range(parts)]
        return cls(layer, -1) if seed is None else cls(0, derived_seed(seed, OWN))


def noisy(b: Builder, x: Tensor, kind: str, settings: dict[str, Any], **of_backward: Any) -> Tensor:
    """Y = operation `kind` of X; backward: the same of dY, with the same random numbers, and these settings beside."""
    y = Tensor(x.shape, x.differentiable)
    b.record(
        y,
        Op(kind, X=x, Y=y, **settings),
        lambda to, dy: to.send(x, lambda dx: Op(kind, X=dy, Y=dx, **settings, **of_backward)),
    )
    return y


def dropping(
    b: Builder,
    x: Tensor,
    kind: str,
    rate: Scheduled,
    argument: str,
    seed: int | None,
    sizes: dict[str, int] | None = None,
    **of_backward: Any,
) -> Tensor:
    """`noisy` at a rate, a number or a schedule, which `argument` calls in errors; X itself outside of training."""
    stream = Stream.of(b, seed)
    if not b.training or rate == 0:
        return x
    settings: dict[str, Any] = stream._asdict() | (sizes or {})
    if isinstance(rate, LearningRateSchedule):
        settings["scheduled"] = b.follow(argument, rate, 1.0)
    else:
        settings["rate"] = rate
    return noisy(b, x, kind, settings, **of_backward)


def gaussian_noise(b: Builder, x: Tensor, stddev: float, seed: int | None = None) -> Tensor:
    """Y = X + stddev N in training, X otherwise; backward: dX = dY."""
    stream = Stream.of(b, seed)
    if not b.training or stddev == 0:
        return x
    y = Tensor(x.shape, x.differentiable)
    b.record(
        y,
        Op("gaussian_noise", X=x, Y=y, stddev=stddev, **stream._asdict()),
        lambda to, dy: to.send(x, lambda dx: Op("rescale", X=dy, Y=dx, scale=1.0)),
    )
    return y


def dropout(b: Builder, x: Tensor, rate: Scheduled, argument: str = "rate", seed: int | None = None) -> Tensor:
    """Y = X ⊙ mask / (1 − rate) in training, X otherwise; backward: the same mask on dY."""
    return dropping(b, x, "dropout", rate, argument, seed)


def gaussian_dropout(b: Builder, x: Tensor, rate: Scheduled, argument: str, seed: int | None = None) -> Tensor:
    """Y = X ⊙ (1 + √(rate / (1 − rate)) N) in training, X otherwise; backward: dX likewise of dY."""
    return dropping(b, x, "gaussian_dropout", rate, argument, seed)


def alpha_dropout(b: Builder, x: Tensor, rate: Scheduled, argument: str, seed: int | None = None) -> Tensor:
    """Y = scale (X where it stays, else −λ α) + offset in training, X otherwise; backward: dX = scale dY ⊙ mask."""
    return dropping(b, x, "alpha_dropout", rate, argument, seed, backward=1)


def column_dropout(b: Builder, x: Tensor, rate: Scheduled, argument: str, seed: int | None = None) -> Tensor:
    """Dropout of whole columns of a sample (…, n) in training, X otherwise; backward: the same mask on dY."""
    n = x.shape[-1]
    return dropping(b, x, "column_dropout", rate, argument, seed, {"rows": x.size // n, "n": n})

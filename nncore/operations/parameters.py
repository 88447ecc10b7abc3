"""Penalties on the parameters, and statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncore.compiler.operation import Op, Tensor, Whole

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.state import Parameter


def send_column_sums(to: Builder, p: Parameter, dy: Tensor) -> None:
    """Send to the gradient of `p`, of n elements, the sums of dY (rows, n) over all rows of the batch."""
    n = p.size
    to.send_to_parameter(p, lambda dp: Op("column_sums", dY=dy, db=dp, rows=dy.size // n, n=n, fixed=n, block=n))


def penalty(b: Builder) -> None:
    """The regularizers' penalties, and in training their gradients."""
    gradient = Whole("gradients") if b.training else None
    b.penalties.append(Op("penalty", W=Whole("parameters"), dW=gradient, sum=b.sum("penalty", "penalty")))


def moving_average(b: Builder, statistic: Parameter, x: Tensor, momentum: float = 0.0) -> None:
    """S ← momentum S + (1 − momentum) X at the end of each step of training that is applied; momentum 0: S ← X.

    X is of the statistic's shape, and `per_sample` False: a mean over the batch, say.
    """
    assert statistic.role == "statistic" and statistic.shape == x.shape and not x.per_sample
    if b.training:
        b.statistics.append(Op("moving_average", S=Whole("parameters", statistic), X=x, momentum=momentum))

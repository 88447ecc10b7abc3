"""Penalties on the parameters, and statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import CHUNK_ROWS, SUM_CHAINS, SUM_ROWS
from nncore.compiler.operation import SPAN_ELEMENTS, Op, Operand, Tensor, Whole

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.parameter import Parameter
    from nncore.regularizers import Regularizer


def send_column_sums(to: Builder, p: Parameter, dy: Tensor) -> None:
    """Send to the gradient of `p`, of n elements, the sums of dY (rows, n) over all rows of the batch."""
    n = p.size
    to.send_to_parameter(p, lambda dp: Op("column_sums", dY=dy, db=dp, rows=dy.size // n, n=n, fixed=n, block=n))


def send_with_sums(
    to: Builder, kind: str, x: Tensor, n: int, sums: Mapping[str, Parameter | None], **fields: Any
) -> None:
    """Send to `x` what an operation on its rows of `n` elements makes of it, and to parameters sums over all rows.

    The operation brings parts of these along, so that nothing is read twice; it is left out where nobody wants either.

    Parameters
    ----------
    to : Builder
    kind : str
        Of the operation, which makes dX.
    x : Tensor
    n : int
    sums : dict of str to Parameter or None
        By the operand that takes the parts of its gradient.
    **fields
        What else the operation has.
    """
    rows = x.size // n
    parts: dict[str, Any] = {
        at: Tensor((SUM_CHAINS, p.size), sum_rows=rows) for at, p in sums.items() if p is not None and p in to.trained
    }
    dx = Tensor(x.shape) if x.differentiable else None
    if dx is None and not parts:
        return
    block = max(SUM_ROWS, SPAN_ELEMENTS // n // SUM_ROWS * SUM_ROWS) if parts else None
    to.send_made(x, dx, Op(kind, X=x, dX=dx, n=n, per_sample=rows, block=block, **parts, **fields))
    for at, p in sums.items():
        if p is not None and at in parts:
            send_sum_of_parts(to, p, parts[at], rows)


def samples_of_part(windows: int, least: int) -> int:
    """How many samples, of so many windows each, are a part of a sum: a power of 2 that has at least so many, or 64."""
    samples = 1
    while samples < SUM_ROWS and samples * windows < least:
        samples *= 2
    return samples


def send_sum_of_parts(to: Builder, p: Parameter, parts: Tensor, rows: int) -> None:
    """Send to the gradient of `p` the sum of its parts over all rows of the batch, `rows` of a sample."""
    to.send_to_parameter(p, lambda dp: sum_of_parts(parts, dp, p.size, rows))


def sum_of_parts(parts: Tensor, to: Operand, n: int, rows: int) -> Op:
    """What adds up parts of a sum of n numbers over all rows of the batch, `rows` of a sample."""
    return Op("sum_parts", parts=parts, dW=to, rows=rows, apart=parts.size, fixed=n)


def penalty(b: Builder) -> None:
    """The regularizers' penalties, and in training their gradients."""
    gradient = Whole("gradients") if b.training else None
    b.penalties.append(Op("penalty", W=Whole("parameters"), dW=gradient, sum=b.sum("penalty", "penalty")))


def activity_penalty(b: Builder, y: Tensor, regularizer: Regularizer) -> None:
    """A penalty on a layer's output, the mean over the batch of each sample's; in training also its gradient."""
    gradient = Tensor(y.shape) if b.training and y.differentiable else None
    factors: dict[str, Any] = {"l1": regularizer.l1, "l2": regularizer.l2, "n": y.size, "block": CHUNK_ROWS}
    b.emit(Op("activity_penalty", Y=y, dY=gradient, sum=b.sum("penalty", "activity"), cost=4 * y.size, **factors))
    if gradient is not None:
        b.add_gradient(y, gradient)


def orthogonal_penalty(b: Builder, p: Parameter, regularizer: Any) -> None:
    """The penalty of `OrthogonalRegularizer` on a matrix, and in training its gradient."""
    rows, n = p.shape
    columns = regularizer.mode == "columns"
    lines, length = (n, rows) if columns else (rows, n)
    room = Tensor((2 * rows * n + lines * lines + lines,), per_sample=False)
    sizes: dict[str, Any] = {"rows": lines, "n": length, "columns": columns, "factor": regularizer.factor, "fixed": 1}
    gradient = Whole("gradients", p) if b.training else None
    operands: dict[str, Any] = {"W": Whole("parameters", p), "dW": gradient, "room": room}
    b.penalties.append(Op("orthogonal_penalty", sum=b.sum("penalty", "penalty"), **operands, **sizes))


def moving_average(b: Builder, statistic: Parameter, x: Tensor, momentum: float = 0.0) -> None:
    """S ← momentum S + (1 − momentum) X at the end of each step of training that is applied; momentum 0: S ← X.

    X is of the statistic's shape, and `per_sample` False: a mean over the batch, say.
    """
    assert statistic.role == "statistic" and statistic.shape == x.shape and not x.per_sample
    if b.training:
        b.statistics.append(Op("moving_average", S=Whole("parameters", statistic), X=x, momentum=momentum))

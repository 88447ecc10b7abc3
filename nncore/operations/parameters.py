"""Penalties on the parameters, and the update section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import OPTIMIZERS, PRECISIONS
from nncore.compiler.operation import Op, Tensor, Whole

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.optimizers import Optimizer
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
        b.update.append(Op("moving_average", S=Whole("parameters", statistic), X=x, momentum=momentum))


def optimize(b: Builder, optimizer: Optimizer, paths: Mapping[Parameter, str]) -> None:
    """The update of all trainable parameters, which have these paths."""
    kernel = OPTIMIZERS[optimizer.kernel]
    norms = Whole("norms") if optimizer.clips_norm else None
    if norms:
        b.update.append(Op("norms", dW=Whole("gradients"), norms=norms))
    precision = PRECISIONS[b.packed.precision] if b.packed else 0
    settings: dict[str, Any] = {"function": kernel, "precision": precision}
    arrays: dict[str, Any] = {"W": Whole("parameters"), "dW": Whole("gradients"), "state": Whole("state")}
    b.update.append(Op("update", norms=norms, **arrays, **settings))
    for p, (ids, count, dw) in b.row_gradients.items():
        own: dict[str, Any] = {"ids": ids, "count": count, "dW": dw}
        own |= {"W": Whole("parameters", p), "state": Whole("state", p)}
        sizes: dict[str, Any] = {"n": p.shape[-1], "per_sample": ids.size, "decay": float(optimizer.decays(paths[p]))}
        b.update.append(Op("update_rows", function=kernel, **own, **sizes))

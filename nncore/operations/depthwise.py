"""Windows that slide over images, a kernel of its own for each channel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import SUM_ROWS
from nncore.compiler.operation import SPAN_ELEMENTS, Op, Tensor, Whole
from nncore.operations.arrangement import repeat, reshape
from nncore.operations.data import real
from nncore.operations.parameters import samples_of_part, send_sum_of_parts
from nncore.operations.windows import windows_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncore.compiler.builder import Builder
    from nncore.layers.windows import Axis
    from nncore.parameter import Parameter

#: Of a channel, at least, whose products are summed in one part of dW, unless SUM_ROWS samples have less.
CHUNK_OUTPUTS = 256


def depthwise(b: Builder, x: Tensor, kernel: Parameter, bias: Parameter | None, axes: Sequence[Axis]) -> Tensor:
    """Z (…,n m) = b + Σ X ⊙ W over the windows of X (…,n) along `axes`, m channels of Z for each; backward: dX, dW, db.

    W is (…,n m), as it lies, b (n m).
    """
    x = real(b, x)
    m = kernel.size // math.prod(a.size for a in axes) // x.shape[-1]
    if m > 1:  # each channel m times, as W has them side by side
        *places, channels = x.shape
        x = reshape(b, repeat(b, reshape(b, x, (*x.shape, 1)), len(x.shape), m), (*places, channels * m))
    n = x.shape[-1]
    made = tuple(a.out for a in axes)
    z = Tensor((*made, n), x.differentiable or any(p in b.trained for p in (kernel, bias) if p))
    sizes: dict[str, Any] = windows_over(axes) | {"n": n}
    W = Whole("parameters", kernel)
    cost = 2 * math.prod(a.size for a in axes) * z.size

    def backward(to: Builder, dz: Tensor) -> None:
        chunk = samples_of_part(math.prod(made), CHUNK_OUTPUTS)
        rows = SUM_ROWS // chunk  # so that parts of sums have as many samples
        sums = {"dW": kernel, "db": bias}
        parts: dict[str, Any] = {
            at: Tensor((p.size,), sum_rows=rows) for at, p in sums.items() if p and p in to.trained
        }
        dx = Tensor(x.shape) if x.differentiable else None
        passes = (dx is not None) + ("dW" in parts)
        op = Op(
            "depthwise_backward", X=x, W=W, dY=dz, dX=dx, chunk=chunk, block=chunk, cost=passes * cost, **parts, **sizes
        )
        to.send_made(x, dx, op)
        for at, part in parts.items():
            p = sums[at]
            assert p is not None
            send_sum_of_parts(to, p, part, rows)

    operands: dict[str, Any] = {"X": x, "W": W, "b": Whole("parameters", bias) if bias else None, "Y": z}
    rows = math.prod(made[:-1])
    block = max(1, SPAN_ELEMENTS * rows // z.size)
    b.record(z, Op("depthwise_forward", per_sample=rows, block=block, cost=cost, **operands, **sizes), backward)
    return z

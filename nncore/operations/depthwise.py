"""Windows that slide over images, a kernel of its own for each channel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import SUM_CHAINS, SUM_ROWS
from nncore.compiler.operation import SPAN_ELEMENTS, Op, Tensor, Whole
from nncore.operations.arrangement import repeat, reshape
from nncore.operations.data import real
from nncore.operations.parameters import samples_of_part, send_sum_of_parts

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.parameter import Parameter

#: Of a channel, at least, whose products are summed in one part of dW, unless SUM_ROWS samples have less.
CHUNK_OUTPUTS = 256


def depthwise(b: Builder, x: Tensor, kernel: Parameter, bias: Parameter | None, down: Any, across: Any) -> Tensor:
    """Z (oh,ow,n m) = b + Σ X ⊙ W over the places of a window, m channels of Z for each of X; backward: dX, dW, db.

    X (h,w,n), W (kh,kw,n,m), b (n m); `down` and `across` say how windows lie along both axes: `layers.windows.Axis`.
    """
    x = real(b, x)
    if (m := kernel.shape[-1]) > 1:  # each channel m times, as W has them side by side
        h, w, channels = x.shape
        x = reshape(b, repeat(b, reshape(b, x, (h, w, channels, 1)), 3, m), (h, w, channels * m))
    n = x.shape[-1]
    z = Tensor((down.out, across.out, n), x.differentiable or any(p in b.trained for p in (kernel, bias) if p))
    sizes: dict[str, Any] = {"n": n}
    for way, axis in (("height", down), ("width", across)):
        sizes |= {way: axis.length, f"out_{way}": axis.out, f"kernel_{way}": axis.size, f"stride_{way}": axis.stride}
        sizes |= {f"dilation_{way}": axis.dilation, f"before_{way}": axis.before}
    W = Whole("parameters", kernel)
    cost = 2 * down.size * across.size * z.size

    def backward(to: Builder, dz: Tensor) -> None:
        chunk = samples_of_part(down.out * across.out, CHUNK_OUTPUTS)
        rows = SUM_ROWS // chunk  # so that parts of sums have as many samples
        sums = {"dW": kernel, "db": bias}
        parts: dict[str, Any] = {
            at: Tensor((SUM_CHAINS, p.size), sum_rows=rows) for at, p in sums.items() if p and p in to.trained
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
    block = max(1, SPAN_ELEMENTS // math.prod(z.shape[1:]))
    b.record(z, Op("depthwise_forward", per_sample=down.out, block=block, cost=cost, **operands, **sizes), backward)
    return z

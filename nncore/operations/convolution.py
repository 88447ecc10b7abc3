"""Convolutions of images and series, and their transposes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import BAND_REALS, LINE_WINDOWS, MANY_ROWS, PRECISIONS, SUM_ROWS
from nncore.compiler.operation import Op, Tensor, Whole
from nncore.operations.dense import packed_copy
from nncore.operations.parameters import samples_of_part, send_column_sums, send_sum_of_parts
from nncore.operations.windows import windows_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncore.compiler.builder import Builder
    from nncore.layers.windows import Axis
    from nncore.parameter import Parameter

BLOCK_FLOPS = 2_000_000  # of lines of windows that a thread takes at a time: 10 to 50 µs
PART_WINDOWS = 512  # or a few more, whose products are a part of the sum that dW is


def convolve(
    b: Builder, x: Tensor, kernel: Parameter, bias: Parameter | None, axes: Sequence[Axis], groups: int = 1
) -> Tensor:
    """Z = Σ X ⊙ W + b over the windows of X (…, C) along `axes`, in `groups` of channels; backward: dW, db, dX.

    W is (…, C / groups, N).
    """
    n = kernel.shape[-1]
    z = Tensor((*(a.out for a in axes), n), x.differentiable or kernel in b.trained)
    windows = Windows(b, kernel, axes, groups)

    def backward(to: Builder, dz: Tensor) -> None:
        windows.send_weights(to, x, dz, bias)
        if x.differentiable:
            dx = Tensor(x.shape)
            to.backward += windows.transposed(to, dz, dx)
            to.add_gradient(x, dx)

    b.record(z, windows.forward(x, z, bias), backward)
    return z


def convolve_transposed(
    b: Builder, x: Tensor, kernel: Parameter, bias: Parameter | None, axes: Sequence[Axis], groups: int = 1
) -> Tensor:
    """Z: what each element of X (…, N) gives to the places of its window, + b (C); backward: dW, db, dX.

    X is what a convolution of Z by W (…, C / groups, N) along `axes` would make.
    """
    channels = kernel.shape[-2] * groups
    z = Tensor((*(a.length for a in axes), channels), x.differentiable or kernel in b.trained)
    windows = Windows(b, kernel, axes, groups)

    def backward(to: Builder, dz: Tensor) -> None:
        if bias:
            send_column_sums(to, bias, dz)
        windows.send_weights(to, dz, x)
        to.send(x, lambda dx: windows.forward(dz, dx, None))

    ops = windows.transposed(b, x, z, bias)
    for op in ops[:-1]:
        b.emit(op)
    b.record(z, ops[-1], backward)
    return z


class Windows:
    """The operations of a convolution: how its windows lie, as their attributes say it."""

    def __init__(self, b: Builder, kernel: Parameter, axes: Sequence[Axis], groups: int) -> None:
        self.b, self.kernel, self.groups = b, kernel, groups
        self.places, self.windows = math.prod(a.length for a in axes), math.prod(a.out for a in axes)
        self.k, self.n = kernel.matrix
        *down, across = axes
        channels = kernel.shape[-2] * groups
        most = BAND_REALS // (math.prod(a.reach for a in down) * channels)  # places of a row
        self.line = min(across.out, LINE_WINDOWS, (most - across.reach) // across.stride + 1)
        self.lines = math.prod(a.out for a in down) * -(-across.out // self.line)
        self.fields: dict[str, Any] = windows_over(axes) | {
            "channels": channels, "groups": groups, "n": self.n, "line": self.line,
            "cost": 2 * self.windows * self.k * self.n // groups,
        }  # fmt: skip
        if b.packed:
            self.fields["precision"] = PRECISIONS[b.packed.precision]

    def forward(self, x: Tensor, z: Tensor, bias: Parameter | None) -> Op:
        """Z from X."""
        flops = max(1, 2 * self.line * self.k * self.n // self.groups)
        return Op(
            "convolve", X=x, W=Whole("parameters", self.kernel), b=Whole("parameters", bias) if bias else None,
            packed=self.packed_copy(self.b, False), Y=z, per_sample=self.lines,
            block=max(1, BLOCK_FLOPS // flops), **self.fields,
        )  # fmt: skip

    def transposed(self, b: Builder, dz: Tensor, dx: Tensor, bias: Parameter | None = None) -> list[Op]:
        """dX from dZ, by W transposed."""
        packed, ops, W = self.packed_copy(b, True), [], None
        if packed is None:
            W = Tensor((self.n, self.k), per_sample=False)
            ops.append(
                Op("copy_strided", X=Whole("parameters", self.kernel), Y=W, fixed=self.n, rows=self.n, n=self.k, n2=1,
                   n3=self.k, x_row=1, x3=self.n, y_row=self.k, y3=1)
            )  # fmt: skip
        b_operand = Whole("parameters", bias) if bias else None
        return [*ops, Op("convolve_transposed", dY=dz, W=W, b=b_operand, packed=packed, dX=dx, **self.fields)]

    def send_weights(self, to: Builder, x: Tensor, dz: Tensor, bias: Parameter | None = None) -> None:
        """Send dW and db to the gradients of kernel and bias: parts of them, of so many samples each, and their sum."""
        if self.kernel not in to.trained:
            return
        samples = samples_of_part(self.windows, PART_WINDOWS)
        rows = SUM_ROWS // samples  # so many of a sample make a part of a sum
        parts = Tensor((self.k, self.n), sum_rows=rows)
        of_bias = Tensor((self.n,), sum_rows=rows) if bias in to.trained else None
        made: dict[str, Any] = {"dW": parts, "db": of_bias, "part": samples, "block": samples}
        to.backward.append(Op("convolve_weights", X=x, dY=dz, **made, **self.fields))
        send_sum_of_parts(to, self.kernel, parts, rows)
        if bias and of_bias:
            send_sum_of_parts(to, bias, of_bias, rows)

    def packed_copy(self, b: Builder, transposed: bool) -> Any:
        """The packed copy of W that products read, if there is one: of one group."""
        return packed_copy(b, self.kernel, transposed, self.kernel.matrix, MANY_ROWS) if self.groups == 1 else None

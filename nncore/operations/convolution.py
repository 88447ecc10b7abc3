"""Convolutions of images and series, and their transposes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import (
    BAND_REALS,
    LINE_WINDOWS,
    MANY_ROWS,
    POINTS,
    PRECISIONS,
    SUM_ROWS,
    WINDOW_GRADIENTS,
    WINDOWS,
)
from nncore.compiler.operation import Op, Tensor, Whole, part_of
from nncore.operations import winograd
from nncore.operations.dense import made_copy, packed_copy
from nncore.operations.parameters import samples_of_part, send_column_sums, send_sum_of_parts, sum_of_parts
from nncore.operations.windows import windows_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncore.compiler.builder import Backward, Builder
    from nncore.layers.windows import Axis
    from nncore.parameter import Parameter

BLOCK_FLOPS = 2_000_000  # of lines of windows that a thread takes at a time: 10 to 50 µs
BLOCK_WINDOWS = 128  # in these lines, at least: fewer would read W too often
LEAST_FLIPPED = 8  # channels of a group: fewer leave too much of a vector idle
MOST_REACHED = BAND_REALS // 2  # numbers from the first of a window to its last: a thread lays out several
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

    record_last(b, z, windows.forward(b, x, z, bias), backward)
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
        if x.differentiable:
            dx = Tensor(x.shape)
            to.backward += windows.forward(to, dz, dx, None)
            to.add_gradient(x, dx)

    record_last(b, z, windows.transposed(b, x, z, bias), backward)
    return z


def record_last(b: Builder, z: Tensor, ops: Sequence[Op], backward: Backward) -> None:
    """Emit operations, the last of which makes `z`, and note its backward pass."""
    for op in ops[:-1]:
        b.emit(op)
    b.record(z, ops[-1], backward)


class Windows:
    """The operations of a convolution: how its windows lie, as their attributes say it."""

    def __init__(self, b: Builder, kernel: Parameter, axes: Sequence[Axis], groups: int) -> None:
        self.b, self.kernel, self.axes, self.groups = b, kernel, axes, groups
        self.windows = math.prod(a.out for a in axes)
        self.k, self.n = kernel.matrix
        self.channels = kernel.shape[-2] * groups
        self.places = self.k // kernel.shape[-2]  # of a window
        #: How the windows of dZ lie that places of X are in: the last of them begins at this place.
        self.turned = [a._replace(length=a.out, out=a.length, before=a.reach - 1 - a.before) for a in axes]
        self.at_points = self.suits_points(axes, self.channels, self.n)
        self.turned_at_points = self.suits_points(self.turned, self.n, self.channels)
        self.fields = self.lying(axes, self.channels, self.n, self.at_points)

    def suits_points(self, axes: Sequence[Axis], channels: int, n: int, rows: int = WINDOWS) -> bool:
        """Whether windows along `axes` of so many channels are convolved at points (`winograd`), n filters by each.

        Not where products of a lower precision are faster; `rows`: what `precision_for` of contract.h is told.
        """
        if self.groups > 1 or not winograd.pays(axes, channels, n):
            return False
        packed, depth = self.b.packed, self.places * channels
        return not packed or not packed.table.packed_bytes(packed.precision, False, depth, n, rows)

    def lying(self, axes: Sequence[Axis], channels: int, n: int, at_points: bool) -> dict[str, Any]:
        """The attributes of windows along `axes` of so many channels, for n filters."""
        *down, across = axes
        if at_points:
            line = min(across.out, winograd.tiles_of_line(axes, channels, n) * winograd.windows_of_tile(across))
        else:
            most = BAND_REALS // (math.prod(a.reach for a in down) * channels)  # places of a row
            line = min(across.out, LINE_WINDOWS, (most - across.reach) // across.stride + 1)
        assert line > 0, "a window fits a thread's band"
        fields: dict[str, Any] = windows_over(axes) | {
            "channels": channels, "groups": self.groups, "n": n, "line": line,
            "cost": 2 * self.windows * self.k * self.n // self.groups,
        }  # fmt: skip
        if self.b.packed:
            fields["precision"] = PRECISIONS[self.b.packed.precision]
        return fields

    @property
    def rows(self) -> int:
        """What `precision_for` of contract.h is told."""
        return WINDOWS if self.places > 1 else MANY_ROWS

    @property
    def flips(self) -> bool:
        """Whether dX is computed as a convolution of dZ: of windows one place apart, if they fit a thread's band.

        And if they are single places, or channels fill vectors and it takes hardly more multiplications: windows of dZ
        are as many as X has places.
        """
        fits = math.prod(a.reach for a in self.axes) * self.n <= MOST_REACHED
        direct = math.prod(a.size * a.out for a in self.turned)
        products = winograd.multiplications(self.turned) if self.turned_at_points else direct
        hardly_more = products <= 1.125 * self.windows * self.places
        pays = self.places == 1 or (hardly_more and self.channels // self.groups >= LEAST_FLIPPED)
        return fits and pays and all(a.stride == 1 for a in self.axes)

    def by_lines(self, fields: dict[str, Any]) -> dict[str, int]:
        """How threads divide lines of windows of such attributes."""
        lines = fields["out_h"] * -(-fields["out_w"] // fields["line"])
        block = BLOCK_FLOPS * lines // max(1, fields["cost"])
        return {"per_sample": lines, "block": max(1, block, BLOCK_WINDOWS // fields["line"])}

    def forward(self, b: Builder, x: Tensor, z: Tensor, bias: Parameter | None) -> list[Op]:
        """Z from X."""
        W = Whole("parameters", self.kernel)
        op = Op(
            "convolve", X=x, W=W, b=Whole("parameters", bias) if bias else None, Y=z,
            **self.by_lines(self.fields), **self.fields,
        )  # fmt: skip
        if self.at_points:
            to_points, op.U = winograd.filters_at_points(W, self.axes, self.channels, self.n)
            return [to_points, op]
        op.packed = self.packed_copy(b, False)
        return [op]

    def transposed(self, b: Builder, dz: Tensor, dx: Tensor, bias: Parameter | None = None) -> list[Op]:
        """dX from dZ."""
        b_operand = Whole("parameters", bias) if bias else None
        if self.flips:
            return self.flipped(dz, dx, b_operand)
        packed, ops, W = self.packed_copy(b, True), [], None
        if packed is None:
            W = Tensor((self.n, self.k), per_sample=False)
            ops.append(
                Op("copy_strided", X=Whole("parameters", self.kernel), Y=W, fixed=self.n, rows=self.n, n=self.k, n2=1,
                   n3=self.k, x_row=1, x3=self.n, y_row=self.k, y3=1)
            )  # fmt: skip
        return [*ops, Op("convolve_transposed", dY=dz, W=W, b=b_operand, packed=packed, dX=dx, **self.fields)]

    def flipped(self, dz: Tensor, dx: Tensor, bias: Whole | None) -> list[Op]:
        """dX from dZ, as a convolution of dZ by W (places, C / groups, N), turned: (places in reverse, N / groups, C).

        The windows of X that a place is in are a window of dZ.
        """
        fields = self.lying(self.turned, self.n, self.channels, self.turned_at_points)
        n, channels, places = self.n // self.groups, self.channels // self.groups, self.places
        W, b = Tensor((places, n, self.channels), per_sample=False), self.b
        op = Op("convolve_flipped", dY=dz, W=W, b=bias, dX=dx, **self.by_lines(fields), **fields)
        if places == 1 and (packed := self.packed_copy(b, True)):  # Wᵀ, which the update writes
            op.W, op.packed = Whole("parameters", self.kernel), packed
            return [op]
        last = part_of(W, (places - 1) * n * self.channels)
        flip = Op(
            "copy_strided", X=Whole("parameters", self.kernel), Y=last, fixed=places, rows=places,
            n=n * self.channels, n2=n, n3=channels, x_row=channels * self.n, x1=n, x2=1, x3=self.n,
            y_row=-n * self.channels, y1=channels, y2=self.channels, y3=1,
        )  # fmt: skip
        if self.turned_at_points:
            to_points, op.U = winograd.filters_at_points(W, self.turned, n, channels)
            return [flip, to_points, op]
        pack = made_copy(b, W, (places * n, self.channels), self.rows) if self.groups == 1 else []
        op.packed = pack[0].packed if pack else None
        return [flip, *pack, op]

    def send_weights(self, to: Builder, x: Tensor, dz: Tensor, bias: Parameter | None = None) -> None:
        """Send dW and db to the gradients of kernel and bias: parts of them, of so many samples each, and their sum."""
        if self.kernel not in to.trained:
            return
        samples = samples_of_part(self.windows, PART_WINDOWS)
        rows = SUM_ROWS // samples  # so many of a sample make a part of a sum
        at_points = self.suits_points(self.axes, self.channels, self.n, WINDOW_GRADIENTS)
        fields = self.lying(self.axes, self.channels, self.n, at_points)
        parts = Tensor((self.k // self.axes[-1].size * POINTS if at_points else self.k, self.n), sum_rows=rows)
        of_bias = Tensor((self.n,), sum_rows=rows) if bias in to.trained else None
        made: dict[str, Any] = {"dU" if at_points else "dW": parts, "db": of_bias}
        to.backward.append(Op("convolve_weights", X=x, dY=dz, part=samples, block=samples, **made, **fields))
        if at_points:
            dU = Tensor(parts.shape, per_sample=False)
            to.backward.append(sum_of_parts(parts, dU, dU.size, rows))
            to.send_to_parameter(
                self.kernel, lambda dW: winograd.filters_from_points(dU, dW, self.axes, self.channels, self.n)
            )
        else:
            send_sum_of_parts(to, self.kernel, parts, rows)
        if bias and of_bias:
            send_sum_of_parts(to, bias, of_bias, rows)

    def packed_copy(self, b: Builder, transposed: bool) -> Any:
        """The packed copy of W that products read, if there is one: of one group."""
        rows = MANY_ROWS if transposed else self.rows
        return packed_copy(b, self.kernel, transposed, self.kernel.matrix, rows) if self.groups == 1 else None

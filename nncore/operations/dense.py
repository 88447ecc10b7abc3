"""The products of a fully connected layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore._kernels.table import PACK_ROWS, PRECISIONS
from nncore.compiler.operation import Op, Operand, Tensor, Whole, part_of
from nncore.operations.parameters import send_column_sums

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.parameter import Parameter


def dense(
    b: Builder, x: Tensor, kernel: Parameter, bias: Parameter | None, shape: tuple[int, int] | None = None
) -> Tensor:
    """Z = X W + b over the last axis; backward: dW = Xᵀ dZ, db = Σ dZ, dX = dZ Wᵀ.

    `shape`: that of W, where the kernel has more axes.
    """
    k, n = matrix = shape or kernel.matrix
    rows = x.size // k
    z = Tensor((*x.shape[:-1], n), x.differentiable or kernel in b.trained)
    W = Whole("parameters", kernel)
    sizes: dict[str, Any] = {"rows": rows, "n": n, "k": k}
    if b.packed:
        sizes["precision"] = PRECISIONS[b.packed.precision]

    def backward(to: Builder, dz: Tensor) -> None:
        if bias:
            send_column_sums(to, bias, dz)
        to.send_to_parameter(kernel, lambda dW: Op("dense_backward_weights", X=x, dY=dz, dW=dW, **sizes))
        to.send(
            x,
            lambda dx: Op(
                "dense_backward_input", dY=dz, W=W, packed=packed_copy(to, kernel, True, matrix), dX=dx, **sizes
            ),
        )

    bias_operand = Whole("parameters", bias) if bias else None
    packed = packed_copy(b, kernel, False, matrix)
    b.record(z, Op("dense_forward", X=x, W=W, b=bias_operand, packed=packed, Y=z, **sizes), backward)
    return z


def dense_at_positions(b: Builder, x: Tensor, kernel: Parameter) -> Tensor:
    """Z (P,R,N): Zᵢ = Xᵢ Wᵢ for X (P,R,K) and W (P,K,N), a matrix for each position; backward: dWᵢ = Xᵢᵀ dZᵢ, dX.

    The rows of a position are brought together before its product, and parted after it.
    """
    positions, rows, k = x.shape
    n = kernel.shape[-1] if len(kernel.shape) == 3 else kernel.size // (positions * k)
    sizes: dict[str, Any] = {"rows": rows, "n": n, "k": k}
    z = Tensor((positions, rows, n), x.differentiable or kernel in b.trained)

    def gathered(whole: Tensor, i: int) -> tuple[Tensor, Op]:
        part = Tensor(whole.shape[1:])
        return part, between(part_of(whole, i * part.size), part, whole.size, part.size)

    def scattered(part: Tensor, whole: Tensor, i: int) -> Op:
        return between(part, part_of(whole, i * part.size), part.size, whole.size)

    def between(of: Any, to: Any, x_row: int, y_row: int) -> Op:
        return Op("copy", X=of, Y=to, per_sample=1, n=min(x_row, y_row), x_row=x_row, y_row=y_row)

    ops, read = [], []
    for i in range(positions):
        xi, gather = gathered(x, i)
        zi = Tensor((rows, n))
        W = Whole("parameters", kernel, part=i * k * n)
        ops += [gather, Op("dense_forward", X=xi, W=W, Y=zi, **sizes), scattered(zi, z, i)]
        read.append(xi)

    def backward(to: Builder, dz: Tensor) -> None:
        parts = []
        for i in range(positions):
            dzi, gather = gathered(dz, i)
            to.backward.append(gather)
            parts.append(dzi)
        to.send_to_parameter(
            kernel,
            lambda at: [
                Op("dense_backward_weights", X=xi, dY=dzi, dW=part_of(at, i * k * n), **sizes)
                for i, (xi, dzi) in enumerate(zip(read, parts, strict=True))
            ],
        )
        if not x.differentiable:
            return
        dx = Tensor(x.shape)
        for i, dzi in enumerate(parts):
            dxi = Tensor((rows, k))
            W = Whole("parameters", kernel, part=i * k * n)
            to.backward += Op("dense_backward_input", dY=dzi, W=W, dX=dxi, **sizes), scattered(dxi, dx, i)
        to.add_gradient(x, dx)

    for op in ops[:-1]:
        b.emit(op)
    b.record(z, ops[-1], backward)
    return z


def packed_copy(b: Builder, kernel: Parameter, transposed: bool, shape: tuple[int, int], rows: int = 0) -> Operand:
    """The packed copy of the kernel, as a matrix of `shape`, that a product reads, if there is one; see `Packed`."""
    place = b.packed.place(kernel, transposed, shape, rows) if b.packed else None
    return None if place is None else Whole("packed", kernel, place)


def made_copy(b: Builder, w: Tensor, shape: tuple[int, int], rows: int = 0) -> list[Op]:
    """The operation that makes such a copy, for X W, of what a step makes; none where products read it."""
    if b.packed is None:
        return []
    k, n = shape
    size = b.packed.table.packed_bytes(b.packed.precision, False, k, n, rows)
    if not size:
        return []
    copy = Tensor((size // b.packed.values.itemsize,), per_sample=False)
    precision = PRECISIONS[b.packed.precision]
    return [Op("pack", W=w, packed=copy, k=k, n=n, precision=precision, fixed=k, block=PACK_ROWS)]

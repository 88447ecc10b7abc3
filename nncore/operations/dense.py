"""The products of a fully connected layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore._kernels.table import PACK_ROWS, PRECISIONS
from nncore.compiler.operation import SPAN_ELEMENTS, Op, Operand, Tensor, Whole
from nncore.operations.parameters import send_column_sums

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.parameter import Parameter
    from nncore.state import Array


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
    """Z (R,P,N): Z[:,p] = X[:,p] W[p] for X (R,P,K) and W (P,K,N), a matrix for each position; backward: dW, dX."""
    rows, positions, k = x.shape
    n = kernel.shape[-1] if len(kernel.shape) == 3 else kernel.size // (positions * k)
    z = Tensor((rows, positions, n), x.differentiable or kernel in b.trained)
    W = Whole("parameters", kernel)
    sizes: dict[str, Any] = {"rows": rows, "positions": positions, "n": n, "k": k, "cost": 2 * x.size * n}
    samples = {"block": max(1, SPAN_ELEMENTS // max(x.size, z.size)), **sizes}

    def backward(to: Builder, dz: Tensor) -> None:
        to.send_to_parameter(
            kernel,
            lambda dW: Op("dense_at_positions_backward_weights", X=x, dY=dz, dW=dW, fixed=positions, **sizes),
        )
        to.send(x, lambda dx: Op("dense_at_positions_backward_input", dY=dz, W=W, dX=dx, **samples))

    b.record(z, Op("dense_at_positions", X=x, W=W, Y=z, **samples), backward)
    return z


def transposed_dense(b: Builder, x: Tensor, kernel: Parameter, shape: tuple[int, int]) -> Tensor:
    """Z = X Wᵀ over the last axis, W of this shape (n,k); backward: dW = dZᵀ X, dX = dZ W."""
    n, k = shape
    z = Tensor((*x.shape[:-1], n), x.differentiable or kernel in b.trained)
    W = Whole("parameters", kernel)
    sizes: dict[str, Any] = {"rows": x.size // k, "n": k, "k": n}  # as the operations call those of W
    if b.packed:
        sizes["precision"] = PRECISIONS[b.packed.precision]

    def backward(to: Builder, dz: Tensor) -> None:
        to.send_to_parameter(kernel, lambda dW: Op("dense_backward_weights", X=dz, dY=x, dW=dW, **sizes))
        to.send(
            x, lambda dx: Op("dense_forward", X=dz, W=W, packed=packed_copy(to, kernel, False, shape), Y=dx, **sizes)
        )

    packed = packed_copy(b, kernel, True, shape)
    b.record(z, Op("dense_backward_input", dY=x, W=W, packed=packed, dX=z, **sizes), backward)
    return z


def fixed_product(b: Builder, x: Tensor, matrix: Array) -> Tensor:
    """Z = X R over the last axis, R (k,n) of numbers that nothing changes; backward: dX = dZ Rᵀ."""
    k, n = matrix.shape
    z = Tensor((*x.shape[:-1], n), x.differentiable)
    R, sizes = b.constant(matrix.ravel().tolist()), {"rows": x.size // k, "n": n, "k": k}
    b.record(
        z,
        Op("dense_forward", X=x, W=R, Y=z, **sizes),
        lambda to, dz: to.send(x, lambda dx: Op("dense_backward_input", dY=dz, W=R, dX=dx, **sizes)),
    )
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

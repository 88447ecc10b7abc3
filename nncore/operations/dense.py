"""The products of a fully connected layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore._kernels.table import PRECISIONS
from nncore.compiler.operation import Op, Operand, Tensor, Whole
from nncore.operations.parameters import send_column_sums

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.state import Parameter


def dense(b: Builder, x: Tensor, kernel: Parameter, bias: Parameter | None) -> Tensor:
    """Z = X W + b over the last axis; backward: dW = Xᵀ dZ, db = Σ dZ, dX = dZ Wᵀ."""
    k, n = kernel.shape
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
            lambda dx: Op("dense_backward_input", dY=dz, W=W, packed=packed_copy(to, kernel, True), dX=dx, **sizes),
        )

    bias_operand = Whole("parameters", bias) if bias else None
    packed = packed_copy(b, kernel, False)
    b.record(z, Op("dense_forward", X=x, W=W, b=bias_operand, packed=packed, Y=z, **sizes), backward)
    return z


def packed_copy(b: Builder, kernel: Parameter, transposed: bool) -> Operand:
    """The packed copy that a product reads, if there is one."""
    place = b.packed.place(kernel, transposed) if b.packed else None
    return None if place is None else Whole("packed", kernel, place)

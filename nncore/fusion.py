"""Joining operations: an activation to the product that feeds it, its derivative to the product that makes its dX.

The loss joins its softmax or sigmoid when it is emitted (`Builder.detach_last`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncore._kernels.table import ACTIVATION_KEPT, ACTIVATIONS

if TYPE_CHECKING:
    from nncore.operations import Op, Tensor

KEPT = {ACTIVATIONS[name]: kept for name, kept in ACTIVATION_KEPT.items()}


def fuse(forward: list[Op], backward: list[Op], keep: Tensor) -> None:
    """Fuse in place; the memory of `keep` stays what it is."""
    for op in [op for op in forward if op.kind == "activate"]:
        fuse_forward(op, forward, backward, keep)
    for op in [op for op in backward if op.kind == "activate_backward"]:
        fuse_backward(op, backward)


def fuse_forward(op: Op, forward: list[Op], backward: list[Op], keep: Tensor) -> None:
    """Y = f(X W + b) in one product, where nothing else reads Z (its own derivative may)."""
    z, y = op.operands
    product = next((p for p in forward if p.kind == "dense_forward" and p.operands[3] is z), None)
    if product is not None and product.variant != ACTIVATIONS["linear"]:
        return  # z is the output of another activation, which this product has taken already
    readers = [p for p in forward + backward if p is not product and p is not op and p.touches(z)]
    own = [p for p in readers if p.kind == "activate_backward" and p.operands[0] is z]
    if product is None or len(own) != len(readers) or z is keep.root:
        return
    product.variant, product.param = op.variant, op.param
    product.cost += op.cost
    product.operands[3] = y
    product.operands[4] = z if KEPT[op.variant] == "Z" and own else None
    forward.remove(op)


def fuse_backward(op: Op, backward: list[Op]) -> None:
    """dZ = (dY' Wᵀ) ⊙ f′(kept) in one product, where the product alone makes dY and nothing else reads it."""
    kept, dy, dz = op.operands
    touching = [p for p in backward if p is not op and p.touches(dy)]
    if len(touching) != 1 or touching[0].kind != "dense_backward_input" or touching[0].operands[3] is not dy:
        return
    product = touching[0]
    if product.operands[2] is not None:
        return  # it has taken the derivative of the activation above already
    product.variant, product.param = op.variant, op.param
    product.cost += op.cost
    product.operands[2], product.operands[3] = kept, dz
    backward.remove(op)

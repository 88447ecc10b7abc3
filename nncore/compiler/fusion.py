"""Joining operations: an activation to the product that feeds it, its derivative to the product that makes its dX.

What may be joined is decided by which operation makes a tensor and by how many touch it, counted once: the time is
linear in the number of operations. The loss joins its softmax or sigmoid when it is emitted (`Builder.detach_last`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nncore._kernels.table import ACTIVATION_KEPT, ACTIVATIONS

if TYPE_CHECKING:
    from nncore.compiler.operation import Op, Tensor

KEPT = {ACTIVATIONS[name]: kept for name, kept in ACTIVATION_KEPT.items()}


def fuse(forward: list[Op], backward: list[Op], keep: Tensor) -> tuple[list[Op], list[Op]]:
    """Both sections with what can be joined joined; the memory of `keep` stays what it is."""
    touched = Counter(root for op in (*forward, *backward) for root in op.roots())  # by how many operations
    return fuse_forward(forward, backward, touched, keep), fuse_backward(backward, touched)


def fuse_forward(forward: list[Op], backward: list[Op], touched: Counter[int], keep: Tensor) -> list[Op]:
    """Y = f(X W + b) in one product, where nothing else reads Z (its own derivative may)."""
    products = {id(op.operands[3]): op for op in forward if op.kind == "dense_forward"}
    derivatives = Counter(id(op.operands[0]) for op in backward if op.kind == "activate_backward")  # that read Z
    left = []
    for op in forward:
        z = op.operands[0]
        product = products.get(id(z)) if op.kind == "activate" else None
        own = derivatives[id(z)]
        if product is None or touched[id(z)] != 2 + own or z is keep.root:
            left.append(op)
            continue
        take(product, op)
        product.operands[3] = op.operands[1]
        product.operands[4] = z if KEPT[op.variant] == "Z" and own else None
    return left


def fuse_backward(backward: list[Op], touched: Counter[int]) -> list[Op]:
    """dZ = (dY' Wᵀ) ⊙ f′(kept) in one product, where the product alone makes dY and nothing else reads it."""
    products = {id(op.operands[3]): op for op in backward if op.kind == "dense_backward_input"}
    left = []
    for op in backward:
        dy = op.operands[1]
        product = products.get(id(dy)) if op.kind == "activate_backward" else None
        if product is None or touched[id(dy)] != 2:
            left.append(op)
            continue
        take(product, op)
        product.operands[2], product.operands[3] = op.operands[0], op.operands[2]
    return left


def take(product: Op, op: Op) -> None:
    """Let `product` do what the elementwise `op` does."""
    product.variant, product.param = op.variant, op.param
    product.cost += op.cost

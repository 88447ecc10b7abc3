"""Joining operations: an activation to what makes its inputs, its derivative to what makes the gradient it takes.

Which operations can join is declared (operations.def: fusion); whether two do is decided by which operation makes a
tensor and by how many touch it, counted once: the time is linear in the number of operations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import ACTIVATION_SAVED, ACTIVATIONS
from nncore.compiler.operation import Op, Tensor

if TYPE_CHECKING:
    from nncore.compiler.builder import Step

TAKE_ACTIVATIONS = "TAKES_ACTIVATION", "IS_STANDARDIZATION", "TAKES_STANDARDIZATION"
SAVED = {ACTIVATIONS[name]: saved for name, saved in ACTIVATION_SAVED.items()}


def fuse(
    forward: list[Step], backward: list[Step], update: list[Op], keep: Sequence[Tensor]
) -> tuple[list[Step], list[Step]]:
    """The first two sections with what can be joined joined; what `update` reads, and `keep`, stay what they are."""
    touched = Counter(root for op in (*forward, *backward, *update) for root in op.roots())  # by how many operations
    touched.update(id(y.root) for y in keep)
    backward = fuse_repeated(backward, touched)
    return fuse_forward(forward, backward, touched), fuse_backward(backward, touched)


def operations(steps: list[Step]) -> Iterator[Any]:
    """The operations among them that are no part of a group."""
    return (step for step in steps if isinstance(step, Op))


def fuse_forward(forward: list[Step], backward: list[Step], touched: Counter[int]) -> list[Step]:
    """Y = f(X W + b) in one operation, where nothing else reads Z (its own derivative may)."""
    forward = fuse_standardization(forward, touched)
    makers = {id(op.Y): op for op in operations(forward) if op.fusion in TAKE_ACTIVATIONS}
    derivatives = Counter(id(op.saved) for op in operations(backward) if op.fusion == "IS_DERIVATIVE")  # that read Z
    left: list[Step] = []
    op: Any
    for op in forward:
        maker = makers.get(id(op.Z)) if op.fusion == "IS_ACTIVATION" else None
        if maker is None or touched[id(op.Z)] != 2 + derivatives[id(op.Z)]:
            left.append(op)
            continue
        take(maker, op)
        maker.Z = op.Z if SAVED[op.function] == "Z" and derivatives[id(op.Z)] else None
        maker.Y = op.Y
    return left


def fuse_standardization(forward: list[Step], touched: Counter[int]) -> list[Step]:
    """Z = γ ⊙ (X W + b − μ) / √(σ² + ε) + β in one operation, by numbers made first.

    Where a step trains γ, or μ follows the batch, X is read by more operations than these two, and stays as it is.
    """
    makers = {id(op.Y): op for op in operations(forward) if op.fusion == "TAKES_STANDARDIZATION"}
    first: list[Step] = []
    left: list[Step] = []
    op: Any
    for op in forward:
        maker = makers.get(id(op.X)) if op.fusion == "IS_STANDARDIZATION" else None
        if maker is None or touched[id(op.X)] != 2:
            left.append(op)
            continue
        numbers = {"mean": op.mean, "variance": op.variance, "gamma": op.gamma, "beta": op.beta}
        maker.affine = Tensor((3, op.n), per_sample=False)
        first.append(Op("affine", Y=maker.affine, n=op.n, epsilon=op.epsilon, fixed=op.n, **numbers))
        maker.cost += op.cost
        maker.Y = op.Y
    return first + left


def fuse_backward(backward: list[Step], touched: Counter[int]) -> list[Step]:
    """dZ = (dY' Wᵀ) ⊙ f′(saved) in one operation, where that alone makes dY and nothing else reads it."""
    makers = {id(op.dX): op for op in operations(backward) if op.fusion == "TAKES_DERIVATIVE"}
    left: list[Step] = []
    op: Any
    for op in backward:
        maker = makers.get(id(op.dY)) if op.fusion == "IS_DERIVATIVE" else None
        if maker is None or touched[id(op.dY)] != 2:
            left.append(op)
            continue
        take(maker, op)
        maker.saved, maker.dX = op.saved, op.dZ
    return left


def fuse_repeated(backward: list[Step], touched: Counter[int]) -> list[Step]:
    """dY ⊙ f′ where it is read, by operations that compute what f was of once more: nothing else may read it."""
    readers: dict[int, list[Any]] = {}
    for reader in operations(backward):
        if reader.fusion == "REPEATS_ACTIVATION":
            readers.setdefault(id(reader.dY), []).append(reader)
    left: list[Step] = []
    op: Any
    for op in backward:
        takers = readers.get(id(op.dZ), []) if op.fusion == "IS_DERIVATIVE" else []
        if not takers or touched[id(op.dZ)] != 1 + len(takers):
            left.append(op)
            continue
        touched.subtract(op.roots().keys())
        for taker in takers:
            take(taker, op)
            taker.dY = op.dY
            touched[id(op.dY.root)] += 1
    return left


def take(maker: Any, op: Any) -> None:
    """Let `maker` do what the elementwise `op` does."""
    maker.function, maker.parameters = op.function, op.parameters
    maker.cost += op.cost

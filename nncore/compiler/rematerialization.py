"""Rematerialization: in the backward pass, what is sooner computed once more than written for a batch and read again.

That is Y of a normalization, with the ReLU that it may have taken along, where chains read it that read its X, too:
they make it of a few samples at a time. The forward pass then has no need of it beyond the chain that makes it
(`place_locals`). It is the same operation on the same numbers, so all has the same bits.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import ACTIVATIONS
from nncore.compiler.operation import Op, Tensor

if TYPE_CHECKING:
    from nncore.compiler.builder import Step

CHEAP = {ACTIVATIONS["linear"], ACTIVATIONS["relu"]}


def rematerialize(forward: list[Step], backward: list[Step], needed: Collection[int], max_samples: int) -> list[Step]:
    """The backward pass with what it makes anew; tensors that are `needed` elsewhere, by id, are as before."""
    before, chains = [list(chains_of(steps)) for steps in (forward, backward)]
    users: dict[int, list[list[Step]]] = {}  # of each tensor: the chains that touch it
    for chain in (*before, *chains):
        for key in {key for step in chain for key in step.roots()}:
            users.setdefault(key, []).append(chain)
    late = {id(chain) for chain in chains}
    maker: Any
    for home in before:
        for maker in home:
            if not is_cheap(maker) or not in_parts(maker, max_samples):
                continue
            y, x = id(maker.Y), id(maker.X.root)
            others = [chain for chain in users[y] if chain is not home]
            if y in needed or not all(id(c) in late and can_make(c, x, maker.Y, max_samples) for c in others):
                continue
            for chain in others:
                make(chain, maker)
    return [step for chain in chains for step in chain]


def chains_of(steps: list[Step]) -> Iterator[list[Step]]:
    """The chains among them; what is in none, by itself."""
    first = 0
    while first < len(steps):
        step = steps[first]
        last = first + (step.chain if isinstance(step, Op) else 1)
        yield steps[first:last]
        first = last


def is_cheap(step: Any) -> bool:
    """Whether it is a normalization whose Y may be made anew."""
    if not isinstance(step, Op) or step.fusion != "IS_STANDARDIZATION":
        return False
    return step.function in CHEAP and step.Z is None and step.Y.alias_of is None


def in_parts(step: Any, max_samples: int) -> bool:
    """Whether it is an operation of a chain that goes through the batch by parts."""
    return isinstance(step, Op) and 0 < step.chain_most < max_samples


def can_make(chain: list[Step], x: int, y: Tensor, max_samples: int) -> bool:
    """Whether a chain goes through the batch by parts, with X, and reads Y itself and no view of it."""
    for step in chain:
        if not in_parts(step, max_samples):
            return False
        if any(isinstance(o, Tensor) and o.root is y and o is not y for o in step.reads()):
            return False
    return any(x in step.roots() for step in chain)


def make(chain: list[Step], maker: Any) -> None:
    """Let a chain make Y by itself, before it is read first."""
    again, y = copy.copy(maker), maker.Y
    again.Y = Tensor(y.shape, y.differentiable)
    first = next(i for i, step in enumerate(chain) if id(y) in step.roots())
    for op in chain:
        for name in op.declaration.operands:  # type: ignore[union-attr]
            if getattr(op, name) is y:
                setattr(op, name, again.Y)
    again.chain_step, again.chain_most = chain[0].chain_step, chain[0].chain_most  # type: ignore[union-attr]
    chain.insert(first, again)
    for i, op in enumerate(chain):
        op.chain = len(chain) - i  # type: ignore[union-attr]

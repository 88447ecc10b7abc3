"""Rematerialization: in the backward pass, what is sooner computed once more than written for a batch and read again.

That is Y of a normalization, with the ReLU that it may have taken along, where chains read it that read its X, too:
they make it of a few samples at a time. The forward pass then has no need of it beyond the chain that makes it
(`place_locals`). It is the same operation on the same numbers, so all has the same bits.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import ACTIVATIONS
from nncore.compiler.chains import chains_of, mark
from nncore.compiler.operation import Op, Tensor

if TYPE_CHECKING:
    from nncore.compiler.builder import Step

CHEAP = {ACTIVATIONS["linear"], ACTIVATIONS["relu"]}


def rematerialize(forward: list[Step], backward: list[Step], needed: Collection[int], max_samples: int) -> list[Step]:
    """The backward pass with what it makes anew; tensors that are `needed` elsewhere, by id, are as before."""
    homes = [chain for chain in chains_of(forward) if chain[0].chain_most < max_samples]
    makers: list[tuple[list[Op], Any]] = [(home, op) for home in homes for op in home if is_cheap(op)]
    if not makers:
        return backward
    chains = list(chains_of(backward))
    first = {id(chain[0]): chain for chain in chains}
    inside = {id(op): chain for chain in chains for op in chain}
    touching: dict[int, list[Step]] = {}
    for step in (*forward, *backward):
        for key in step.roots():
            touching.setdefault(key, []).append(step)
    for home, maker in makers:
        y = maker.Y
        others = [inside.get(id(step)) for step in touching[id(y)] if step not in home]
        if id(y) in needed or not all(chain and can_make(chain, maker, max_samples) for chain in others):
            continue
        for chain in {id(chain): chain for chain in others if chain}.values():
            make(chain, maker)
    made: list[Step] = []
    for step in backward:
        made += first.get(id(step), []) if id(step) in inside else [step]
    return made


def is_cheap(op: Any) -> bool:
    """Whether it is a normalization whose Y may be made anew."""
    return op.fusion == "IS_STANDARDIZATION" and op.function in CHEAP and op.Z is None and op.Y.alias_of is None


def can_make(chain: list[Op], maker: Any, max_samples: int) -> bool:
    """Whether a chain goes through the batch by parts, with X, and reads Y itself and no view of it."""
    if chain[0].chain_most >= max_samples or any(op.touches_view_of(maker.Y) for op in chain):
        return False
    return any(id(maker.X.root) in op.roots() for op in chain)


def make(chain: list[Op], maker: Any) -> None:
    """Let a chain make Y by itself, before it is read first."""
    again, y = copy.copy(maker), maker.Y
    again.Y = Tensor(y.shape, y.differentiable)
    first = next(i for i, op in enumerate(chain) if id(y) in op.roots())
    for op in chain:
        op.put(again.Y, y)
    chain.insert(first, again)
    mark(chain, chain[-1].chain_step, chain[-1].chain_most)

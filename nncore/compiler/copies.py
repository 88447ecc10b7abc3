"""Copies that nothing needs: the gradient of a sum is that of each of its terms, so they may be one tensor."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from nncore.compiler.operation import Op, Tensor, roots

if TYPE_CHECKING:
    from nncore.compiler.builder import Step


def without_copies(backward: list[Step], needed: Collection[int]) -> list[Step]:
    """The steps without copies Y of X for which X may stand; tensors that are `needed` elsewhere, by id, stay.

    It may where neither is written while the other is still to be touched. The time is linear in the number of steps.
    """
    if not any(map(is_copy, backward)):
        return backward
    touching: dict[int, list[Step]] = {}  # the steps that touch a tensor, and
    last: dict[int, int] = {}  # the place of the last of them
    written: dict[int, list[int]] = {}  # places where it is written
    for i, step in enumerate(backward):
        for key in step.roots():
            touching.setdefault(key, []).append(step)
            last[key] = i
        for key in roots(step.writes()):
            written.setdefault(key, []).append(i)
    left: list[Step] = []
    copy: Any
    for i, copy in enumerate(backward):
        if not is_copy(copy):
            left.append(copy)
            continue
        x, y = copy.X, copy.Y
        users = [step for step in touching[id(y)] if isinstance(step, Op) and not step.touches_view_of(y)]
        next_x, next_y = (after(written.get(id(t), []), i) for t in (x, y))
        fixed = id(x) in needed or id(y) in needed or len(users) < len(touching[id(y)])
        if fixed or last[id(y)] >= next_x or last[id(x)] >= next_y:
            left.append(copy)
            continue
        last[id(x)] = max(last[id(x)], last[id(y)])
        if next_y < math.inf:
            written[id(x)] = written[id(y)]
        for op in users:
            op.put(x, y)
    return left


def is_copy(step: Any) -> bool:
    """Whether all that it does is to copy one tensor of the workspace to another."""
    if not isinstance(step, Op) or step.kind != "rescale" or (step.scale, step.offset) != (1, 0):
        return False
    return all(
        isinstance(o, Tensor) and o.alias_of is None and o.buffer == "workspace" and o.per_sample
        for o in (step.X, step.Y)
    )


def after(places: list[int], i: int) -> float:
    """The first of these beyond i; infinity, if there is none."""
    at = bisect_right(places, i)
    return places[at] if at < len(places) else math.inf

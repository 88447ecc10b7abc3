"""Tensors that are parts of others."""

from __future__ import annotations

from nncore.compiler.operation import Op, Tensor


def test_a_part_of_a_part_is_a_part_of_the_whole() -> None:
    whole = Tensor((10,))
    part = Tensor((6,), alias_of=whole, offset=4)
    inner = Tensor((2,), alias_of=Tensor((2, 1), alias_of=part, offset=3))
    assert inner.root is part.root is whole.root is whole
    assert (part.offset, inner.offset) == (4, 7)


def test_a_long_chain_of_parts() -> None:
    first = last = Tensor((4,))
    for _ in range(10_000):
        last = Tensor((2, 2), alias_of=last)
    assert last.root is first


def test_roots_are_named_once() -> None:
    x, y = Tensor((4,)), Tensor((4,))
    assert Op("add", [x, Tensor((2, 2), alias_of=x), y, None]).roots() == {id(x): x, id(y): y}

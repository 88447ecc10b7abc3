"""By which way convolutions are computed: at points (winograd.h) where that takes less time."""

from __future__ import annotations

import pytest

from nncore.layers.windows import Axis
from nncore.operations.winograd import pays


def same(length: int, size: int, **more: int) -> Axis:
    return Axis(length, size, before=size // 2, out=length, **more)


@pytest.mark.parametrize(
    ("axes", "channels", "n", "expected"),
    [
        ([same(32, 3), same(32, 3)], 16, 16, True),
        ([same(7, 3), same(9, 3)], 8, 17, True),
        ([same(7, 1), Axis(9, 5, out=5)], 16, 9, True),
        ([same(7, 3, dilation=2), same(9, 5)], 9, 8, True),
        ([same(100, 5)], 16, 16, True),
        ([same(32, 3), same(32, 3)], 3, 16, False),  # of few channels
        ([same(32, 3), same(32, 3)], 16, 6, False),  # filters
        ([same(100, 3)], 8, 16, False),  # products of 8 numbers
        ([same(32, 3), same(32, 3, stride=2)], 16, 16, False),
        ([same(32, 3), same(32, 3, dilation=2)], 16, 16, False),
        ([same(32, 7), same(32, 7)], 16, 16, False),
        ([same(4, 3), same(4, 3)], 512, 512, False),  # filters for few windows
        ([same(40, 3), Axis(3, 3, out=1)], 16, 16, False),  # three quarters of a tile for nothing
        ([same(32, 3), same(32, 3)], 20_000, 16, False),  # more than a thread has room for
    ],
)
def test_where_points_pay(axes: list[Axis], channels: int, n: int, expected: bool) -> None:
    assert pays(axes, channels, n) is expected

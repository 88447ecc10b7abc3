"""Reals to numbers of intervals, and whole numbers to columns that count them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncore.compiler.operation import Op, Tensor, Whole
from nncore.operations.data import real

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.parameter import Parameter


def digitize(b: Builder, x: Tensor, boundaries: Parameter) -> Tensor:
    """Y = how many of the boundaries, which rise, are ≤ X, as int32; no gradient."""
    y = Tensor(x.shape, integer=True)
    b.emit(Op("digitize", X=real(b, x), boundaries=Whole("parameters", boundaries), Y=y, n=boundaries.size))
    return y


def count_numbers(
    b: Builder, x: Tensor, k: int, n: int, *, once: bool = False, scale: Parameter | None = None
) -> Tensor:
    """Y (rows, n): of each row of k of the int32 numbers X how often it holds 0 … n − 1; no gradient.

    `once`: 1 where it does; the counts times `scale` (n). Numbers outside of 0 … n − 1 are left out.
    """
    rows = x.size // k
    y = Tensor((rows, n))
    factors = Whole("parameters", scale) if scale else None
    b.emit(Op("count_numbers", X=x, scale=factors, Y=y, k=k, n=n, once=int(once), per_sample=rows))
    return y

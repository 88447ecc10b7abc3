"""Winograd's minimal filtering by the construction of Toom and Cook, in exact fractions: y = Aᵀ ((G w) ⊙ (Bᵀ d)).

A window's sums are those of a product of polynomials, which six values determine: at five numbers and, for the highest
coefficients, at infinity. Bᵀ has for each number p the polynomial that is 0 at all others, for infinity the one that is
0 at all; G the powers of p over what that polynomial is at p; Aᵀ the powers of p.
"""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
NUMBERS = [Fraction(n, 4) for n in (0, 3, -3, 6, -6)]
POINTS = len(NUMBERS) + 1


def by_roots(roots: list[Fraction]) -> list[Fraction]:
    """The coefficients of Π (x − root), the constant first."""
    made = [Fraction(1)]
    for root in roots:
        made = [a - root * b for a, b in zip([Fraction(0), *made], [*made, Fraction(0)], strict=True)]
    return made


def matrices(size: int) -> tuple[list[list[Fraction]], ...]:
    """Aᵀ (windows, POINTS), G (POINTS, size), Bᵀ (POINTS, POINTS), for windows of `size` places."""
    windows = POINTS + 1 - size
    others = [[q for q in NUMBERS if q != p] for p in NUMBERS]
    scales = [prod(p - q for q in rest) for p, rest in zip(NUMBERS, others, strict=True)]
    zero, one = Fraction(0), Fraction(1)
    a = [[p**i for p in NUMBERS] + [one if i == windows - 1 else zero] for i in range(windows)]
    g = [[p**j / scale for j in range(size)] for p, scale in zip(NUMBERS, scales, strict=True)]
    g.append([one if j == size - 1 else zero for j in range(size)])
    b = [[*by_roots(rest), zero] for rest in others] + [by_roots(NUMBERS)]
    return a, g, b


def in_float64(size: int) -> list[Array]:
    return [np.array([[float(x) for x in row] for row in m]) for m in matrices(size)]


def filters_at_points(w: Array) -> Array:
    """U (POINTS, size_h, C, N) of filters (size_h, size_w, C, N)."""
    return np.einsum("pj,hjcn->phcn", in_float64(w.shape[1])[1], w.astype(np.float64))


def filters_from_points(du: Array, size: int) -> Array:
    """The gradient of filters of that at points."""
    return np.einsum("pj,phcn->hjcn", in_float64(size)[1], du.astype(np.float64))


def weights_at_points(x: Array, dy: Array, shape: tuple[int, ...], stride: int, dilation: int, pads: Any) -> Array:
    """dU of filters of `shape`, tile by tile: the outer products of what tiles of X and of dY are at each point."""
    size_h, size_w, channels, n = shape
    a, _, b = in_float64(size_w)
    windows = len(a)
    tiles = -(-dy.shape[2] // windows)
    right = tiles * windows + size_w - 1 - x.shape[2] - pads[1][0]
    x = np.pad(x.astype(np.float64), [(0, 0), pads[0], (pads[1][0], max(right, 0)), (0, 0)])
    dy = np.pad(dy.astype(np.float64), [(0, 0), (0, 0), (0, tiles * windows - dy.shape[2]), (0, 0)])
    du = np.zeros((POINTS, size_h, channels, n))
    for line in range(dy.shape[1]):
        for t in range(0, tiles * windows, windows):
            made = np.einsum("ip,bin->bpn", a, dy[:, line, t : t + windows])
            for i in range(size_h):
                seen = x[:, line * stride + i * dilation, t : t + POINTS]
                du[:, i] += np.einsum("pd,bdc,bpn->pcn", b, seen, made)
    return du

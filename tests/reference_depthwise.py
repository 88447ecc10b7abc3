"""Windows that slide over images, a kernel of its own for each channel, in plain float64 NumPy: each place of a window
by itself, on an image with zeros around it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Way(NamedTuple):
    """How windows lie along an axis."""

    length: int
    size: int
    stride: int
    dilation: int
    before: int
    out: int

    @property
    def room(self) -> int:
        """Places of the axis with enough zeros behind it."""
        return self.before + self.length + self.size * self.dilation + self.out * self.stride

    def places(self, k: int) -> slice:
        """Where place k of all windows is, zeros included."""
        first = k * self.dilation
        return slice(first, first + (self.out - 1) * self.stride + 1, self.stride)

    @property
    def own(self) -> slice:
        """Where the image is, zeros included."""
        return slice(self.before, self.before + self.length)


def way(length: int, size: int, stride: int, dilation: int, padding: str) -> Way:
    """By TensorFlow's rules, which Keras has."""
    reach = (size - 1) * dilation + 1
    if padding == "valid":
        return Way(length, size, stride, dilation, 0, len(range(0, length - reach + 1, stride)))
    out = len(range(0, length, stride))
    return Way(length, size, stride, dilation, max((out - 1) * stride + reach - length, 0) // 2, out)


def sizes_of(n: int, down: Way, across: Way) -> dict[str, Any]:
    """What the operations are told of it."""
    sizes = {"n": n, "height": down.length, "width": across.length, "top": down.before, "left": across.before}
    for name, way in (("h", down), ("w", across)):
        sizes |= {f"out_{name}": way.out, f"size_{name}": way.size, f"stride_{name}": way.stride}
        sizes[f"dilation_{name}"] = way.dilation
    return sizes


def with_zeros(x: Array, down: Way, across: Way) -> Array:
    """X (B,h,w,n) with zeros around it."""
    big = np.zeros((len(x), down.room, across.room, x.shape[-1]))
    big[:, down.own, across.own] = x
    return big


def depthwise(x: Array, w: Array, down: Way, across: Way) -> Array:
    """Σ X ⊙ W, (B,oh,ow,n m), of X (B,h,w,n) and W (kh,kw,n,m)."""
    big, y = with_zeros(x, down, across), np.zeros((len(x), down.out, across.out, *w.shape[2:]))
    for i in range(down.size):
        for j in range(across.size):
            y += big[:, down.places(i), across.places(j), :, None] * w[i, j]
    return y.reshape(*y.shape[:3], -1)


def depthwise_backward(x: Array, w: Array, dy: Array, down: Way, across: Way) -> tuple[Array, Array]:
    """DX (B,h,w,n), and of each sample dW (B,kh,kw,n), of W (kh,kw,n) and dY (B,oh,ow,n)."""
    big = with_zeros(x, down, across)
    dx, dw = np.zeros_like(big), np.zeros((len(x), *w.shape))
    for i in range(down.size):
        for j in range(across.size):
            at = (slice(None), down.places(i), across.places(j))
            dx[at] += w[i, j] * dy
            dw[:, i, j] = (big[at] * dy).sum((1, 2))
    return dx[:, down.own, across.own], dw

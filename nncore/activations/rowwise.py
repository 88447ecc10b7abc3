"""Activations along axes, whose kernels work on rows: the numbers of the axes, one after another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nncore._kernels import elementwise
from nncore.activations.base import ACTIVATIONS, Activation
from nncore.arguments import is_whole
from nncore.conversion import Array
from nncore.graph import Shape
from nncore.registry import immutable
from nncore.runtime import kernels


class AlongAxes(Activation):
    """Base of those that make each row of an axis, or of several, a row of the same length.

    Attributes
    ----------
    axis : int or tuple of int
        Counted with the batch as 0, as in Keras.
    several : bool
        Whether it may be several.
    """

    axis: Any
    several = True

    def __post_init__(self) -> None:
        given = self.axis if self.several and isinstance(self.axis, (tuple, list)) else [self.axis]
        if not given or not all(map(is_whole, given)):
            expected = "a whole number, or a tuple of these" if self.several else "a whole number"
            raise ValueError(f"axis: expected {expected}, got {self.axis!r}")
        axes = tuple(int(axis) for axis in given)
        object.__setattr__(self, "axis", axes if isinstance(self.axis, (tuple, list)) else axes[0])

    def axes(self, dimensions: int) -> list[int]:
        """The axes of an array of so many, from 0 on, in their order."""
        given = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        axes = sorted({axis + dimensions if axis < 0 else axis for axis in given})
        if len(axes) < len(given) or axes[0] < 0 or axes[-1] >= dimensions:
            raise ValueError(f"axis: expected different axes of the {dimensions} of the inputs, got {self.axis!r}")
        return axes

    def sample_axes(self, shape: Shape) -> list[int]:
        """The axes of a sample, from 0 on; a ValueError where the batch is among them."""
        axes = self.axes(len(shape) + 1)
        if axes[0] == 0:
            raise ValueError(
                f"axis: expected axes of a sample of inputs (batch, {', '.join(map(str, shape))}), got {self.axis!r}: "
                "axis 0 is the batch, whose samples do not know of one another"
            )
        return [axis - 1 for axis in axes]

    def output_shape(self, shape: Shape) -> Shape:
        """The same."""
        self.sample_axes(shape)
        return shape

    def computed(self, z: Array) -> Array:
        """Y of an array of float32 or float64: its axes last, then back."""
        axes = self.axes(z.ndim)
        last = list(range(z.ndim - len(axes), z.ndim))
        moved = np.ascontiguousarray(np.moveaxis(z, axes, last))
        y = np.empty_like(moved)
        rows = math.prod(moved.shape[: last[0]]) if z.size else 0
        elementwise.apply_rowwise(kernels(z.dtype.name), self.kernel, moved, y, rows)
        return np.ascontiguousarray(np.moveaxis(y, last, axes))


@ACTIVATIONS.register()
@immutable
class Softmax(AlongAxes):
    """f(z)ⱼ = e^(zⱼ − max z) / Σₖ e^(zₖ − max z) along an axis: outputs ≥ 0 that sum to one in every row.

    Parameters
    ----------
    axis : int or tuple of int, default -1
        The axis, with the batch as 0; several are one row together.

    Raises
    ------
    ValueError
        `axis` is none of the inputs' axes, or the batch of a layer's inputs.
    """

    axis: Any = -1


@ACTIVATIONS.register()
@immutable
class LogSoftmax(AlongAxes):
    """f(z)ⱼ = zⱼ − max z − log Σₖ e^(zₖ − max z) along an axis: the logarithm of softmax, also where that is 0.

    Parameters
    ----------
    axis : int or tuple of int, default -1
        The axis, with the batch as 0; several are one row together.

    Raises
    ------
    ValueError
        `axis` is none of the inputs' axes, or the batch of a layer's inputs.
    """

    axis: Any = -1


@ACTIVATIONS.register()
@immutable
class Sparsemax(AlongAxes):
    """f(z)ⱼ = max(zⱼ − τ, 0) along an axis, with τ such that Σⱼ f(z)ⱼ = 1: outputs ≥ 0, many of them 0.

    It is the point nearest to z among the distributions.

    Parameters
    ----------
    axis : int, default -1
        The axis, with the batch as 0.

    Raises
    ------
    ValueError
        `axis` is none of the inputs' axes, or the batch of a layer's inputs.

    References
    ----------
    A. F. T. Martins, R. F. Astudillo: From softmax to sparsemax, ICML 2016, arXiv:1602.02068. C. Michelot: A finite
    algorithm for finding the projection of a point onto the canonical simplex of Rⁿ, JOTA 50 (1986).
    """

    axis: Any = -1
    several = False


@ACTIVATIONS.register()
@immutable
class Ascending(AlongAxes):
    """f(z)ⱼ = z₀ + Σ softplus(zₖ) over 0 < k ≤ j along an axis: outputs that increase, such as quantiles.

    Parameters
    ----------
    axis : int, default -1
        The axis, with the batch as 0.

    Raises
    ------
    ValueError
        `axis` is none of the inputs' axes, or the batch of a layer's inputs.
    """

    axis: Any = -1
    several = False


@ACTIVATIONS.register()
@immutable
class Glu(AlongAxes):
    """f(a, b) = a ⊙ sigmoid(b), of the halves a and b of an axis: the outputs have half as many numbers there.

    Parameters
    ----------
    axis : int, default -1
        The axis, with the batch as 0.

    Raises
    ------
    ValueError
        `axis` is none of the inputs' axes, or the batch of a layer's inputs, or of an odd length.

    References
    ----------
    Y. N. Dauphin et al.: Language modeling with gated convolutional networks, ICML 2017, arXiv:1612.08083.
    """

    axis: Any = -1
    several = False

    def halved(self, shape: Shape, axis: int) -> Shape:
        """`shape` with half as many along `axis`."""
        if shape[axis] % 2:
            raise ValueError(f"glu: expected an even number along axis {self.axis}, got {shape[axis]}")
        return (*shape[:axis], shape[axis] // 2, *shape[axis + 1 :])

    def output_shape(self, shape: Shape) -> Shape:
        """Half as many along the axis."""
        return self.halved(shape, self.sample_axes(shape)[0])

    def computed(self, z: Array) -> Array:
        """Y of a contiguous array: whatever the axis, the halves of what begins there are one behind the other."""
        [axis] = self.axes(z.ndim)
        y = np.empty(self.halved(z.shape, axis), z.dtype)
        rows = math.prod(z.shape[:axis]) if z.size else 0
        elementwise.apply_rowwise(kernels(z.dtype.name), self.kernel, z, y, rows)
        return y

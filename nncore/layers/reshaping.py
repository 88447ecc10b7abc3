"""Layers that change shapes and scales only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.arguments import check_count, is_number, is_whole
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.layers.windows import check_data_format, to_channels_last
from nncore.operations import rescale, reshape
from nncore.operations.arrangement import repeat, transpose
from nncore.operations.normalization import scale_columns
from nncore.sizes import is_open

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


@LAYERS.register()
class Flatten(Layer):
    """(B, d1, d2, …) → (B, d1 d2 …), the last axis fastest; costs nothing.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"} or None, default None
        "channels_first": the first axis of a sample is brought behind the others first, which costs a copy, so that the
        elements come as those of "channels_last".
    name : str, optional
    """

    def __init__(self, data_format: str | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.data_format = check_data_format(data_format)

    def output_shape(self, *shapes: Shape) -> Shape:
        """One axis."""
        return (math.prod(shapes[0]),)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The same elements in one axis."""
        x = to_channels_last(b, inputs[0], self.data_format)
        return reshape(b, x, self.output_shape(x.shape))


@LAYERS.register()
class Reshape(Layer):
    """(B, …) → (B, *target_shape), in row-major order; costs nothing.

    Parameters
    ----------
    target_shape : tuple of int
        Without the batch axis; one entry may be −1, or None, and is inferred.
    name : str, optional
    """

    def __init__(self, target_shape: Any, name: str | None = None) -> None:
        super().__init__(name)
        shape: tuple[Any, ...] = (target_shape,)
        if isinstance(target_shape, (tuple, list)):
            shape = tuple(-1 if n is None else n for n in target_shape)
        if not all(is_whole(n) and (n > 0 or n == -1) for n in shape):
            raise ValueError(
                f"target_shape: expected positive sizes, at most one of them -1, got {target_shape!r} "
                f"(Expected each to be a non-negative integer or -1. Received: target_shape={shape})"
            )
        if shape.count(-1) > 1:
            raise ValueError(
                f"target_shape: expected at most one -1, got {target_shape!r} "
                f"(There must be at most one unknown dimension. Received: target_shape={shape})"
            )
        self.target_shape = tuple(int(n) for n in shape)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The target shape, with −1 filled in."""
        total = math.prod(shapes[0])
        known = math.prod(n for n in self.target_shape if n != -1)
        shape = tuple(total // known if n == -1 else n for n in self.target_shape)
        if math.prod(shape) != total:
            raise ValueError(
                f"Reshape: expected a target_shape of {total} elements for an input of shape {shapes[0]}, "
                f"got {self.target_shape}"
            )
        return shape

    def made_shape(self, *shapes: Shape) -> Shape:
        """The target shape, also where sizes are open: the data have to have as many elements, then."""
        return self.target_shape if is_open(shapes) and -1 not in self.target_shape else super().made_shape(*shapes)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The same elements in another shape."""
        return reshape(b, inputs[0], self.output_shape(inputs[0].shape))


Numbers = float | tuple[float, ...]


def check_numbers(value: Any, argument: str) -> Numbers:
    """A finite number as a float, or a sequence of them as a tuple; else a ValueError."""
    several = isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim == 1)
    each = tuple(value) if several else (value,)
    if not each or not all(is_number(v) and math.isfinite(v) for v in each):
        raise ValueError(f"{argument}: expected a finite number, or a sequence of them, got {value!r}")
    return tuple(float(v) for v in each) if several else float(value)


@LAYERS.register()
class Rescaling(Layer):
    """Y = scale X + offset, so that uint8 images can be trained on as they are: ``Rescaling(1 / 255)``.

    Parameters
    ----------
    scale : float or sequence of float
        A sequence has a number for each element of the last axis, such as the colours of images.
    offset : float or sequence of float, default 0.0
    name : str, optional

    Raises
    ------
    ValueError
        A number is not finite, or X has another number of elements along its last axis.
    """

    supports_masking = True

    def __init__(self, scale: Numbers, offset: Numbers = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        self.scale, self.offset = check_numbers(scale, "scale"), check_numbers(offset, "offset")

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs."""
        for argument, numbers in (("scale", self.scale), ("offset", self.offset)):
            if isinstance(numbers, tuple) and shapes[0][-1:] != (len(numbers),):
                raise ValueError(
                    f"{argument}: expected a number, or one for each element of the last axis of inputs "
                    f"(batch, *{shapes[0]}), got {len(numbers)}"
                )
        return shapes[0]

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = scale X + offset."""
        x, scale, offset = inputs[0], self.scale, self.offset
        if not isinstance(scale, tuple) and not isinstance(offset, tuple):
            return rescale(b, x, scale, offset)
        n = x.shape[-1]
        return scale_columns(b, x, *(v if isinstance(v, tuple) else (v,) * n for v in (scale, offset)))


@LAYERS.register()
class Permute(Layer):
    """The axes of a sample in another order: axis i of Y is axis ``dims[i - 1]`` of X, both counted from 1.

    Parameters
    ----------
    dims : tuple of int
        A permutation of 1, 2, …; the batch, axis 0, stays in front. ``Permute((2, 1))`` is (B, a, b) → (B, b, a).
    name : str, optional

    Raises
    ------
    ValueError
        `dims` is no permutation, or not of as many axes as X has.
    """

    def __init__(self, dims: Any, name: str | None = None) -> None:
        super().__init__(name)
        dims = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
        if not all(map(is_whole, dims)) or sorted(dims) != list(range(1, len(dims) + 1)):
            raise ValueError(
                f"dims: expected a permutation of 1, 2, … such as (2, 1), got {dims!r} "
                "(Invalid permutation argument `dims` for Permute Layer)"
            )
        self.dims = tuple(int(d) for d in dims)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The sizes in their new order."""
        if len(shapes[0]) != len(self.dims):
            raise ValueError(
                f"Permute: expected inputs with {len(self.dims)} axes behind the batch for dims {self.dims}, got "
                f"(batch, *{shapes[0]})"
            )
        return tuple(shapes[0][d - 1] for d in self.dims)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The same elements in another order."""
        return transpose(b, inputs[0], [d - 1 for d in self.dims])


@LAYERS.register()
class RepeatVector(Layer):
    """(B, features) → (B, n, features): each sample's vector n times.

    Parameters
    ----------
    n : int
        How often, ≥ 1.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        `n` is no whole number ≥ 1, or X has another number of axes.
    """

    def __init__(self, n: int, name: str | None = None) -> None:
        super().__init__(name)
        self.n = check_count(n, "n", phrase="`n` should be a positive integer")

    def output_shape(self, *shapes: Shape) -> Shape:
        """(n, features)."""
        if len(shapes[0]) != 1:
            raise ValueError(f"RepeatVector: expected inputs (batch, features), got (batch, *{shapes[0]})")
        return (self.n, *shapes[0])

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The vector n times."""
        return repeat(b, reshape(b, inputs[0], (1, *inputs[0].shape)), 0, self.n)

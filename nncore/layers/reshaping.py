"""Layers that change shapes and scales only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore.arguments import check_count, is_number, is_whole
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.layers.windows import check_data_format, to_channels_last
from nncore.operations import rescale, reshape
from nncore.operations.arrangement import repeat, transpose

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
            raise ValueError(f"target_shape: expected positive sizes, at most one of them -1, got {target_shape!r}")
        if shape.count(-1) > 1:
            raise ValueError(f"target_shape: expected at most one -1, got {target_shape!r}")
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

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The same elements in another shape."""
        return reshape(b, inputs[0], self.output_shape(inputs[0].shape))


@LAYERS.register()
class Rescaling(Layer):
    """Y = scale X + offset, so that uint8 images can be trained on as they are: ``Rescaling(1 / 255)``.

    Parameters
    ----------
    scale : float
    offset : float, default 0.0
    name : str, optional
    """

    def __init__(self, scale: float, offset: float = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        for argument, value in (("scale", scale), ("offset", offset)):
            if not is_number(value) or not math.isfinite(value):
                raise ValueError(f"{argument}: expected a finite number, got {value!r}")
        self.scale = float(scale)
        self.offset = float(offset)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = scale X + offset."""
        return rescale(b, inputs[0], self.scale, self.offset)


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
            raise ValueError(f"dims: expected a permutation of 1, 2, … such as (2, 1), got {dims!r}")
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
        self.n = check_count(n, "n")

    def output_shape(self, *shapes: Shape) -> Shape:
        """(n, features)."""
        if len(shapes[0]) != 1:
            raise ValueError(f"RepeatVector: expected inputs (batch, features), got (batch, *{shapes[0]})")
        return (self.n, *shapes[0])

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The vector n times."""
        return repeat(b, reshape(b, inputs[0], (1, *inputs[0].shape)), 0, self.n)

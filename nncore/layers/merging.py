"""Layers that join several symbols into one."""

from __future__ import annotations

import math
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, ClassVar

from nncore import masks
from nncore.arguments import check_flag, is_whole
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.operations import add, broadcast, concatenate, multiply, rescale, reshape, transpose
from nncore.operations.arithmetic import divide, dot, maximum, minimum, subtract
from nncore.operations.data import real
from nncore.operations.masks import choose, either, keep, ones
from nncore.operations.normalization import unit_norm

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor

NORM_MIN = 1e-7  # of what `Dot` divides by


class Elementwise(Layer):
    """Base of the layers that join inputs element by element.

    Inputs have one shape, or shapes that can be broadcast: from the last axis on, sizes are equal or one of them is 1;
    axes that are missing in front are of length 1.

    Attributes
    ----------
    join : callable
        Emits the operation that joins two tensors of one shape.
    most : int or None
        How many inputs it joins.
    """

    takes_many = True
    supports_masking = True
    mask_axes = "any"
    join: ClassVar[Any]
    most: ClassVar[int | None] = None

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape that all inputs can be broadcast to; a ValueError where there is none."""
        label, given = type(self).__name__, ", ".join(map(str, shapes))
        if self.most is not None and len(shapes) != self.most:
            phrase = f"{label} layer should be called on exactly {self.most} inputs"
            raise ValueError(f"{label}: expected {self.most} inputs, got {len(shapes)}, of shapes {given} ({phrase})")
        if len(set(shapes)) == 1:
            return shapes[0]
        rank = max(map(len, shapes))
        sizes = [set(axis) - {1} for axis in zip(*((1,) * (rank - len(s)) + s for s in shapes), strict=True)]
        if any(len(several) > 1 for several in sizes):
            raise ValueError(
                f"{label}: expected inputs of one shape, or with axes of length 1 where these differ, got {given}"
            )
        return tuple(next(iter(one), 1) for one in sizes)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """What counts in one of the inputs; None where all of one does."""
        return masks.of_sum(inputs, mask)

    def emit_mask(self, b: Builder, *inputs: Tensor) -> Tensor | None:
        """The same, where inputs have as many axes as one another."""
        shapes, known = [x.shape for x in inputs], [x.mask for x in inputs if x.mask is not None]
        if len(known) < len(inputs) or len({len(m.shape) for m in known}) > 1 or len(set(map(len, shapes))) > 1:
            return None
        return either(b, known, self.output_shape(*shapes)[: len(known[0].shape)])

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Join them from the left."""
        shape = self.output_shape(*(x.shape for x in inputs))
        return reduce(partial(type(self).join, b), [broadcast(b, real(b, x), shape) for x in inputs])


@LAYERS.register()
class Add(Elementwise):
    """Y = X1 + X2 + …, from the left; called on a list of symbols of one shape, or broadcast to one."""

    join = staticmethod(add)


@LAYERS.register()
class Subtract(Elementwise):
    """Y = X1 − X2; called on a list of two symbols of one shape, or broadcast to one."""

    join, most = staticmethod(subtract), 2


@LAYERS.register()
class Multiply(Elementwise):
    """Y = X1 ⊙ X2 ⊙ …, from the left; called on a list of symbols of one shape, or broadcast to one.

    What a mask says does not count is taken for 1, as in Keras; where nothing counts, Y is 0.
    """

    join = staticmethod(multiply)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The product of what counts, 0 where nothing does."""
        factors = [x if x.mask is None else choose(b, x.mask, x, ones(b, x.shape)) for x in inputs]
        y, mask = super().emit(b, *factors), self.emit_mask(b, *inputs)
        if mask is not None:
            y = keep(b, y, mask)
            y.mask = mask
        return y


@LAYERS.register()
class Divide(Elementwise):
    """Y = X1 / X2, as IEEE 754 has it; called on a list of two symbols of one shape, or broadcast to one.

    What ``a / b`` of two symbols makes; Keras has no such layer.
    """

    join, most = staticmethod(divide), 2


@LAYERS.register()
class Average(Elementwise):
    """Y = (X1 + X2 + …) / their number; called on a list of symbols of one shape, or broadcast to one."""

    join = staticmethod(add)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The sum from the left, divided."""
        return rescale(b, super().emit(b, *inputs), 1 / len(inputs), 0.0)


class Extreme(Elementwise):
    """Base of the two that choose one of their inputs: of two of which a mask leaves out one, the other."""

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """From the left, of what counts."""
        shape = self.output_shape(*(x.shape for x in inputs))
        first, *others = inputs
        y, mask = broadcast(b, real(b, first), shape), first.mask
        for x in others:
            z = broadcast(b, real(b, x), shape)
            z = z if x.mask is None else choose(b, x.mask, z, y)
            y = type(self).join(b, y if mask is None else choose(b, mask, y, z), z)
            both = [m for m in (mask, x.mask) if m is not None]
            mask = either(b, both, shape[: len(both[0].shape)]) if len(both) == 2 else None
        return y


@LAYERS.register()
class Maximum(Extreme):
    """Y = max(X1, X2, …); called on a list of symbols of one shape, or broadcast to one.

    Where two are equal, each has half of the gradient, as in PyTorch and JAX; of several they are taken from the left.
    Where a mask says that one of two does not count, it is the other, as in Keras.
    """

    join = staticmethod(maximum)


@LAYERS.register()
class Minimum(Extreme):
    """Y = min(X1, X2, …); called on a list of symbols of one shape, or broadcast to one.

    Where two are equal, each has half of the gradient, as in PyTorch and JAX; of several they are taken from the left.
    Where a mask says that one of two does not count, it is the other, as in Keras.
    """

    join = staticmethod(minimum)


@LAYERS.register()
class Concatenate(Layer):
    """Inputs side by side along `axis`; called on a list of symbols.

    Parameters
    ----------
    axis : int, default -1
        Axis to join, counted with the batch axis as 0, as in Keras; not 0.
    name : str, optional
    """

    takes_many = True
    supports_masking = True

    def __init__(self, axis: int = -1, name: str | None = None) -> None:
        super().__init__(name)
        if not is_whole(axis) or axis == 0:
            raise ValueError(f"axis: expected a whole number other than 0 (the batch), got {axis!r}")
        self.axis = int(axis)

    def sample_axis(self, shape: Shape) -> int:
        """`axis` counted from 0 within a sample."""
        return sample_axis("Concatenate", self.axis, shape)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Sizes added up along the axis; the other axes must agree."""
        axis = self.sample_axis(shapes[0])
        if any(s[:axis] + s[axis + 1 :] != shapes[0][:axis] + shapes[0][axis + 1 :] for s in shapes):
            given = ", ".join(map(str, shapes))
            raise ValueError(
                f"Concatenate: expected inputs that agree except along axis {self.axis}, got {given} (A `Concatenate` "
                "layer requires inputs with matching shapes except for the concatenation axis.)"
            )
        return (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The inputs' masks side by side; of a row of the last axis, whether something of it counts."""
        return masks.of_concatenation(inputs, mask, self.axis)

    def emit_mask(self, b: Builder, *inputs: Tensor) -> Tensor | None:
        """The same, of masks of all axes but the last."""
        known, shape = [x.mask for x in inputs], inputs[0].shape
        if any(m is not None and len(m.shape) != len(shape) - 1 for m in known):
            return None
        axis = self.sample_axis(shape)
        if axis == len(shape) - 1:
            return None if None in known else either(b, [m for m in known if m is not None], shape[:-1])
        if all(m is None for m in known):
            return None
        parts = [ones(b, x.shape[:-1]) if x.mask is None else x.mask for x in inputs]
        return concatenate(b, parts, axis, self.output_shape(*(x.shape for x in inputs))[:-1])

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = [X1, X2, …] along the axis."""
        shapes = [x.shape for x in inputs]
        return concatenate(b, list(inputs), self.sample_axis(shapes[0]), self.output_shape(*shapes))


@LAYERS.register()
class Dot(Layer):
    """Y = Σ over an axis of X1 ⊙ X2, for each pair of their other numbers; called on a list of two symbols.

    Shapes: the axes of X1 but for its own, then those of X2 but for its own; (1,) where there are none.

    Parameters
    ----------
    axes : int or tuple of int
        The axis of both, or of each, counted with the batch as 0; not 0.
    normalize : bool, default False
        Divide by the norms of what is multiplied, so that Y is the cosine between them.
    name : str, optional

    Raises
    ------
    ValueError
        `axes` is none of the inputs' axes, or these differ in length.
    """

    takes_many = True
    supports_masking = True

    def __init__(self, axes: Any, normalize: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        given = axes if isinstance(axes, (tuple, list)) else [axes]
        if not all(is_whole(a) and a != 0 for a in given) or len(given) not in (1, 2):
            raise ValueError(f"axes: expected one or two whole numbers other than 0 (the batch), got {axes!r}")
        self.axes = [int(a) for a in given] if isinstance(axes, (tuple, list)) else int(axes)
        self.normalize = check_flag(normalize, "normalize")

    def sample_axes(self, *shapes: Shape) -> list[int]:
        """The axis of each of the two, counted from 0 within a sample."""
        if len(shapes) != 2:
            raise ValueError(f"Dot: expected 2 inputs, got {len(shapes)}")
        axes = self.axes if isinstance(self.axes, list) else [self.axes]
        found = [sample_axis("Dot", axis, s) for axis, s in zip((*axes, *axes)[:2], shapes, strict=True)]
        sizes = [s[axis] for s, axis in zip(shapes, found, strict=True)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"Dot: expected axes {self.axes} of one length, got {sizes[0]} and {sizes[1]}, of inputs of shapes "
                f"{shapes[0]} and {shapes[1]}"
            )
        return found

    def output_shape(self, *shapes: Shape) -> Shape:
        """The other axes of both."""
        axes = self.sample_axes(*shapes)
        left = [s[:axis] + s[axis + 1 :] for s, axis in zip(shapes, axes, strict=True)]
        return left[0] + left[1] or (1,)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: all of the output counts."""

    def emit_mask(self, b: Builder, *inputs: Tensor) -> None:
        """None, likewise."""

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X1 X2ᵀ, their axes behind the others."""
        shapes = [x.shape for x in inputs]
        rows = []
        for x, axis in zip(inputs, self.sample_axes(*shapes), strict=True):
            moved = transpose(b, real(b, x), [a for a in range(len(x.shape)) if a != axis] + [axis])
            if self.normalize:
                moved = unit_norm(b, moved, NORM_MIN**2)
            k = x.shape[axis]
            rows.append(reshape(b, moved, (math.prod(x.shape) // k, k)))
        return reshape(b, dot(b, *rows), self.output_shape(*shapes))


def sample_axis(label: str, axis: int, shape: Shape) -> int:
    """An axis, counted with the batch as 0, from 0 on within a sample of this shape."""
    found = axis + len(shape) if axis < 0 else axis - 1
    if not 0 <= found < len(shape):
        raise ValueError(f"{label}: expected an axis of inputs of shape (batch, *{shape}), got {axis}")
    return found

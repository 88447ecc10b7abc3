"""Layers that say what of their inputs counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import masks
from nncore.arguments import check_number
from nncore.conversion import Array, as_array
from nncore.graph import Shape, Symbol
from nncore.layers.arrays import label
from nncore.layers.base import LAYERS, Layer
from nncore.operations.arrangement import broadcast, reshape
from nncore.operations.data import real
from nncore.operations.masks import differs, keep

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


@LAYERS.register()
class Masking(Layer):
    """Y = X, but for steps of which every element is `mask_value`: these do not count, and are 0.

    Shapes: X (B, …, features), Y likewise; the mask (B, …). What heeds it, and how far it goes, says
    `Layer.supports_masking`.

    Parameters
    ----------
    mask_value : float, default 0.0
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        `mask_value` is no finite number; X has no axis of features.
    """

    supports_masking = True

    def __init__(self, mask_value: float = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        self.mask_value = check_number(mask_value, "mask_value", "a finite number", math.isfinite)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs."""
        if not shapes[0]:
            raise ValueError("Masking: expected inputs (batch, …, features), got (batch,)")
        return shapes[0]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Which steps of an array count."""
        return (as_array(inputs, "inputs") != self.mask_value).any(-1)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X where it counts, else 0."""
        x = real(b, inputs[0])
        mask = differs(b, x, self.mask_value, rows=True)
        y = keep(b, x, mask)
        y.mask = mask
        return y


@LAYERS.register()
class ApplyMask(Layer):
    """Y = X, of which counts what a mask says, in place of a mask that X has; called on the list [X, mask].

    ``layer(x, mask=mask)`` calls it before the layer. Keras has no such layer, for its tensors carry masks.

    Shapes: X and Y (B, …); the mask (B, …) of its first axes, each of X's length or 1; what is not 0 counts.

    Parameters
    ----------
    name : str, optional

    Raises
    ------
    ValueError
        The mask has other axes.
    """

    takes_many = True
    supports_masking = True
    mask_axes = "any"

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of X."""
        if len(shapes) != 2:
            raise ValueError(f"ApplyMask: expected the list [X, mask], got {len(shapes)} inputs")
        check_mask(self, *shapes)
        return shapes[0]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask."""
        return inputs[1]

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """X, with the mask."""
        x, mask = inputs
        y = reshape(b, x, x.shape)
        y.mask = broadcast(b, differs(b, mask, 0.0), x.shape[: len(mask.shape)])
        return y

    @classmethod
    def applied(cls, layer: Layer, inputs: Any, mask: Any) -> Any:
        """The symbols that a layer reads, with the masks that it is called with; see `Layer.__call__`."""
        known = masks_for(layer, inputs, mask)
        symbols = inputs if layer.takes_many else [inputs]
        for x, m in zip(symbols, known, strict=True):
            if isinstance(x, Symbol) and isinstance(m, Symbol):
                check_mask(layer, x.sample_shape, m.sample_shape)
            elif m is not None:
                raise TypeError(
                    f"{label(layer)}: mask: expected a symbol for the symbol {x!r}, got {type(m).__name__}. Give the "
                    "model an Input for it"
                )
        read = [x if m is None else cls()([x, m]) for x, m in zip(symbols, known, strict=True)]
        return read if layer.takes_many else read[0]


def masks_for(layer: Layer, inputs: Any, mask: Any) -> list[Any]:
    """The masks that a layer is called with, one or None for each input."""
    if not layer.supports_masking or layer.integers is not None or layer.encodes:
        raise TypeError(
            f"{label(layer)}: mask: expected None for a layer that lets no mask along, got one. "
            "GlobalAveragePooling1D, Softmax and layers that join inputs heed masks. Make those 0 that are not to "
            "count, X * mask"
        )
    if layer.takes_many:
        masks.check_lists(inputs, mask)
        return list(mask)
    return [mask]


def arrays_of(layer: Layer, arrays: list[Array], inputs: Any, mask: Any) -> list[Array | None]:
    """The masks that a layer is called with on arrays, as arrays of bool with as many samples.

    Those of elements may lack their first axes, as NumPy's broadcasting has it: one of queries and keys, say.
    """
    if mask is None:
        return [None] * len(arrays)
    made: list[Array | None] = []
    for x, given in zip(arrays, masks_for(layer, inputs, mask), strict=True):
        m = None if given is None else as_array(given, f"{label(layer)}: mask") != 0
        if m is not None:
            if layer.mask_axes == "elements":
                m = m[(None,) * (x.ndim - m.ndim)]
            if not m.ndim or len(m) not in (1, len(x)):
                raise refused(layer, x.shape, m.shape)
            check_mask(layer, x.shape[1:], m.shape[1:])
            m = np.broadcast_to(m, (len(x), *m.shape[1:]))
        made.append(m)
    return made


def check_mask(layer: Layer, shape: Shape, mask: Shape) -> None:
    """A ValueError unless a layer takes such a mask for such inputs; the shapes are those of samples."""
    if not layer.takes_mask(shape, mask):
        raise refused(layer, (None, *shape), (None, *mask))


def refused(layer: Layer, shape: tuple[int | None, ...], mask: tuple[int | None, ...]) -> ValueError:
    """The error for a mask of this shape, for inputs of the other."""
    axes = "axes, all of them," if layer.mask_axes == "elements" else "first axes"
    return ValueError(
        f"{label(layer)}: mask: expected one of the {axes} of inputs {shape}, of their lengths or 1, got "
        f"shape {mask} (The `mask` passed to the `{type(layer).__name__}` layer has a shape that is not broadcastable.)"
    )


Layer.masking = ApplyMask

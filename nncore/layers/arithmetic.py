"""What operators on symbols make: layers as any others, with a name and a configuration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore.arguments import is_number, is_whole
from nncore.graph import Shape, Symbol
from nncore.layers.activation import Activation
from nncore.layers.base import LAYERS, Layer
from nncore.layers.merging import Add, Divide, Multiply, Subtract
from nncore.layers.reshaping import Rescaling
from nncore.operations import reshape, take
from nncore.operations.arithmetic import absolute, power

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


@LAYERS.register()
class Power(Layer):
    """Y = X to a power, element by element: what ``a ** 2`` makes.

    Whole exponents up to 64 are products, ±½ roots; others are e^(exponent log X), whose relative error grows with
    |exponent log X|, and nan for X < 0. dX = dY ⊙ exponent X^(exponent − 1).

    Parameters
    ----------
    exponent : float
    name : str, optional

    Raises
    ------
    ValueError
        `exponent` is no finite number.
    """

    def __init__(self, exponent: float, name: str | None = None) -> None:
        super().__init__(name)
        if not is_number(exponent) or not math.isfinite(exponent):
            raise ValueError(f"exponent: expected a finite number, got {exponent!r}")
        self.exponent = float(exponent)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X to a power."""
        return power(b, inputs[0], self.exponent)


@LAYERS.register()
class Absolute(Layer):
    """Y = |X|, element by element: what ``abs(a)`` makes; the derivative at 0 is 0.

    Parameters
    ----------
    name : str, optional
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = |X|."""
        return absolute(b, inputs[0])


@LAYERS.register()
class Slice(Layer):
    """Part of each sample, as indices of NumPy name it: what ``a[:, 1:3]`` makes.

    Parameters
    ----------
    index : list
        What stands behind the batch's ``:``: for each axis a whole number, or [start, stop, step], each of them a whole
        number or None; None is a new axis of length 1. Axes that are left out are whole.
    name : str, optional

    Raises
    ------
    ValueError
        `index` is none, or names what a sample has not, or leaves nothing of it.
    """

    def __init__(self, index: Any, name: str | None = None) -> None:
        super().__init__(name)
        self.index = [entry_of(entry) for entry in index] if isinstance(index, (list, tuple)) else [entry_of(index)]

    def slices(self, shape: Shape) -> list[slice]:
        """The range of each axis of a sample of this shape."""
        entries = [entry for entry in self.index if entry is not None]
        if len(entries) > len(shape):
            raise ValueError(f"Slice: expected at most {len(shape)} indices for {(None, *shape)}, got {self.index}")
        found = []
        for axis, n in enumerate(shape):
            entry = entries[axis] if axis < len(entries) else [None, None, None]
            if isinstance(entry, list):
                found.append(slice(*entry))
            elif -n <= entry < n:
                found.append(slice(entry % n, entry % n + 1))
            else:
                raise ValueError(f"Slice: expected an index of axis {axis + 1} of {(None, *shape)}, got {entry}")
            if not range(*found[-1].indices(n)):
                raise ValueError(f"Slice: expected something to be left of axis {axis + 1} of {(None, *shape)}")
        return found

    def output_shape(self, *shapes: Shape) -> Shape:
        """The lengths of the ranges, without the axes of which one number is taken, and with the new ones."""
        [shape] = shapes
        left = [len(range(*s.indices(n))) for s, n in zip(self.slices(shape), shape, strict=True)]
        entries = [*self.index, *([[None, None, None]] * (len(shape) - len(self.index) + self.index.count(None)))]
        sizes = iter(left)
        made: list[int] = []
        for entry in entries:
            size = 1 if entry is None else next(sizes)
            if entry is None or isinstance(entry, list):
                made.append(size)
        return tuple(made)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X[:, index]."""
        [x] = inputs
        shape = self.output_shape(x.shape)
        y = take(b, x, self.slices(x.shape))
        return y if y.shape == shape else reshape(b, y, shape)


def entry_of(entry: Any) -> Any:
    """An index of one axis as `Slice` keeps it."""
    parts = [entry.start, entry.stop, entry.step] if isinstance(entry, slice) else entry
    if isinstance(parts, (list, tuple)):
        if len(parts) == 3 and all(p is None or is_whole(p) for p in parts) and parts[2] != 0:
            return [None if p is None else int(p) for p in parts]
    elif parts is None:
        return None
    elif is_whole(parts):
        return int(parts)
    raise ValueError(f"index: expected whole numbers, slices and None (a new axis), got {entry!r}")


class Arithmetic:
    """What `Symbol` asks for layers: see its operators."""

    @staticmethod
    def activated(symbol: Symbol, activation: Any) -> Symbol:
        """f(a)."""
        return Activation(activation).connect(symbol)

    @staticmethod
    def joined(operator: str, a: Any, b: Any) -> Symbol:
        """A symbol with a symbol or a number, either way round."""
        if isinstance(a, Symbol) and isinstance(b, Symbol) and operator != "**":
            layer = {"+": Add, "-": Subtract, "*": Multiply, "/": Divide}[operator]
            return layer().connect([a, b])
        swapped = isinstance(b, Symbol)
        x, number = (b, a) if swapped else (a, b)
        if isinstance(number, Symbol) or not is_number(number) or (swapped and operator == "**"):
            expected = "a symbol to a number, a ** 2" if operator == "**" else "a symbol and a number, or two symbols"
            raise TypeError(
                f"{operator}: expected {expected}, got {described(a)} {operator} {described(b)}. An array is "
                "an input of the model: make an Input for it"
            )
        value = float(number)
        if operator == "/" and swapped:
            return Arithmetic.scaled(Power(-1.0).connect(x), value, 0.0)
        if operator == "**":
            return Power(value).connect(x)
        if operator == "/" and value == 0:
            raise ZeroDivisionError("symbol / 0")
        scale, offset = {
            "+": (1.0, value),
            "-": (-1.0, value) if swapped else (1.0, -value),
            "*": (value, 0.0),
            "/": (1 / value if value else 0.0, 0.0),
        }[operator]
        return Arithmetic.scaled(x, scale, offset)

    @staticmethod
    def scaled(symbol: Symbol, scale: float, offset: float) -> Symbol:
        """Scale a + offset."""
        return Rescaling(scale, offset).connect(symbol)

    @staticmethod
    def absolute(symbol: Symbol) -> Symbol:
        """|a|."""
        return Absolute().connect(symbol)

    @staticmethod
    def part(symbol: Symbol, index: Any) -> Symbol:
        """a[index], of which the batch's part is ``:`` or is left to ``...``."""
        entries = list(index) if isinstance(index, tuple) else [index]
        if [entry is Ellipsis for entry in entries].count(True) > 1:
            raise IndexError(f"index: expected at most one ..., got {index!r}")
        taken = sum(entry is not None and entry is not Ellipsis for entry in entries)
        for i, entry in enumerate(entries):
            if entry is Ellipsis:
                entries[i : i + 1] = [slice(None)] * (len(symbol.shape) - taken)
                break
        if not entries or entries[0] != slice(None):
            raise IndexError(f"index: expected ':' for the batch first, as in a[:, 1], got {index!r}")
        try:
            return Slice(entries[1:]).connect(symbol)
        except ValueError as error:
            raise IndexError(str(error)) from None


def described(operand: Any) -> str:
    """What errors call an operand."""
    if isinstance(operand, Symbol):
        return "a symbol"
    shape = getattr(operand, "shape", None)
    return f"{type(operand).__name__} of shape {shape}" if shape else repr(operand)[:40]


Symbol.arithmetic = Arithmetic

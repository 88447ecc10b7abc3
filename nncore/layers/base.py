"""What every layer is: a shape rule, parameters, and the operations it emits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.conversion import as_array
from nncore.graph import Shape, Symbol
from nncore.registry import Configurable, Registry
from nncore.state import Array, Parameter, State

if TYPE_CHECKING:
    from nncore.initializers import Initializer
    from nncore.operations import Tensor
    from nncore.program import Builder
    from nncore.regularizers import Regularizer

LAYERS: Registry[Layer] = Registry("layer")


class Layer(Configurable):
    """Base of all layers.

    A layer overrides `output_shape` and `emit`, and `build` if it learns something. It computes nothing: `emit`
    describes, for the compiler of programs, what to compute forward and backward.

    Parameters
    ----------
    name : str, optional
        Unique in its model; default the class's name with a number.
    trainable : bool, default True
        Whether fit changes its parameters; a change takes effect when the model is compiled.
    """

    takes_many = False  # whether it is called on a list of symbols

    def __init__(self, name: str | None = None, trainable: bool = True) -> None:
        if hasattr(self, "call") and type(self).emit is Layer.emit:
            raise TypeError(
                f"{type(self).__name__}: expected a layer that overrides emit, got one with call, which nothing calls: "
                "layers are native code. In emit(self, b, x) join operations: b.dense, b.activate, b.add, b.multiply, "
                "b.rescale, b.reshape, b.concatenate, as the layers of nncore.layers do"
            )
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise ValueError(f"name: expected a non-empty string without '/', got {name!r}")
        self.name = name
        self.trainable = bool(trainable)
        self.parameters: list[Parameter] = []
        self.input_shapes: tuple[Shape, ...] | None = None
        self.state: State | None = None

    def __call__(self, inputs: Symbol | Sequence[Symbol]) -> Symbol:
        """Connect the layer to the symbols it reads, and return the symbol of its output."""
        many = isinstance(inputs, (list, tuple))
        symbols = tuple(inputs) if isinstance(inputs, (list, tuple)) else (inputs,)
        label = type(self).__name__
        if strange := [type(s).__name__ for s in symbols if not isinstance(s, Symbol)]:
            raise TypeError(
                f"{label}: expected what Input or another layer returned, got {strange[0]}. "
                "Layers are called on symbols; to compute numbers, make a Model and call predict"
            )
        if many != self.takes_many or (many and len(symbols) < 2):
            wanted = "a list of two or more symbols" if self.takes_many else "one symbol"
            raise ValueError(f"{label}: expected {wanted}, got {len(symbols)} in a {type(inputs).__name__}")
        if self.input_shapes is not None:
            raise ValueError(
                f"{self.name or label}: called a second time; a layer has one place in one model. "
                "Make another layer for the second place (shared layers are not supported)"
            )
        shape = self.output_shape(*(s.shape for s in symbols))
        self.input_shapes = tuple(s.shape for s in symbols)
        return Symbol(shape, self, symbols)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of one sample's output, from those of its inputs; ValueError where they do not fit."""
        return shapes[0]

    def build(self, *shapes: Shape) -> None:
        """Declare parameters with `add_parameter`."""

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Emit the layer's operations, forward and backward, and return its output."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it computes: override emit")

    def add_parameter(
        self, name: str, shape: Shape, initializer: Initializer, regularizer: Regularizer | None = None
    ) -> Parameter:
        """Declare an array that the layer learns; called in `build`, in the order of `get_weights`."""
        p = Parameter(f"{self.name}/{name}", shape, initializer, regularizer, self.trainable)
        self.parameters.append(p)
        return p

    def count_params(self) -> int:
        """Number of learned values."""
        return sum(p.size for p in self.parameters)

    def get_weights(self) -> list[Array]:
        """Copies of the layer's arrays, in Keras's order: kernel (in, out), bias (out,)."""
        state = self._built()
        with state.gate.reading():
            return [state.view(p).copy() for p in self.parameters]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace the layer's arrays; each must have the shape `get_weights` gives."""
        assign(self._built(), self.parameters, weights, f"weights of layer {self.name}")

    def _built(self) -> State:
        """The arrays of the model; a ValueError before they exist."""
        if self.state is None:
            raise ValueError(
                f"layer {self.name}: has no weights before its model is built; call model.build(input_shape)"
            )
        return self.state


def assign(state: State, parameters: list[Parameter], values: Sequence[Any], argument: str) -> None:
    """Copy `values` into `parameters`, all or none."""
    state.turn.require(argument)
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{argument}: expected a list of arrays, got {type(values).__name__}")
    if len(values) != len(parameters):
        raise ValueError(f"{argument}: expected {len(parameters)} arrays, got {len(values)}")
    arrays = []
    for p, value in zip(parameters, values, strict=True):
        array = as_array(value, f"{argument}: {p.path}")
        if array.shape != p.shape:
            raise ValueError(f"{argument}: expected shape {p.shape} for {p.path}, got {array.shape}")
        with np.errstate(over="ignore"):
            converted = array.astype(state.dtype)
        if not np.array_equal(np.isfinite(array), np.isfinite(converted)):
            raise ValueError(f"{argument}: a finite value of {p.path} overflows {state.dtype}")
        arrays.append(converted)
    with state.writing():
        for p, array in zip(parameters, arrays, strict=True):
            state.view(p)[...] = array

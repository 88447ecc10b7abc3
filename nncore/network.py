"""The graph of a model: its symbols in order, its layers by name, and its parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nncore.graph import Symbol, topological
from nncore.layers.base import Layer
from nncore.operations import data
from nncore.registry import snake_case
from nncore.state import State

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class Graph:
    """The symbols of a model in order, its layers by name, and its parameters.

    Parameters
    ----------
    inputs, outputs : Symbol
        Of the model.
    dtype : str
        Of its parameters.
    """

    def __init__(self, inputs: Symbol, outputs: Symbol, dtype: str) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.symbols = topological(outputs)
        strangers = [s for s in self.symbols if s.layer is None and s is not inputs]
        if strangers or inputs not in self.symbols:
            raise ValueError("inputs, outputs: expected outputs that depend on this Input and on no other")
        self.layers: list[Layer] = [s.layer for s in self.symbols if s.layer is not None]
        taken = [layer for layer in self.layers if layer.state is not None]
        if taken:
            raise ValueError(
                f"layer {taken[0].name}: belongs to another model already. Make a new layer; "
                "weights can follow by set_weights"
            )
        name_layers(self.layers)
        for symbol in self.symbols:
            if symbol.layer is not None:
                symbol.layer.parameters = []
                symbol.layer.build(*(s.shape for s in symbol.inputs))
        self.state = State([p for layer in self.layers for p in layer.parameters], dtype)
        for layer in self.layers:
            layer.state = self.state

    def __getstate__(self) -> dict[str, Any]:
        return {"symbols": self.symbols} | vars(self)  # first, each after those it reads: no recursion however deep

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for symbol in self.symbols:
            if symbol.layer is not None:
                symbol.layer.made(symbol)

    def settle(self) -> Graph:
        """The same symbols as a new graph, shapes and parameters by what the layers are now."""
        for symbol in self.symbols:
            if symbol.layer is not None:
                shapes = tuple(s.shape for s in symbol.inputs)
                symbol.shape = symbol.layer.output_shape(*shapes)
                symbol.layer.input_shapes, symbol.layer.state = shapes, None
        return Graph(self.inputs, self.outputs, self.state.dtype.name)

    def emit(self, b: Builder) -> Tensor:
        """Emit all layers; the output."""
        tensors = {id(self.inputs): data.batch(b, "input", self.inputs.shape)}
        for symbol in self.symbols:
            if symbol.layer is not None:
                made = symbol.layer.emit(b, *(tensors[id(s)] for s in symbol.inputs))
                tensors[id(symbol)] = made
        return tensors[id(self.outputs)]


def name_layers(layers: Sequence[Layer]) -> None:
    """Name the nameless after their class, numbered from the second on; ValueError where a name comes twice."""
    taken = Counter(layer.name for layer in layers if layer.name is not None)
    twice = sorted(name for name, count in taken.items() if count > 1)
    if twice:
        raise ValueError(f"name: expected a name of its own for each layer, got {twice} more than once")
    counts: dict[str, int] = {}
    for layer in layers:
        while layer.name is None:
            base = snake_case(type(layer).__name__)
            number = counts.get(base, 0)
            counts[base] = number + 1
            name = f"{base}_{number}" if number else base
            if name not in taken:
                vars(layer)["name"] = name

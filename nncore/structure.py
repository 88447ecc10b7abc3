"""The structure of a model: its layers, their shapes and their weights. `Model` adds what trains and predicts."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore import runtime
from nncore.arguments import dtype_name, explained, the_only
from nncore.copying import Travelling
from nncore.graph import Input, Shape, Symbol, check_shape
from nncore.inspection import Inspected
from nncore.layers.base import Layer
from nncore.locks import Lock
from nncore.network import Graph
from nncore.output import say
from nncore.state import Array, Parameter, State
from nncore.summary import summary

WEIGHTS_STREAM = 2**64 - 1  # keeps the initial weights' random numbers apart from shuffles and dropout


class Structure(Travelling, Inspected):
    """Layers and weights; see `nncore.Model` for the parameters."""

    def __init__(self, layers: Any, outputs: Any, inputs: Any, name: str | None, seed: int | None, dtype: Any) -> None:
        self.name = "model" if name is None else name
        self.dtype = dtype_name(dtype)
        self.seed = runtime.next_seed() if seed is None else seed
        self.graph: Graph | None = None
        self._stack: list[Layer] = []
        self._input: Symbol | None = None
        self._lock = Lock()  # the first predictions of several threads build once
        self._reset()
        self.is_stack = outputs is None and inputs is None
        if not self.is_stack:
            inputs, outputs = the_only(layers if inputs is None else inputs), the_only(outputs)
            if not isinstance(inputs, Symbol) or not isinstance(outputs, Symbol):
                raise TypeError(
                    "inputs, outputs: expected one Input and one output symbol, got "
                    f"{type(inputs).__name__} and {type(outputs).__name__} (several of them are not supported)"
                )
            self._adopt(Graph(inputs, outputs, self.dtype))
            return
        if layers is not None and not isinstance(layers, (list, tuple)):
            raise TypeError(f"layers: expected a list of layers, or inputs and outputs, got {type(layers).__name__}")
        held: set[int] = set()
        for layer in layers or []:
            self._append(layer, held)
        if self._input is not None and self._stack:
            self.build(self._input.shape)

    def _append(self, layer: Any, held: set[int]) -> None:
        """Put a layer, or first of all an Input, on top of the stack, whose layers' ids are `held`."""
        if isinstance(layer, Symbol) and layer.layer is None and not self._stack and self._input is None:
            self._input = layer
            return
        if not isinstance(layer, Layer):
            raise TypeError(f"layers: expected Layer objects, got {layer!r}. {remedy_of(layer)}")
        if layer.takes_many:
            raise ValueError(f"layers: {type(layer).__name__} joins several inputs; use Model(inputs, outputs)")
        if id(layer) in held or layer.input_shapes is not None:
            raise ValueError(f"layers: {layer.name or type(layer).__name__} is in a model already; make a new layer")
        self._stack.append(layer)
        held.add(id(layer))

    def _adopt(self, graph: Graph) -> None:
        """Draw the weights of this graph and take it: last of all, since other threads use it from then on."""
        key = np.array([self.seed, WEIGHTS_STREAM], np.uint64)
        graph.state.initialize(np.random.Generator(np.random.Philox(key=key)))
        self._reset()
        for layer in graph.layers:
            layer._model = weakref.ref(self)
        self.graph = graph

    def change_layer(self, layer: Layer, argument: str, value: Any) -> None:
        """Let an argument of a layer become `value`; shapes, weights and what was compiled follow, or nothing changes.

        Arrays whose shape stays keep their values, those of the optimizer, too; others start anew.
        """
        graph, was = self._built(), vars(layer)[argument]
        kept = [list(layer.parameters) for layer in graph.layers]
        arrays = self._arrays()
        vars(layer)[argument] = value
        try:
            self._adopt(graph.settle())
        except BaseException:
            vars(layer)[argument] = was
            self._adopt(graph.settle())
            raise
        finally:
            self._refill(kept, arrays)

    def _arrays(self) -> dict[str, Array]:
        """All that is laid out as the weights, by name."""
        return {"weights": self.state.values}

    def _refill(self, kept: list[list[Parameter]], arrays: dict[str, Array]) -> None:
        """Put the elements of earlier arrays, of the parameters `kept` of each layer, in their place."""
        state: State = self.state
        with state.writing():
            for layer, parameters in zip(self._built().layers, kept, strict=True):
                known = {p.name: p for p in parameters}
                for p in layer.parameters:
                    if (old := known.get(p.name)) is None or old.shape != p.shape:
                        continue
                    p.train(old.trainable)  # what is in force, until the next compile
                    for name, flat in self._arrays().items():
                        if name in arrays:
                            state.view(p, flat)[...] = state.view(old, arrays[name])

    def _release(self) -> None:
        """Forget all shapes and weights."""
        self.graph = None
        self._reset()
        for layer in self._stack:
            layer.input_shapes = layer.state = None
            layer.parameters = []

    def _restack(self, stack: list[Layer]) -> None:
        """Make `stack` the layers; if there are shapes, build again, with the weights of the layers that stay."""
        shape = self.graph.inputs.shape if self.graph else self._input.shape if self._input else None
        old, kept = self._stack, {id(layer): layer.get_weights() for layer in self._stack if self.graph}
        self._release()
        self._stack = stack
        try:
            if shape and stack:
                self.build(shape)
        except Exception:
            self._stack = old
            if shape and old:
                self.build(shape)
            raise
        finally:
            for layer in self._stack:
                if id(layer) in kept:
                    layer.set_weights(kept[id(layer)])

    # -- what users see --------------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """Layers in the order in which they compute."""
        return list(self._stack) if self.is_stack or self.graph is None else list(self.graph.layers)

    @property
    def built(self) -> bool:
        """Whether shapes and weights are settled."""
        return self.graph is not None

    @property
    def input_shape(self) -> tuple[int | None, ...] | None:
        """Shape of x, the batch as None; None before `build`."""
        return (None, *self.graph.inputs.shape) if self.graph else None

    @property
    def output_shape(self) -> tuple[int | None, ...] | None:
        """Shape of predictions, the batch as None; None before `build`."""
        return (None, *self.graph.outputs.shape) if self.graph else None

    @property
    def matmul_precision(self) -> str:
        """What `compile` was given, a floor on the accuracy of products; before that "highest"."""
        return "highest"

    def build(self, input_shape: Any) -> None:
        """Settle shapes and draw the initial weights.

        Parameters
        ----------
        input_shape : int or tuple
            784, (784,) or (None, 784).
        """
        shape = check_shape(input_shape, "input_shape")
        with self._lock():
            if self.graph is not None:
                if shape != self.graph.inputs.shape:
                    raise ValueError(
                        f"input_shape: the model is built for {self.graph.inputs.shape}, got {shape}. Make a new model"
                    )
                return
            if not self._stack:
                raise ValueError("layers: expected at least one layer, got none. Give Model a list, or call add")
            first = symbol = Input(shape)
            try:
                for layer in self._stack:
                    symbol = layer(symbol)
                self._adopt(Graph(first, symbol, self.dtype))
            except Exception:
                self._release()
                raise

    def _sample_shape(self) -> Shape | None:
        """Shape of one sample, if it is settled."""
        return self.graph.inputs.shape if self.graph else None

    def _built(self, x: Array | None = None) -> Graph:
        """The graph; built from the shape of `x` if need be."""
        if self.graph is None:
            if x is None:
                raise ValueError("the model has no shapes yet: call build(input_shape), fit or predict first")
            if not x.ndim:
                raise ValueError("x: expected an array of samples, shape (n, …), got a single number")
            self.build(x.shape[1:] or (1,))
        assert self.graph is not None
        return self.graph

    @property
    def state(self) -> Any:
        """Parameters and their layout."""
        return self._built().state

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of this name or index."""
        if (name is None) == (index is None):
            raise ValueError("name, index: expected one of them")
        layers = self.layers
        if index is not None:
            try:
                return layers[index]
            except IndexError:
                raise ValueError(f"index: expected one of the {len(layers)} layers, got {index}") from None
        for layer in layers:
            if layer.name == name:
                return layer
        raise ValueError(f"name: expected one of {[layer.name for layer in layers]}, got {name!r}")

    def count_params(self) -> int:
        """Number of values in all arrays: weights, biases, statistics."""
        return sum(p.size for p in self.state.parameters)

    @explained
    def summary(self, print_fn: Any = None) -> None:
        """Print layers, their output shapes and numbers of parameters, and what products of wide layers multiply."""
        (print_fn or say)(summary(self))

    def get_weights(self) -> list[Array]:
        """Copies of all arrays in Keras's order: per layer kernel (in, out), bias (out,)."""
        state = self.state
        with state.gate.reading():
            return [state.view(p).copy() for p in state.parameters]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all arrays, in the order and shapes of `get_weights`."""
        self.state.assign(self.state.parameters, weights, "weights")


def remedy_of(layer: Any) -> str:
    """What to do about something among the layers that is none."""
    if isinstance(layer, Structure):
        return "Models cannot be layers: give those of its layers, made anew"
    if isinstance(layer, Symbol):
        return "An Input comes first; for a graph of symbols call Model(inputs, outputs)"
    if isinstance(layer, type) and issubclass(layer, Layer):
        return f"Make one: {layer.__name__}(…)"
    return f"For example nncore.{'Activation(...)' if isinstance(layer, str) else 'Dense(10)'}"

"""The structure of a model: its layers, their shapes and their weights. `Model` adds what trains and predicts."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore import runtime
from nncore.arguments import check_flag, explained
from nncore.arrangement import Arrangement, unnamed
from nncore.copying import Travelling
from nncore.dtypes import dtype_name, floatx
from nncore.graph import Call, Callable, Input, Shape, Symbol, check_shape
from nncore.inspection import Inspected
from nncore.layers.arrays import label
from nncore.layers.base import Layer
from nncore.locks import Lock
from nncore.network import Graph
from nncore.output import say
from nncore.parameter import Parameter
from nncore.sizes import fits
from nncore.state import Array, State
from nncore.summary import summary
from nncore.tracing import leaves_of

WEIGHTS_STREAM = 2**64 - 1  # keeps the initial weights' random numbers apart from shuffles and dropout


class Structure(Travelling, Inspected, Callable):
    """Layers and weights; see `nncore.Model` for the parameters."""

    def __init__(self, layers: Any, outputs: Any, inputs: Any, name: str | None, seed: int | None, dtype: Any) -> None:
        self.name = "model" if name is None else name
        self._named = name is None
        self.dtype = floatx() if dtype is None else dtype_name(dtype)
        self.seed = runtime.next_seed() if seed is None else seed
        self.graph: Graph | None = None
        self._stack: list[Any] = []
        self._input: Symbol | None = None
        self._lock = Lock()  # the first predictions of several threads build once
        self._reset()
        self.is_stack = outputs is None and inputs is None
        if not self.is_stack:
            self._adopt(Graph(ends(layers if inputs is None else inputs), ends(outputs), self.dtype))
            return
        if layers is not None and not isinstance(layers, (list, tuple)):
            raise TypeError(f"layers: expected a list of layers, or inputs and outputs, got {type(layers).__name__}")
        held: set[int] = set()
        for layer in layers or []:
            self._append(layer, held)
        if self._stack and (shape := self._given_shape(self._stack)) is not None:
            self._settle(shape)

    def _given_shape(self, stack: Sequence[Any]) -> Shape | None:
        """Of a sample, where it is known before there are data: from an Input, or a model that is the first layer."""
        if self._input is not None:
            return self._input.sample_shape
        return stack[0]._sample_shape() if stack and isinstance(stack[0], Structure) else None

    def _append(self, layer: Any, held: set[int]) -> None:
        """Put a layer, or first of all an Input, on top of the stack, whose layers' ids are `held`."""
        if isinstance(layer, Symbol) and layer.layer is None and not self._stack and self._input is None:
            self._input = layer
            return
        if not isinstance(layer, (Layer, Structure)) or layer is self:
            raise TypeError(f"layers: expected Layer objects, got {layer!r}. {remedy_of(layer)}")
        if layer.takes_many:
            raise ValueError(f"layers: {type(layer).__name__} joins several inputs; use Model(inputs, outputs)")
        if id(layer) in held:
            raise ValueError(
                f"layers: {label(layer)} is in this model already; make a new layer, or for a "
                "layer that is used twice call Model(inputs, outputs)"
            )
        if not self._stack and self._input is None and isinstance(layer, Layer) and layer._first_shape is not None:
            self._input = Input(layer._first_shape)
        self._stack.append(layer)
        held.add(id(layer))

    def _adopt(self, graph: Graph) -> None:
        """Draw the weights of this graph and take it: last of all, since other threads use it from then on."""
        key = np.array([self.seed, WEIGHTS_STREAM], np.uint64)
        graph.state.initialize(graph.new, np.random.Generator(np.random.Philox(key=key)))
        self._reset()
        for leaf in graph.places:
            leaf._models = leaf._models or weakref.WeakSet()
            leaf._models.add(self)
        graph.state.members.add(self)
        self.graph = graph

    def _follow(self, old: State) -> None:
        """Have the weights where those of `old` are now, which another model has joined to its own."""
        self._reset()
        old.root.members.add(self)

    def _sharers(self) -> str:
        """Words for what else uses its layers, or ""."""
        if self.calls:
            return "the model was called as a layer"
        if self.graph and (shared := [leaf for leaf in self.graph.places if len(leaf._models or ()) > 1]):
            return f"its layer {shared[0].name} is part of another model, too"
        return ""

    def change_layer(self, layer: Layer, argument: str, value: Any) -> None:
        """Let an argument of a layer become `value`; shapes, weights and what was compiled follow, or nothing changes.

        Arrays whose shape stays keep their values, those of the optimizer, too; others start anew.
        """
        if why := self._sharers():
            raise AttributeError(f"{argument}: fixed since {why}, cannot become {value!r}; make another layer")
        graph, was = self._built(), vars(layer)[argument]
        if argument == "name" and value in graph.layers.values():
            raise ValueError(f"name: expected a name of its own for each layer, got [{value!r}] more than once")
        kept = [list(leaf.parameters) for leaf in graph.places]
        layer._named &= argument != "name"
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
        graph, state = self._built(), self.state
        with state.writing():
            for layer, parameters in zip(graph.places, kept, strict=True):
                known = {p.name: p for p in parameters}
                for p in layer.parameters:
                    if (old := known.get(p.name)) is None or old.shape != p.shape:
                        continue
                    p.train(old.changes)  # what is in force, until the next compile
                    for name, flat in self._arrays().items():
                        if name in arrays:
                            state.view(p, flat)[...] = state.view(old, arrays[name])
        graph.train([p.changes for p in graph.parameters])

    def _release(self) -> None:
        """Forget all shapes and weights, but for those of layers that other models have."""
        self.graph = None
        self._reset()
        for layer in self._stack:
            for leaf in leaves_of(layer) if isinstance(layer, Layer) else ():
                if leaf._models:
                    leaf._models.discard(self)
                if not leaf._models:
                    leaf.input_shapes = leaf.state = None
                    leaf.parameters = []

    def _restack(self, stack: list[Any]) -> None:
        """Make `stack` the layers; if there are shapes, build again, with the weights of the layers that stay."""
        if self.calls:
            raise ValueError(f"add, pop: expected a model whose layers may change, but {self._sharers()}; make another")
        shape = self.graph.inputs[0].sample_shape if self.graph else self._given_shape(stack)
        alone = not self._sharers() and all(isinstance(layer, Layer) for layer in stack)
        old, graph = self._stack, self.graph
        kept = {layer: layer.get_weights() for layer in self._stack if graph and alone}
        if alone:
            self._release()
        self.graph, self._stack = None, stack
        try:
            if shape is not None and stack:
                self._settle(shape)
        except Exception:
            self._stack = old
            if not alone:
                self.graph = graph
            elif shape is not None and old:
                self._settle(shape)
            raise
        finally:
            for layer in self._stack:
                if layer in kept:
                    layer.set_weights(kept[layer])
        for layer in old:
            for leaf in leaves_of(layer) if layer not in stack and isinstance(layer, Layer) else ():
                if leaf._models:
                    leaf._models.discard(self)

    # -- what users see --------------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Any]:
        """Layers in the order in which they compute, and models that are used as layers."""
        return list(self._stack) if self.is_stack or self.graph is None else list(self.graph.layers)

    @property
    def built(self) -> bool:
        """Whether shapes and weights are settled."""
        return self.graph is not None

    @property
    def input_shape(self) -> Any:
        """Shape of x, the batch as None, or the list of those of several inputs; None before `build`."""
        return shapes_of(self.graph.inputs) if self.graph else None

    @property
    def output_shape(self) -> Any:
        """Shape of predictions, the batch as None, or the list of those of several outputs; None before `build`."""
        return shapes_of(self.graph.outputs) if self.graph else None

    @property
    def matmul_precision(self) -> str:
        """What `compile` was given, a floor on the accuracy of products; before that "highest"."""
        return "highest"

    def build(self, input_shape: Any) -> None:
        """Settle shapes and draw the initial weights.

        Parameters
        ----------
        input_shape : int or tuple
            784, (784,) or (None, 784). (None, None, 64) has the batch first, then a size that each call's data settle.
        """
        if self.graph is not None and len(self.graph.inputs) > 1:
            return  # as are all models of symbols
        self._settle(check_shape(input_shape, "input_shape", 0))

    def _settle(self, shape: Shape) -> None:
        """Build it for samples of this shape."""
        with self._lock():
            if self.graph is not None:
                if not fits(shape, self.graph.inputs[0].sample_shape):
                    raise ValueError(
                        f"input_shape: the model is built for {self._sample_shape()}, got {shape}. Make a new model"
                    )
                return
            if not self._stack:
                raise ValueError("layers: expected at least one layer, got none. Give Model a list, or call add")
            first = symbol = Input(shape, name=None if self._input is None else self._input.name)
            try:
                for layer in self._stack:
                    symbol = unnamed(layer(symbol))
                self._adopt(Graph(first, symbol, self.dtype))
            except Exception as error:
                self._release()
                if shape == () and isinstance(error, ValueError) and self._input is None:
                    raise ValueError(f"input_shape: expected one that the layers take, got (): {error}") from None
                raise

    def _sample_shape(self) -> Shape | None:
        """Shape of one sample, if it is settled, and there is one input."""
        return self.graph.inputs[0].sample_shape if self.graph and len(self.graph.inputs) == 1 else None

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
        """Parameters and their layout: those of the model, and of others that share some with it."""
        return self._built().state

    # -- as a layer ------------------------------------------------------------------------------------------------

    @property
    def takes_many(self) -> bool:
        """Whether it is called on several symbols."""
        return self.graph is not None and len(self.graph.inputs) > 1

    def _join(self, x: Any) -> Any:
        """Call it as a layer: the symbols of its outputs for the symbols `x`, which stand for its inputs."""
        if self.graph is None:
            [only] = Arrangement(x).flat(x)
            self._settle(only.sample_shape)
        graph = self._built()
        symbols = graph.takes.match(x, graph.input_names, self.name)
        for given, own, name in zip(symbols, graph.inputs, graph.input_names, strict=True):
            if not isinstance(given, Symbol) or not fits(given.sample_shape, own.sample_shape):
                got = given.shape if isinstance(given, Symbol) else type(given).__name__
                raise ValueError(
                    f"{self.name}: expected for its input {name} a symbol of shape {own.shape}, got {got}. "
                    "A model keeps the shapes it was built for"
                )
        return graph.gives.pack(self._connect(symbols, graph.outputs_of([s.sample_shape for s in symbols])))

    def _graph_of(self, call: Call) -> Graph | None:
        """Its graph, in which each of its calls is the same."""
        return self.graph

    def _parts(self) -> dict[Any, str]:
        """Its layers, by their numbers."""
        return {layer: str(i) for i, layer in enumerate(self.layers)}

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer of this name or index."""
        if (name is None) == (index is None):
            raise ValueError("name, index: expected one of them")
        layers = self.layers
        if index is not None:
            try:
                return layers[index]
            except IndexError:
                raise ValueError(f"index: expected one of the {len(layers)} layers, got {index}") from None
        names = {layer: layer.name for layer in layers} | (self.graph.layers if self.graph else {})
        for layer in layers:
            if names[layer] == name:
                return layer
        raise ValueError(f"name: expected one of {[names[layer] for layer in layers]}, got {name!r}")

    def count_params(self) -> int:
        """Number of values in all arrays: weights, biases, statistics."""
        return sum(p.size for p in self._built().parameters)

    @explained
    def summary(self, print_fn: Any = None, expand_nested: bool = False, show_trainable: bool = False) -> None:
        """Print layers, their output shapes and numbers of parameters, and what products of wide layers multiply.

        Parameters
        ----------
        print_fn : function of a str, optional
            What prints it.
        expand_nested : bool, default False
            Whether models that are layers show their own.
        show_trainable : bool, default False
            Whether a column says which layers are trainable: Y, N, or - where there is nothing to train.
        """
        nested, shown = check_flag(expand_nested, "expand_nested"), check_flag(show_trainable, "show_trainable")
        (print_fn or say)(summary(self, nested, shown))

    def get_weights(self) -> list[Array]:
        """Copies of all arrays in Keras's order: per layer kernel (in, out), bias (out,)."""
        graph = self._built()
        with graph.state.reading() as state:
            return [state.view(p).copy() for p in graph.parameters]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all arrays, in the order and shapes of `get_weights`."""
        self.state.assign(self._built().parameters, weights, "weights")


def ends(given: Any) -> Any:
    """The inputs or outputs of a graph: a symbol, or a list, tuple or dict of symbols."""
    flat = Arrangement(given).flat(given)
    if not flat or not all(isinstance(s, Symbol) for s in flat):
        strange = next((s for s in flat if not isinstance(s, Symbol)), given)
        raise TypeError(
            "inputs, outputs: expected symbols, of Input and of what layers return, one or a list or dict of them, got "
            f"{type(strange).__name__}"
        )
    return given


def shapes_of(symbols: Sequence[Symbol]) -> Any:
    """The shape of the only one with the batch as None, or those of all."""
    shapes = [s.shape for s in symbols]
    return shapes[0] if len(shapes) == 1 else shapes


def remedy_of(layer: Any) -> str:
    """What to do about something among the layers that is none."""
    if isinstance(layer, Structure):
        return "A model cannot be a layer of itself"
    if isinstance(layer, Symbol):
        return "An Input comes first; for a graph of symbols call Model(inputs, outputs)"
    if isinstance(layer, type) and issubclass(layer, Layer):
        return f"Make one: {layer.__name__}(…)"
    return f"For example nncore.{'Activation(...)' if isinstance(layer, str) else 'Dense(10)'}"

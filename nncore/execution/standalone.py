"""Layers outside of models, and forward passes as in training: on arrays, a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nncore import conversion, runtime
from nncore._kernels import engine
from nncore._kernels.table import BUFFERS, OWN_SCHEDULED
from nncore.arrangement import Arrangement
from nncore.bindings import Binding
from nncore.compiler.program import Program
from nncore.compiler.programs import prediction
from nncore.data import rows_of
from nncore.dtypes import floatx
from nncore.execution.calls import called
from nncore.execution.prediction import Predictor
from nncore.feeds import Feeds
from nncore.graph import Input, Shape, Symbol, check_sample
from nncore.layers.arrays import label, settled
from nncore.layers.base import Layer
from nncore.layers.masking import arrays_of
from nncore.network import Graph
from nncore.schedules import ahead
from nncore.sizes import hold
from nncore.state import Array
from nncore.tracing import Given, leaves_of


class TrainingForward:
    """The forward pass of a step of training: dropout is on, statistics follow the batch; no loss, no gradients.

    Parameters
    ----------
    graph : Graph
    seed : int
        Of the random numbers, which differ from call to call, and from those of steps of training.
    rows, threads : int
        Largest batch; most threads.
    sizes : tuple of tuple of int
        See `Graph.sizes`.
    """

    def __init__(self, graph: Graph, seed: int, rows: int, threads: int, sizes: tuple[Shape, ...] = ()) -> None:
        self.rows, self.most, self.packed, self.sizes = rows, threads, graph.packed, sizes
        with graph.state.reading() as self.state:
            self.program = prediction(graph.sized(sizes), rows, training=True)
        self.steps, self.updates = np.zeros(1, np.int64), np.zeros(2, np.int64)
        self.run = self.program.new_run(engine.Executor, runtime.kernels(self.state.dtype.name), threads)
        self.run.bind_gate(self.state.gate)
        self.run.bind_random(runtime.derived_seed(seed, 0), self.steps)
        self.run.bind_updates(self.updates)
        self.run.bind(BUFFERS["parameters"], self.state.values)
        if self.packed:
            self.run.bind(BUFFERS["packed"], self.packed.memory())

    def outputs(self, inputs: list[Binding], threads: int, updates: int = 0) -> list[Array]:
        """The outputs for one batch; `updates` is the step that schedules are asked for."""
        rows, dtype = inputs[0].rows, self.state.dtype
        outputs = [np.empty((rows, *y.shape), dtype) for y in self.program.outputs]
        with self.state.turn.taken("training"):
            self.state.turn.require("training")
            if self.packed and self.packed.stale:
                self.packed.refresh()
            numbers = ahead(updates, self.program.varying)
            self.run.bind_schedules(numbers.first, numbers.end, [np.zeros(1)] * OWN_SCHEDULED + numbers.numbers)
            self.updates[0], calls = updates, int(self.steps[0])
            try:
                for i, binding in enumerate([*inputs, *(Binding(out, "", dtype) for out in outputs)]):
                    binding.attach(self.run, i, shuffled=False)
                self.run.begin(rows, max(rows, 1))
                while (reason := self.run.run(threads=min(threads, self.most))) != engine.END:
                    self.serve(reason, inputs)
                self.steps[0] = calls + 1
            finally:
                self.run.abandon()
                self.run.forget()
        return outputs

    def serve(self, reason: int, inputs: list[Binding]) -> None:
        """Do what the engine comes back for."""
        if reason == engine.CALL:
            called(self.program.sections[self.run.at], self.run)
            self.run.answer()
        elif reason == engine.NEED_DATA:
            for i, binding in enumerate(inputs):
                binding.fill(self.run, i, slice(None))
            self.run.data_ready()
        else:
            assert reason == engine.BAD_DATA, reason
            which, row = self.run.bad
            raise inputs[which].bad_row(row)


def trainable(layer: Layer) -> tuple[Any, ...]:
    """What is trainable of a layer and of those that it holds or consists of."""
    return layer.trainable, *map(trainable, layer.held), *(leaf.trainable for leaf in leaves_of(layer))


class Ready(NamedTuple):
    """A compiled forward pass of a layer alone, and which of its inputs are whole numbers."""

    forward: Any  # a Predictor or a TrainingForward
    integers: Sequence[Any]

    @property
    def program(self) -> Program:
        """That of the pass."""
        return self.forward.program


class Whole(NamedTuple):
    """The same of a layer that joins others: what its graph is fed and gives, not the graph, which holds the layer."""

    forward: Any
    inputs: tuple[Symbol, ...]
    fed: Feeds
    gives: Arrangement

    @classmethod
    def of(cls, forward: Any, graph: Graph) -> Whole:
        """What computes this graph."""
        return cls(forward, graph.inputs, graph.fed, graph.gives)

    @property
    def program(self) -> Program:
        """That of the pass."""
        return self.forward.program

    def outputs(self, arrays: Sequence[Array], argument: str) -> Any:
        """What it makes of arrays."""
        bound = self.fed.bindings(arrays, self.inputs, [argument] * len(arrays), self.forward.state.dtype)
        return self.gives.pack(self.forward.outputs(bound, runtime.get_num_threads()))


def texts(x: Any) -> bool:
    """Whether it is an array of texts."""
    return isinstance(x, np.ndarray) and x.dtype.kind in "OUS"


class Alone:
    """Layers outside of models: they draw their weights, and are computed on arrays."""

    @classmethod
    def call(cls, layer: Any, inputs: Any, training: bool, mask: Any = None) -> Array:
        """See `Layer.__call__`."""
        named = label(layer)
        many = isinstance(inputs, (list, tuple)) and layer.takes_many
        if layer.takes_many and not many:
            raise ValueError(f"{named}: expected a list of arrays, got {type(inputs).__name__}")
        read = getattr(layer, "read", conversion.as_array)
        argument = f"{named}: inputs"
        arrays = [read(x, argument) for x in (inputs if many else [inputs])]
        if not all(a.ndim for a in arrays) or len({len(a) for a in arrays}) != 1:
            got = ", ".join(str(a.shape) for a in arrays)
            raise ValueError(f"{named}: expected arrays of as many samples each, (n, …), got {got}")
        shapes: tuple[Shape, ...] = tuple(a.shape[1:] for a in arrays)
        rows = len(arrays[0])
        dtype = cls.dtype(layer, shapes, arrays)
        marks = arrays_of(layer, arrays, inputs, mask)
        masked = tuple(None if m is None else m.shape[1:] for m in marks)
        key = shapes, dtype, training, trainable(layer), masked
        known = (layer._forwards or {}).get(key)
        if known is None or known.forward.state.joined or known.forward.rows < rows:
            known = cls.ready(layer, shapes, dtype, rows if training else None, masked)
            held = dict(layer._forwards or {})  # a copy: other threads may read
            hold(held, key, known)
            layer._forwards = held
        if layer.encodes:
            bound = [layer.bound(arrays, [argument] * len(arrays), np.dtype(dtype))]
        else:
            parts = zip([*arrays, *(m for m in marks if m is not None)], known.integers, strict=True)
            bound = [rows_of(a, a.shape[1:], np.dtype(dtype), argument, taken) for a, taken in parts]
        made = known.forward.outputs(bound, runtime.get_num_threads())[0]
        if (regularizer := getattr(layer, "activity_regularizer", None)) is not None and rows:
            layer._activity = regularizer(made) / rows
        return made if layer.makes_integers is None else made.astype(np.int32)

    @classmethod
    def ready(
        cls, layer: Layer, shapes: Sequence[Shape], dtype: str, rows: int | None, masks: Sequence[Shape | None] = ()
    ) -> Ready:
        """What computes it on arrays of samples of these shapes, with such masks; in training, so many of them."""
        graph = cls.graph(layer, shapes, dtype, masks)
        integers = [feed.integers for feed in graph.feeds]
        if rows is None:
            return Ready(Predictor(graph), integers)
        return Ready(TrainingForward(graph, runtime.next_seed(), max(rows, 1), runtime.get_num_threads()), integers)

    @staticmethod
    def dtype(layer: Layer, shapes: tuple[Shape, ...], arrays: Sequence[Array]) -> str:
        """That of the weights, by default `floatx`; of a layer without weights float64 where an array has that."""
        if layer.state is not None:
            return str(layer.state.dtype)
        if () in shapes:
            layer.made_shape(*shapes)  # says what is missing, where `declare` does not look
        [declared, *_] = layer._declared(shapes)
        return "float64" if not declared and any(a.dtype == np.float64 for a in arrays) else floatx()

    @classmethod
    def graph(cls, layer: Layer, shapes: Sequence[Shape], dtype: str, masks: Sequence[Shape | None] = ()) -> Graph:
        """A graph of this layer alone, which reads inputs, then their masks; its weights are drawn if it has none."""
        symbols = [Input(shape) for shape in shapes]
        marks = [None if shape is None else Input(shape) for shape in masks]
        read: Any = symbols if layer.takes_many else symbols[0]
        if any(m is not None for m in marks):
            read = layer.masking.applied(layer, read, marks if layer.takes_many else marks[0])
        graph = Graph([*symbols, *(m for m in marks if m is not None)], layer.connect(read), dtype)
        return cls.drawn(graph, layer)

    @staticmethod
    def drawn(graph: Graph, layer: Layer) -> Graph:
        """A graph of this layer alone, the weights drawn that it has not yet."""
        if not layer.parameters:
            layer.state = None  # so that models of any dtype may have it
            layer._weightless = True
        key = np.array([runtime.next_seed(), 0], np.uint64)
        graph.state.initialize(graph.new, np.random.Generator(np.random.Philox(key=key)))
        return graph

    @classmethod
    def composed(cls, layer: Any, given: Given) -> Any:
        """What a layer that joins others makes of arrays, as its `call` arranges it."""
        named, training = f"{label(layer)}: inputs", bool(given.training)
        arrays = [x if texts(x) else conversion.as_array(x, named) for x in given.items]
        if not all(a.ndim for a in arrays) or len({len(a) for a in arrays}) != 1:
            got = ", ".join(str(a.shape) for a in arrays)
            raise ValueError(f"{label(layer)}: expected arrays of as many samples each, (n, …), got {got}")
        rows, wide = len(arrays[0]), any(a.dtype == np.float64 for a in arrays)
        shapes = tuple((a.shape[1:], "string" if texts(a) else None) for a in arrays)
        key = shapes, repr(given.form), wide, floatx(), training, trainable(layer)
        known = (layer._forwards or {}).get(key)
        if known is None or known.forward.state.joined or known.forward.rows < rows:
            symbols = [Input(shape, dtype=dtype) for shape, dtype in shapes]
            graph = Graph(symbols, layer._connect_all(given._replace(items=symbols)))
            without = all(leaf.declares_none for leaf in layer._leaves)
            graph.build(str(layer.state.dtype) if layer.state else "float64" if wide and without else floatx())
            cls.drawn(graph, layer)
            most = max(rows, 1), runtime.get_num_threads()
            made = TrainingForward(graph, runtime.next_seed(), *most) if training else Predictor(graph)
            known, held = Whole.of(made, graph), dict(layer._forwards or {})
            hold(held, key, known)
            layer._forwards = held
        return known.outputs(arrays, named)

    @classmethod
    def build_composed(cls, layer: Any, input_shape: Any) -> None:
        """See `Layer.build`, of a layer that joins others."""
        symbols, made = layer._on_shapes(input_shape)
        cls.draw(layer, Graph(symbols, made))

    @classmethod
    def draw(cls, layer: Any, graph: Graph) -> None:
        """Draw the weights of a layer that is in a graph."""
        graph.build(floatx())
        cls.drawn(graph, layer)

    @classmethod
    def build(cls, layer: Layer, input_shape: Any) -> None:
        """See `Layer.build`."""
        given = input_shape if layer.takes_many else [input_shape]
        sizes = (s[1:] if isinstance(s, (list, tuple)) and len(s) > 1 else s for s in given)
        shapes = settled(layer, [check_sample(s, "input_shape", input_shape, 1) for s in sizes])
        if shapes is None:
            raise ValueError(
                f"input_shape: expected the size of each axis that weights of {label(layer)} depend on, got "
                f"{input_shape!r}. Give it in place of None"
            )
        cls.graph(layer, shapes, floatx())


Layer.alone = Alone

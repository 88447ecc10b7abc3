"""The graph of a model: its calls in order, its layers by name, and its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any

from nncore.arrangement import Arrangement
from nncore.bindings import Binding
from nncore.feeds import Feed, Feeds, shape_of
from nncore.graph import Call, Symbol, topological
from nncore.layers.arrays import declared_for
from nncore.layers.base import Layer
from nncore.naming import names_of, numbered
from nncore.operations.arrangement import reshape
from nncore.operations.data import real
from nncore.operations.parameters import activity_penalty
from nncore.parameter import Parameter
from nncore.sizes import Shape, fits, is_open, with_sizes
from nncore.state import State
from nncore.warning import warn

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.configuration import CompileConfiguration
    from nncore.compiler.operation import Tensor
    from nncore.packing import Packed

EXAMPLES = 32, 64, 128, 256, 480, 3360, 2**12, 2**14, 2**16  # halved often, or cut by 3, 5 or 7; for short programs
MOST_SHAPES = 1024  # of data, whose outputs' shapes are known


class Graph:
    """The calls of a model in order, its layers by name, and its parameters.

    Layers that are part of another model keep their weights, which both models have from now on.

    Parameters
    ----------
    inputs, outputs : Symbol, or list or dict of them
        Of the model.
    dtype : str, optional
        Of its parameters; without one, it has none before `build`.

    Attributes
    ----------
    inputs, outputs : tuple of Symbol
    symbols : list of Symbol
        Those between them, too, each after those it is made from.
    calls : list of Call and list of Symbol
        Each call with the symbols of its outputs.
    fed : Feeds
        What its program reads: the inputs, or what layers make of them in Python.
    open : bool
        Whether the inputs have sizes that data settle: a program is of `sized`, which has them.
    made : tuple of tuple of int
        Shapes of the outputs' samples.
    layers : dict of Layer or Model to str
        What is called, with its name within this model.
    places : dict of Layer to str
        The layers that have parameters and operations, also those within models that are called, with their paths.
    first : tuple of Layer
        Those that come first in `places`; the others are there in the order in which they compute.
    in_training : Graph or None
        What a user's `call` makes of the same inputs where `training` is True, if that is another graph: see `at`.
    parameters, new : list of Parameter
        All, and those that no other model had before.
    trained, learned : dict of Parameter to str
        Those that were trainable at the last compile, with their paths, and of these the ones that the loss depends on:
        fit changes them.
    augments : bool
        Whether it learns nothing and changes samples at random: called on arrays it does as its layers alone do.
    draft : tuple or None
        The operations of a training step and its outputs, as a compile with this configuration emitted them, for the
        first program that is made of them: it changes them.
    """

    first: tuple[Layer, ...] = ()
    in_training: Graph | None = None

    def __init__(self, inputs: Any, outputs: Any, dtype: str | None = None) -> None:
        self.takes, self.gives = Arrangement(inputs), Arrangement(outputs)
        self.inputs, self.outputs = tuple(self.takes.flat(inputs)), tuple(self.gives.flat(outputs))
        between = topological(self.outputs, self.inputs)
        read = set(map(id, between))
        unread = [s for s in self.inputs if id(s) not in read]  # but given all the same
        self.symbols = [*unread, *between]
        self.open = is_open([s.sample_shape for s in self.inputs])
        self.made = tuple(s.sample_shape for s in self.outputs)
        self._check()
        self.calls: list[tuple[Call, list[Symbol]]] = []
        made: dict[int, list[Symbol]] = {}  # by the id of the call
        ends = set(map(id, self.inputs))
        for s in self.symbols:
            if s.call is not None and id(s) not in ends:
                if id(s.call) not in made:
                    self.calls.append((s.call, made.setdefault(id(s.call), [])))
                made[id(s.call)].append(s)
        self.layers: dict[Any, str] = names_of([call.layer for call, _ in self.calls])
        named = [(call, self.layers[call.layer]) for call, _ in self.calls]
        self.fed = Feeds(self.inputs, self.outputs, named)
        self.shapes: dict[Any, tuple[Shape, ...]] = {}  # `made` of `sizes` that there were
        self.packed: Packed | None = None
        self.draft: tuple[CompileConfiguration, Builder, list[Tensor]] | None = None
        self._state: Any = None
        self.new: list[Parameter] = []
        self.places: dict[Layer, str] = {}
        if dtype is not None:
            self.build(dtype)

    def _check(self) -> None:
        """Raise unless the symbols between the ends are those of one graph."""
        ends = set(map(id, self.inputs))
        if len(ends) < len(self.inputs):
            raise ValueError("inputs: expected each symbol once")
        if strangers := [s for s in self.symbols if s.call is None and id(s) not in ends]:
            wanted = "this Input" if len(ends) == 1 else "these inputs"
            raise ValueError(
                f"inputs, outputs: expected outputs that depend on {wanted} and on no other, got outputs that "
                f"depend on {strangers[0]!r}, too"
            )

    def place(self) -> dict[Layer, str]:
        """The layers that have parameters and operations, with their paths; see `places`."""
        found: dict[Layer, str] = {}
        for graph in (self, self.in_training) if self.in_training else (self,):
            for call, _ in graph.calls:
                inner, name = call.inner, graph.layers[call.layer]
                if inner is None:
                    found.setdefault(call.layer, name)
                else:
                    for leaf, path in inner.places.items():
                        found.setdefault(leaf, f"{name}/{path}")
        return {leaf: found[leaf] for leaf in dict.fromkeys([*self.first, *found]) if leaf in found}

    def declare(self, known: set[Layer] | None = None) -> None:
        """Declare the parameters of layers that have none yet."""
        known = set() if known is None else known
        for graph in (self, self.in_training) if self.in_training else (self,):
            for call, _ in graph.calls:
                layer, inner = call.layer, call.inner
                if inner is not None and inner._state is None:
                    inner.declare(known)
                elif inner is None and layer.state is None and layer not in known:
                    layer.parameters = []
                    layer.declare(*declared_for(layer, call.shapes))
                    known.add(layer)

    def build(self, dtype: str) -> None:
        """Declare the parameters of new layers, and find those of others."""
        self.declare()
        self.places = self.place()
        self.parameters = [p for leaf in self.places for p in leaf.parameters]
        self.paths = {p: f"{path}/{p.name}" for leaf, path in self.places.items() for p in leaf.parameters}
        self.train(self.trainable())
        self.augments = any(leaf.augments for leaf in self.places) and all(p.role != "weight" for p in self.parameters)
        while True:
            parts: dict[Any, None] = {}  # parameters and states, each once, in the order of the model
            for leaf in self.places:
                state = leaf.state
                if state is not None and state.dtype != dtype:
                    raise ValueError(
                        f"dtype: expected that of the weights of layer {leaf.name}, which are there already, "
                        f"got {dtype}. Call Model(…, dtype={state.dtype.name!r})"
                    )
                parts |= dict.fromkeys([state] if state is not None else leaf.parameters)
            self.new = [part for part in parts if isinstance(part, Parameter)]
            for p in self.new:
                if self.paths[p].endswith(f"/{p.path}"):  # of a layer within one that joins others
                    vars(p)["path"] = self.paths[p]
            whole = next(iter(parts)) if len(parts) == 1 and not self.new else None
            states = len(parts) > len(self.new)
            found = whole or (State.merged(list(parts), dtype) if states else State(self.new, dtype))
            if found is not None:
                break
        self._state = found
        for leaf in self.places:
            leaf.state = found

    @property
    def state(self) -> State:
        """The arrays of the parameters, and perhaps of others."""
        if self._state.joined is not None:
            self._state = self._state.root
        state: State = self._state
        return state

    @property
    def feeds(self) -> list[Feed]:
        """The bindings of its program that are read."""
        return self.fed.feeds

    def fed_inputs(self) -> dict[int, int]:
        """The inputs that its program reads as they are given, by their numbers: the number of the binding of each."""
        return {feed.source: i for i, feed in enumerate(self.feeds) if isinstance(feed.source, int)}

    @property
    def input_names(self) -> list[str]:
        """The inputs' names: keys of their dict, or those given to `Input`, or else numbered ones."""
        if self.takes.keys is not None:
            return self.takes.keys
        return numbered([s.name or "input_layer" for s in self.inputs])

    @property
    def output_names(self) -> list[str]:
        """The outputs' names: keys of their dict, or those of the layers that make them, numbered where one recurs."""
        if self.gives.keys is not None:
            return self.gives.keys
        own = dict(zip(map(id, self.inputs), self.input_names, strict=True))
        return numbered([own[id(s)] if id(s) in own else self.layers[s.layer] for s in self.outputs])

    def train(self, trainable: Sequence[bool]) -> None:
        """Say of each parameter whether fit changes it, from the next program on."""
        for p, flag in zip(self.parameters, trainable, strict=True):
            p.train(flag)
        self.trained = {p: path for p, path in self.paths.items() if p.trainable}
        self.learned = self.trained

    def trainable(self) -> list[bool]:
        """Of each parameter whether its layer is trainable now, and what that holds."""
        return [leaf.learns for leaf in self.places for _ in leaf.parameters]

    def __getstate__(self) -> dict[str, Any]:
        # Symbols first, each after those it reads: no recursion however deep.
        return (
            {"symbols": self.symbols}
            | vars(self)
            | {"_state": self._state and self.state, "packed": None, "draft": None}
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for call, symbols in self.calls:
            for symbol in symbols:
                call.layer._remember(call, symbol)

    def settle(self) -> Graph:
        """The same symbols as a new graph, shapes and parameters by what the layers are now."""
        for leaf in self.places:
            leaf.input_shapes = leaf.state = None
        graph = self.again()
        graph.build(self.state.dtype.name)
        return graph

    def again(self, fixed: bool = False) -> Graph:
        """The same symbols as a new graph, shapes by what the layers are now; `fixed`: an AttributeError, if others."""
        fixed |= bool(self.first)
        for call, symbols in self.calls:
            shapes = call.shapes
            if call.traced is None:
                made: tuple[Shape, ...] = (call.layer.made_shape(*shapes),)
                call.layer.take_shapes(shapes)
            else:
                self._check_fixed(call.layer, call.traced.inputs, shapes)
                call.traced = call.traced.again(fixed=True)
                made = call.traced.made
            if fixed:
                self._check_fixed(call.layer, symbols, [made[s.index] for s in symbols])
            for s in symbols:
                s.sample_shape = made[s.index]
        graph = Graph(self.takes.pack(self.inputs), self.gives.pack(self.outputs))
        graph.first = self.first
        graph.in_training = self.in_training and self.in_training.again(fixed=True)
        graph.places = graph.place()
        return graph

    def _check_fixed(self, layer: Any, symbols: Sequence[Symbol], shapes: Sequence[Shape]) -> None:
        """An AttributeError unless symbols of which a user's `call` has seen the shapes still have these."""
        if seen := [(s.shape, shape) for s, shape in zip(symbols, shapes, strict=True) if s.sample_shape != shape]:
            raise AttributeError(
                f"{self.layers[layer]}: expected shapes for which `call` was traced, {seen[0][0]}, got "
                f"{(None, *seen[0][1])}; make another layer or model"
            )

    def at(self, training: bool) -> Graph:
        """The graph of a step of training, or that of predictions: the same but where a user's `call` makes another."""
        other = self.in_training if training else None
        if other is None:
            return self
        graph, fed = copy(self), copy(other.fed)
        fed.feeds = self.fed.feeds  # of sizes that data have settled
        own = {name: getattr(other, name) for name in ("inputs", "outputs", "symbols", "calls", "layers")}
        vars(graph).update(own, fed=fed, in_training=None)
        return graph

    def sizes(self, inputs: Sequence[Binding]) -> tuple[Shape, ...]:
        """What names the programs for such data: the shapes of their samples; () where all sizes are known."""
        return tuple([x.array.shape[1:] for x in inputs]) if self.open else ()

    def sized(self, sizes: tuple[Shape, ...]) -> Graph:
        """The graph for samples of these `sizes`: another only in what it is fed, and in the shapes of its outputs."""
        if not self.open:
            return self
        graph = object.__new__(Graph)
        vars(graph).update(vars(self), open=False, draft=None, fed=self.fed.sized(sizes))
        if (made := self.shapes.get(sizes)) is None:
            if len(self.shapes) >= MOST_SHAPES:
                self.shapes.clear()
            made = self.shapes[sizes] = self.shapes_made(sizes)
        graph.made = made
        return graph

    def shapes_made(self, fed: Sequence[Shape]) -> tuple[Shape, ...]:
        """The shapes of the outputs' samples, where what it is fed has these; a ValueError where a layer cannot."""
        read: dict[Any, Shape] = dict(zip((feed.source for feed in self.feeds), fed, strict=True))
        known = {id(s): read[i] for i, s in enumerate(self.inputs) if i in read}
        for (call, symbols), operands in zip(self.calls, self.fed.reads, strict=True):
            layer, inner = call.layer, call.inner
            shapes = tuple(read[source] if s is None else known[id(s)] for source, s, *_ in operands)
            if inner is None:
                made: tuple[Shape, ...] = (layer.made_shape(*shapes),)
                if not (layer.encodes or layer.declares_none):
                    layer.take_shapes(shapes)
            else:
                made = inner.shapes_made(shapes)
            for s in symbols:
                if not fits(made[s.index], s.sample_shape):
                    raise ValueError(
                        f"{self.layers[layer]}: expected inputs that it makes {s.shape} of, as the layers behind it "
                        f"were told, got {', '.join(str((None, *shape)) for shape in shapes)}, of which it makes "
                        f"{(None, *made[s.index])}. Give longer samples"
                    )
                known[id(s)] = made[s.index]
        return tuple(known[id(s)] for s in self.outputs)

    def outputs_of(self, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
        """The shapes of the outputs' samples, for inputs' samples of these shapes, which fit."""
        return self.shapes_made([shape_of(feed.source, shapes) for feed in self.feeds]) if self.open else self.made

    def example(self) -> Graph | None:
        """The graph for samples of some size that all layers take, in place of each that is open; None: not found."""
        fed = [feed.shape for feed in self.feeds]
        for size in EXAMPLES:
            with suppress(ValueError):
                return self.sized(tuple(with_sizes(fed, size)))
        return None

    def drafted(self, config: CompileConfiguration) -> tuple[Builder, list[Tensor]] | None:
        """The draft, if it is one by this configuration; there is none from then on."""
        draft, self.draft = self.draft, None
        return draft[1:] if draft and draft[0] is config else None

    def emit(self, b: Builder, *fed: Tensor, wanted: Sequence[int] | None = None) -> tuple[Tensor, ...]:
        """Emit the calls, for what is `fed`; the outputs, or those `wanted`, for which no other calls are emitted."""
        read = {feed.source: x for feed, x in zip(self.feeds, fed, strict=True)}
        tensors = {id(s): read[i] for i, s in enumerate(self.inputs) if i in read}
        watch = b.watch
        if watch is not None:
            for s in self.inputs:
                if id(s) in tensors:
                    watch.see(b, s, tensors[id(s)])
        reals: dict[int, Tensor] = {}  # of whole numbers that some layers read as such, and others do not
        outputs = self.outputs if wanted is None else tuple(self.outputs[i] for i in wanted)
        calls = [(call, made, of) for (call, made), of in zip(self.calls, self.fed.reads, strict=True)]
        if len(outputs) < len(self.outputs):
            needed = set(map(id, topological(outputs, self.inputs)))
            calls = [(call, [s for s in made if id(s) in needed], of) for call, made, of in calls]
        for call, symbols, operands in calls:
            if symbols:
                xs = []
                for source, s, taken, _ in operands:
                    x = tensors[id(s)] if s is not None else read[source]  # type: ignore[index]
                    if x.integer and taken is None:
                        x = reals[id(x)] = reals[id(x)] if id(x) in reals else real(b, x)
                    xs.append(x)
                if (inner := call.inner) is None:
                    made = regularized(b, call.layer, call.layer.emit(b, *xs))
                    if not fits(made.shape, symbols[0].sample_shape):
                        raise ValueError(
                            f"{call.layer.name}: expected emit to return what output_shape says, "
                            f"{symbols[0].sample_shape} a sample, got {made.shape}. Let output_shape return that"
                        )
                    tensors[id(symbols[0])] = masked(b, call.layer, xs, made)
                else:
                    made = inner.at(b.training).emit(b, *xs, wanted=[s.index for s in symbols])
                    tensors.update((id(s), y) for s, y in zip(symbols, made, strict=True))
                if watch is not None:
                    for s in symbols:
                        watch.see(b, s, tensors[id(s)])
        return tuple(tensors[id(s)] for s in outputs)


def regularized(b: Builder, layer: Layer, y: Tensor) -> Tensor:
    """The output of a layer, after its penalty on that."""
    regularizer = getattr(layer, "activity_regularizer", None)
    if regularizer is not None and (regularizer.l1 or regularizer.l2) and not b.predicts:
        activity_penalty(b, y, regularizer)
    return y


def masked(b: Builder, layer: Layer, xs: Sequence[Tensor], y: Tensor) -> Tensor:
    """The output of a layer, which has a mask if that gave it one, or lets those of its inputs go along."""
    if not layer.supports_masking and any(x.mask is not None for x in xs):
        if b.warns:
            warn(
                f"{layer.name}: what is masked of its inputs counts from here on, for {type(layer).__name__} does not "
                "support masking"
            )
        return reshape(b, y, y.shape) if any(y is x for x in xs) else y
    if y.mask is None:
        y.mask = layer.emit_mask(b, *xs)
    if y.mask is not None and y.mask.shape != y.shape[: len(y.mask.shape)]:
        raise ValueError(
            f"{layer.name}: expected a mask of the first axes of what it makes, {y.shape} a sample, got one of "
            f"{y.mask.shape}. Let emit_mask return what of the output counts, or let supports_masking be False"
        )
    return y

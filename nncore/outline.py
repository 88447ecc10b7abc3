"""A document read: what it describes, what of it shows before there are weights, and a model made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nncore.architecture import CLASSES, Numbered, full
from nncore.arrangement import Arrangement
from nncore.entries import MODELS, Document, another, described, layer_of, own_model
from nncore.graph import Input, Shape, Symbol, check_sample
from nncore.layers.arrays import declared_for
from nncore.layers.base import Layer
from nncore.naming import names_of
from nncore.network import Graph
from nncore.sizes import fits
from nncore.tracing import ALONE, Given, filled

if TYPE_CHECKING:
    from nncore.model import Model

GRAPH_KEYS = {"inputs", "calls", "outputs", "takes", "gives"}
MOST_CALLS = 2**20  # of layers, each as often as it is called: a short document could ask for any number


class Outline:
    """A description that was read and makes sense as far as can be seen without any layer.

    Parameters
    ----------
    about : dict
        What `describe` returned.

    Attributes
    ----------
    entries : list of dict
        Of layers and models, the model itself last; `graph` is what that says.
    names : list of str or None
        That they have.
    nameless : bool
        Whether some layer has none: its constructor takes none.
    """

    def __init__(self, about: Document) -> None:
        about = full(about)
        self.dtype, self.graph = about["dtype"], about["graph"]
        own = {"name": about["name"], "seed": about["seed"]} | self.graph
        last = {"class": MODELS[about["stack"]], "graph": own} | ({"own": about["own"]} if "own" in about else {})
        self.entries: list[Document] = [*about["layers"], last]
        self.makes = [entry.get("makes", 1) for entry in self.entries]  # how many symbols a call makes
        said = [e if "name" in e else e["graph" if "graph" in e else "config"] for e in self.entries]
        self.names: list[str | None] = [about.get("name") for about in said]
        layers = [name for name, entry in zip(self.names, self.entries, strict=True) if "graph" not in entry]
        self.nameless = None in layers
        counts = [1] * len(self.entries)  # calls of layers in one of each
        used = {len(self.entries) - 1}
        for i, entry in enumerate(self.entries):
            if "graph" not in entry:
                continue
            graph = entry["graph"]
            if strange := set(graph) - GRAPH_KEYS - {"name", "seed"}:
                raise ValueError(f"graph: expected the keys {sorted(GRAPH_KEYS)}, got also {sorted(strange)}")
            if "own" in entry:
                self.makes[i] = entry["own"]["makes"]
                continue
            self.check(i, graph)
            used |= {number for number, *_ in graph["calls"]}
            self.makes[i] = len(graph["outputs"]) or 1
            counts[i] = sum(counts[number] for number, *_ in graph["calls"])
            if counts[i] > MOST_CALLS:
                raise ValueError(f"graph: expected at most {MOST_CALLS} calls of layers, got {counts[i]}")
        if unused := set(range(len(self.entries))) - used:
            raise ValueError(f"graph: expected calls of all layers, got none of number {min(unused)}")

    def check(self, i: int, graph: Document) -> None:
        """Raise unless the graph of entry `i` is made of earlier entries, and calls read what there is."""
        symbols = len(graph["inputs"] or ())
        for number, read, *_ in graph["calls"]:
            if not 0 <= number < i:
                raise ValueError(f"graph: expected the number of an earlier layer, got {number}")
            if graph["inputs"] is not None and (not read or not all(0 <= s < symbols for s in read)):
                name = self.entries[number].get("config", {}).get("name")
                raise ValueError(f"layer {name}: reads a layer that does not come before it")
            symbols += self.makes[number]
        if graph["inputs"] is not None and not (graph["outputs"] and all(0 <= s < symbols for s in graph["outputs"])):
            raise ValueError(f"graph: expected outputs among {symbols} symbols, got {graph['outputs']}")

    @property
    def built(self) -> bool:
        """Whether the model has shapes and weights."""
        return self.graph["inputs"] is not None

    def leaves(self) -> Iterator[int]:
        """Numbers of the entries that are layers."""
        return (i for i, entry in enumerate(self.entries) if "graph" not in entry)

    def known(self) -> tuple[set[str], tuple[str, ...]]:
        """Paths of layers, and what those of layers begin with that only show when a user's class makes them."""
        places = self.places()
        users = [i for i, entry in enumerate(self.entries) if "parts" in entry or "own" in entry]
        apart = [places[i] and f"{places[i]}/" for i in users if i in places]
        return set(places.values()), tuple(apart)

    def places(self, layers: Mapping[int, Layer] | None = None) -> dict[int, str]:
        """Path of each layer within the model, by number; `layers`, if there are any, give their names, or get them."""
        things: list[Any] = []
        places: list[dict[int, str]] = []  # what the paths of the layers within add to that of an entry
        for i, entry in enumerate(self.entries):
            things.append(layers[i] if layers and i in layers else Named(self.names[i], bool(entry.get("named"))))
            if "graph" not in entry or "own" in entry:
                places.append({i: ""})
                continue
            numbers = list(dict.fromkeys(number for number, *_ in entry["graph"]["calls"]))
            names = names_of([things[number] for number in numbers])
            places.append({})
            for number in numbers:
                for leaf, path in places[number].items():
                    places[i].setdefault(leaf, f"/{names[things[number]]}{path}")
        return {leaf: path[1:] for leaf, path in places[-1].items()}

    def declared(self, custom: Mapping[str, type[Layer]], layers: dict[int, Layer]) -> Iterator[tuple[Layer, str]]:
        """The layers with their paths, each with the parameters that it will have, but no memory for them.

        They are made one after another, and put into `layers` by their numbers: a file without their tensors is refused
        at the first of them.
        """
        if self.nameless or not self.built:
            layers |= {i: layer_of(self.entries[i], custom) for i in self.leaves()}
        if not self.built:
            return
        places = self.places(layers)
        seen: set[Any] = set()
        made = Made(self, layers)
        for i, entry in enumerate(self.entries):
            if "graph" not in entry:
                continue
            shapes = made.inputs(i)
            if "own" in entry and i == len(self.entries) - 1:
                yield from made.declared(i, tuple(shapes), None, seen, "")
            for number, read, *form in entry["graph"]["calls"] if shapes else ():
                given, called = tuple(shapes[s] for s in read), self.entries[number]
                if "graph" not in called and number not in layers:
                    layers[number] = layer_of(called, custom)
                if "parts" in called or "own" in called:
                    yield from made.declared(number, given, form[0] if form else None, seen, f"{places[number]}/")
                elif "graph" not in called and number not in seen:
                    seen.add(number)
                    layers[number].declare(*declared_for(layers[number], given))
                    yield layers[number], places[number]
                shapes += made(number, given, *form)
            if "own" not in entry:
                made.known[i, tuple(made.inputs(i)), "None"] = [shapes[s] for s in entry["graph"]["outputs"]]

    def make(self, layers: Mapping[int, Any]) -> Model:
        """A new model of the described architecture, of these layers by number, and of users' models that there are."""
        made: list[Any] = []
        for i, entry in enumerate(self.entries):
            if "own" in entry:
                made.append(layers[i] if i in layers else self.own_model(i))
                if i == len(self.entries) - 1 and self.built:
                    made[i]._settle_on(self.inputs_of(i))
            else:
                made.append(self.model(entry, made) if "graph" in entry else layers[i])
        model: Model = made[-1]
        return model

    def own_model(self, i: int) -> Any:
        """The model of a user's class that an entry describes."""
        entry = self.entries[i]
        model, graph = own_model(entry["own"], CLASSES["model"]), entry["graph"]
        named = bool(entry.get("named"))
        vars(model).update(dtype=self.dtype, _name=graph["name"], _named=named, _seed=int(graph["seed"]))
        return model

    def inputs_of(self, i: int) -> Any:
        """Symbols for the inputs of the model that an entry describes, arranged as it takes them."""
        graph = self.entries[i]["graph"]
        return arranged(graph["takes"], [Input(tuple(shape), name=name) for name, shape in graph["inputs"]])

    def model(self, entry: Document, made: Sequence[Any]) -> Model:
        """The model that an entry describes, of layers and models that are made already."""
        graph = entry["graph"]
        settings: dict[str, Any] = {"name": graph["name"], "dtype": self.dtype, "seed": int(graph["seed"])}
        inputs = graph["inputs"]
        if entry["class"] == "sequential":
            model = CLASSES["sequential"]([made[number] for number, *_ in graph["calls"]], **settings)
            if inputs is not None:
                [(name, shape)] = inputs
                model._settle(tuple(shape))
                model.inputs[0].name = name
        else:
            symbols: list[Symbol] = [Input(tuple(shape), name=name) for name, shape in inputs]
            for number, read, *form in graph["calls"]:
                layer, given = made[number], [symbols[s] for s in read]
                if "parts" in self.entries[number]:
                    args, named = filled(form[0] if form else ALONE, given)
                    out = layer(*args, **named)
                elif "own" in self.entries[number]:
                    out = layer(arranged(self.entries[number]["graph"]["takes"], given))
                else:
                    out = layer(given if layer.takes_many else given[0])
                outputs = Arrangement(out).flat(out)
                if len(outputs) != self.makes[number]:
                    raise ValueError(
                        f"{layer.name}: expected call to return as many symbols as when it was saved, "
                        f"{self.makes[number]}, got {len(outputs)}"
                    )
                symbols += outputs
            ends = [arranged(graph["takes"], symbols[: len(inputs)])]
            ends.append(arranged(graph["gives"], [symbols[s] for s in graph["outputs"]]))
            model = CLASSES["model"](*ends, **settings)
        model._named = bool(entry.get("named"))
        return model


class Made:
    """The shapes that entries of an outline make of given ones, each found once."""

    def __init__(self, outline: Outline, layers: dict[int, Any]) -> None:
        self.outline, self.entries, self.layers = outline, outline.entries, layers
        self.known: dict[tuple[int, tuple[Shape, ...], str], list[Shape]] = {}

    def inputs(self, number: int) -> list[Shape]:
        """The shapes that a model takes."""
        return [tuple(shape) for _, shape in self.entries[number]["graph"]["inputs"] or ()]

    def traced(self, number: int, given: tuple[Shape, ...], form: Any) -> Graph:
        """What the `call` of a user's class makes of inputs of these shapes."""
        if "own" not in self.entries[number]:
            items = [Input(shape) for shape in given]
            return self.layers[number]._traced_on(Given(items, form, None))
        if number not in self.layers:
            self.layers[number] = self.outline.own_model(number)
        graph: Graph = self.layers[number]._trace(self.outline.inputs_of(number))
        return graph

    def declared(
        self, number: int, given: tuple[Shape, ...], form: Any, seen: set[Any], path: str
    ) -> Iterator[tuple[Layer, str]]:
        """The layers that such an entry consists of, but for those that were `seen`, with parameters and paths."""
        graph = self.traced(number, given, form)
        self.known[number, given, repr(form)] = list(graph.made)
        graph.declare()
        for leaf, name in graph.places.items():
            if leaf not in seen:
                seen.add(leaf)
                yield leaf, f"{path}{name}"

    def __call__(self, number: int, given: tuple[Shape, ...], form: Any = None) -> list[Shape]:
        """Of samples of these shapes; a ValueError where the entry does not take them."""
        entry = self.entries[number]
        if "graph" not in entry and "parts" not in entry:
            return [self.layers[number].made_shape(*given)]
        if (key := (number, given, repr(form))) not in self.known:
            if "parts" in entry or "own" in entry:
                self.known[key] = list(self.traced(number, given, form).made)
                return self.known[key]
            graph, taken = entry["graph"], self.inputs(number)
            if len(given) != len(taken) or not all(map(fits, given, taken)):
                raise ValueError(f"graph: expected shapes {taken} for a model, got {list(given)}")
            shapes = list(given)
            for inner, read, *inner_form in graph["calls"]:
                shapes += self(inner, tuple(shapes[s] for s in read), *inner_form)
            self.known[key] = [shapes[s] for s in graph["outputs"]]
        return self.known[key]


@dataclass(eq=False)
class Named:
    """A name in place of a layer or model."""

    name: str | None
    _named: bool


def arranged(form: Any, symbols: Sequence[Symbol]) -> Any:
    """Inputs or outputs of a model as they were given: `form` is what `Arrangement.form` says."""
    if isinstance(form, list):
        return dict(zip(form, symbols, strict=True))
    if form == "tuple":
        return tuple(symbols)
    return list(symbols) if len(symbols) > 1 else symbols[0]


def construct(about: Document, custom: Mapping[str, type[Layer]]) -> Model:
    """A new model of the described architecture."""
    outline = Outline(about)
    for entry in outline.entries:
        for _, shape in entry.get("graph", {}).get("inputs") or ():
            check_sample(tuple(shape), "inputs", shape)
    return outline.make({i: layer_of(outline.entries[i], custom) for i in outline.leaves()})


def remade(numbered: Numbered, outline: Outline, make: Callable[[Layer], Layer] = another) -> Model:
    """A new model of the architecture that was described, of new layers without weights, each made from the old one."""
    layers: dict[int, Layer] = {}
    for i in outline.leaves():
        old = numbered.layers[i]
        layer = layers[i] = make(old)
        if not isinstance(layer, Layer) or layer is old:
            raise TypeError(f"clone_function: expected it to make another layer from {old!r}, got {layer!r}")
        if "parts" in outline.entries[i] and make is another:
            described(layer, outline.entries[i])
        layer._trainable, layer._named = old.trainable, old._named
    return outline.make(layers)

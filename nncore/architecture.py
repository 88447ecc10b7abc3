"""The structure of a model as a document: its layers, those of models within it, and what is called on what.

`describe` writes it and `Outline` reads it. A model of one input and one output whose layers are called once each is
its layers in order, each with the numbers of the symbols it reads; others say more, under "graph".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nncore.custom import checked as checked_objects
from nncore.custom import find, get_registered_name, keeping
from nncore.graph import Input, Shape, Symbol, check_sample
from nncore.layers.arrays import declared_for
from nncore.layers.base import LAYERS, Layer
from nncore.network import names_of
from nncore.registry import serialize
from nncore.sizes import fits

if TYPE_CHECKING:
    from nncore.model import Model
    from nncore.parameter import Parameter

Document = dict[str, Any]

KEYS = {"name", "dtype", "seed", "stack", "layers"}
FORMS = (KEYS | {"input_shape"}, KEYS | {"graph"})  # plain, and any other
GRAPH_KEYS = {"inputs", "calls", "outputs", "takes", "gives"}
MODELS = ("model", "sequential")  # classes of the entries that are models

#: The classes of models, by these names. They enter themselves: what saves and loads them cannot import them.
CLASSES: dict[str, type[Model]] = {}

MOST_CALLS = 2**20  # of layers, each as often as it is called: a short document could ask for any number


# -- writing -----------------------------------------------------------------------------------------------------------


class Numbered:
    """The layers of a model, and the models among them, each with a number above those of what it consists of.

    Attributes
    ----------
    layers : list of Layer or Model
    entries : list of dict
        What describes them.
    graph : dict
        What describes the model itself.
    """

    def __init__(self, model: Model) -> None:
        self.trained = model.graph.trained if model.graph and model.configuration else None
        self.layers: list[Any] = []
        self.entries: list[Document] = []
        self.numbers: dict[Any, int] = {}
        self.graph = self.of(model)

    def about(self, model: Model) -> Document:
        """All that there is to say."""
        own = {"name": model.name, "dtype": model.dtype, "seed": str(model.seed), "stack": model.is_stack}
        return own | {"layers": self.entries, "graph": self.graph}

    def number(self, layer: Any) -> int:
        """The number of a layer, which is given one if it has none."""
        if layer not in self.numbers:
            if isinstance(layer, Layer):
                entry = entry_of(layer, self.trained)
            else:
                about = {"name": layer.name, "seed": str(layer.seed)}
                entry = {"class": MODELS[layer.is_stack], "graph": about | self.of(layer)}
            if layer._named:
                entry["named"] = True
            self.numbers[layer] = len(self.layers)
            self.layers.append(layer)
            self.entries.append(entry)
        return self.numbers[layer]

    def of(self, model: Model) -> Document:
        """The graph of a model: its inputs, then each call with the numbers of a layer and of the symbols it reads.

        Symbols are numbered from the inputs on, as the calls make them.
        """
        graph = model.graph
        if graph is None:
            calls: list[Any] = [[self.number(layer), []] for layer in model.layers]
            return {"inputs": None, "calls": calls, "outputs": [], "takes": None, "gives": None}
        symbols = {id(s): i for i, s in enumerate(graph.inputs)}
        count, calls = len(symbols), []
        for call, made in graph.calls:
            calls.append([self.number(call.layer), [symbols[id(s)] for s in call.inputs]])
            symbols |= {id(s): count + s.index for s in made}
            count += 1 if isinstance(call.layer, Layer) else len(call.layer.graph.outputs)
        return {
            "inputs": [[s.name, list(s.sample_shape)] for s in graph.inputs],
            "calls": calls,
            "outputs": [symbols[id(s)] for s in graph.outputs],
            "takes": graph.takes.form,
            "gives": graph.gives.form,
        }


def describe(model: Model) -> Document:
    """The architecture as JSON."""
    return plain(Numbered(model).about(model))


def plain(about: Document) -> Document:
    """The plain form of a description, where that says as much; `full` is its inverse."""
    about = dict(about)
    graph, layers = about.pop("graph"), about["layers"]
    [(name, shape)] = inputs if len(inputs := graph["inputs"] or [(None, None)]) == 1 else [("", None)]
    if name is None and graph["takes"] is None and graph["gives"] is None and not any("graph" in e for e in layers):
        built = graph["inputs"] is not None
        in_order = [number for number, _ in graph["calls"]] == list(range(len(layers)))
        if in_order and graph["outputs"] == ([len(layers)] if built else []):
            entries = [{k: v for k, v in entry.items() if k != "named"} for entry in layers]
            if built:
                entries = [e | {"inputs": read} for e, (_, read) in zip(entries, graph["calls"], strict=True)]
            return about | {"input_shape": shape, "layers": entries}
    return about | {"graph": graph}


def full(about: Document) -> Document:
    """A description with a graph, from one of either form."""
    if "graph" in about:
        return about
    about = dict(about)
    shape, layers = about.pop("input_shape"), about["layers"]
    graph = {
        "inputs": None if shape is None else [[None, shape]],
        "calls": [[i, [] if shape is None else entry["inputs"]] for i, entry in enumerate(layers)],
        "outputs": [] if shape is None else [len(layers)],
        "takes": None,
        "gives": None,
    }
    return about | {"layers": layers, "graph": graph}


def entry_of(layer: Layer, trained: Collection[Parameter] | None) -> Document:
    """A layer's class, by its registered name or else its own, and configuration; `layer_of` is its inverse.

    Of `trainable`, what is in force, beside the configuration where that has no place for it: what it was when the
    model was compiled, whose `trained` parameters are given.
    """
    cls = type(layer)
    check_class(layer)
    entry: Document = {"class": get_registered_name(cls), "config": layer.get_config()}
    if cls in LAYERS.classes.values():
        entry = serialize(layer)
    weights = [p for p in layer.parameters if p.role == "weight"]
    trainable = layer.learns if trained is None or not weights else weights[0] in trained
    configs = [entry["config"]]
    while layer.held:
        [layer] = layer.held
        configs.append(configs[-1]["layer"]["config"])
    if all(config.get("trainable", True) for config in configs) != trainable:
        told = [config for config in configs if "trainable" in config] or [entry]
        for place in told:
            place["trainable"] = trainable
    return entry


def check_class(layer: Layer) -> None:
    """A ValueError where files would take the class of a layer, or of one that it holds, for one of nncore's."""
    LAYERS.check_name(type(layer), f"layer {layer.name}", MODELS)
    for held in layer.held:
        check_class(held)


# -- reading -----------------------------------------------------------------------------------------------------------


def another(layer: Layer) -> Layer:
    """A layer of the same class and configuration, without weights; what functions it has need not be registered."""
    with keeping():
        made: Layer = type(layer).from_config(layer.get_config())
    return made


def checked(config: Any) -> Document:
    """What `describe` returned, if it has this form."""
    fits = isinstance(config, Mapping) and set(config) in FORMS and isinstance(config["layers"], list)
    if fits:
        unbuilt = "graph" in config or config["input_shape"] is None
        parts = {"class"} if "graph" in config else {"class", "config"} | (set() if unbuilt else {"inputs"})
        fits = all(isinstance(entry, Mapping) and parts <= set(entry) for entry in config["layers"])
    if not fits:
        raise ValueError("config: expected what get_config returned, a dict with its keys, got something else")
    return dict(config)


def layer_of(entry: Document, custom: Mapping[str, type[Layer]]) -> Layer:
    """A layer from its class's registered name and config."""
    name = entry["class"]
    cls = custom.get(name) or find(name, Layer) or LAYERS.find(name, "layer")
    layer: Layer = cls.from_config(entry["config"])
    layer._named = bool(entry.get("named"))
    if "trainable" in entry:
        layer.trainable = entry["trainable"]
    return layer


def layer_classes(custom: Any) -> Mapping[str, type[Layer]]:
    """The layers among `custom_objects`, which are checked."""
    classes = {name: thing for name, thing in checked_objects(custom).items() if isinstance(thing, type)}
    return {name: cls for name, cls in classes.items() if issubclass(cls, Layer)}


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
    """

    def __init__(self, about: Document) -> None:
        about = full(about)
        self.dtype, self.graph = about["dtype"], about["graph"]
        own = {"name": about["name"], "seed": about["seed"]} | self.graph
        self.entries: list[Document] = [*about["layers"], {"class": MODELS[about["stack"]], "graph": own}]
        self.makes = [1] * len(self.entries)  # how many symbols a call makes
        counts = [1] * len(self.entries)  # calls of layers in one of each
        used = {len(self.entries) - 1}
        for i, entry in enumerate(self.entries):
            if "graph" not in entry:
                continue
            graph = entry["graph"]
            if strange := set(graph) - GRAPH_KEYS - {"name", "seed"}:
                raise ValueError(f"graph: expected the keys {sorted(GRAPH_KEYS)}, got also {sorted(strange)}")
            self.check(i, graph)
            used |= {number for number, _ in graph["calls"]}
            self.makes[i] = len(graph["outputs"]) or 1
            counts[i] = sum(counts[number] for number, _ in graph["calls"])
            if counts[i] > MOST_CALLS:
                raise ValueError(f"graph: expected at most {MOST_CALLS} calls of layers, got {counts[i]}")
        if unused := set(range(len(self.entries))) - used:
            raise ValueError(f"graph: expected calls of all layers, got none of number {min(unused)}")

    def check(self, i: int, graph: Document) -> None:
        """Raise unless the graph of entry `i` is made of earlier entries, and calls read what there is."""
        symbols = len(graph["inputs"] or ())
        for number, read in graph["calls"]:
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

    @property
    def nameless(self) -> bool:
        """Whether some layer has no name in the document: its constructor takes none."""
        return any("graph" not in entry and entry["config"].get("name") is None for entry in self.entries)

    def leaves(self) -> Iterator[int]:
        """Numbers of the entries that are layers."""
        return (i for i, entry in enumerate(self.entries) if "graph" not in entry)

    def places(self, layers: Mapping[int, Layer] | None = None) -> dict[int, str]:
        """Path of each layer within the model, by number; `layers`, if there are any, give their names, or get them."""
        things: list[Any] = []
        places: list[dict[int, str]] = []  # what the paths of the layers within add to that of an entry
        for i, entry in enumerate(self.entries):
            about = entry["graph" if "graph" in entry else "config"]
            things.append(layers[i] if layers and i in layers else Named(about.get("name"), bool(entry.get("named"))))
            if "graph" not in entry:
                places.append({i: ""})
                continue
            numbers = list(dict.fromkeys(number for number, _ in entry["graph"]["calls"]))
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
        seen: set[int] = set()
        made = Made(self, layers)
        for i, entry in enumerate(self.entries):
            if "graph" not in entry:
                continue
            shapes = made.inputs(i)
            for number, read in entry["graph"]["calls"] if shapes else ():
                given = tuple(shapes[s] for s in read)
                if "graph" not in self.entries[number]:
                    layer = layers[number] if number in layers else layer_of(self.entries[number], custom)
                    if number not in seen:
                        seen.add(number)
                        layers[number] = layer
                        layer.declare(*declared_for(layer, given))
                        yield layer, places[number]
                shapes += made(number, given)
            made.known[i, tuple(made.inputs(i))] = [shapes[s] for s in entry["graph"]["outputs"]]

    def make(self, layers: Mapping[int, Layer]) -> Model:
        """A new model of the described architecture, of these layers by number."""
        made: list[Any] = []
        for i, entry in enumerate(self.entries):
            made.append(layers[i] if "graph" not in entry else self.model(entry, made))
        model: Model = made[-1]
        return model

    def model(self, entry: Document, made: Sequence[Any]) -> Model:
        """The model that an entry describes, of layers and models that are made already."""
        graph = entry["graph"]
        settings: dict[str, Any] = {"name": graph["name"], "dtype": self.dtype, "seed": int(graph["seed"])}
        inputs = graph["inputs"]
        if entry["class"] == "sequential":
            model = CLASSES["sequential"]([made[number] for number, _ in graph["calls"]], **settings)
            if inputs is not None:
                [(name, shape)] = inputs
                model._settle(tuple(shape))
                model.inputs[0].name = name
        else:
            symbols: list[Symbol] = [Input(tuple(shape), name=name) for name, shape in inputs]
            for number, read in graph["calls"]:
                layer, given = made[number], [symbols[s] for s in read]
                out = layer(given if layer.takes_many else given[0])
                symbols += [out] if isinstance(layer, Layer) else layer.graph.gives.flat(out)
            ends = [arranged(graph["takes"], symbols[: len(inputs)])]
            ends.append(arranged(graph["gives"], [symbols[s] for s in graph["outputs"]]))
            model = CLASSES["model"](*ends, **settings)
        model._named = bool(entry.get("named"))
        return model


class Made:
    """The shapes that entries of an outline make of given ones, each found once."""

    def __init__(self, outline: Outline, layers: Mapping[int, Layer]) -> None:
        self.entries, self.layers = outline.entries, layers
        self.known: dict[tuple[int, tuple[Shape, ...]], list[Shape]] = {}

    def inputs(self, number: int) -> list[Shape]:
        """The shapes that a model takes."""
        return [tuple(shape) for _, shape in self.entries[number]["graph"]["inputs"] or ()]

    def __call__(self, number: int, given: tuple[Shape, ...]) -> list[Shape]:
        """Of samples of these shapes; a ValueError where the entry does not take them."""
        if "graph" not in self.entries[number]:
            return [self.layers[number].made_shape(*given)]
        if (number, given) not in self.known:
            graph, taken = self.entries[number]["graph"], self.inputs(number)
            if len(given) != len(taken) or not all(map(fits, given, taken)):
                raise ValueError(f"graph: expected shapes {taken} for a model, got {list(given)}")
            shapes = list(given)
            for inner, read in graph["calls"]:
                shapes += self(inner, tuple(shapes[s] for s in read))
            self.known[number, given] = [shapes[s] for s in graph["outputs"]]
        return self.known[number, given]


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

"""The structure of a model as a document: its layers, those of models within it, and what is called on what.

`describe` writes it, and `outline` reads it. A model of one input and one output whose layers are called once each is
its layers in order, each with the numbers of the symbols it reads; others say more, under "graph".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nncore.entries import MODELS, Document, entry_of, own_of
from nncore.layers.base import Layer
from nncore.tracing import leaves_of

if TYPE_CHECKING:
    from nncore.model import Model

KEYS = {"name", "dtype", "seed", "stack", "layers"}
FORMS = (KEYS | {"input_shape"}, KEYS | {"graph"}, KEYS | {"graph", "own"})  # plain, any other, a user's class

#: The classes of models, by these names. They enter themselves: what saves and loads them cannot import them.
CLASSES: dict[str, type[Model]] = {}


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
        self.owners: dict[Layer, Any] = {}
        self.own = own_of(model, self.trained) if type(model)._composes() else None
        self.graph = self.of(model)

    def about(self, model: Model) -> Document:
        """All that there is to say."""
        own = {"name": model.name, "dtype": model.dtype, "seed": str(model.seed), "stack": model.is_stack}
        own |= {"own": self.own} if self.own else {}
        return own | {"layers": self.entries, "graph": self.graph}

    def number(self, layer: Any) -> int:
        """The number of a layer, which is given one if it has none."""
        if layer not in self.numbers:
            if isinstance(layer, Layer):
                entry = entry_of(layer, self.trained)
            else:
                about = {"name": layer.name, "seed": str(layer.seed)}
                entry = {"class": MODELS[layer.is_stack], "graph": about | self.of(layer)}
                if type(layer)._composes():
                    entry["own"] = own_of(layer, self.trained)
            for leaf in leaves_of(layer) if "graph" not in entry or "own" in entry else ():
                if self.owners.setdefault(leaf, layer) is not layer:
                    raise ValueError(
                        f"{leaf.name}: expected a layer in one place of what files describe, got one that is part "
                        f"of {self.owners[leaf].name} and of {layer.name}, which share its weights. Let one have it"
                    )
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
        if type(model)._composes():
            inputs = [[s.name, list(s.sample_shape)] for s in graph.inputs] if graph else None
            return {"inputs": inputs, "calls": [], "outputs": [], "takes": graph and graph.takes.form, "gives": None}
        if graph is None:
            calls: list[Any] = [[self.number(layer), []] for layer in model.layers]
            return {"inputs": None, "calls": calls, "outputs": [], "takes": None, "gives": None}
        symbols = {id(s): i for i, s in enumerate(graph.inputs)}
        count, calls = len(symbols), []
        for call, made in graph.calls:
            read = [symbols[id(s)] for s in call.inputs]
            calls.append([self.number(call.layer), read, *([] if call.form is None else [call.form])])
            symbols |= {id(s): count + s.index for s in made}
            count += 1 if call.inner is None else len(call.inner.outputs)
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
    arranged = name is not None or graph["takes"] is not None or graph["gives"] is not None
    if not (arranged or "own" in about or any("graph" in e or "parts" in e for e in layers)):
        built = graph["inputs"] is not None
        in_order = [number for number, *_ in graph["calls"]] == list(range(len(layers)))
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

"""Models in files: one safetensors file holds the weights, the optimizer, every counter, and the architecture.

The tensors are ``weights/<layer>/<name>`` and ``optimizer/<slot>/<layer>/<name>``; what is no tensor is one strict
JSON document in the metadata. While fit runs, its position and its callbacks' states come with it. Files name
classes by registered names only, and are read without running or importing anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import files
from nncore._version import __version__
from nncore.compiling import Objective
from nncore.errors import FormatError
from nncore.graph import Input, Symbol
from nncore.layers.base import LAYERS, Layer
from nncore.registry import serialize
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.model import Model

FORMAT = 1

Document = dict[str, Any]
Tensors = dict[str, Array]


# -- architecture ------------------------------------------------------------------------------------------------------


def describe(model: Model) -> Document:
    """The architecture as JSON: layers in order, each with the numbers of the symbols it reads."""
    graph = model.graph
    about = {"name": model.name, "dtype": model.dtype, "seed": str(model.seed), "stack": model.is_stack}
    if graph is None:
        return about | {"input_shape": None, "layers": [serialize(layer) for layer in model.layers]}
    number = {id(s): i for i, s in enumerate(graph.symbols)}
    layers = [
        serialize(s.layer) | {"inputs": [number[id(i)] for i in s.inputs]} for s in graph.symbols if s.layer is not None
    ]
    return about | {"input_shape": list(graph.inputs.shape), "layers": layers}


def construct(about: Document, custom: Mapping[str, type[Layer]]) -> Model:
    """A new model of the described architecture."""
    from nncore.model import Model

    settings = {"name": about["name"], "dtype": about["dtype"], "seed": int(about["seed"])}
    layers = [layer_of(entry, custom) for entry in about["layers"]]
    if about["stack"]:
        model = Model(layers, **settings)
        if about["input_shape"] is not None:
            model.build(tuple(about["input_shape"]))
        return model
    symbols: list[Symbol] = [Input(tuple(about["input_shape"]))]
    for layer, entry in zip(layers, about["layers"], strict=True):
        if not all(0 <= i < len(symbols) for i in entry["inputs"]):
            raise ValueError(f"layer {layer.name}: reads a layer that does not come before it")
        read = [symbols[i] for i in entry["inputs"]]
        symbols.append(layer(read if layer.takes_many else read[0]))
    return Model(symbols[0], symbols[-1], **settings)


def layer_of(entry: Document, custom: Mapping[str, type[Layer]]) -> Layer:
    """A layer from its class's registered name and configuration."""
    cls = custom.get(entry["class"]) or LAYERS.find(entry["class"], "layer")
    layer: Layer = cls.from_config(entry["config"])
    return layer


# -- the whole model ---------------------------------------------------------------------------------------------------


def capture(model: Model, fit: Document | None = None) -> tuple[Tensors, Document]:
    """Everything there is to know about a model."""
    tensors: Tensors = weight_tensors(model)
    goal = model.objective
    document: Document = {
        "format": FORMAT,
        "nncore": __version__,
        "architecture": describe(model),
        "compile": goal.config() if goal else None,
        "counters": [int(c) for c in model.counters],
        "history": model.history.get_state() if model.history else None,
        "fit": fit,
    }
    if goal:
        document["rule"] = [float(v) for v in goal.optimizer.rule]
        for name, slot in model.slots.items():
            tensors |= {f"optimizer/{name}/{p.path}": model.state.view(p, slot) for p in model.state.parameters}
    return tensors, files.encode(document, tensors)


def weight_tensors(model: Model) -> Tensors:
    """The weights by name."""
    return {f"weights/{p.path}": model.state.view(p) for p in model.state.parameters} if model.graph else {}


def write(path: Any, model: Model, fit: Document | None = None) -> None:
    """Write the model to `path`, atomically."""
    files.write(path, *capture(model, fit))


def revive(tensors: Tensors, document: Document, custom: Mapping[str, type[Layer]]) -> Model:
    """The model that `capture` saw."""
    document = files.decode(document, tensors)
    if document.get("format") != FORMAT:
        raise ValueError(
            f"format: expected version {FORMAT}, got {document.get('format')!r}; "
            f"it was written by nncore {document.get('nncore')}, this is {__version__}"
        )
    if "architecture" not in document:
        raise ValueError("expected a whole model, got weights only; build the model and call its load_weights")
    model = construct(document["architecture"], custom)
    if document["compile"] is not None:
        goal = Objective.of(**document["compile"])
        model.compile(goal.optimizer, goal.loss, goal.metrics, goal.weighted_metrics, goal.matmul_precision)
    fill(model, tensors, document)
    return model


def fill(model: Model, tensors: Tensors, document: Document) -> None:
    """Put weights, slots and counters into a model of the same architecture and compilation."""
    from nncore.callbacks import History

    expected = {f"weights/{p.path}": model.state.view(p) for p in model.state.parameters} if model.graph else {}
    if model.objective:
        for name, slot in model.slots.items():
            expected |= {f"optimizer/{name}/{p.path}": model.state.view(p, slot) for p in model.state.parameters}
    copy_tensors(expected, tensors)
    model.counters[:] = document["counters"]
    if model.objective:
        rule = np.asarray(document["rule"], np.float64)
        if rule.shape != model.objective.optimizer.rule.shape:
            raise ValueError(f"rule: expected {model.objective.optimizer.rule.size} values, got {rule.size}")
        model.objective.optimizer.rule[:] = rule
    if document["history"] is not None:
        model.history = History()
        model.history.set_state(document["history"])


def copy_tensors(expected: Tensors, tensors: Tensors) -> None:
    """Copy each tensor to its place, all or none."""
    for name, place in expected.items():
        if name not in tensors:
            raise ValueError(f"{name}: expected in the file, but it is not there. Load it into the model it came from")
        if tensors[name].shape != place.shape or tensors[name].dtype != place.dtype:
            raise ValueError(
                f"{name}: expected shape {place.shape} of {place.dtype}, got {tensors[name].shape} of "
                f"{tensors[name].dtype}. Load it into a model with the same layers and dtype"
            )
    for name, place in expected.items():
        place[...] = tensors[name]


def load(path: Any, custom_objects: Mapping[str, type[Layer]] | None = None) -> Model:
    """Read a model; see `nncore.load_model`."""
    return guarded(path, lambda tensors, document: revive(tensors, document, custom_objects or {}))


def restore(path: Any, model: Model) -> Document | None:
    """Put a backup's weights, optimizer and counters into `model`, and return the state of its fit."""

    def into(tensors: Tensors, document: Document) -> Document | None:
        document = files.decode(document, tensors)
        if document.get("format") != FORMAT or "architecture" not in document:
            raise ValueError(f"format: expected a whole model of version {FORMAT}")
        mine = describe(model)
        if {**document["architecture"], "seed": None} != {**mine, "seed": None}:
            raise ValueError(
                "architecture: expected that of the model at hand. Build the same model, or delete the backup"
            )
        if model.objective is None or document["compile"] is None or len(document["rule"]) == 0:
            raise ValueError("compile: expected a compiled model. Call compile before fit")
        fill(model, tensors, document)
        model.reseed(int(document["architecture"]["seed"]))
        fit: Document | None = document["fit"]
        return fit

    return guarded(path, into)


def save_weights(path: Any, model: Model) -> None:
    """Write the weights alone."""
    files.write(path, weight_tensors(model), {"format": FORMAT, "nncore": __version__})


def load_weights(path: Any, model: Model) -> None:
    """Read weights into a built model: from a file of weights or of a whole model."""

    def into(tensors: Tensors, document: Document) -> None:
        places = weight_tensors(model)
        strange = sorted(name for name in tensors if name.startswith("weights/") and name not in places)
        if strange:
            known = [layer.name for layer in model.layers]
            raise ValueError(f"{strange[0]}: expected the layers {known}; it has no place")
        copy_tensors(places, tensors)

    guarded(path, into)


def guarded(path: Any, use: Any) -> Any:
    """Read a file and use it; whatever does not fit is a FormatError that names the file."""
    tensors, document = files.read(path)
    try:
        return use(tensors, document)
    except FormatError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        what = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
        raise FormatError(f"{path}: not a usable file of nncore: {what}") from error

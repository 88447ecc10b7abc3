"""Models in files: one safetensors file holds the weights, the optimizer, every counter, and the architecture.

The tensors are ``weights/<layer>/<name>`` and ``optimizer/<slot>/<layer>/<name>``; what is no tensor is one strict
JSON document in the metadata. While fit runs, its position and its callbacks' states come with it. Files name
classes by registered names only, and are read without running or importing anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import files
from nncore._version import __version__
from nncore.compiling import Objective
from nncore.errors import FormatError
from nncore.graph import Input, Symbol
from nncore.layers.base import LAYERS, Layer
from nncore.registry import serialize, snake_case
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.model import Model

FORMAT = 1
KEYS = {"format", "nncore", "architecture", "compile", "rule", "counters", "history", "fit"}
ARCHITECTURE_KEYS = {"name", "dtype", "seed", "stack", "input_shape", "layers"}

Document = dict[str, Any]
Tensors = dict[str, Array]


# -- architecture ------------------------------------------------------------------------------------------------------


def describe(model: Model) -> Document:
    """The architecture as JSON: layers in order, each with the numbers of the symbols it reads."""
    graph = model.graph
    about = {"name": model.name, "dtype": model.dtype, "seed": str(model.seed), "stack": model.is_stack}
    if graph is None:
        return about | {"input_shape": None, "layers": [entry_of(layer) for layer in model.layers]}
    number = {id(s): i for i, s in enumerate(graph.symbols)}
    layers = [
        entry_of(s.layer) | {"inputs": [number[id(i)] for i in s.inputs]} for s in graph.symbols if s.layer is not None
    ]
    return about | {"input_shape": list(graph.inputs.shape), "layers": layers}


def construct(about: Document, custom: Mapping[str, type[Layer]], tensors: Tensors) -> Model:
    """A new model of the described architecture, made only if `tensors` has all its weights."""
    from nncore.model import Model, Sequential

    settings = {"name": about["name"], "dtype": about["dtype"], "seed": int(about["seed"])}
    layers = [layer_of(entry, custom) for entry in about["layers"]]
    if about["input_shape"] is not None:
        require_weights(about, layers, tensors)
    if about["stack"]:
        model = Sequential(layers, **settings)
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


def require_weights(about: Document, layers: list[Layer], tensors: Tensors) -> None:
    """Raise unless the arrays that `layers` will declare are there: a short file must not make a large model."""
    shapes = [tuple(about["input_shape"])]
    for i, (layer, entry) in enumerate(zip(layers, about["layers"], strict=True)):
        read = [shapes[i]] if about["stack"] else [shapes[number] for number in entry["inputs"]]
        layer.build(*read)
        for p in layer.parameters:
            require(f"weights/{p.path}", p.shape, np.dtype(about["dtype"]), tensors)
        shapes.append(layer.output_shape(*read))


def entry_of(layer: Layer) -> Document:
    """A layer's class, by its registered name or else its own, and configuration; `layer_of` is its inverse."""
    cls = type(layer)
    if cls in LAYERS.classes.values():
        return serialize(layer)
    if snake_case(cls.__name__) in LAYERS.classes:
        raise ValueError(
            f"layer {layer.name}: expected a class with a name of its own, got another {cls.__name__}; rename it"
        )
    return {"class": cls.__name__, "config": layer.get_config()}


def layer_of(entry: Document, custom: Mapping[str, type[Layer]]) -> Layer:
    """A layer from its class's registered name and configuration."""
    cls = custom.get(entry["class"]) or LAYERS.find(entry["class"], "layer")
    layer: Layer = cls.from_config(entry["config"])
    return layer


# -- the whole model ---------------------------------------------------------------------------------------------------


def at_rest(model: Model) -> AbstractContextManager[None]:
    """A context within which no training step changes the model."""
    return model.state.gate.reading() if model.graph else nullcontext()


def snapshot(model: Model) -> tuple[Tensors, Document]:
    """What `capture` gives, in arrays of its own."""
    with at_rest(model):
        tensors, document = capture(model)
        return {name: tensor.copy() for name, tensor in tensors.items()}, document


def capture(model: Model, fit: Document | None = None) -> tuple[Tensors, Document]:
    """Everything there is to know about a model; it must be at rest."""
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
    save(path, model, lambda: capture(model, fit))


def save(path: Any, model: Model, taken: Callable[[], tuple[Tensors, Document]]) -> None:
    """Write what `taken` gives, between two training steps; those of another thread's fit wait for a copy only."""
    with at_rest(model):
        tensors, document = taken()
        if model.fit_state is None or not model.turn.elsewhere:
            files.write(path, tensors, document)
            return
        tensors = {name: tensor.copy() for name, tensor in tensors.items()}
    files.write(path, tensors, document)


def decoded(tensors: Tensors, document: Document) -> Document:
    """The document of a whole model of this version."""
    document = files.decode(document, tensors)
    if document.get("format") != FORMAT:
        raise ValueError(
            f"format: expected version {FORMAT}, got {document.get('format')!r}; "
            f"it was written by nncore {document.get('nncore')}, this is {__version__}"
        )
    if "architecture" not in document:
        raise ValueError("expected a whole model, got weights only; build the model and call its load_weights")
    strange = (set(document) - KEYS) | (set(document["architecture"]) - ARCHITECTURE_KEYS)
    if strange:
        raise ValueError(f"expected the keys of version {FORMAT}, got also {sorted(strange)}")
    return document


def revive(tensors: Tensors, document: Document, custom: Mapping[str, type[Layer]]) -> Model:
    """The model that `capture` saw."""
    document = decoded(tensors, document)
    model = construct(document["architecture"], custom, tensors)
    if document["compile"] is not None:
        goal = Objective.of(**document["compile"])
        model.compile(goal.optimizer, goal.loss, goal.metrics, goal.weighted_metrics, goal.matmul_precision)
    fill(model, tensors, document)
    return model


def fill(model: Model, tensors: Tensors, document: Document) -> None:
    """Put weights, slots and counters into a model of the same architecture and compilation, all or none."""
    from nncore.callbacks import History

    counters, history = np.array(document["counters"], np.int64).reshape(model.counters.shape), None
    if document["history"] is not None:
        history = History()
        history.set_state(document["history"])
    expected = weight_tensors(model)
    if model.objective:
        rule = np.array(document["rule"], np.float64).reshape(model.objective.optimizer.rule.shape)
        for name, slot in model.slots.items():
            expected |= {f"optimizer/{name}/{p.path}": model.state.view(p, slot) for p in model.state.parameters}
    strange = [name for name in tensors if name not in expected and not name.startswith(("fit/", "history/"))]
    if strange:
        raise ValueError(f"{strange[0]}: expected no such array; the model has no place for it")
    copy_tensors(model, expected, tensors)
    model.counters[:] = counters
    model.history = history
    if model.objective:
        model.objective.optimizer.rule[:] = rule


def copy_tensors(model: Model, expected: Tensors, tensors: Tensors) -> None:
    """Copy each tensor to its place in the model, all or none."""
    for name, place in expected.items():
        require(name, place.shape, place.dtype, tensors)
    with model.state.writing() if model.graph else nullcontext():
        for name, place in expected.items():
            place[...] = tensors[name]


def require(name: str, shape: tuple[int, ...], dtype: Any, tensors: Tensors) -> None:
    """Raise unless there is a tensor of this name, shape and dtype."""
    if name not in tensors:
        raise ValueError(f"{name}: expected in the file, but it is not there. Load it into the model it came from")
    if tensors[name].shape != shape or tensors[name].dtype != dtype:
        raise ValueError(
            f"{name}: expected shape {shape} of {dtype}, got {tensors[name].shape} of "
            f"{tensors[name].dtype}. Load it into a model with the same layers and dtype"
        )


def load(path: Any, custom_objects: Mapping[str, type[Layer]] | None = None) -> Model:
    """Read a model; see `nncore.load_model`."""
    custom = custom_objects or {}
    classes = custom.values() if isinstance(custom, Mapping) else [None]
    if not all(isinstance(c, type) and issubclass(c, Layer) for c in classes):
        raise TypeError(f"custom_objects: expected a dict from names to classes of Layer, got {custom_objects!r}")
    return guarded(path, lambda tensors, document: revive(tensors, document, custom))


def restore(path: Any, model: Model, check: Callable[[Document], None]) -> Document:
    """Put a backup into `model`, if `check` takes the state of its fit; return that."""

    def into(tensors: Tensors, document: Document) -> Document:
        document = decoded(tensors, document)
        fit: Document | None = document["fit"]
        if fit is None:
            raise ValueError("expected the backup of a running fit, got a saved model. Delete it to start anew")
        for argument, mine, saved in (
            ("architecture", describe(model), document["architecture"]),
            ("compile", model.objective and model.objective.config(), document["compile"]),
        ):
            if comparable(mine) != comparable(saved):
                raise ValueError(
                    f"{argument}: expected that of the interrupted fit, to resume it, got another. "
                    "Make the same model, or delete the backup to start anew"
                )
        check(fit)
        fill(model, tensors, document)
        model.reseed(int(document["architecture"]["seed"]))
        return fit

    return guarded(path, into)


def comparable(description: Any) -> Any:
    """A description without what may differ where a fit goes on: seed and learning rate."""
    if isinstance(description, dict):
        return {k: comparable(v) for k, v in description.items() if k not in ("seed", "learning_rate")}
    return [comparable(v) for v in description] if isinstance(description, list) else description


def save_weights(path: Any, model: Model) -> None:
    """Write the weights alone."""
    save(path, model, lambda: (weight_tensors(model), {"format": FORMAT, "nncore": __version__}))


def load_weights(path: Any, model: Model) -> None:
    """Read weights into a built model: from a file of weights or of a whole model."""

    def into(tensors: Tensors, document: Document) -> None:
        if document.get("format") != FORMAT:
            raise ValueError(f"format: expected version {FORMAT}, got {document.get('format')!r}")
        places = weight_tensors(model)
        strange = sorted(name for name in tensors if name.startswith("weights/") and name not in places)
        if strange:
            known = [layer.name for layer in model.layers]
            raise ValueError(f"{strange[0]}: expected the layers {known}; it has no place")
        copy_tensors(model, places, tensors)

    guarded(path, into)


def guarded(path: Any, use: Any) -> Any:
    """Read a file and use it; whatever does not fit is a FormatError that names the file."""
    tensors, document = files.read(path)
    try:
        return use(tensors, document)
    except FormatError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        fault = "" if isinstance(error, ValueError) else f"damaged, or not of nncore: {type(error).__name__}: "
        raise FormatError(f"{path}: {fault}{error}") from error

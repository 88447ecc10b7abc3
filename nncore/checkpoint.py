"""Models in files: one safetensors file holds the weights, the optimizer, every counter, and the architecture.

The tensors are ``weights/<layer>/<name>`` and ``optimizer/<state>/<layer>/<name>``; what is no tensor is one strict
JSON document in the metadata. While fit runs, its position and its callbacks' states come with it. Files name
classes by registered names only, and are read without running or importing anything.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import files
from nncore._version import __version__
from nncore.arguments import check_flag
from nncore.callbacks import History
from nncore.compiler.configuration import CompileConfiguration
from nncore.errors import FormatError
from nncore.graph import Input, Symbol
from nncore.judging import (
    ARCHITECTURE_KEYS,
    FORMAT,
    Document,
    Form,
    Shaped,
    Shapes,
    check_format,
    current,
    difference,
    numbers,
    refuse_others,
    refuse_strangers,
    require,
    resumed,
)
from nncore.layers.base import LAYERS, Layer
from nncore.network import name_layers
from nncore.registry import serialize, snake_case
from nncore.state import Array, Parameter

if TYPE_CHECKING:
    from nncore.model import Model

Tensors = dict[str, Array]

#: The classes that a description may stand for. They enter themselves: `Model` saves and loads by this module, so that
#: cannot import them.
CLASSES: dict[str, type[Model]] = {}


# -- architecture ------------------------------------------------------------------------------------------------------


def describe(model: Model) -> Document:
    """The architecture as JSON: layers in order, each with the numbers of the symbols it reads."""
    graph = model.graph
    about = {"name": model.name, "dtype": model.dtype, "seed": str(model.seed), "stack": model.is_stack}
    if graph is None:
        return about | {"input_shape": None, "layers": [entry_of(layer, False) for layer in model.layers]}
    number, compiled = {id(s): i for i, s in enumerate(graph.symbols)}, model.configuration is not None
    layers = [
        entry_of(s.layer, compiled) | {"inputs": [number[id(i)] for i in s.inputs]}
        for s in graph.symbols
        if s.layer is not None
    ]
    return about | {"input_shape": list(graph.inputs.shape), "layers": layers}


def architecture(config: Any) -> Document:
    """What `describe` returned, if it has this form."""
    fits = isinstance(config, Mapping) and set(config) == ARCHITECTURE_KEYS and isinstance(config["layers"], list)
    parts = {"class", "config"} if fits and config["input_shape"] is None else {"class", "config", "inputs"}
    if not fits or not all(isinstance(entry, Mapping) and parts <= set(entry) for entry in config["layers"]):
        raise ValueError("config: expected what get_config returned, a dict with its keys, got something else")
    return dict(config)


def construct(about: Document, custom: Mapping[str, type[Layer]]) -> Model:
    """A new model of the described architecture."""
    return assemble(about, [layer_of(entry, custom) for entry in about["layers"]])


def assemble(about: Document, layers: list[Layer]) -> Model:
    """A new model of the described architecture, of these layers."""
    settings: dict[str, Any] = {"name": about["name"], "dtype": about["dtype"], "seed": int(about["seed"])}
    if about["stack"]:
        model = CLASSES["sequential"](layers, **settings)
        if about["input_shape"] is not None:
            model.build(tuple(about["input_shape"]))
        return model
    symbols: list[Symbol] = [Input(tuple(about["input_shape"]))]
    for layer, entry in zip(layers, about["layers"], strict=True):
        if not all(0 <= i < len(symbols) for i in entry["inputs"]):
            raise ValueError(f"layer {layer.name}: reads a layer that does not come before it")
        read = [symbols[i] for i in entry["inputs"]]
        symbols.append(layer(read if layer.takes_many else read[0]))
    return CLASSES["model"](symbols[0], symbols[-1], **settings)


def make_layers(about: Document, custom: Mapping[str, type[Layer]]) -> Iterator[Layer]:
    """The described layers, made one after another: a file without their tensors is refused at the first of them."""
    layers = (layer_of(entry, custom) for entry in about["layers"])
    nameless = any(entry["config"].get("name") is None for entry in about["layers"])
    if nameless and about["input_shape"] is not None:  # a constructor takes no name: it depends on all the others
        made = list(layers)
        name_layers(made)
        return iter(made)
    return layers


def declared(about: Document, layers: Iterable[Layer]) -> Iterator[Layer]:
    """The layers, each with the parameters that it will have, but no memory for them."""
    shapes = [tuple(about["input_shape"])]
    for i, (layer, entry) in enumerate(zip(layers, about["layers"], strict=True)):
        read = [shapes[i]] if about["stack"] else [shapes[number] for number in entry["inputs"]]
        layer.build(*read)
        yield layer
        shapes.append(layer.output_shape(*read))


def entry_of(layer: Layer, compiled: bool) -> Document:
    """A layer's class, by its registered name or else its own, and configuration; `layer_of` is its inverse.

    Of `trainable`, what is in force, beside the configuration where that has no place for it.
    """
    cls = type(layer)
    entry: Document = {"class": cls.__name__, "config": layer.get_config()}
    if cls in LAYERS.classes.values():
        entry = serialize(layer)
    elif snake_case(cls.__name__) in LAYERS.classes:
        raise ValueError(
            f"layer {layer.name}: expected a class with a name of its own, got another {cls.__name__}; rename it"
        )
    trained = layer.trained(compiled)
    if "trainable" in entry["config"]:
        entry["config"]["trainable"] = trained
    elif not trained:
        entry["trainable"] = False
    return entry


def layer_of(entry: Document, custom: Mapping[str, type[Layer]]) -> Layer:
    """A layer from its class's registered name and config."""
    cls = custom.get(entry["class"]) or LAYERS.find(entry["class"], "layer")
    layer: Layer = cls.from_config(entry["config"])
    if "trainable" in entry:
        layer.trainable = entry["trainable"]
    return layer


def layer_classes(custom: Any) -> Mapping[str, type[Layer]]:
    """`custom_objects`, checked."""
    custom = custom or {}
    classes = custom.values() if isinstance(custom, Mapping) else [None]
    if not all(isinstance(c, type) and issubclass(c, Layer) for c in classes):
        raise TypeError(f"custom_objects: expected a dict from names to classes of Layer, got {custom!r}")
    return custom


# -- the whole model ---------------------------------------------------------------------------------------------------


def at_rest(model: Model) -> AbstractContextManager[None]:
    """A context within which no training step changes the model."""
    return model.state.gate.reading() if model.graph else nullcontext()


def capture(model: Model, fit: Document | None = None) -> tuple[Tensors, Document]:
    """Everything there is to know about a model; it must be at rest."""
    tensors = places(model)
    config = model.configuration
    document: Document = {
        "format": FORMAT,
        "nncore": __version__,
        "architecture": describe(model),
        "compile": config.config() if config else None,
        "iterations": config.optimizer.iterations if config else None,
        "counters": [int(c) for c in model.counters],
        "history": model.history.get_state() if model.history else None,
        "fit": fit,
    }
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


@dataclass
class Draft:
    """A model that a document describes, checked as far as can be without its tensors.

    Attributes
    ----------
    layers : list of Layer
    config : CompileConfiguration or None
    counters : ndarray
        Of the model.
    iterations : int
        Of the optimizer.
    wanted : set of str
        The tensors that the model needs.
    """

    document: Document
    layers: list[Layer]
    config: CompileConfiguration | None
    counters: Array
    iterations: int
    wanted: set[str]

    def make(self, tensors: Tensors) -> Model:
        """The model."""
        history = past(self.document, tensors)
        model = assemble(self.document["architecture"], self.layers)
        if config := self.config:
            metrics = config.metrics, config.weighted_metrics
            model.compile(config.optimizer, config.loss, *metrics, config.matmul_precision)
        fill(model, tensors, self.counters, self.iterations, history)
        return model


def draft(document: Document, entries: Shapes, custom: Mapping[str, type[Layer]]) -> Draft:
    """Judge a document by the shapes of the tensors that come with it; what is cheap comes first."""
    document = current(document)
    own = set(files.tensor_names(document["history"]))
    references = own | set(files.tensor_names(document["fit"]))
    about = document["architecture"]
    refuse_strangers(about, entries, references, named=not custom)
    config = None if document["compile"] is None else CompileConfiguration.of(**document["compile"])
    counters, iterations = numbers(document)
    layers: list[Layer] = []
    expected: dict[str, Shaped] = {}
    made = make_layers(about, custom)
    if about["input_shape"] is None:
        layers.extend(made)
    else:
        dtype = np.dtype(about["dtype"])
        states = config.optimizer.state_names if config else ()
        for layer in declared(about, made):
            layers.append(layer)
            forms = {f"weights/{p.path}": Form(p.shape, dtype) for p in layer.parameters}
            forms |= {name: Form(p.shape, dtype) for name, _, p in optimizer_tensors(states, layer.parameters)}
            for name, form in forms.items():
                require(name, form, entries)
            expected |= forms
    refuse_others(expected, entries, references)
    return Draft(document, layers, config, counters, iterations, own | set(expected))


def past(document: Document, tensors: Tensors) -> Any:
    """The model's history."""
    if document["history"] is None:
        return None
    history = History()
    history.set_state(files.decode(document["history"], tensors))
    return history


def revive(tensors: Tensors, document: Document, custom: Mapping[str, type[Layer]]) -> Model:
    """The model that `capture` saw."""
    return draft(document, tensors, custom).make(tensors)


def places(model: Model) -> Tensors:
    """Where in a model the tensors of its file go, by their names."""
    found = weight_tensors(model)
    for tensor, name, p in optimizer_tensors(model.optimizer_state, model.state.parameters):
        found[tensor] = model.state.view(p, model.optimizer_state[name])
    return found


def optimizer_tensors(states: Iterable[str], parameters: Iterable[Parameter]) -> list[tuple[str, str, Parameter]]:
    """The tensors of an optimizer: name, state array, and whose part of it, which is no statistic."""
    weights = [p for p in parameters if p.role == "weight"]
    return [(f"optimizer/{name}/{p.path}", name, p) for name in states for p in weights]


def fill(model: Model, tensors: Tensors, counters: Array, iterations: int, history: Any) -> None:
    """Put weights, optimizer state and counters into a model of the same architecture and compilation, all or none."""
    copy_tensors(model, places(model), tensors)
    model.counters[:] = counters
    model.history = history
    if model.configuration:
        model.configuration.optimizer.iterations = iterations


def copy_tensors(model: Model, targets: Tensors, tensors: Tensors) -> None:
    """Copy each tensor to its place in the model, all or none."""
    for name, place in targets.items():
        require(name, place, tensors)
    with model.state.writing() if model.graph else nullcontext():
        for name, place in targets.items():
            place[...] = tensors[name]


def load(path: Any, custom_objects: Mapping[str, type[Layer]] | None = None, verify: bool = True) -> Model:
    """Read a model; see `nncore.load_model`."""
    custom = layer_classes(custom_objects)
    check_flag(verify, "verify")
    with opened(path) as file:
        plan = draft(file.document, file.entries, custom)
        return plan.make(file.tensors(plan.wanted, verify))


def restore(
    path: Any,
    model: Model,
    check: Callable[[Document], None],
    take: Callable[[Document], None],
    ignored: Container[str],
) -> None:
    """Put a backup into `model`, if `check` takes the state of its fit; give that to `take`.

    What the backup must share with the model, but for the keys `ignored` of the descriptions, is checked before any
    tensor is read, and before anything is changed.
    """
    with opened(path) as file:
        document = current(file.document)
        fit: Document | None = document["fit"]
        if fit is None:
            raise ValueError("expected the backup of a running fit, got a saved model. Delete it to start anew")
        for argument, mine, saved in (
            ("architecture", describe(model), document["architecture"]),
            ("compile", model.configuration and model.configuration.config(), document["compile"]),
        ):
            if found := difference(mine, saved, ignored):
                flag = " or give BackupAndRestore allow_other_bits=True," if "matmul_precision" in found else ""
                raise ValueError(
                    f"{argument}: expected that of the interrupted fit, to resume it, got another: {found}. "
                    f"Make the same model,{flag} or delete the backup to start anew"
                )
        check(fit)
        counters, iterations = numbers(document)
        optimizer = model.optimizer
        learning_rate = resumed(optimizer, document["compile"]["optimizer"]["config"]["learning_rate"])
        references = {*files.tensor_names(document["history"]), *files.tensor_names(fit)}
        targets = places(model)
        for name, place in targets.items():
            require(name, place, file.entries)
        refuse_others(targets, file.entries, references)
        tensors = file.tensors()
        fit = files.decode(fit, tensors)
        fill(model, tensors, counters, iterations, past(document, tensors))
        optimizer.resume(iterations, learning_rate)
        model.reseed(int(document["architecture"]["seed"]))
        take(fit)


def save_weights(path: Any, model: Model) -> None:
    """Write the weights alone."""
    save(path, model, lambda: (weight_tensors(model), {"format": FORMAT, "nncore": __version__}))


def load_weights(path: Any, model: Model, verify: bool = True) -> None:
    """Read weights into a built model: from a file of weights or of a whole model."""
    check_flag(verify, "verify")
    with opened(path) as file:
        check_format(file.document)
        targets = weight_tensors(model)
        strange = sorted(name for name in file.entries if name.startswith("weights/") and name not in targets)
        if strange:
            known = [layer.name for layer in model.layers]
            raise ValueError(f"{strange[0]}: expected the layers {known}; it has no place")
        for name, place in targets.items():
            require(name, place, file.entries)
        copy_tensors(model, targets, file.tensors(targets, verify))


@contextmanager
def opened(path: Any) -> Iterator[files.File]:
    """A file to be used; whatever does not fit is a FormatError that names it."""
    with files.File(path) as file:
        try:
            yield file
        except FormatError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
            fault = "" if isinstance(error, ValueError) else f"damaged, or not of nncore: {type(error).__name__}: "
            raise FormatError(f"{file.name}: {fault}{error}") from error

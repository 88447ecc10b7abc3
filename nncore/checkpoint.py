"""Models in files: one safetensors file holds the weights, the optimizer, every counter, and the architecture.

The tensors are ``weights/<layer>/<name>`` and ``optimizer/<state>/<layer>/<name>``; what is no tensor is one strict
JSON document in the metadata. While fit runs, its position and its callbacks' states come with it. Files name
classes by registered names only, and are read without running or importing anything.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import files
from nncore._version import __version__
from nncore.architecture import describe
from nncore.arguments import check_flag
from nncore.callbacks import History
from nncore.compiler.configuration import CompileConfiguration
from nncore.custom import OBJECTS, custom_object_scope
from nncore.entries import Document, layer_classes
from nncore.errors import FormatError
from nncore.graph import Shape
from nncore.judging import (
    FORMAT,
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
from nncore.layers.base import Layer
from nncore.optimizers import Optimizer
from nncore.outline import Outline
from nncore.parameter import Parameter
from nncore.state import Array
from nncore.warning import warn

if TYPE_CHECKING:
    from nncore.model import Model

Tensors = dict[str, Array]


# -- the whole model ---------------------------------------------------------------------------------------------------


def at_rest(model: Model) -> AbstractContextManager[None]:
    """A context within which no training step changes the model."""
    return model.state.reading() if model.graph else nullcontext()


def capture(model: Model, fit: Document | None = None) -> tuple[Tensors, Document]:
    """Everything there is to know about a model; it must be at rest."""
    tensors = places(model)
    config = model.configuration
    document: Document = {
        "format": FORMAT,
        "nncore": __version__,
        "architecture": describe(model),
        "compile": config.config() if config else None,
        "iterations": config.optimizer.batches if config else None,
        "counters": [int(c) for c in model.counters],
        "history": model.history.get_state() if model.history else None,
        "fit": fit,
    }
    return tensors, files.encode(document, tensors)


def weight_tensors(model: Model) -> Tensors:
    """The weights by name."""
    graph = model.graph
    return {f"weights/{path}": graph.state.view(p) for p, path in graph.paths.items()} if graph else {}


def write(path: Any, model: Model, fit: Document | None = None) -> None:
    """Write the model to `path`, atomically."""
    document = save(path, model, lambda: capture(model, fit))
    named = document["architecture"], document["compile"]
    if fit is None and "'<lambda>'" in repr(named):  # of a backup the same program makes the model
        warn(
            f"save: expected functions with names, which load_model finds, got a lambda in {model.name}. Define it by "
            "def, after @nncore.saving.register_keras_serializable(), and compile or make the model with that"
        )


def save(path: Any, model: Model, taken: Callable[[], tuple[Tensors, Document]]) -> Document:
    """Write what `taken` gives, between two training steps; those of another thread's fit wait for a copy only.

    Returns the document.
    """
    with at_rest(model):
        tensors, document = taken()
        if model.turn.root.fit is None or not model.turn.elsewhere:
            files.write(path, tensors, document)
            return document
        tensors = {name: tensor.copy() for name, tensor in tensors.items()}
    files.write(path, tensors, document)
    return document


@dataclass
class Draft:
    """A model that a document describes, checked as far as can be without its tensors.

    Attributes
    ----------
    outline : Outline
    layers : dict of int to Layer
        By their numbers in the outline.
    config : CompileConfiguration or None
    counters : ndarray
        Of the model.
    iterations : int
        Of the optimizer.
    wanted : set of str
        The tensors that the model needs.
    """

    document: Document
    outline: Outline
    layers: dict[int, Layer]
    config: CompileConfiguration | None
    counters: Array
    iterations: int
    wanted: set[str]

    def make(self, tensors: Tensors) -> Model:
        """The model."""
        history = past(self.document, tensors)
        model = self.outline.make(self.layers)
        if config := self.config:
            model.compile(**config.arguments())
        fill(model, tensors, self.counters, self.iterations, history)
        return model


def draft(document: Document, entries: Shapes, custom: Mapping[str, type[Layer]], compiled: bool = True) -> Draft:
    """Judge a document by the shapes of the tensors that come with it; what is cheap comes first.

    Not `compiled`, the model needs nothing of what it was compiled with, which may name what nobody has.
    """
    document = current(document)
    own = set(files.tensor_names(document["history"]))
    references = own | set(files.tensor_names(document["fit"]))
    outline = Outline(document["architecture"])
    refuse_strangers(outline, entries, references, named=not (custom or OBJECTS))
    config = None
    if compiled and document["compile"]:
        config = CompileConfiguration.restored(document["compile"], outline.makes[-1])
    counters, iterations = numbers(document)
    layers: dict[int, Layer] = {}
    expected: dict[str, Shaped] = {}
    dtype = np.dtype(outline.dtype)
    for layer, path in outline.declared(custom, layers):
        paths = {p: f"{path}/{p.name}" for p in layer.parameters}
        forms = {f"weights/{name}": Form(p.shape, dtype) for p, name in paths.items()}
        if config:
            forms |= {name: Form(shape, dtype) for name, _, _, shape in optimizer_tensors(config.optimizer, paths)}
        for name, form in forms.items():
            require(name, form, entries)
        expected |= forms
    kept = entries if compiled else {name for name in entries if not name.startswith("optimizer/")}
    refuse_others(expected, kept, references)
    return Draft(document, outline, layers, config, counters, iterations, own | set(expected))


def past(document: Document, tensors: Tensors) -> Any:
    """The model's history."""
    if document["history"] is None:
        return None
    history = History()
    history.set_state(files.decode(document["history"], tensors))
    return history


def places(model: Model) -> Tensors:
    """Where in a model the tensors of its file go, by their names."""
    found, graph = weight_tensors(model), model.graph
    if graph is not None and model.configuration:
        for tensor, name, p, shape in optimizer_tensors(model.configuration.optimizer, graph.paths):
            found[tensor] = p.within(model.optimizer_state[name], shape)
    return found


def optimizer_tensors(optimizer: Optimizer, paths: Mapping[Parameter, str]) -> list[tuple[str, str, Parameter, Shape]]:
    """The tensors of an optimizer: name, array, whose part of it, which is no statistic, and what shape that has."""
    weights = {p: path for p, path in paths.items() if p.role == "weight"}
    forms = [
        (name, p, path, optimizer.form(name, p, path)) for name in optimizer.array_names for p, path in weights.items()
    ]
    return [(f"optimizer/{name}/{path}", name, p, form) for name, p, path, form in forms if form is not None]


def fill(model: Model, tensors: Tensors, counters: Array, iterations: int, history: Any) -> None:
    """Put weights, optimizer state and counters into a model of the same architecture and compilation, all or none."""
    copy_tensors(model, places(model), tensors)
    model.counters[:] = counters
    model.history = history
    if model.configuration:
        model.configuration.optimizer.batches = iterations


def copy_tensors(model: Model, targets: Tensors, tensors: Tensors) -> None:
    """Copy each tensor to its place in the model, all or none."""
    for name, place in targets.items():
        require(name, place, tensors)
    with model.state.writing() if model.graph else nullcontext():
        for name, place in targets.items():
            place[...] = tensors[name]


def load(path: Any, custom_objects: Any = None, verify: bool = True, compiled: bool = True) -> Model:
    """Read a model; see `nncore.load_model`."""
    custom = layer_classes(custom_objects)
    check_flag(verify, "verify")
    with custom_object_scope(custom_objects), opened(path) as file:
        drafted = draft(file.document, file.entries, custom, compiled)
        return drafted.make(file.tensors(drafted.wanted, verify))


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
        rates = resumed(optimizer, document["compile"]["optimizer"]["config"])
        references = {*files.tensor_names(document["history"]), *files.tensor_names(fit)}
        targets = places(model)
        for name, place in targets.items():
            require(name, place, file.entries)
        refuse_others(targets, file.entries, references)
        tensors = file.tensors()
        fit = files.decode(fit, tensors)
        fill(model, tensors, counters, iterations, past(document, tensors))
        optimizer.resume(iterations, rates)
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

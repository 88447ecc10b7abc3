"""Models under Keras's module path, and what makes one from another, from a file or a text."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from typing import Any

from nncore import checkpoint, runtime
from nncore.architecture import Numbered
from nncore.arguments import check_flag, explained
from nncore.custom import keeping
from nncore.entries import another
from nncore.layers.base import Layer
from nncore.model import Model
from nncore.outline import Outline, remade
from nncore.registry import missing
from nncore.sequential import Sequential
from nncore.subclassed import Subclassed
from nncore.tracing import leaves_of

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]


@explained
def clone_model(model: Model, clone_function: Callable[[Layer], Layer] | None = None) -> Model:
    """Make a model of the same architecture, of new layers with new weights, compiled as the model is.

    Parameters
    ----------
    model : Model
        Built or not. For a copy with its weights, use `copy.deepcopy`.
    clone_function : callable, optional
        Makes the new layer from an old one, with shapes that fit; default ``type(layer).from_config(config)``.

    Returns
    -------
    Model or Sequential
        Its seed is another one that follows from that of `model`, so that the same program makes the same clone; name,
        dtype and number of threads are those of `model`. If `model` is compiled, so is the clone, with an optimizer of
        its own that begins at step 0, unless the loss does not fit what `clone_function` made.

    Raises
    ------
    TypeError
        `model` is no model, or `clone_function` returns no layer.
    """
    if not isinstance(model, Model):
        raise TypeError(f"model: expected a Model, got {type(model).__name__}")
    if clone_function is not None and isinstance(model, Subclassed):
        raise TypeError(
            f"clone_function: expected None for {type(model).__name__}, whose constructor makes its layers, got "
            f"{clone_function!r}. Set what is to differ on the clone, before it is built"
        )
    with keeping():
        numbered = Numbered(model)
        outline = Outline(numbered.about(model))
        for entry in outline.entries:
            if "graph" in entry:
                entry["graph"]["seed"] = runtime.derived_seed(int(entry["graph"]["seed"]), 0)
        clone = remade(numbered, outline, clone_function or another)
    if shared := leaves_of(clone).keys() & leaves_of(model).keys():
        raise TypeError(
            f"clone_model: expected classes that make other layers from their configuration, got {shared.pop()!r} in "
            "both. Let from_config make the layers that the constructor takes: nncore.layers.deserialize"
        )
    clone.n_threads = model.n_threads
    if (configuration := model.configuration) is not None:
        arguments = copy.deepcopy(configuration.arguments())  # by no descriptions, which nobody's own parts have
        with suppress(ValueError) if clone_function else nullcontext():
            clone.compile(**arguments)
        if isinstance(clone, Subclassed) and isinstance(model, Subclassed):
            clone._told = copy.deepcopy(model._told)
    return clone


@explained
def model_from_json(json_string: str, custom_objects: Mapping[str, type[Layer]] | None = None) -> Model:
    """Make the model that `Model.to_json` described, with new weights.

    Parameters
    ----------
    json_string : str
        Trust it as far as its sizes: it may ask for much memory, but names nothing but layers.
    custom_objects : dict of str to class, optional
        Layers of your own, by name.

    Raises
    ------
    ValueError
        The text is no JSON, or describes no model.
    """
    try:
        about = json.loads(json_string)
    except ValueError as error:
        raise ValueError(f"json_string: expected what Model.to_json returned, got no JSON ({error})") from error
    return Model.from_config(about, custom_objects)


@explained
def load_model(path: Any, custom_objects: Any = None, compile: bool = True, verify: bool = True) -> Model:
    """Read a model that `Model.save` wrote: architecture, weights, compilation, optimizer's state, counters.

    Nothing in the file is executed; layers come from a fixed registry, and `custom_objects`.

    Parameters
    ----------
    path : str, bytes or PathLike
    custom_objects : dict of str to class, optional
        Layers and functions of your own, by the names under which they were saved; those that are registered are known:
        ``@nncore.saving.register_keras_serializable()``.
    compile : bool, default True
        False leaves the model uncompiled, without the optimizer's state; losses, metrics and schedules of your own need
        not be known then.
    verify : bool, default True
        Whether to compare the file's bytes with its checksum, at about 6 GB/s; False reads a damaged file as it is.

    Raises
    ------
    FormatError
        The file is truncated, damaged, of another version, or not ours.
    FileNotFoundError
        There is no such file.
    """
    return checkpoint.load(path, custom_objects, verify, check_flag(compile, "compile"))


@explained
def save_model(model: Model, filepath: Any, overwrite: bool = True) -> None:
    """Call ``model.save(filepath, overwrite)``."""
    model.save(filepath, overwrite)


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)

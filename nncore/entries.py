"""Layers in the document of a model: each an entry with its class, by name, and its configuration; and back.

One that joins others by `call` is made by its class, as any other, and makes its parts: "parts" has what each of these
was when it was written, by its path among the attributes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from nncore.custom import checked as checked_objects
from nncore.custom import find, get_registered_name, keeping
from nncore.layers.base import LAYERS, Layer
from nncore.registry import serialize
from nncore.tracing import leaves_of

if TYPE_CHECKING:
    from nncore.parameter import Parameter

Document = dict[str, Any]

MODELS = ("model", "sequential")  # classes of the entries that are models


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
    if layer._parts() is not None:
        return entry | {
            "name": layer.name,  # which the configuration may lack
            "parts": parts_of(layer, trained),
            "makes": len(layer.calls[0].inner.made) if layer.calls else 1,
        }
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


def own_of(model: Any, trained: Collection[Parameter] | None) -> Document:
    """What tells a model of a user's own class, which joins layers by `call`, beside what tells any model."""
    LAYERS.check_name(type(model), f"model {model.name}", MODELS)
    if model.graph and (added := leaves_of(model).keys() - set(model.graph.first)):
        raise ValueError(
            f"{model.name}: expected the layers that there were when it was built, got also {added.pop()!r} since, of "
            "which its `call` knows nothing. Make another model"
        )
    own: Document = {"class": get_registered_name(type(model)), "config": model.get_config()}
    return own | {"parts": parts_of(model, trained), "makes": len(model.graph.outputs) if model.graph else 1}


def parts_of(thing: Any, trained: Collection[Parameter] | None) -> Document:
    """The layers of operations that something consists of, each as an entry, by their paths among its attributes."""
    return {path: entry_of(leaf, trained) for leaf, path in leaves_of(thing).items()}


def another(layer: Layer) -> Layer:
    """A layer of the same class and configuration, without weights; what functions it has need not be registered."""
    with keeping():
        made: Layer = type(layer).from_config(layer.get_config())
    return made


def layer_of(entry: Document, custom: Mapping[str, type[Layer]]) -> Layer:
    """A layer from its class's registered name and config."""
    name = entry["class"]
    cls = custom.get(name) or find(name, Layer) or LAYERS.find(name, "layer")
    layer: Layer = cls.from_config(entry["config"])
    layer._named = bool(entry.get("named"))
    if "parts" in entry:
        vars(layer)["name"] = entry["name"]
        described(layer, entry)
    if "trainable" in entry:
        layer.trainable = entry["trainable"]
    return layer


def described(thing: Any, entry: Document) -> None:
    """Let the parts of something that joins layers by `call` become what they were, before that is traced."""
    if not type(thing)._composes():
        raise ValueError(f"{entry['class']}: expected a class with call, as when it was written, got {type(thing)!r}")
    vars(thing)["_described"] = entry["parts"]


def own_model(own: Document, base: type) -> Any:
    """A model of a user's own class, by its registered name and config."""
    cls = find(own["class"], base)
    if cls is None:
        raise ValueError(
            f"model: expected a known class, got {own['class']!r}. Make it known before: "
            "@nncore.saving.register_keras_serializable(), or custom_objects"
        )
    model = cls.from_config(own["config"])
    described(model, own)
    return model


def layer_classes(custom: Any) -> Mapping[str, type[Layer]]:
    """The layers among `custom_objects`, which are checked."""
    classes = {name: thing for name, thing in checked_objects(custom).items() if isinstance(thing, type)}
    return {name: cls for name, cls in classes.items() if issubclass(cls, Layer)}

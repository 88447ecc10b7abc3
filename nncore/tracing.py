"""What a method `call` of a user's own makes of symbols: it is called on them as a functional model is written.

The symbols between those it is given and those it returns are a graph, which a program emits as that of a model that is
called. Python runs then alone: no step, and no prediction, calls it again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable as Function
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from nncore.arrangement import Arrangement
from nncore.graph import TRACING, Call, Callable, Input, Symbol
from nncore.layers.arrays import label
from nncore.layers.base import Layer
from nncore.network import Graph
from nncore.registry import to_json

# -- what it is given --------------------------------------------------------------------------------------------------


class Given(NamedTuple):
    """The arguments of a `call`: symbols, or arrays in place of them, and how these stand among all.

    `form` is what files have of that: lists and dicts in which {"at": i} stands for one of `items`, {"tuple": […]} for
    a tuple, {"dict": {…}} for a dict; None is one symbol by itself.
    """

    items: list[Any]
    form: Any
    training: bool | None

    @property
    def symbolic(self) -> bool:
        """Whether it is given symbols."""
        return any(isinstance(item, Symbol) for item in self.items)


ALONE = {"tuple": [[{"at": 0}], {"dict": {}}]}


def given_to(thing: Any, args: Sequence[Any], named: Mapping[str, Any]) -> Given:
    """What a layer is called with, by the arguments of its `call`: symbols and constants, or arrays and constants."""
    signature, known = inspect.signature(thing.call), dict(named)
    names = list(signature.parameters)
    apart = known.pop("training", None) if "training" not in names else None
    if "training" in names and len(args) <= names.index("training"):
        known.setdefault("training", None)
    try:
        bound = signature.bind(*args, **known)
    except TypeError as error:
        raise TypeError(f"{label(thing)}: expected the arguments of call{signature}: {error}") from None
    training = bound.arguments.pop("training", apart)
    if training is not None and (isinstance(training, Symbol) or training not in (True, False)):
        raise TypeError(f"{label(thing)}: training: expected True, False or None, got {training!r}")
    items: list[Any] = []
    given = list(bound.args), bound.kwargs
    form = form_of(given, items, kind_of(given), label(thing))
    return Given(items, None if form == ALONE else form, training)


def is_symbol(value: Any) -> bool:
    """Whether it is a symbol."""
    return isinstance(value, Symbol)


def is_array(value: Any) -> bool:
    """Whether it is an array of whatever library; numbers of NumPy's are numbers."""
    return (hasattr(value, "__array__") or hasattr(value, "tocsr")) and bool(getattr(value, "shape", True))


def is_list(value: Any) -> bool:
    """Whether it is a list of numbers, or of such lists."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(part, (int, float)) or is_list(part) for part in value)
    return False


def kind_of(given: Any) -> Function[[Any], bool]:
    """What is told from constants: symbols, where there is one, or else arrays, or else lists of numbers."""
    return next((kind for kind in (is_symbol, is_array) if holds(given, kind)), is_list)


def holds(given: Any, kind: Function[[Any], bool]) -> bool:
    """Whether there is such a thing among what is given."""
    if isinstance(given, (list, tuple, Mapping)):
        return any(holds(part, kind) for part in (given.values() if isinstance(given, Mapping) else given))
    return kind(given)


def form_of(given: Any, items: list[Any], is_item: Function[[Any], bool], whose: str) -> Any:
    """See `Given`; what it has of items is put into `items`."""
    if is_item(given):
        items.append(given)
        return {"at": len(items) - 1}
    if hasattr(given, "item") and not getattr(given, "shape", True):
        given = given.item()  # a number of NumPy's
    if given is None or isinstance(given, (bool, int, float, str)):
        return given
    if isinstance(given, (list, tuple)):
        parts = [form_of(part, items, is_item, whose) for part in given]
        return {"tuple": parts} if isinstance(given, tuple) else parts
    if isinstance(given, Mapping) and all(isinstance(key, str) for key in given):
        return {"dict": {key: form_of(part, items, is_item, whose) for key, part in given.items()}}
    raise TypeError(
        f"{whose}: expected symbols, numbers, texts, and lists and dicts of these, got {type(given).__name__}. An "
        "array beside symbols is an input of the model: make an Input for it"
    )


def filled(form: Any, items: Sequence[Any]) -> Any:
    """What was given in such a form, with these items."""
    if isinstance(form, list):
        return [filled(part, items) for part in form]
    if isinstance(form, dict):
        if "at" in form:
            return items[form["at"]]
        if "tuple" in form:
            return tuple(filled(part, items) for part in form["tuple"])
        return {key: filled(part, items) for key, part in form["dict"].items()}
    return form


# -- what it consists of -----------------------------------------------------------------------------------------------


def tracked(thing: Any) -> dict[Any, str]:
    """The layers and models among the attributes of a thing, in lists, tuples and dicts, too, with names by these."""
    found: dict[Any, str] = {}
    for name, value in list(vars(thing).items()):  # a copy: other threads may set some
        if name not in thing._transient:
            track(value, name.strip("_").replace("/", "_"), found, set())
    found.pop(thing, None)
    return found


def track(value: Any, name: str, found: dict[Any, str], seen: set[int]) -> None:
    """Put what there is in `value` into `found`."""
    if isinstance(value, Callable):
        found.setdefault(value, name)
    elif isinstance(value, (list, tuple, dict)) and id(value) not in seen:
        seen.add(id(value))
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            track(part, f"{name}_{key}".replace("/", "_"), found, seen)


def leaves_of(thing: Any) -> dict[Layer, str]:
    """The layers of operations that a thing is or consists of, in the order of its parts, with paths by these."""
    parts = thing._parts()
    if parts is None:
        return {thing: ""}
    found: dict[Layer, str] = {}
    for part, name in parts.items():
        for leaf, path in leaves_of(part).items():
            found.setdefault(leaf, f"{name}/{path}" if path else name)
    return found


def name_parts(thing: Any) -> None:
    """Let layers without a name have that of their attribute."""
    for part, name in thing._parts().items():
        if isinstance(part, Layer):
            if part.name is None:
                vars(part).update(name=name, _named=True)
        elif part._named and not part.calls:
            part.name, part._named = name, True


def restore_parts(thing: Any) -> None:
    """Let layers become what a document says of them, with all that was set on them: see `entries`."""
    described = vars(thing).pop("_described", None)
    if described is not None:
        hand_down(thing, described)


def hand_down(thing: Any, described: Mapping[str, Any]) -> None:
    """Let the parts of a thing have what is said of them, by their paths; those with a `call`, when that is traced.

    Until then these may have no layers: their `build` makes them.
    """
    parts, leaves = thing._parts(), leaves_of(thing)
    made = {name for part, name in parts.items() if part._parts() is not None or leaves[part] == name}
    known = {path.partition("/")[0] for path in described}
    if known - made or any(name in made - known for part, name in parts.items() if part._parts() is None):
        raise ValueError(
            f"{label(thing)}: expected {type(thing).__name__} to make the layers that it had when it was saved, "
            f"{sorted(described)}, got {sorted(leaves.values())}. Let get_config tell what the constructor makes them "
            "by; layers that it takes are made in from_config, by nncore.layers.deserialize"
        )
    for part, name in parts.items():
        inside = {path[len(name) + 1 :]: entry for path, entry in described.items() if path.startswith(f"{name}/")}
        if part._parts() is None and name in described:
            restore(part, described[name])
        elif inside and type(part)._composes():
            vars(part)["_described"] = inside
        elif inside:
            hand_down(part, inside)


def restore(leaf: Layer, entry: Mapping[str, Any]) -> None:
    """Let a layer become what is said of it."""
    made = type(leaf).from_config(entry["config"])
    if "trainable" in entry:
        made.trainable = entry["trainable"]
    kept = {"name": leaf.name} if made.name is None else {}
    vars(leaf).update({n: v for n, v in vars(made).items() if n not in OF_PLACE} | kept)


#: Attributes of a layer that say where it is, not what.
OF_PLACE = {"parameters", "input_shapes", "_state", "_models", "_calls"}


# -- its graph ---------------------------------------------------------------------------------------------------------


def trace(thing: Any, form: Any, symbols: Sequence[Symbol]) -> Graph:
    """The graph that the `call` of a layer or model makes, of symbols like those that it is given in this form."""
    restore_parts(thing)
    name_parts(thing)
    with tentative(thing):
        return both_traced(thing, form, symbols)


@contextmanager
def tentative(thing: Any, lasts: bool = True) -> Iterator[None]:
    """A context after which layers have the shapes that they had, if an error ends it or it is not one that `lasts`."""
    before = {leaf: leaf.input_shapes for leaf in leaves_of(thing)}
    try:
        yield
    except BaseException:
        lasts = False
        raise
    finally:
        for leaf in () if lasts else leaves_of(thing):
            if leaf.state is None:
                leaf.input_shapes = before.get(leaf)


def both_traced(thing: Any, form: Any, symbols: Sequence[Symbol]) -> Graph:
    """The same for training and predictions, where `call` asks which it is."""
    if "training" not in inspect.signature(thing.call).parameters:
        return traced(thing, form, symbols, TRACING.training)
    if TRACING.training is not None:
        return traced(thing, form, symbols, TRACING.training)
    graph, other = (traced(thing, form, symbols, training) for training in (False, True))
    if (graph.gives.form, graph.made) != (other.gives.form, other.made):
        raise ValueError(
            f"{label(thing)}: expected call to return symbols of the same shapes whatever `training` is, got "
            f"{shown(graph)} for False, {shown(other)} for True"
        )
    if outline_of(graph) != outline_of(other):
        if graph.feeds != other.feeds:
            raise ValueError(
                f"{label(thing)}: expected call to read the same inputs, alike, whatever `training` is. Use those "
                "of one branch in the other, too, times 0 perhaps"
            )
        graph.in_training = other
        graph.places = graph.place()
    return graph


def traced(thing: Any, form: Any, symbols: Sequence[Symbol], training: bool | None) -> Graph:
    """The same, where `training` has one value."""
    inputs = [Input(s.sample_shape, name=s.name, dtype=s.dtype) for s in symbols]
    args, named = filled(ALONE if form is None else form, inputs)
    if "training" in inspect.signature(thing.call).parameters:
        named = named | {"training": training}
    with during(training):
        made = thing.call(*args, **named)
    outputs = Arrangement(made).flat(made)
    if not outputs or not all(isinstance(s, Symbol) for s in outputs):
        strange = next(
            (type(s).__name__ for s in outputs if not isinstance(s, Symbol)), f"an empty {type(made).__name__}"
        )
        raise TypeError(
            f"{label(thing)}: expected call to return a symbol, or a list, tuple or dict of symbols, got {strange}. "
            "Return what layers and + - * / ** make of its inputs"
        )
    try:
        graph = Graph(inputs, made)
    except ValueError as error:
        raise ValueError(f"{label(thing)}: call: {error}") from None
    graph.first = tuple(leaves_of(thing))
    graph.places = graph.place()
    check_tracked(thing, graph)
    return graph


@contextmanager
def during(training: bool | None, builds: bool = False) -> Iterator[None]:
    """A context within which a `call` is traced, with this value of `training`, or a user's `build` works."""
    before = dict(vars(TRACING))
    vars(TRACING).update(training=training, builds=builds, traces=not builds)
    try:
        yield
    finally:
        vars(TRACING).clear()
        vars(TRACING).update(before)


def check_tracked(thing: Any, graph: Graph) -> None:
    """A ValueError where something has weights that is none of the thing's own: each trace would draw others."""
    own = set(graph.first)
    for call, _ in graph.calls:
        kind, name = type(call.layer).__name__, graph.layers[call.layer]
        for leaf in [call.layer] if call.inner is None else call.inner.places:
            if leaf not in own and not leaf.declares_none and (call.inner or leaf._declared(call.shapes)[0]):
                raise ValueError(
                    f"{label(thing)}: expected layers with weights to be its attributes, or in lists or dicts that "
                    f"are, got {kind} {name} in call. Make it in __init__ or build: self.{name} = {kind}(…)"
                )


def shown(graph: Graph) -> str:
    """The shapes of what a graph makes, as text."""
    return ", ".join(str((None, *shape)) for shape in graph.made)


def outline_of(graph: Graph) -> list[Any]:
    """What is called on what, to compare two traces: layers made in `call` by what they are, others by themselves."""
    numbers: dict[int, Any] = {id(s): i for i, s in enumerate(graph.inputs)}
    found: list[Any] = []
    for n, (call, symbols) in enumerate(graph.calls):
        found.append((identity(call, graph), [numbers[id(s)] for s in call.inputs]))
        numbers.update((id(s), (n, s.index)) for s in symbols)
    return [*found, [numbers[id(s)] for s in graph.outputs]]


def identity(call: Call, graph: Graph) -> Any:
    """What a call is of: see `outline_of`."""
    if call.traced is not None:
        return outline_of(call.traced)
    if call.layer in graph.first or call.inner is not None:
        return id(call.layer)
    try:
        return type(call.layer), to_json(call.layer.get_config()) | {"name": None}
    except (AttributeError, TypeError, ValueError):  # nothing tells whether another is alike
        return id(call.layer)

"""What a model computes on the way: activations and gradients of its layers, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nncore.arguments import an
from nncore.bindings import Binding
from nncore.execution import gradients
from nncore.execution.prediction import Predictor
from nncore.graph import Callable, Symbol
from nncore.network import Graph
from nncore.parameter import Parameter
from nncore.state import Array
from nncore.training import given

if TYPE_CHECKING:
    from nncore.model import Model

INPUTS = "inputs"


def calls(graph: Graph, training: bool) -> Iterator[tuple[Any, Symbol]]:
    """Each layer with the symbol that it makes, in order; those within models that are called come before these."""
    for call, symbols in graph.calls:
        if (inner := call.inner) is not None:
            yield from calls(inner.at(training), training)
        for symbol in symbols:
            yield call.layer, symbol


def symbol_of(model: Any, one: Any, training: bool = False) -> Symbol:
    """The symbol that is meant: given as such, as a layer, or by the name of a layer or an input."""
    graph: Graph = model._built().at(training)
    known = list(calls(graph, training))
    if isinstance(one, str) and one not in (layers := list(graph.layers.values())):
        inputs = dict(zip(graph.input_names, graph.inputs, strict=True))
        if one not in inputs:
            raise ValueError(f"of: expected the name of a layer or an input, {[*layers, *inputs]}, got {one!r}")
        one = inputs[one]
    if isinstance(one, Symbol):
        if any(one is s for s in graph.inputs):
            return read(graph, one)
        if any(one is s for _, s in known):
            return one
        raise ValueError(f"of: expected a symbol of this model, got {one!r}")
    layer = model.get_layer(one) if isinstance(one, str) else one
    for maker, symbol in known:
        if maker is layer:
            return symbol
    if not isinstance(layer, Callable):
        raise TypeError(f"of: expected layers, their names or symbols, got {an(type(one).__name__)}")
    raise ValueError(f"of: expected a layer of this model, got {layer!r}")


def read(graph: Graph, s: Symbol) -> Symbol:
    """An input of the graph; a ValueError where its programs read only the numbers that layers make of it in Python."""
    if all(s is not one for one in (*graph.outputs, *(x for call, _ in graph.calls for x in call.inputs))):
        raise ValueError(f"of: expected an input that some layer reads, got {s!r}. Ask for the others")
    if not any(graph.inputs[i] is s for i in graph.fed_inputs()):
        raise ValueError(
            f"of: expected an input of numbers, got {s!r}, of which Python makes numbers. Ask for what reads it"
        )
    return s


def activations(model: Any, x: Any, of: Any) -> Any:
    """See `Model.activations`."""
    inputs = model._inputs(x)
    graph: Graph = model._built()
    if of is None:
        names = {id(layer): name for layer, name in graph.layers.items()}
        made = {names[id(layer)]: symbol for layer, symbol in reversed(list(calls(graph, False))) if id(layer) in names}
        wanted = dict(reversed(made.items()))
        return dict(zip(wanted, outputs(model, inputs, list(wanted.values())), strict=True))
    several = isinstance(of, (list, tuple))
    found = outputs(model, inputs, [symbol_of(model, one) for one in (of if several else [of])])
    return found if several else found[0]


def outputs(model: Any, inputs: list[Binding], symbols: list[Symbol]) -> list[Array]:
    """The arrays of symbols, as they are in prediction."""
    unique = list({id(s): s for s in symbols}.values())
    made: dict[int, Array] = {}
    graph: Graph = model._built()
    for start in range(0, len(unique), 64):  # there is room for so many bindings
        part = unique[start : start + 64]
        arrays = Predictor(graph, part, graph.sizes(inputs)).outputs(inputs, model.threads())
        made.update(zip(map(id, part), arrays, strict=True))
    return [made[id(s)] for s in symbols]


def gradients_of(model: Model, rows: tuple[Any, Any, Any], of: Any, grad: Any) -> Any:
    """See `Model.gradients`."""
    x, y, sample_weight = rows
    with model.turn.taken("gradients"):
        model.turn.require("gradients")
        if grad is None:
            data = model._dataset(x, y, sample_weight)
            steppers = model.steppers()
        elif y is not None or sample_weight is not None:
            raise ValueError(
                "grad: expected None beside y and sample_weight. Give the gradient of the loss, or targets"
            )
        else:
            data, steppers = given.prepared(model, x, grad)
        graph = model._built().at(training=True)
        wanted, arranged = resolved(model, graph, of)
        if frozen := [p.path for p in wanted if isinstance(p, Parameter) and p not in graph.trained]:
            raise ValueError(f"of: expected weights that are trained, got {frozen[0]}. Set trainable=True, and compile")
        symbols = [one for one in wanted if isinstance(one, Symbol)]
        try:
            made = gradients.gradients(steppers, data, model.threads(), symbols)
        finally:
            if steppers.configuration.given is not None:
                steppers.configuration.given.function = None
        for s in symbols:
            if made.of_symbols[id(s)] is None:
                raise ValueError(
                    f"of: expected what the loss depends on by a gradient of its own, got {s!r}. A softmax or sigmoid "
                    "whose crossentropy is the loss is computed with it: give the last layer no activation, and the "
                    "loss from_logits=True, or ask for the layer before"
                )
        return arranged(gradients.arrays(made, wanted, data.rows))


def resolved(model: Model, graph: Graph, of: Any) -> tuple[list[Any], Any]:
    """The parameters and symbols that are meant, and what arranges their gradients."""
    if of is None:
        weights = list(graph.trained)
        return weights, lambda found: dict(zip([graph.paths[p] for p in weights], found, strict=True))
    if isinstance(of, str) and of == INPUTS and INPUTS not in graph.layers.values():
        return [read(graph, s) for s in graph.inputs], graph.takes.pack
    several = isinstance(of, (list, tuple))
    wanted = of if several else [of]
    found = [one if isinstance(one, Parameter) else symbol_of(model, one, training=True) for one in wanted]
    if strange := [p for p in found if isinstance(p, Parameter) and p not in graph.paths]:
        raise ValueError(f"of: expected weights of this model, got {strange[0]!r}")
    return found, (list if several else lambda arrays: arrays[0])

"""A model as a state that can be copied or pickled, of one moment, and back."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from nncore import checkpoint
from nncore._version import __version__
from nncore.copying import Travelling
from nncore.locks import Lock, Turn

if TYPE_CHECKING:
    from nncore.model import Model


def capture(model: Model, attributes: dict[str, Any]) -> dict[str, Any]:
    """What `restore` needs: all attributes, with arrays that no later step changes.

    Layers, symbols and parameters travel as the objects that they are, so that whatever refers to one of them refers to
    its copy afterwards. The graph comes first: see `Graph.__getstate__`. Its state writes the array in "values".
    """
    with checkpoint.at_rest(model):
        state = {"nncore": __version__, "graph": model.graph} | attributes
        if model.graph:
            state["values"] = model.graph.state.capture()
        if model.configuration:
            state["rule"] = model.configuration.optimizer.rule.copy()
        state["counters"] = model.counters.copy()
        state["slots"] = {name: slot.copy() for name, slot in model.slots.items()}
        if model.fit_state is not None and model.history is not None:  # it goes on, and so does its history
            lists = {name: list(values) for name, values in model.history.history.items()}
            state["history"] = history = object.__new__(type(model.history))
            vars(history).update(vars(model.history), epoch=list(model.history.epoch), history=lists)
    return state


def restore(model: Model, state: dict[str, Any]) -> None:
    """Make an empty `model` what `capture` saw."""
    if state["nncore"] != __version__:
        raise ValueError(
            f"pickle: expected a model of nncore {__version__}, got one of {state['nncore']}. "
            "From one version to another, use save and load_model"
        )
    Travelling.__setstate__(model, {k: v for k, v in state.items() if k not in ("nncore", "values", "rule", "slots")})
    model._lock, model.turn, model.slots = Lock(), Turn(), {}
    model._reset()
    if model.graph:
        model.graph.state.take_turn(model.turn)
        model.graph.state.values[:] = state["values"]  # its own may be those of another copy, made meanwhile
        for layer in model.graph.layers:
            layer._model = weakref.ref(model)
        for name, values in state["slots"].items():
            model.slots[name] = model.graph.state.like()
            model.slots[name][:] = values
    if model.configuration:
        if model.graph:
            model._pack(model.graph, model.configuration)
        model.configuration.optimizer.rule[:] = state["rule"]
        model.configuration.optimizer.claim(model)

"""A model as a state that can be copied or pickled, of one moment, and back."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

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
            state["progress"] = model.configuration.optimizer.progress()
        state["counters"] = model.counters.copy()
        state["optimizer_state"] = {name: array.copy() for name, array in model.optimizer_state.items()}
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
    apart = ("nncore", "values", "progress", "optimizer_state")
    Travelling.__setstate__(model, {key: value for key, value in state.items() if key not in apart})
    model._lock, model.turn, model.optimizer_state = Lock(), Turn(), {}
    model.counters = np.array(model.counters)  # joblib may have mapped a file: such an array is read-only
    model._reset()
    if model.graph:
        model.graph.state.join_turn(model.turn)
        model.graph.state.members.add(model)
        model.graph.state.values[:] = state["values"]  # its own may be those of another copy, made meanwhile
        for leaf in model.graph.places:
            leaf._models = leaf._models or weakref.WeakSet()
            leaf._models.add(model)
        for name, values in state["optimizer_state"].items():
            model.optimizer_state[name] = model.graph.state.like()
            model.optimizer_state[name][:] = values
    if model.configuration:
        if model.graph:
            model._pack(model.graph, model.configuration)
        model.configuration.optimizer.resume(*state["progress"])
        model.configuration.optimizer.claim(model)

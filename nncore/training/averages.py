"""Running means of the weights, which an optimizer with `use_ema` keeps: in place of the weights, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nncore.optimizers.base import AVERAGE
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.model import Model


def kept(model: Model) -> bool:
    """Whether there are means: `use_ema` is on, and an update has been made."""
    return AVERAGE in model.optimizer_state and model.optimizer.iterations > 0


def swap(model: Model) -> None:
    """Let weights and their means change places."""

    def exchange(weights: Array, mean: Array) -> None:
        before = weights.copy()
        weights[...], mean[...] = mean, before

    each(model, exchange)


def finish(model: Model) -> None:
    """At the end of a fit: let the weights be their means, if there are any."""
    if not kept(model):
        return
    if model.averages_in_place:
        model.swap_averages()

    def overwrite(weights: Array, mean: Array) -> None:
        weights[...] = mean

    each(model, overwrite)


def each(model: Model, change: Callable[[Array, Array], None]) -> None:
    """Have weights and their means changed, parameter by parameter, between two steps."""
    graph: Any = model.graph
    state = graph.state
    state.turn.require("weights")
    with state.turn.taken("weights"):
        state = graph.state.root
        with state.writing():
            for p, path in graph.trained.items():
                if model.optimizer.form(AVERAGE, p, path) is not None:
                    change(state.view(p), state.view(p, model.optimizer_state[AVERAGE]))

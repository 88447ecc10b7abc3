"""Layers of a user's own that join others by a method `call`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from nncore.arguments import check_flag, is_whole
from nncore.graph import TRACING, Call, Input, Shape, Symbol, check_sample
from nncore.layers.arrays import label
from nncore.layers.base import Layer
from nncore.network import Graph
from nncore.parameter import Parameter
from nncore.state import State
from nncore.tracing import ALONE, Given, during, filled, form_of, given_to, leaves_of, trace, track, tracked


class Composed(Layer):
    """What a class with `call` derives from in place of `Layer`, by itself; see there.

    It has no operations: each of its calls has a graph of its own, made by `trace`, of the same layers. These have the
    weights; all that is asked of it, it asks of them.
    """

    call: Any  # of the user's class
    _has_built = False  # its own `build`, if it has one

    def _parts(self) -> dict[Any, str]:
        """The layers and models among its attributes, with their names."""
        return tracked(self)

    def _graph_of(self, call: Call) -> Any:
        """What `call` made of the inputs of this one."""
        return call.traced

    # -- where it is called ----------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Connect it to symbols, or compute it on arrays: with the arguments of `call`, and `training`.

        Parameters
        ----------
        *args, **kwargs
            Symbols or arrays, by themselves or in lists and dicts; numbers, texts, True, False and None are handed on.
        training : bool, optional
            Of arrays: compute as in a step of training; see `Layer.__call__`.

        Returns
        -------
        Symbol or ndarray, or a list, tuple or dict of them, as `call` returns
        """
        given = given_to(self, args, kwargs)
        if not given.items:
            raise TypeError(f"{label(self)}: expected symbols or arrays, got none")
        if not given.symbolic:
            return self.alone.composed(self, given)
        TRACING.check(label(self), given.training)
        return self._connect_all(given)

    def _connect_all(self, given: Given) -> Any:
        """The symbols of what it makes of symbols, arranged as `call` returns them."""
        graph = self._traced_on(given)
        if self.input_shapes is None:
            self.input_shapes = tuple(s.sample_shape for s in given.items)
        return graph.gives.pack(self._connect(given.items, graph.made, graph, given.form))

    def _traced_on(self, given: Given) -> Graph:
        """What `call` makes of such symbols."""
        self._declare_parts(given)
        if self.input_shapes is None and not self._trainable:
            self.trainable = False  # of layers that it has got since
        return trace(self, given.form, given.items)

    def _declare_parts(self, given: Given) -> None:
        """Call `build`, if the class has one, before the first trace.

        With the shape, or shapes, of the first argument; or where it takes several, with those of arguments that are
        called as its own are without "_shape".
        """
        if self._has_built or type(self).build is Layer.build:
            return
        args, named = filled(given.form or ALONE, [s.shape for s in given.items])
        shapes = inspect.signature(self.call).bind(*args, **named).arguments
        names = list(inspect.signature(self.build).parameters)
        if len(names) > 1:
            shapes = {name: shapes[name[:-6]] for name in names if name[:-6] in shapes and name.endswith("_shape")}
        else:
            shapes = dict(zip(names, shapes.values(), strict=False))
        vars(self).update(_declaring=True, _open=True, _has_built=True)
        try:
            with during(None, builds=True):
                self.build(**shapes)
        except BaseException:
            vars(self)["_has_built"] = False
            raise
        finally:
            vars(self)["_declaring"] = False
            del vars(self)["_open"]

    def connect(self, inputs: Any) -> Any:
        """The symbols of its outputs for those of its first argument."""
        return self(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output, from that of the input, or a list or dict of shapes, all with the batch's axis.

        None stands for sizes that are unknown. As `call` arranges the outputs.
        """
        return mapped(self._on_shapes(input_shape)[1], lambda s: s.shape)

    def _on_shapes(self, input_shape: Any) -> tuple[list[Symbol], Any]:
        """Symbols of such inputs, and what it makes of them."""
        symbols: list[Symbol] = []
        form = form_of_shapes(input_shape, symbols, "input_shape")
        return symbols, self(filled(form, symbols))

    # -- what it holds ---------------------------------------------------------------------------------------------

    @property
    def _leaves(self) -> list[Layer]:
        """The layers of operations that it consists of, also those within others."""
        return list(leaves_of(self))

    @property
    def parameters(self) -> list[Parameter]:
        """Those of its layers, one after another, each as its weights and then its statistics."""
        return [p for leaf in self._leaves for p in leaf.parameters]

    @parameters.setter
    def parameters(self, value: Any) -> None:
        if value:
            raise AttributeError("parameters: cannot be set on a layer with call, whose layers have them")

    @property
    def state(self) -> State | None:
        """The arrays of the models that it is part of, if it has any there; None before one is built."""
        return next((state for leaf in self._leaves if leaf.parameters and (state := leaf.state) is not None), None)

    @state.setter
    def state(self, value: State | None) -> None:
        for leaf in self._leaves:
            leaf.state = value

    @property
    def trainable_weights(self) -> list[Parameter]:
        """The arrays that the optimizer changes."""
        return [p for leaf in self._leaves for p in leaf.trainable_weights]

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        """The arrays that the optimizer does not change."""
        return [p for leaf in self._leaves for p in leaf.non_trainable_weights]

    trainable_variables, non_trainable_variables = trainable_weights, non_trainable_weights

    @property
    def losses(self) -> list[Any]:
        """The penalties on the weights of its layers as they are now."""
        return [penalty for leaf in self._leaves for penalty in leaf.losses]

    @property
    def trainable(self) -> bool:
        """Whether fit changes the parameters, from the next compile on; what is set is set on all of its layers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = check_flag(value, "trainable")
        for part in self._parts():
            part.trainable = value

    @property
    def learns(self) -> bool:
        """Whether it is trainable, and some layer of it is."""
        return self._trainable and any(leaf.learns for leaf in self._leaves)

    @property
    def declares_none(self) -> bool:
        """Whether none of its layers has weights to declare."""
        return (self._has_built or type(self).build is Layer.build) and all(leaf.declares_none for leaf in self._leaves)

    def _built(self) -> State:
        """The arrays; a layer that was called on symbols alone draws its own."""
        if self.state is None and (calls := self.calls):
            self.alone.draw(self, Graph(calls[0].inputs, calls[0].outputs))
        return super()._built()

    def draw(self, input_shape: Any) -> None:
        """Draw the weights, outside of any model; see `build`."""
        if self.state is None and not (self._weightless or TRACING.builds):
            self.alone.build_composed(self, input_shape)

    def add_weight(self, *args: Any, **kwargs: Any) -> Parameter:
        """A TypeError: it learns by its layers."""
        raise TypeError(
            f"{label(self)}: expected layers to have the weights, got add_weight in one that joins others. "
            "Use a Dense, an Embedding, a Scale, …, or a layer with forward and backward on NumPy arrays"
        )

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_state": None}  # its layers have it

    # -- what is set on it -----------------------------------------------------------------------------------------

    def _checked(self, name: str, value: Any) -> Any:
        refuse_late(self, name, value, built=self.input_shapes is not None)
        return super()._checked(name, value)

    def _changed(self, name: str, value: Any) -> Any:
        if name == "name" and not self.calls:
            return value
        raise AttributeError(
            f"{name}: fixed when the layer is made, which makes its layers by it, cannot become {value!r}; make another"
        )


def form_of_shapes(given: Any, symbols: list[Symbol], argument: str) -> Any:
    """The form of one shape with the batch, or of a list, tuple or dict of them; symbols of these go into `symbols`."""

    def one(shape: Any) -> bool:
        return is_whole(shape) or (
            isinstance(shape, (list, tuple)) and bool(shape) and all(n is None or is_whole(n) for n in shape)
        )

    shapes: list[Any] = []
    form = form_of(given, shapes, one, argument)
    for shape in shapes:
        sample: Shape = tuple(shape[1:]) if isinstance(shape, (list, tuple)) and len(shape) > 1 else shape
        symbols.append(Input(check_sample(sample, argument, shape)))
    if not symbols:
        raise ValueError(f"{argument}: expected a shape (batch, …), or a list or dict of such, got {given!r}")
    return form


def mapped(made: Any, function: Any) -> Any:
    """What a function makes of a symbol, or of each in a list, tuple or dict."""
    if isinstance(made, dict):
        return {key: function(s) for key, s in made.items()}
    if isinstance(made, (list, tuple)):
        return type(made)(map(function, made))
    return function(made)


def refuse_late(thing: Any, name: str, value: Any, built: bool) -> None:
    """An AttributeError where a layer, or a list or dict of layers, is set once `call` was traced with another."""
    if not built:
        return
    before = tracked_in(vars(thing).get(name))
    if before or tracked_in(value):
        raise AttributeError(
            f"{name}: fixed since {label(thing)} was called, which has traced `call` with the layers that there were, "
            f"cannot become {value!r}. Set it before, or make another"
        )


def tracked_in(value: Any) -> Sequence[Any]:
    """The layers in a value."""
    found: dict[Any, str] = {}
    track(value, "", found, set())
    return list(found)


Layer._composed = Composed

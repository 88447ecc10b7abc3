"""Models of a user's own that join layers by a method `call`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nncore import conversion
from nncore.architecture import FORMS
from nncore.arguments import an
from nncore.arrangement import Arrangement
from nncore.attributes import arguments
from nncore.compiler.configuration import CompileConfiguration, is_by_name, several
from nncore.composed import form_of_shapes, mapped, refuse_late
from nncore.data import Dataset
from nncore.graph import Input, Symbol
from nncore.model import Model
from nncore.network import Graph
from nncore.registry import config_of, snake_case
from nncore.tracing import during, filled, form_of, tentative, trace, tracked

OF_MODELS = {"layers", "outputs", "inputs", "seed", "n_threads", "dtype", "trainable"}  # which files have anyway


class Subclassed(Model):
    """What a class with `call` derives from in place of `Model`, by itself; see there.

    Its graph is what `call` makes of symbols, for the shapes of the first data; from then on it is as any other model.
    """

    _builds = _has_built = False  # whether its own `build` is at work, or has been
    _frozen = False  # whether it was made with trainable=False
    _told: tuple[Any, Any, Any, Any] | None = None  # what `compile` was given, until the outputs are known

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._begin()

    @classmethod
    def _begin(cls) -> None:
        if "build" in vars(cls):
            cls.build = building(cls.build)  # type: ignore[method-assign]

    def __init__(self, *given: Any, trainable: bool = True, **settings: Any) -> None:
        if given or {"layers", "inputs", "outputs"} & settings.keys():
            raise TypeError(
                f"{type(self).__name__}: expected layers as attributes, self.hidden = Dense(…), for a class with call, "
                "got them as arguments, too. Let call join them, or leave it out"
            )
        check_call(self)
        super().__init__(**settings)
        self.is_stack, self._frozen = False, not trainable
        if self._named:
            self._name = snake_case(type(self).__name__)

    # -- what it consists of ---------------------------------------------------------------------------------------

    def _parts(self) -> dict[Any, str]:
        """The layers and models among its attributes, with their names."""
        return tracked(self)

    @property
    def layers(self) -> list[Any]:
        """The layers and models among its attributes, in the order in which these were set."""
        return list(self._parts())

    def _checked(self, name: str, value: Any) -> Any:
        refuse_late(self, name, value, built=self.graph is not None)
        if self.graph is not None and name in arguments(type(self)) and name not in OF_MODELS | {"name"}:
            raise AttributeError(
                f"{name}: fixed since {self.name} was built, for `call` was traced with what it was, cannot become "
                f"{value!r}. Make another model"
            )
        return super()._checked(name, value)

    # -- its graph -------------------------------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Settle shapes and draw the initial weights.

        Parameters
        ----------
        input_shape : tuple, or list or dict of tuples
            (None, 784): with the batch first, arranged as the inputs of `call`. None are sizes that each call's data
            settle.
        """
        if self._builds:
            return  # which its own asks of its base
        symbols: list[Symbol] = []
        form = form_of_shapes(input_shape, symbols, "input_shape")
        self._settle_on(filled(form, symbols))

    @property
    def built(self) -> bool:
        """Whether shapes and weights are settled."""
        return self.graph is not None

    @built.setter
    def built(self, value: bool) -> None:
        if not self._builds:  # where Keras's models say that they are
            raise AttributeError(f"built: cannot be set on {an(type(self).__name__)}. {self.remedies['built']}")

    def _settle_on(self, inputs: Any) -> None:
        """Build it for inputs like these symbols, arranged as `call` is to get them."""
        with self._lock():
            if self.graph is None:
                graph = self._trace(inputs)
                told = self._told, self.configuration
                try:
                    graph.build(self.dtype)
                    self._compile_for(graph)
                    self._adopt(graph)
                except BaseException:
                    self._told, self.configuration = told
                    forget(graph)
                    raise

    def _trace(self, inputs: Any) -> Graph:
        """What `call` makes of symbols like these."""
        if isinstance(inputs, (list, tuple)) and len(inputs) == 1:
            [inputs] = inputs
        if isinstance(inputs, dict):
            inputs = {key: inputs[key] for key in sorted(inputs)}
            for key, symbol in inputs.items():
                symbol.name = symbol.name or key
        symbols: list[Symbol] = []
        form = form_of(([inputs], {}), symbols, lambda part: isinstance(part, Symbol), self.name)
        takes = Arrangement(inputs)
        if takes.flat(inputs) != symbols:
            raise TypeError(f"{self.name}: expected one input, or a list or dict of them, got others within these")
        if not self._has_built and type(self).build is not Subclassed.build:
            self._build_parts(mapped(inputs, lambda s: s.shape))
        if self._frozen:
            self.trainable = self._frozen = False
        with during(None):  # both branches of `training`, whatever calls it: its graph is that of all calls
            graph = trace(self, form, symbols)
        graph.takes = takes
        return graph

    def _build_parts(self, shape: Any) -> None:
        """Call its own `build`, before the first trace."""
        vars(self).update(_builds=True, _open=True)
        try:
            with during(None, builds=True):
                self.build(shape)
        finally:
            vars(self)["_builds"] = False
            del vars(self)["_open"]
        vars(self)["_has_built"] = True

    def _inputs(self, x: Any, prefix: str = "") -> Any:
        if self.graph is None:
            self._settle_on(symbols_for(x, f"{prefix}x"))
        return super()._inputs(x, prefix)

    def _join(self, x: Any) -> Any:
        if self.graph is None:
            self._settle_on(mapped(x, lambda s: Input(s.sample_shape, name=s.name, dtype=s.dtype)))
        return super()._join(x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """See `Model.compute_output_shape`."""
        if self.graph is not None:
            return super().compute_output_shape(input_shape)
        symbols: list[Symbol] = []
        form = form_of_shapes(input_shape, symbols, "input_shape")
        with tentative(self, lasts=False):
            graph = self._trace(filled(form, symbols))
        return graph.gives.pack([(None, *shape) for shape in graph.made])

    # -- what it is compiled with ----------------------------------------------------------------------------------

    def _configured(self, optimizer: Any, given: tuple[Any, Any, Any, Any], precision: Any) -> CompileConfiguration:
        """See `Compiled`; what is for several outputs is looked at once these are known, with the first data."""
        if self.graph is not None:
            self._told = None
            return super()._configured(optimizer, given, precision)
        known: tuple[Any, Any, Any, Any] = (None, None, None, None) if waits(*given) else given
        config = CompileConfiguration.of(optimizer, *known, precision)
        self._told = given
        return config

    def _compile_for(self, graph: Graph) -> None:
        """Be compiled for the outputs of this graph, where that was to wait for them."""
        config, told = self.configuration, self._told
        self._told = None
        if config is not None and told is not None and (len(graph.outputs) > 1 or waits(*told)):
            precision = config.matmul_precision
            self.configuration = CompileConfiguration.of(config.optimizer, *told, precision, graph.output_names)

    def _compiled(self, need_loss: bool = False) -> CompileConfiguration:
        return super()._compiled(need_loss and not (self._told and self.configuration))

    def _dataset(self, x: Any, y: Any, sample_weight: Any = None, *, prefix: str = "") -> Dataset:
        self._compiled(need_loss=True)
        if self.graph is None:
            self._settle_on(symbols_for(x, f"{prefix}x"))
        return super()._dataset(x, y, sample_weight, prefix=prefix)

    # -- its configuration -----------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as values that JSON can hold, which must be attributes of the same names.

        Without those of `Model`, but for the name: files have them anyway.
        """
        apart = OF_MODELS | ({"name"} if self._named else set())
        return config_of(self, [name for name in arguments(type(self)) if name not in apart])

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Any:
        """Build the model that `get_config` described, or the one of a whole architecture."""
        if set(config) in FORMS:
            return super().from_config(config, custom_objects)
        return cls(**config)


def building(build: Callable[..., None]) -> Callable[..., None]:
    """A user's ``build(input_shape)``: called while the model builds its layers; else it is that of `Model`."""

    @functools.wraps(build)
    def built(self: Any, input_shape: Any = None) -> None:
        if self._builds:
            build(self, input_shape)
        else:
            Subclassed.build(self, input_shape)

    return built


def check_call(model: Any) -> None:
    """A TypeError unless `call` takes inputs, and `training` and `mask` perhaps."""
    taken = list(inspect.signature(model.call).parameters.values())
    single = [p for p in taken if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    needed = [p.name for p in single[1:] if p.default is p.empty and p.name != "training"]
    if not taken or needed:
        got = f"also {needed[0]}" if needed else "none"
        raise TypeError(
            f"{type(model).__name__}: expected call(self, inputs, training=False), got {got}. Take several inputs in a "
            "list or dict, as fit and predict are given them"
        )


def waits(loss: Any, loss_weights: Any, metrics: Any, weighted_metrics: Any) -> bool:
    """Whether some argument of `compile` is for several outputs, or for some by name."""
    lists = [given for given in (loss, loss_weights) if isinstance(given, (list, tuple))]
    nested = [part for given in (metrics, weighted_metrics) if isinstance(given, (list, tuple)) for part in given]
    named = any(map(is_by_name, (loss, loss_weights, metrics, weighted_metrics)))
    return named or any(len(given) > 1 for given in lists) or any(map(several, nested))


def forget(graph: Graph) -> None:
    """Let the layers of a graph that comes to nothing be without weights again."""
    new = set(graph.new)
    for leaf in graph.places:
        if not leaf._models and new.issuperset(leaf.parameters):
            leaf.input_shapes = leaf.state = None
            leaf.parameters = []


def symbols_for(x: Any, argument: str) -> Any:
    """Symbols of inputs as the data have them: one array, or a list, tuple or dict of arrays."""
    several = isinstance(x, (list, tuple)) and x and all(isinstance(part, np.ndarray) and part.ndim for part in x)
    if not several and not isinstance(x, Mapping):
        return symbol_for(x, argument, None)
    keys = dict(x).items() if isinstance(x, Mapping) else enumerate(x)
    made = {key: symbol_for(part, f"{argument}[{key!r}]", key if isinstance(key, str) else None) for key, part in keys}
    return made if isinstance(x, Mapping) else type(x)(made.values())


def symbol_for(x: Any, argument: str, name: str | None) -> Symbol:
    """An `Input` for an array of samples; vectors are columns."""
    texts = np.asarray(x) if not hasattr(x, "tocsr") else None
    if texts is not None and texts.dtype.kind in "OUS" and texts.size and isinstance(texts.flat[0], (str, bytes)):
        return Input(texts.shape[1:] or (1,), name=name, dtype="string")
    array = conversion.as_input(x, argument, None)
    if not array.ndim:
        raise ValueError(f"{argument}: expected an array of samples, shape (n, …), got a single number")
    return Input(array.shape[1:] or (1,), name=name)


Model._composed = Subclassed

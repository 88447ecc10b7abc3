"""What a model says of itself: the attributes that users of Keras expect, its configuration, and how it is shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, cast

from nncore import architecture, display, plots, runtime
from nncore.arrangement import unnamed
from nncore.attributes import Guarded
from nncore.custom import custom_object_scope
from nncore.entries import layer_classes
from nncore.graph import check_sample
from nncore.habits import NAMES
from nncore.outline import construct
from nncore.registry import to_json
from nncore.sizes import fits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nncore.compiler.configuration import CompileConfiguration
    from nncore.graph import Symbol
    from nncore.layers.base import Layer
    from nncore.losses import Loss
    from nncore.metrics import Metric
    from nncore.model import Model
    from nncore.network import Graph
    from nncore.parameter import Parameter
    from nncore.state import Array


class Inspected(Guarded):
    """Attributes of a model that follow from its graph and from what `compile` was given."""

    graph: Graph | None
    configuration: CompileConfiguration | None = None
    layers: Any
    history: Any = None
    stop_training: bool = False
    stop_evaluating: bool = False
    stop_predicting: bool = False
    settable = ("stop_training", "stop_evaluating", "stop_predicting")
    remedies: ClassVar[dict[str, str]] = {
        "dtype": "Make a new model with it.",
        "is_stack": "Make a new model.",
        "layers": "Make a new model; Sequential has add and pop.",
        "weights": "Call set_weights.",
        "optimizer": "Give it to compile.",
        "loss": "Give it to compile.",
        "metrics": "Give them to compile.",
        "metrics_names": "Give metrics to compile.",
        "matmul_precision": "Give it to compile.",
        "built": "Call build(input_shape).",
        "compiled": "Call compile.",
    }

    if not TYPE_CHECKING:  # or there would be no attribute that is unknown

        def __getattr__(self, name: str) -> Any:
            """Say what does the work of a method of Keras's models that is not here."""
            if name in NAMES:
                raise AttributeError(f"{type(self).__name__} has no {name}. {NAMES[name]}")
            return object.__getattribute__(self, name)  # raises what it did before

    # -- what may be set -------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        if not isinstance(value, str) or not value:
            raise TypeError(f"name: expected a string with characters, got {value!r}")
        self._name, self._named = value, False

    @property
    def seed(self) -> int:
        """What random choices derive from; setting it is `reseed`."""
        return self._seed

    @seed.setter
    def seed(self, value: int) -> None:
        self.reseed(value)

    def reseed(self, seed: int) -> None:
        """Let later random choices derive from `seed`; weights stay."""
        self._seed = runtime.check_seed(seed, "seed")
        self._reset()

    def _reset(self) -> None:
        """Forget what was compiled for the structure so far."""

    @property
    def n_threads(self) -> int | None:
        """Most threads to use, from the next pass on; None: `get_num_threads()`."""
        return self._n_threads

    @n_threads.setter
    def n_threads(self, value: int | None) -> None:
        self._n_threads = None if value is None else runtime.check_threads(value, "n_threads")

    @property
    def trainable(self) -> bool:
        """Whether any layer is trainable; what is set is set on all layers, with effect from the next compile on."""
        return any(layer.trainable for layer in self.layers) or not self.layers

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers:
            layer.trainable = value

    # -- what follows ----------------------------------------------------------------------------------------------

    @property
    def weights(self) -> list[Parameter]:
        """All arrays, in the order of `get_weights`."""
        return [p for layer in self._leaves() for p in layer.weights]

    @property
    def trainable_weights(self) -> list[Parameter]:
        """Those of layers that are trainable, but for statistics."""
        return [p for layer in self._leaves() for p in layer.trainable_weights]

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        """Statistics, and those of layers that are not trainable."""
        return [p for layer in self._leaves() for p in layer.non_trainable_weights]

    @property
    def named_weights(self) -> dict[str, Array]:
        """Read-only views of all arrays by their paths, such as "dense/kernel", which follow every step of training.

        They are true until the model is built anew, or joined with others; copies are ``layer.get_weights()``.
        """
        graph = self._ends()
        found = {}
        for p, path in graph.paths.items():
            view = graph.state.view(p).view()
            view.flags.writeable = False
            found[path] = view
        return found

    variables, trainable_variables, non_trainable_variables = weights, trainable_weights, non_trainable_weights

    def _leaves(self) -> list[Layer]:
        """Its layers and, in place of models among them, theirs; each once."""
        if self.graph is not None:
            return list(self.graph.places)
        parts = (layer._leaves() if isinstance(layer, Inspected) else [layer] for layer in self.layers)
        return list(dict.fromkeys(leaf for leaves in parts for leaf in leaves))

    def _ends(self) -> Graph:
        if self.graph is None:
            raise ValueError("the model has no shapes yet: call build(input_shape), fit or predict first")
        return self.graph

    @property
    def input(self) -> Any:
        """The symbol of its input; of several the list or dict that it was made from."""
        graph = self._ends()
        return graph.takes.pack(graph.inputs)

    @property
    def output(self) -> Any:
        """The symbol of its output; of several the list or dict that it was made from."""
        graph = self._ends()
        return graph.gives.pack(graph.outputs)

    @property
    def inputs(self) -> list[Symbol]:
        """The symbols of its inputs; those of a dict by its sorted keys."""
        return list(self._ends().inputs)

    @property
    def outputs(self) -> list[Symbol]:
        """The symbols of its outputs; those of a dict by its sorted keys."""
        return list(self._ends().outputs)

    @property
    def input_names(self) -> list[str]:
        """Names of `inputs`: keys of a dict, or those given to `Input`, or else ``input_layer`` with a number."""
        return list(self._ends().input_names)

    @property
    def output_names(self) -> list[str]:
        """Names of `outputs`: keys of a dict, or those of the layers that make them."""
        return list(self._ends().output_names)

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self.configuration is not None

    @property
    def loss(self) -> Loss | list[Loss | None] | None:
        """What `compile` was given; of several outputs a list."""
        return self.configuration.of_each(lambda head: head.loss) if self.configuration else None

    @property
    def metrics(self) -> list[Metric]:
        """What `compile` was given, the weighted ones last."""
        if self.configuration is None:
            return []
        return [metric for _, metric, *_ in self.configuration.every_metric(self._output_names())]

    @property
    def metrics_names(self) -> list[str]:
        """Names of what `evaluate` returns."""
        if self.configuration is None or not self.configuration.has_loss:
            return []
        return self.configuration.log_names(self._output_names())

    def _output_names(self) -> list[str]:
        """Names of the outputs; before there is a graph, there is one."""
        return self.graph.output_names if self.graph else [""]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output, from that of the input, both with the batch's axis; weights are not needed.

        Parameters
        ----------
        input_shape : tuple, or list or dict of tuples
            ``(None, 784)``; of several inputs of each, as they were given to `Model`.

        Returns
        -------
        tuple, or list or dict of tuples
            None are sizes that are unknown.

        Raises
        ------
        ValueError
            The layers do not take it, or it is not what the model was built for.
        """
        if self.graph is None:
            for layer in self.layers:
                input_shape = unnamed(layer.compute_output_shape(input_shape))
            return input_shape
        graph = self.graph
        whole = [input_shape] if graph.takes.single and not isinstance(input_shape, dict) else input_shape
        given = graph.takes.match(whole, graph.input_names, "input_shape")
        for shape in given:
            if not isinstance(shape, (tuple, list)) or not shape:
                raise TypeError(f"input_shape: expected the shape of a batch, such as (None, 784), got {shape!r}")
        shapes = [check_sample(tuple(shape[1:]), "input_shape", shape) for shape in given]
        for shape, own in zip(shapes, graph.inputs, strict=True):
            if not fits(shape, own.sample_shape):
                raise ValueError(f"input_shape: expected one that fits {own.shape}, got {(None, *shape)}")
        batch = given[0][0]
        return graph.gives.pack([(batch, *made) for made in graph.outputs_of(shapes)])

    def get_compile_config(self) -> dict[str, Any]:
        """Return the arguments that `compile` was given, as values that JSON can hold; {} before."""
        return to_json(self.configuration.arguments()) if self.configuration else {}

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Call `compile` with what `get_compile_config` returned, of a model with the same outputs."""
        if config:
            cast("Model", self).compile(**config)

    # -- configuration and show ------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the architecture, without weights, as values that JSON can hold."""
        return architecture.describe(cast("Model", self))

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, type[Layer]] | None = None) -> Model:
        """Build the `Model` or `Sequential` that `get_config` described, with new weights.

        Parameters
        ----------
        config : dict
        custom_objects : dict of str to class, optional
            Layers of your own, by name.

        Raises
        ------
        ValueError
            `config` is not of this form, or names an unknown layer.
        """
        with custom_object_scope(custom_objects):
            return construct(architecture.checked(config), layer_classes(custom_objects))

    def to_json(self) -> str:
        """`get_config` as text; see `nncore.models.model_from_json`."""
        return json.dumps(architecture.describe(cast("Model", self)))

    def plot(self, ax: Any = None) -> Any:
        """Draw the layers with their output shapes, and what each reads, by matplotlib.

        Parameters
        ----------
        ax : matplotlib axes, optional
            To draw on; default those of a new figure of a size that fits.

        Returns
        -------
        matplotlib.axes.Axes
            ``model.plot().figure.savefig("model.png")``.

        Raises
        ------
        ImportError
            There is no matplotlib.
        """
        return plots.of_model(self, ax)

    def __repr__(self) -> str:
        return display.model_text(self)

    def _repr_html_(self) -> str:
        return display.model_table(self)

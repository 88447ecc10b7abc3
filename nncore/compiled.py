"""What a model is compiled with: its configuration, optimizer arrays and programs of steps."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from nncore import data, packing, runtime
from nncore.arguments import check_flag, explained
from nncore.compiler.configuration import CompileConfiguration
from nncore.compiler.programs import emit_step
from nncore.data import Dataset
from nncore.execution.stepping import Stepper, Steppers
from nncore.layers.base import Layer
from nncore.locks import Turn
from nncore.network import Graph
from nncore.predicting import Predicting
from nncore.state import Array, State

#: What subclasses of Keras's models override, in vain here.
UNUSED = ("train_step", "test_step", "predict_step")


class Compiled(Predicting):
    """The part of `Model` that `compile` fills: see there for the constructor's arguments."""

    _made_by: ClassVar[str] = "turn"

    @explained
    def __init__(
        self,
        layers: Any = None,
        outputs: Any = None,
        *,
        inputs: Any = None,
        name: str | None = None,
        seed: int | None = None,
        n_threads: int | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        if hasattr(self, "forward"):
            raise TypeError(
                f"{type(self).__name__}: expected a method call(self, inputs), got forward, as in PyTorch. Name it call"
            )
        if unused := [name for name in UNUSED if hasattr(self, name)]:
            raise TypeError(
                f"{type(self).__name__}: expected a model without {unused[0]}, which nothing calls: steps are native "
                "code. callbacks see each step, and train_on_batch(x, grad=…) takes the gradient of any loss"
            )
        self.n_threads = n_threads
        self.counters = np.zeros(2, np.int64)  # training steps, passes over data
        self.configuration = None
        self.optimizer_state: dict[str, Array] = {}  # by name, laid out as the weights
        self.history: Any = None
        self.turn = Turn()
        self.stop_training = False
        self.averages_in_place = False  # of the weights: see swap_averages
        super().__init__(layers, outputs, inputs, name, seed, dtype)
        if not check_flag(trainable, "trainable"):
            self.trainable = False

    def reseed(self, seed: int) -> None:
        """Let later random choices derive from `seed`; weights stay."""
        self.turn.require("reseed")
        super().reseed(seed)

    @explained
    def restart(self, seed: int) -> None:
        """Let training begin anew, by another seed and with the programs that there are; weights stay.

        For several trainings of one architecture, such as of an ensemble: each has the bits of a model that was made
        with this seed, given these weights, and compiled with the optimizer as it is now. Its numbers stay, such as a
        learning rate that a callback has lowered; its moments and the count of its updates begin at 0. New weights are
        those of a model that is made anew: ``model.set_weights(made(seed).get_weights())``.

        Parameters
        ----------
        seed : int
            See `Model`.

        Raises
        ------
        RuntimeError
            The model is being fitted.
        ValueError
            It is not compiled.
        """
        with self.turn.taken("restart"):
            self.turn.require("restart", within_fit=False)
            optimizer, seed = self._compiled().optimizer, runtime.check_seed(seed, "seed")
            self._seed, self._in_training = seed, None
            optimizer.iterations = 0
            self.counters[:] = 0
            for array in self.optimizer_state.values():
                array[:] = 0
            self.averages_in_place = False
            if self._steppers:
                self._steppers.reseed(seed)

    def forget_programs(self, action: str) -> None:
        """Let what was changed take effect at the next pass; a RuntimeError during a fit."""
        self.turn.require(action, within_fit=False)
        self._reset()
        if self.graph:
            self.graph.draft = None

    def _reset(self) -> None:
        """Forget compiled programs."""
        super()._reset()
        self._steppers: Steppers | None = None

    def _adopt(self, graph: Graph) -> None:
        if self.configuration:
            self._prepare(graph, self.configuration)
        graph.state.join_turn(self.turn)
        super()._adopt(graph)

    def _follow(self, old: State) -> None:
        self.turn.gate = old.root.gate
        self.optimizer_state = {name: old.moved(array) for name, array in self.optimizer_state.items()}
        if self.configuration and self.graph:
            self._pack(self.graph, self.configuration)
        super()._follow(old)

    def _arrays(self) -> dict[str, Array]:
        return super()._arrays() | self.optimizer_state

    def _updates(self) -> int:
        return self.configuration.optimizer.iterations if self.configuration else 0

    def change_layer(self, layer: Layer, argument: str, value: Any) -> None:
        """See `Structure.change_layer`; a RuntimeError during a fit."""
        with self.turn.taken(argument):
            self.turn.require(argument, within_fit=False)
            steps = self.configuration.optimizer.batches if self.configuration else 0
            try:
                super().change_layer(layer, argument, value)
            finally:
                if self.configuration:
                    self.configuration.optimizer.batches = steps

    @explained
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        matmul_precision: str = "highest",
    ) -> None:
        """Say how to train: from the start, so a given optimizer's step and state begin at 0.

        A change of a layer's `trainable` takes effect here.

        Parameters
        ----------
        optimizer : str or Optimizer, default "rmsprop"
        loss : str, Loss or None
            None: the model can only predict. Of several outputs a list with one (or None) for each, or a dict by
            `output_names`; one alone is that of all of them.
        loss_weights : float, list or dict of float, optional
            The loss that is minimized is the sum of the outputs' losses, each times its weight; default 1.
        metrics, weighted_metrics : str, Metric or list of them, optional
            Shown beside the loss; the latter take account of `sample_weight`. Of several outputs a list of these, or a
            dict by `output_names`.
        matmul_precision : {"highest", "high", "medium"}
            A floor on the accuracy of products, in training and prediction: the dtype's own, operands of about 16
            bits, or bfloat16 operands; weights and sums stay float32. `nncore.matmul_precisions` says what is used
            here, and how accurate each is.

        Raises
        ------
        ValueError
            A name is unknown, or the loss does not fit the last layer.
        """
        with self.turn.taken("compile"):
            self.turn.require("compile")
            given = loss, loss_weights, metrics, weighted_metrics
            config = self._configured(optimizer, given, matmul_precision)
            config.optimizer = config.optimizer.of(self)
            if self.graph:
                self._prepare(self.graph, config)
            elif (
                self._stack
                and (loss := config.heads[0].loss)
                and (last := getattr(self._stack[-1], "activation", None))
            ):
                loss.choose(last.kernel, getattr(self._stack[-1], "units", None))
            self.configuration = config
            config.optimizer.claim(self)

    def _configured(self, optimizer: Any, given: tuple[Any, Any, Any, Any], precision: Any) -> CompileConfiguration:
        """What `compile` was told as objects; `given` are the loss, its weights, metrics and weighted metrics."""
        names = self.graph.output_names if self.graph else [layer.name for layer in self.layers[-1:]]
        return CompileConfiguration.of(optimizer, *given, precision, names)

    def _prepare(self, graph: Graph, config: CompileConfiguration) -> None:
        """Check that the configuration fits the graph, or else change nothing, and make the optimizer's state."""
        packed, trainable = graph.packed, [p.changes for p in graph.parameters]
        graph.train(graph.trainable())
        try:
            self._pack(graph, config)
        except BaseException:
            graph.packed = packed
            graph.train(trainable)
            raise
        self._steppers = None
        self._predictors, self._predictor = {}, None  # products may have another precision
        self.optimizer_state = {name: graph.state.like() for name in config.optimizer.array_names}
        config.optimizer.iterations = 0
        self.averages_in_place = False

    def _pack(self, graph: Graph, config: CompileConfiguration) -> None:
        """Let there be packed copies for whatever the programs read; raises where the configuration does not fit."""
        graph.packed, graph.draft = packing.packed_weights(graph.state, config.matmul_precision), None
        if config.has_loss and (example := graph.example()) is not None:
            b, outputs = emit_step(example, config, training=True, warns=True)
            graph.learned = {p: path for p, path in graph.trained.items() if p in b.learned}
            graph.draft = None if graph.open else (config, b, outputs)

    @property
    def optimizer(self) -> Any:
        """What `compile` was given; an AttributeError before, so that `hasattr` and `getattr` tell, as in Keras."""
        if self.configuration is None:
            raise AttributeError('optimizer: the model is not compiled: call compile(optimizer="adam", loss=…) first')
        return self.configuration.optimizer

    @property
    def matmul_precision(self) -> str:
        """What `compile` was given, a floor on the accuracy of products; before that "highest"."""
        return self.configuration.matmul_precision if self.configuration else super().matmul_precision

    def _compiled(self, need_loss: bool = False) -> CompileConfiguration:
        if self.configuration is None or (need_loss and not self.configuration.has_loss):
            raise ValueError('the model is not compiled with a loss: call compile(optimizer="adam", loss=…) first')
        return self.configuration

    def steppers(self, need_loss: bool = True) -> Steppers:
        """The programs of steps of this compilation."""
        if need_loss:
            self._compiled(need_loss)
        while (steppers := self._steppers) is None:
            config, graph, arrays = self._compiled(), self._built(), self.optimizer_state
            state = graph.state
            self._steppers = Steppers(graph, config, arrays, self.seed, self.counters)
            if state.joined is not None or arrays is not self.optimizer_state:  # meanwhile
                self._steppers = None
        return steppers

    def stepper(self, training: bool, dataset: Dataset, batch: int, shuffled: bool = False) -> Stepper:
        """A program of steps with its memory, attached to data; to be given back to `steppers`."""
        steppers = self.steppers()
        dataset.require(steppers.configuration.heads)
        sizes = steppers.graph.sizes(dataset.inputs)
        stepper = steppers.take(training, dataset.weighted, batch, self.threads(), sizes)
        stepper.attach(dataset, shuffled)
        return stepper

    def _dataset(self, x: Any, y: Any, sample_weight: Any = None, *, prefix: str = "") -> Dataset:
        """x, y and weights, checked."""
        config = self._compiled(need_loss=True)
        inputs = self._inputs(x, prefix)
        if not inputs[0].rows:
            raise ValueError(f"{prefix}x: expected at least one row, got shape {inputs[0].array.shape}")
        graph = self._built()
        return data.dataset(inputs, y, sample_weight, graph.sized(graph.sizes(inputs)), config.heads, prefix)

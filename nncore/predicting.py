"""What a structure with weights can do before it is compiled: predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from nncore import columns, runtime
from nncore.arguments import check_count, check_flag, check_steps, refuse_mask, without_habits
from nncore.bindings import Binding
from nncore.callbacks import CallbackList
from nncore.callbacks.logs import display
from nncore.data.streams import is_stream
from nncore.execution.prediction import TILE_ROWS, Predictor
from nncore.execution.standalone import TrainingForward
from nncore.graph import TRACING, symbolic
from nncore.sizes import hold
from nncore.structure import Structure
from nncore.training import feeding, looking


class Predicting(Structure):
    """The part of a `nncore.Model` that predicts."""

    _transient: ClassVar[tuple[str, ...]] = ("_predictor", "_predictors", "_in_training", "_lock", "_calls")

    def _reset(self) -> None:
        """Forget the compiled prediction."""
        self._predictor: Predictor | None = None  # the last one
        self._predictors: dict[Any, Predictor] = {}  # by the sizes that data have settled
        self._in_training: TrainingForward | None = None

    def threads(self) -> int:
        """Most threads to use."""
        return self.n_threads or runtime.get_num_threads()

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = 0,
        steps: int | None = None,
        callbacks: Any = None,
        **habits: Any,
    ) -> Any:
        """The outputs for all rows of x.

        Parameters
        ----------
        x : array_like, shape (n, …)
            Of several inputs a list of arrays, or a dict by `input_names`. Or batches, as those of `Model.fit`: of x
            alone, or of (x, y, …), of which only x counts.
        batch_size : int, optional
            Only what callbacks see as batches, and `steps` counts; a row has the same bits in whatever batch it comes.
        verbose : {"auto", 0, 1, 2}, default 0
        steps : int, optional
            Batches to predict; default all.
        callbacks : list of Callback, optional
        **habits
            Arguments of Keras that ask for nothing, such as ``workers=1``.

        Returns
        -------
        ndarray, shape (n, …) of the model's dtype
            Of several outputs a list, tuple or dict of arrays, as they were given to `Model`; a dict of one, too.
        """
        if habits:
            without_habits("predict", ("x", "batch_size", "verbose", "steps", "callbacks"), habits)
        batch = 32 if batch_size is None else check_count(batch_size, "batch_size")
        limit = check_steps(steps, "steps")
        if callbacks is None and verbose == 0 and limit is None and not is_stream(x):
            return self(x, training=False)
        return feeding.predicted(self, x, batch, verbose, limit, callbacks)

    def activations(self, x: Any, of: Any = None) -> Any:
        """What layers make of x, as in prediction.

        Parameters
        ----------
        x : array_like
            See `predict`.
        of : Layer, str, Symbol or list of these, optional
            Whose output: that of a layer, given by itself or its name, also of one within a model that is called, or
            a symbol. Default: all layers, in a dict by their names. Of a layer that is called more than once, its
            first output.

        Returns
        -------
        ndarray, list or dict of ndarray, shape (n, …)
        """
        return looking.activations(self, x, of)

    def predict_on_batch(self, x: Any) -> Any:
        """`predict` on one batch."""
        return self(x, training=False)

    def __call__(self, x: Any, training: Any = None, mask: Any = None) -> Any:
        """`predict` with the least overhead.

        On symbols, it is called as a layer, and returns the symbols of its outputs.

        Parameters
        ----------
        x : array_like or Symbol
            See `predict`.
        training : bool, optional
            True: the forward pass of a step of training, of all rows as one batch: dropout is on, statistics follow
            the batch. Weights stay as they are. Default: False; but a model without weights that has layers such as
            `RandomFlip`, a stack that augments images, does as these do by themselves.
        mask : None
            Keras's argument; only None: layers are called with masks, `Embedding` and `Masking` make them.
        """
        if mask is not None:
            refuse_mask(self.name, mask)
        if training and not symbolic(x):
            return self._call_in_training(x, check_flag(training, "training"))
        if self._predictor is not None:
            out = self._predictor.call(x, self.threads)
            if out is not None:
                return out
        if symbolic(x):
            TRACING.check(self.name, training)
            return self._join(x)
        inputs = self._inputs(x)
        if training is None and self._built().augments:
            return self._call_in_training(x, True)
        return self._built().gives.pack(self.predictor(inputs).outputs(inputs, self.threads()))

    def _call_in_training(self, x: Any, training: bool) -> Any:
        """See `__call__`."""
        inputs = self._inputs(x)
        graph, last, rows = self._built(), self._in_training, inputs[0].rows
        sizes, forward = graph.sizes(inputs), last
        if forward is None or forward.rows < rows or forward.sizes != sizes or forward.state.joined:
            forward = TrainingForward(graph, self.seed, max(rows, 1), self.threads(), sizes)
            if last is not None and last.sizes != sizes:
                forward.steps[:] = last.steps  # or each length would begin with the same random numbers
            self._in_training = forward
        return graph.gives.pack(forward.outputs(inputs, self.threads(), self._updates()))

    def _updates(self) -> int:
        """The steps that an optimizer has made."""
        return 0

    def _inputs(self, x: Any, prefix: str = "") -> list[Binding]:
        """x, checked: of several inputs what is given for each, in a list, or in a dict by name."""
        argument = f"{prefix}x"
        if self.graph is None:
            x = columns.unbuilt(x, argument, self._stack)
        graph = self._built(x)
        given, arguments = columns.given(x, graph, argument)
        bound: list[Binding] = graph.fed.bindings(given, graph.inputs, arguments, graph.state.dtype)
        if len(bound) > 1 and len({part.rows for part in bound}) > 1:
            calls = dict(zip(arguments, graph.input_names, strict=True))
            rows = ", ".join(f"{part.rows} for {calls[part.argument]}" for part in bound)
            raise ValueError(f"{argument}: expected as many rows for each input, got {rows}")
        return bound

    def predictor(self, inputs: Sequence[Binding] = ()) -> Predictor:
        """The compiled prediction; where sizes are open, of samples as these data have them."""
        with self._lock():
            graph = self._built()
            sizes = graph.sizes(inputs)
            most = min(TILE_ROWS, inputs[0].rows) if graph.open else TILE_ROWS  # each size has memory of its own
            while True:
                predictor = self._predictors.get(sizes)
                if predictor is None or predictor.most < most:
                    room = max(most, min(TILE_ROWS, 2 * predictor.most)) if predictor else max(most, 1)
                    predictor = Predictor(graph, None, sizes, room)
                if predictor.state.joined is None:
                    hold(self._predictors, sizes, predictor)
                    self._predictor = None if graph.augments else predictor
                    return predictor
                self._predictors, self._predictor = {}, None  # joined meanwhile

    def _listeners(self, callbacks: Any, verbose: Any) -> CallbackList:
        """Callbacks of an evaluation or prediction, with its display."""
        return CallbackList([callbacks, display(verbose)], model=self)

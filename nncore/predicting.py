"""What a structure with weights can do before it is compiled: predict."""

from __future__ import annotations

from typing import Any, ClassVar

from nncore import conversion, data, runtime
from nncore.arguments import check_count, without_habits
from nncore.callbacks import CallbackList
from nncore.callbacks.logs import display
from nncore.execution.prediction import Predictor
from nncore.state import Array
from nncore.structure import Structure
from nncore.training import evaluation


class Predicting(Structure):
    """The part of a `nncore.Model` that predicts."""

    _transient: ClassVar[tuple[str, ...]] = ("_predictor", "_lock")

    def _reset(self) -> None:
        """Forget the compiled prediction."""
        self._predictor: Predictor | None = None

    def threads(self) -> int:
        """Most threads to use."""
        return self.n_threads or runtime.get_num_threads()

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = 0, callbacks: Any = None, **habits: Any
    ) -> Array:
        """The outputs for all rows of x.

        Parameters
        ----------
        x : array_like, shape (n, …)
        batch_size : int, optional
            Only what callbacks see as batches; a row has the same bits in whatever batch it comes.
        verbose : {"auto", 0, 1, 2}, default 0
        callbacks : list of Callback, optional
        **habits
            Arguments of Keras that ask for nothing, such as ``steps=None``.

        Returns
        -------
        ndarray, shape (n, …) of the model's dtype
        """
        if habits:
            without_habits("predict", ("x", "batch_size", "verbose", "callbacks"), habits)
        batch = 32 if batch_size is None else check_count(batch_size, "batch_size")
        if callbacks is None and verbose == 0:
            return self(x)
        source = self._input_source(x)
        listeners = self._listeners(callbacks, verbose)
        listeners.set_params(evaluation.facts(source.rows, batch, verbose, []))
        try:
            return evaluation.predict(self.predictor(), source, self.threads(), listeners, batch)
        finally:
            listeners.on_close()

    def predict_on_batch(self, x: Any) -> Array:
        """`predict` on one batch."""
        return self(x)

    def __call__(self, x: Any, training: Any = None) -> Array:
        """`predict` with the least overhead; `training` may be False, as it is for Keras's models."""
        if training:
            raise ValueError("training: expected False, got True. Only steps train: call fit or train_on_batch")
        if self._predictor is not None:
            out = self._predictor.call(x, self.threads)
            if out is not None:
                return out
        source = self._input_source(x)
        return self.predictor().predict(source, self.threads())

    def _input_source(self, x: Any) -> data.Source:
        """x, checked."""
        x = conversion.as_input(x, "x", self._sample_shape())
        graph = self._built(x)
        return data.inputs(x, graph.inputs.shape, graph.state.dtype)

    def predictor(self) -> Predictor:
        """The compiled prediction."""
        with self._lock():
            if self._predictor is None:
                self._predictor = Predictor(self._built())
            return self._predictor

    def _listeners(self, callbacks: Any, verbose: Any) -> CallbackList:
        """Callbacks of an evaluation or prediction, with its display."""
        return CallbackList([callbacks, display(verbose)], self)

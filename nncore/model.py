"""The model: what users hold. It checks arguments, and leaves the work to compiling, running, training, checkpoint."""

from __future__ import annotations

import math
from typing import Any

from nncore import architecture, checkpoint, portable
from nncore._kernels import engine
from nncore.arguments import check_count, check_flag, check_number, check_steps, explained
from nncore.compiled import Compiled
from nncore.files.foreign import new_file
from nncore.training import averages, feeding, fit, given, looking, streamed
from nncore.training.range_test import range_test


class Model(Compiled):
    """A neural network: layers of neurons joined by weighted connections.

    ``Model([layer, …])`` is a stack; ``Model(inputs, outputs)`` a graph of symbols from `Input` and called layers. A
    class of your own may have ``call(inputs)``, or ``call(inputs, training=False)``, and give ``super().__init__(…)``
    `name`, `seed`, `n_threads`, `dtype` and `trainable`: its layers are its attributes, and what `call` makes of
    symbols, of the shapes of the first data, is its graph; see `nncore.Layer`.

    Parameters
    ----------
    layers : list of Layer
        From input to output; an `Input` may come first. Otherwise the first `build`, `fit` or `predict` settles shapes.
    inputs, outputs : Symbol, or list, tuple or dict of Symbol
        The graph's ends; what the model makes is arranged as `outputs`, but a list or tuple of one is that one. Layers
        between them may be parts of other models: those share the weights. A model is called on symbols as a layer is.
        Inputs on which no output depends are given data all the same, which are not looked at.
    name : str, optional
    seed : int, optional
        What every random choice derives from: initial weights, shuffles, dropout. None draws one; see `seed`. A model
        among the layers has drawn its weights by a seed of its own.
    n_threads : int, optional
        Most threads to use; default `get_num_threads()`. Results have the same bits for any number.
    dtype : {"float32", "float64"}, optional
        Of weights and arithmetic; default `backend.floatx()`, which is "float32" unless `set_floatx` has changed it.
    trainable : bool, default True
        False: as if it were set on the model afterwards, so on the layers that there are.

    Attributes
    ----------
    layers : list of Layer
    optimizer : Optimizer
        What `compile` was given; its `learning_rate` may be set at any time.
    history : History or None
        Of the last fit.
    stop_training : bool
        Set it in a callback to end a fit.
    stop_evaluating, stop_predicting : bool
        Set it in a callback of batches to end an evaluation, whose values are those of the rows so far, or a
        prediction, which returns these rows.
    seed : int
    """

    def swap_averages(self) -> None:
        """Let the weights and their running means, which an optimizer with `use_ema` keeps, change places."""
        if averages.kept(self):
            averages.swap(self)
            self.averages_in_place = not self.averages_in_place

    @property
    def fit_state(self) -> fit.Fit | None:
        """The fit of this model that runs, in whatever thread."""
        running: fit.Fit | None = self.turn.root.fit
        return running if running is not None and running.model is self else None

    @explained
    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = 32,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> Any:
        """Train for a number of epochs.

        Parameters
        ----------
        x : array_like, shape (n, …)
            Inputs, of any dtype and layout; never copied as a whole. Of several a list of arrays, or a dict by
            `input_names`. Or batches, without y: an iterable, generator or loader of (x, y) or (x, y, sample_weight),
            a function that returns one, or an object with batches by number, such as Keras's PyDataset. A batch may be
            of any size, which `batch_size` does not change.
        y : array_like
            Integer labels (n,) for sparse losses, else values of the output's shape. Of several outputs a list, or a
            dict by `output_names`; None, or no key, where an output has neither loss nor metrics.
        batch_size : int, default 32
            Samples per step; the last batch may be smaller. (scikit-learn: min(200, n).)
        epochs : int, default 1
            Number of the last epoch; `epochs` − `initial_epoch` are done.
        verbose : {"auto", 0, 1, 2}
            Silent (also None, False), a progress bar (also True), or a line per epoch; "auto" is 1 on a terminal,
            else 2.
        callbacks : list of Callback, optional
        validation_split : float in [0, 1)
            Fraction of the rows, the last ones before shuffling, that are kept for validation.
        validation_data : tuple (x, y) or (x, y, sample_weight), optional
            Or batches, as x.
        shuffle : bool, default True
            Whether each epoch draws a new order of the rows; of batches, of those that have numbers.
        class_weight : dict of class to float, list of float or "balanced", optional
            Weights of the classes, whose numbers are those of `y` or of the columns of one-hot rows; 1 for those that a
            dict does not name. "balanced": n / (k count), for k classes among the n targets given, as in scikit-learn.
            Where each position of a sample has a class, as each step of a series, it is weighted by that. For models of
            one output.
        sample_weight : array_like, shape (n,), optional
            The loss is Σ wᵢ ℓᵢ / n. For several outputs, one for all, or a list or dict as that of `y`.
        initial_epoch : int, default 0
        steps_per_epoch : int, optional
            Batches per epoch; default one pass over the data. A pass that an epoch leaves unfinished goes on in the
            next; a generator that is exhausted ends the fit.
        validation_steps : int, optional
            Batches of `validation_data` to validate on; default all.
        validation_batch_size : int, optional
            See `evaluate`; default `batch_size`.
        validation_freq : int, default 1
            Validate after each epoch whose number, counted from 1, is a multiple of it.

        Returns
        -------
        History
            `history` maps names to a value per epoch: those of the training pass itself, and `val_…`. Where several
            outputs have losses, "loss" is the sum, and "<output>_loss" that of each; metrics are "<output>_<metric>".

        Raises
        ------
        ValueError, TypeError
            An argument is wrong, or the data hold what the model cannot take.
        DivergedError
            A loss or gradient became infinite or NaN; the weights are the last finite ones.
        """
        self.turn.require("fit", within_fit=False)
        validation_batch = batch_size if validation_batch_size is None else validation_batch_size
        settings = fit.FitSettings(
            epochs=check_count(epochs, "epochs", 0),
            batch_size=check_count(32 if batch_size is None else batch_size, "batch_size"),
            shuffle=check_flag(shuffle, "shuffle"),
            initial_epoch=check_count(initial_epoch, "initial_epoch", 0),
            steps_per_epoch=check_steps(steps_per_epoch, "steps_per_epoch"),
            validation_steps=check_steps(validation_steps, "validation_steps"),
            validation_freq=check_count(validation_freq, "validation_freq"),
            validation_batch_size=check_count(
                32 if validation_batch is None else validation_batch, "validation_batch_size"
            ),
            verbose=verbose,
        )
        rows = (x, y, sample_weight)
        fitting = streamed.fitting(self, settings, callbacks, rows, class_weight, validation_split, validation_data)
        return fitting.run()

    @explained
    def find_learning_rate(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        batch_size: int = 32,
        low: float = 1e-7,
        high: float = 10.0,
        steps: int = 100,
        stop_factor: float = 4.0,
    ) -> Any:
        """Train a copy with a learning rate that rises from step to step; this model stays as it is.

        Parameters
        ----------
        x, y, sample_weight, batch_size
            As in `fit`; rows come in an order that the model's seed gives.
        low, high : float, default 1e-7, 10.0
            The first rate and the last, 0 < low < high; between them each is the same multiple of the one before.
        steps : int, default 100
            ≥ 2. With `gradient_accumulation_steps` the rate rises with updates.
        stop_factor : float, default 4.0
            It ends where the loss of a batch is more than this many times the least one so far, or is not finite.

        Returns
        -------
        RangeTest
            The named tuple ``(rates, losses)``, with a `suggestion` and `plot()` (by matplotlib, if it is installed).
            The same for the same model and data, for any number of threads.

        References
        ----------
        L. N. Smith: Cyclical learning rates for training neural networks, WACV 2017, arXiv:1506.01186, section 3.3.
        """
        check_number(low, "low", "a number > 0", lambda v: 0 < v < math.inf, "rates are multiplied")
        check_number(high, "high", f"a number > low = {low!r}", lambda v: low < v < math.inf)
        check_number(stop_factor, "stop_factor", "a number > 1", lambda v: v > 1)
        dataset = self._dataset(x, y, sample_weight)
        batch = min(check_count(batch_size, "batch_size"), dataset.rows)
        return range_test(self, dataset, batch, float(low), float(high), check_count(steps, "steps", 2), stop_factor)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
        grad: Any = None,
    ) -> Any:
        """Do one step with all rows of x.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As in `fit`.
        return_dict : bool, default False
        grad : array_like or callable, optional
            In place of y and of compile's loss, which may be None: dL/dŷ, the gradient of the number L that is
            minimized by each element of the outputs; of several outputs a list or a dict by `output_names`, None where
            L does not depend on one. A callable is given the outputs of this very forward pass, as `predict` arranges
            them and with the dropout of the step, and returns that, or the tuple ``(L, dL/dŷ)``. It may keep copies of
            the outputs, but not write them.

        Returns
        -------
        float, list of float, or dict
            The loss, or the list of loss and metrics if there are metrics; with `grad` L, if it is known, and the
            penalties of regularizers.
        """
        with self.turn.taken("train_on_batch"):
            self.turn.require("train_on_batch")
            if grad is not None:
                if not (y is None and sample_weight is None and class_weight is None):
                    raise ValueError(
                        "grad: expected None beside y, sample_weight and class_weight. Give the gradient of the loss, "
                        "in which these are taken account of, or targets and weights"
                    )
                logs = given.step(self, x, grad)
                return logs if return_dict else listed(logs)
            dataset = self._dataset(x, y, sample_weight)
            if class_weight is not None:
                dataset = dataset.weigh_classes(class_weight, self._built().outputs[0].sample_shape)
            steppers, rows = self.steppers(), dataset.rows
            stepper = self.stepper(True, dataset, rows)
            try:
                stepper.begin(rows)
                if stepper.whole_step() == engine.DIVERGED:
                    raise fit.explain_divergence(self, dataset, stepper.batch_rows(), 0, 0)
                return stepper.logs() if return_dict else listed(stepper.logs())
            finally:
                steppers.give(stepper)

    # -- evaluation ------------------------------------------------------------------------------------------------

    @explained
    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on data, without training.

        Parameters
        ----------
        x, y, sample_weight : array_like
            As in `fit`.
        batch_size : int, optional
            What callbacks see as batches, and `steps` counts; and of a loss that is no mean over samples, as behind a
            mask or by sums, what its means are of. Default 32.
        verbose : {"auto", 0, 1, 2}
        steps : int, optional
            Batches to evaluate; default all.
        callbacks : list of Callback, optional
        return_dict : bool, default False

        Returns
        -------
        float, list of float, or dict
            The loss; with metrics, the list of loss and metrics; with `return_dict` all by name.
        """
        batch = check_count(32 if batch_size is None else batch_size, "batch_size")
        logs = feeding.evaluated(self, (x, y, sample_weight), batch, verbose, check_steps(steps, "steps"), callbacks)
        return logs if return_dict else listed(logs)

    def gradients(self, x: Any, y: Any = None, sample_weight: Any = None, of: Any = None, grad: Any = None) -> Any:
        """The gradients of the loss on one batch, as the next step of training would compute them; nothing changes.

        Parameters
        ----------
        x, y, sample_weight : array_like
            As in `train_on_batch`; dropout is on, and weights of the regularizers' penalties are in.
        of : "inputs", Layer, str, Symbol, Parameter or list of these, optional
            Of what: the inputs, the output of a layer or one input (given by itself or its name), or a weight. Default:
            all weights that are trained, in a dict by their paths, such as "dense/kernel".
        grad : array_like or callable, optional
            In place of y and the loss: see `train_on_batch`.

        Returns
        -------
        ndarray, list or dict of ndarray
            ∂loss/∂ each element, the loss being the mean over the batch.

        Raises
        ------
        ValueError
            Something is not of this model, not trained, or has no gradient: a softmax that is computed with its loss.
        """
        return looking.gradients_of(self, (x, y, sample_weight), of, grad)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """`evaluate` on one batch, silently."""
        return self.evaluate(x, y, verbose=0, sample_weight=sample_weight, return_dict=return_dict)

    def reset_metrics(self) -> None:
        """Do nothing: `train_on_batch` and `test_on_batch` give the values of their batch, with nothing before it."""

    # -- files and copies ------------------------------------------------------------------------------------------

    @explained
    def save(self, path: Any, overwrite: bool = True) -> None:
        """Write the model with its optimizer's state to one safetensors file, atomically; see `load_model`.

        Parameters
        ----------
        path : str or path-like
            With any ending but those of other formats, such as ``.h5``. ``.keras`` names a safetensors file, too, which
            Keras does not read.
        overwrite : bool, default True
            False: a FileExistsError where there is such a file.
        """
        self._built()
        checkpoint.write(new_file(path, overwrite), self)

    @explained
    def save_weights(self, path: Any, overwrite: bool = True) -> None:
        """Write the weights alone to a safetensors file, atomically; parameters as those of `save`."""
        self._built()
        checkpoint.save_weights(new_file(path, overwrite), self)

    @explained
    def load_weights(self, path: Any, verify: bool = True) -> None:
        """Read weights from a file of `save_weights` or `save` into this built model.

        Parameters
        ----------
        path : str, bytes or PathLike
        verify : bool, default True
            Whether to compare the file's bytes with its checksum; files of other programs may have none.
        """
        with self.turn.taken("load_weights"):
            self.turn.require("load_weights")
            self._built()
            checkpoint.load_weights(path, self, verify)

    _transient = (*Compiled._transient, "_steppers", "turn")

    def __getstate__(self) -> dict[str, Any]:
        return portable.capture(self, super().__getstate__())

    def __setstate__(self, state: dict[str, Any]) -> None:
        portable.restore(self, state)


architecture.CLASSES["model"] = Model


def listed(logs: dict[str, float]) -> float | list[float]:
    """The loss alone, or the list of loss and metrics."""
    values = list(logs.values())
    return values[0] if len(values) == 1 else values

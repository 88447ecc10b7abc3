"""`TabularClassifier` and `TabularRegressor`: good networks for tables, without a single argument."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import joblib
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.sparse import issparse
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_array, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

import nncore as nn
from nncore.arguments import check_count
from nncore.sklearn import members, parameters, saving
from nncore.sklearn.columns import Columns, columns_of, gone, is_category
from nncore.sklearn.members import Member, Recipe, Rows
from nncore.sklearn.parameters import Argument, check, share, verbosity, with_arguments
from nncore.state import Array

PREDICTED = 65536  # rows at a time
EPOCHS = 112  # of a network, at most
MANY = 40_000  # rows, from which on epochs are fewer, and networks trained one by one: each copies all rows
SCALARS = frozenset((float, int, str, bool, type(None)))
FACTORS = 1.5  # of logits: exp(±1.5) at most

ARGUMENTS: dict[str, Argument] = {
    "ensemble": Argument(8, check_count),
    "epochs": Argument("auto", parameters.batch),
    "batch_size": Argument("auto", parameters.batch),
    "learning_rate": Argument("auto", parameters.positive_or_auto),
    "validation_fraction": Argument(0.2, share(False)),
    "dropout": Argument(0.15, share(False)),
    "weight_decay": Argument(0.02, parameters.not_negative),
    "random_state": Argument(None),
    "n_jobs": Argument(None, parameters.jobs),
    "verbose": Argument(False, verbosity),
}


class BaseTabular(BaseEstimator, ABC):
    """What both have in common.

    The recipe is RealMLP's (arXiv:2407.04491), with fewer epochs, batches that follow the number of rows, frequencies
    of several scales, pieces of lines between quantiles, and several networks, each with its own rows for validation.
    """

    arguments: ClassVar[dict[str, Argument]]
    _activation: ClassVar[str]
    _learning_rate: ClassVar[float]  # "auto"
    _epochs: ClassVar[int]  # at least
    _seen: ClassVar[int]  # rows by a network in all its epochs, at least
    _callbacks: Any = list  # makes further ones, for each network its own

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    # -- what the two define ------------------------------------------------------------------------------------------

    @abstractmethod
    def _encode(self, y: Any) -> Array:
        """Targets as the network has them, (n, outputs), float32; what undoes it becomes attributes."""

    @abstractmethod
    def _loss(self) -> Any:
        """What is minimized."""

    def _factors(self, trained: list[Member], targets: Array) -> list[float] | None:
        """What the logits of each network are multiplied with, if they are logits."""
        return None

    @abstractmethod
    def _fitted(self) -> dict[str, Any]:
        """What a file holds beside columns and network."""

    @abstractmethod
    def _take(self, fitted: dict[str, Any]) -> None:
        """The reverse of `_fitted`."""

    # -- fits ---------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train on a table and its targets.

        Parameters
        ----------
        X : frame (pandas, polars, pyarrow), dict of columns or array_like, shape (n, columns)
            Numbers, dates, categories, texts and truth values; None, NaN, NaT and NA are missing values.
        y : array_like, shape (n,)
        sample_weight : array_like, shape (n,), optional

        Returns
        -------
        self
        """
        check(self)
        given, categories = self._columns(X, fresh=True)
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        targets = self._encode(y)
        check_consistent_length(*given.values(), targets)
        if len(targets) < 2:
            raise ValueError(f"X: expected at least 2 rows, got n_samples = {len(targets)}")
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, targets, dtype=np.float32, ensure_non_negative=True)
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=self.ensemble)
        self.columns_ = Columns.fitted(given, categories)
        rows, recipe = Rows(given, targets, sample_weight), self._recipe(targets)
        workers = joblib.effective_n_jobs(nn.get_num_threads() if self.n_jobs is None else self.n_jobs)
        jobs = min(workers, self.ensemble) if len(targets) <= MANY else 1
        some, each = joblib.delayed(members.train), -(-self.ensemble // jobs)
        parts = joblib.Parallel(jobs, "threading")(
            some(self.columns_, rows, recipe, seeds[first : first + each].tolist(), max(1, workers // jobs))
            for first in range(0, self.ensemble, each)
        )
        trained = [member for part in parts for member in part]
        factors = self._factors(trained, targets if sample_weight is None else targets * sample_weight[:, np.newaxis])
        self.model_ = members.joined(self.columns_, [member.network for member in trained], factors)
        return self

    def _columns(self, X: Any, fresh: bool) -> tuple[dict[str, Array], dict[str, bool]]:
        """The columns as arrays, and which are categories, after scikit-learn's checks of their names and number."""
        if hasattr(X, "collect"):
            raise TypeError("X: expected a frame, got one that is computed when it is needed. Give X.collect()")
        if isinstance(X, (list, tuple)) and X and isinstance(X[0], Mapping):
            raise TypeError("X: expected a frame, a dict of columns or an array, got dicts. Give pandas.DataFrame(X)")
        if isinstance(X, Mapping) and not issparse(X):
            if fresh:
                self.feature_names_in_ = np.array([str(name) for name in X], object)
                self.n_features_in_ = len(X)
        else:
            if not hasattr(X, "columns"):
                X = check_array(X, dtype=None, ensure_all_finite="allow-nan")
            validate_data(self, X, reset=fresh, skip_check_array=True)
        given = columns_of(X)
        if not given:
            raise ValueError("X: expected at least one column, got 0 feature(s) (shape=(0, 0)) while a minimum of 1")
        names = [] if fresh else [column.name for column in self.columns_.known]
        if not isinstance(X, Mapping) and not given.keys() >= set(names):
            given = dict(zip(names, given.values(), strict=True))  # by place, of which scikit-learn has warned
        arrays = {name: np.asarray(column) for name, column in given.items()}
        if deep := [name for name, array in arrays.items() if array.ndim != 1]:
            raise ValueError(f"X: expected columns of one axis, got shape {arrays[deep[0]].shape} of {deep[0]!r}")
        return arrays, {name: is_category(column) for name, column in given.items()}

    def _recipe(self, targets: Array) -> Recipe:
        n = len(targets)
        batch = 64 if n <= 1280 else 128 if n <= 10_000 else 256 if n <= 40_000 else 512
        return Recipe(
            outputs=targets.shape[1],
            activation=self._activation,
            loss=self._loss(),
            learning_rate=self._learning_rate if self.learning_rate == "auto" else self.learning_rate,
            epochs=self._epochs_for(n) if self.epochs == "auto" else self.epochs,
            batch_size=min(n, batch if self.batch_size == "auto" else self.batch_size),
            validation_fraction=self.validation_fraction,
            dropout=self.dropout,
            weight_decay=self.weight_decay,
            verbose=int(self.verbose),
            callbacks=self._callbacks,
        )

    def _epochs_for(self, rows: int) -> int:
        return min(EPOCHS, max(math.ceil(self._epochs * min(1, MANY / rows) ** 0.5), self._seen // rows))

    # -- predictions --------------------------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> Array:
        """The network's outputs, (n, outputs)."""
        if "model_" not in vars(self):  # which takes the check 4 µs to find, of the 72 of a row
            check_is_fitted(self, "model_")
        if isinstance(X, Mapping) and is_row(X):
            return self._forward(self.columns_.row(X))
        given, _ = self._columns(X, fresh=False)
        check_consistent_length(*given.values())
        rows = np.arange(len(next(iter(given.values()))))
        if not len(rows):
            raise ValueError("X: expected at least one row, got 0 sample(s)")
        parts = [rows[first : first + PREDICTED] for first in range(0, len(rows), PREDICTED)]
        return np.concatenate([self._forward(self.columns_(given, part)) for part in parts])

    def _forward(self, inputs: dict[str, Array]) -> Array:
        """The network's outputs; the way of a single array is the shortest."""
        single = len(inputs) == 1
        return np.asarray(self.model_.predict(next(iter(inputs.values())) if single else inputs, verbose=0))

    def save(self, path: Any) -> None:
        """Write all that predictions need to one safetensors file, all or nothing; `load` reads it.

        Parameters
        ----------
        path : str or path-like
        """
        check_is_fitted(self, "model_")
        saving.save(self, path)

    @classmethod
    def load(cls, path: Any) -> Any:
        """Read what `save` wrote: no file can import or call anything.

        Raises
        ------
        FormatError
            The file is of something else, or damaged.
        """
        return saving.load(cls, path)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        return tags


def is_row(given: Mapping[str, Any]) -> bool:
    """Whether a dict holds values rather than columns."""
    values = given.values()
    return SCALARS.issuperset(map(type, values)) or all(isinstance(v, str) or not hasattr(v, "__len__") for v in values)


@with_arguments(ARGUMENTS | {"label_smoothing": Argument(0.0, share(False))})
class TabularClassifier(ClassifierMixin, BaseTabular):
    """A classifier of tables that needs no argument: networks of three layers, and all that goes before and after them.

    Numbers are scaled by their quartiles and clipped smoothly, and get periodic features; categories of up to 8 levels
    have a feature for each, others a vector that is learned; missing numbers are the median, and a feature says which;
    dates are days. Rows for validation choose the best epoch and the temperature of the probabilities; each network has
    others, and the mean of the probabilities is predicted. Results have the same bits for any number of threads.

    Parameters
    ----------
    ensemble : int, default 8
        Networks whose predictions are averaged.
    epochs : int or "auto", default "auto"
        Of each network, at most: it ends after the third of four cycles of the learning rate if that brought nothing.
        "auto": 36 000 / n, at most 112, at least 14; from 40 000 rows on 14 √(40 000 / n). For regression twice the
        first, at least 22.
    batch_size : int or "auto", default "auto"
        "auto": 64 up to 1280 rows, 128 up to 10 000, 256 up to 40 000, else 512.
    learning_rate : float or "auto", default "auto"
        Its peak, in four cycles; "auto": 0.04 (for regression 0.2).
    validation_fraction : float, default 0.2
        The share of the rows on which a network is not trained, at least one.
    dropout : float, default 0.15
    weight_decay : float, default 0.02
        Both fall to 0 in the second half.
    random_state : int, RandomState or None, default None
    n_jobs : int, optional
        Threads; None: as many as nncore uses.
    verbose : bool or int, default False
    label_smoothing : float, default 0.0
        More than 0 may help where labels are wrong; probabilities are the better without.

    Attributes
    ----------
    classes_ : ndarray
        Labels, sorted.
    model_ : Model
        The ensemble as one network; its inputs are what `columns_` makes of a table.
    columns_ : Columns
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Names of the columns, but of an array.

    References
    ----------
    D. Holzmüller, L. Grinsztajn, I. Steinwart: Better by default: strong pre-tuned MLPs and boosted trees on tabular
    data, NeurIPS 2024, arXiv:2407.04491 (RealMLP-TD; epochs, batches, the ensemble and the temperature are others).

    Examples
    --------
    >>> from nncore.sklearn import TabularClassifier
    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> model = TabularClassifier(random_state=0).fit(X, y)
    """

    _activation, _learning_rate, _epochs, _seen = "selu", 0.04, 14, 36_000

    def _encode(self, y: Any) -> Array:
        labels = np.asarray(y)
        if labels.dtype == object and labels.ndim == 1:
            absent = (row for row, label in enumerate(labels.tolist()) if gone(label))
            if (row := next(absent, None)) is not None:
                raise ValueError(f"y: expected a class of each row, got {labels[row]} in row {row}. Leave these out")
        check_classification_targets(y)
        self.classes_, codes = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y: expected at least two classes, got 1 class: {self.classes_.tolist()}")
        return np.eye(len(self.classes_), dtype=np.float32)[codes]

    def _loss(self) -> Any:
        return nn.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=self.label_smoothing)

    def _factors(self, trained: list[Member], targets: Array) -> list[float]:
        """Those with which the rows that a network was not trained on are likeliest."""
        return [factor(member.outputs.astype(np.float64), targets[member.held]) for member in trained]

    def _fitted(self) -> dict[str, Any]:
        return {"classes": self.classes_.tolist(), "dtype": self.classes_.dtype.name}

    def _take(self, fitted: dict[str, Any]) -> None:
        classes, name = fitted["classes"], fitted["dtype"]
        text = name.startswith("str")  # as long as the longest of them
        self.classes_ = np.array(classes) if text else np.array(classes, np.dtype(name))

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, (n, classes), in the order of `classes_`."""
        probabilities = self._outputs(X).astype(np.float64)
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def predict_log_proba(self, X: Any) -> Array:
        """The natural logarithm of `predict_proba`."""
        probabilities = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(probabilities)

    def predict(self, X: Any) -> Array:
        """The likeliest class of each row."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return self.classes_[likeliest]


def factor(logits: Array, targets: Array) -> float:
    """What logits are multiplied with so that rows of 0 and 1, or weight, are likeliest (an inverse temperature)."""
    if not targets.any():
        return 1.0  # no row has weight

    def loss(log: float) -> float:
        return -float((targets * log_softmax(np.exp(log) * logits, axis=1)).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-FACTORS, FACTORS), method="bounded").x))


@with_arguments(ARGUMENTS)
class TabularRegressor(RegressorMixin, BaseTabular):
    """A regressor of tables that needs no argument; predictions stay within the targets of the rows for training.

    Parameters
    ----------
    ensemble, epochs, batch_size, learning_rate, validation_fraction, dropout, weight_decay, random_state, n_jobs, \
    verbose
        As of `TabularClassifier`.

    Attributes
    ----------
    model_, columns_, n_features_in_, feature_names_in_
        As of `TabularClassifier`.
    """

    _activation, _learning_rate, _epochs, _seen = "mish", 0.2, 22, 72_000

    def _encode(self, y: Any) -> Array:
        targets = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        self._flat = targets.ndim == 1
        targets = targets.reshape(len(targets), -1)
        spread = targets.std(axis=0)
        self.scale_: tuple[Array, ...]
        self.scale_ = (targets.mean(axis=0), np.where(spread > 0, spread, 1), targets.min(axis=0), targets.max(axis=0))
        return ((targets - self.scale_[0]) / self.scale_[1]).astype(np.float32)

    def _loss(self) -> Any:
        return "mse"

    def _fitted(self) -> dict[str, Any]:
        return {"scale": [part.tolist() for part in self.scale_], "flat": self._flat}

    def _take(self, fitted: dict[str, Any]) -> None:
        self.scale_, self._flat = tuple(np.array(part) for part in fitted["scale"]), fitted["flat"]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: Any) -> Array:
        """The target of each row, (n,) or (n, outputs) as in `fit`, within what was seen of it."""
        outputs = self._outputs(X)
        mean, spread, low, high = self.scale_
        found = np.minimum(np.maximum(outputs * spread + mean, low), high)  # np.clip takes 5 µs more
        return found[:, 0] if self._flat else found

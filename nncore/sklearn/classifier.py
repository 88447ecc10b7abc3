"""`MLPClassifier`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

import nncore as nn
from nncore import losses
from nncore.sklearn.base import BaseMLP
from nncore.sklearn.parameters import OURS, THEIRS, Argument, with_arguments
from nncore.sklearn.training import Rows
from nncore.state import Array


def trains_by_batches(estimator: Any) -> bool:
    """Whether there is a `partial_fit`; an AttributeError where not."""
    if estimator.solver not in ("sgd", "adam"):
        raise AttributeError(
            f"partial_fit: expected solver 'sgd' or 'adam', which train by batches, got {estimator.solver!r}"
        )
    return True


@with_arguments(THEIRS | OURS | {"loss": Argument("log_loss"), "class_weight": Argument(None)})
class MLPClassifier(ClassifierMixin, BaseMLP):
    """A network that classifies, in place of scikit-learn's `MLPClassifier`.

    Layers of neurons, trained on the cross-entropy by scikit-learn's rules, from weights drawn as scikit-learn draws
    them; rows are shuffled otherwise, so results differ as those of another seed do. The precision is that of X:
    float64, unless X is float32. Results have the same bits for any number of threads.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
        Units of each hidden layer; () for none.
    activation : {"relu", "tanh", "logistic", "identity"}, str or Activation, default "relu"
        Of the hidden layers; any of nncore's.
    solver : {"adam", "sgd", "lbfgs"}, default "adam"
        "lbfgs" takes all rows at once, for small and smooth problems; give "dropout" no value then.
    alpha : float, default 0.0001
        The penalty of a batch is alpha / 2 Σ w², over all kernels, divided by its rows (by the sum of their weights).
    batch_size : int or "auto", default "auto"
        "auto": min(200, n).
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        Of "sgd". "invscaling": learning_rate_init / (t + 1)^power_t after t samples, renewed at the end of each epoch.
        "adaptive": a fifth of it each time that training stops to improve, until it is 1e-6.
    learning_rate_init : float or LearningRateSchedule, default 0.001
        Of "sgd" and "adam".
    power_t : float, default 0.5
    max_iter : int, default 200
        Epochs, or iterations of "lbfgs", at most.
    shuffle : bool, default True
        Whether each epoch has another order of the rows.
    random_state : int, RandomState or None, default None
        For weights, order, the part for validation and dropout.
    tol : float, default 1e-4
        It stops when `n_iter_no_change` epochs in a row have not brought an improvement of `tol`; of "lbfgs" where no
        element of the gradient is larger.
    verbose : bool or int, default False
        Whether to print a line per epoch.
    warm_start : bool, default False
        Whether `fit` goes on from the weights of the last one.
    momentum : float, default 0.9
        Of "sgd", in [0, 1].
    nesterovs_momentum : bool, default True
    early_stopping : bool, default False
        Whether the score of rows for validation says when to stop, and which epoch's weights are the best.
    validation_fraction : float, default 0.1
        What is kept of X for that, in [0, 1), of each class in proportion.
    beta_1, beta_2, epsilon : float, default 0.9, 0.999, 1e-8
        Of "adam".
    n_iter_no_change : int or inf, default 10
    max_fun : int, default 15000
        Evaluations of the loss by "lbfgs", about at most.
    dropout : float, default 0.0
        Share of each hidden layer's outputs that a step of training sets to 0.
    batch_norm : bool, default False
        Whether there is a `BatchNormalization` before each activation of a hidden layer. It is no part of `coefs_`.
    restore_best : bool, default True
        With early stopping, whether the weights of the best epoch are restored; else those of the last one stay.
    ensemble : int, default 1
        Networks, trained at once, whose outputs are averaged: `estimators_`. What is shown beside is of the first.
    monotonic_cst : list of {-1, 0, 1}, or dict of column name to one, optional
        In which inputs the output (of a classifier the probability of the second class) never falls, 1, or never
        rises, -1, whatever the data: by the signs of weights. For activations that increase, and two classes.
    callbacks : list of Callback, optional
        nncore's, for each network.
    n_jobs : int, optional
        Threads: of one network's training, or for the networks of an ensemble; None: of one network all cores.
    dtype : {"float32", "float64"}, optional
        In which to compute; None: that of X. float32 is about twice as fast.
    matmul_precision : {"highest", "high", "medium"}, optional
        See `nncore.Model.compile`; of float32.
    loss : "log_loss", str or Loss, default "log_loss"
        Or any loss of nncore's for classes.
    class_weight : dict or "balanced", optional
        Weights of classes, which multiply those of the rows.

    Attributes
    ----------
    coefs_, intercepts_ : list of ndarray
        Kernels (in, out) and biases (out,): the memory of the network itself.
    classes_ : ndarray
        Labels, sorted.
    n_features_in_, n_iter_, t_, n_layers_, n_outputs_ : int
        Inputs; epochs of the last fit; samples seen; layers with that of the inputs; units of the last layer.
    feature_names_in_ : ndarray of str
        Names of the columns, where X had some.
    out_activation_ : {"softmax", "logistic"}
        Of the last layer.
    loss_, best_loss_ : float
        With the penalty, of the last epoch and of the best; None with early stopping.
    loss_curve_ : list of float
        By epoch.
    validation_scores_, best_validation_score_ : list of float, float
        Accuracies with early stopping, else None.
    estimators_ : list of MLPClassifier
        Of an ensemble.

    Examples
    --------
    >>> from nncore.sklearn import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((20,), solver="lbfgs", random_state=0).fit(X, y)
    """

    def _name(self, classes: Any) -> None:
        self._multilabel = False
        self.classes_ = np.asarray(classes if classes is not None else np.arange(max(2, self.n_outputs_)))
        if len(self.classes_) != max(2, self.n_outputs_):
            raise ValueError(f"classes: expected {max(2, self.n_outputs_)} labels, got {classes!r}")

    def _encode(self, y: Any, fresh: bool) -> Array:
        check_classification_targets(y)
        if hasattr(y, "toarray"):
            y = y.toarray()
        y = np.asarray(y)
        multilabel = y.ndim == 2 and type_of_target(y).startswith("multilabel")
        if not multilabel and y.ndim == 2:
            y = column_or_1d(y, warn=True)
        numbers = y.dtype.kind in "biuf"  # which `unique_labels` need not look at for texts among them
        classes = np.arange(y.shape[1]) if multilabel else np.unique(y) if numbers else unique_labels(y)
        if fresh:
            self.classes_, self._multilabel = classes, multilabel
        elif self.warm_start and set(classes) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously "
                f"got {self.classes_}, `y` has {classes}"
            )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )
        self._multilabel = multilabel
        if multilabel:
            return np.asarray(y, np.float64)
        codes = np.searchsorted(self.classes_, y)
        many = len(self.classes_) > 2 or not self._of_one_column()
        return codes.astype(np.int32) if many else codes.astype(np.float64)[:, None]

    def _of_one_column(self) -> bool:
        """Whether the loss of two classes is one of a single output, as log_loss and nncore's binary ones are."""
        binary = nn.losses.BinaryCrossentropy, nn.losses.BinaryFocalCrossentropy
        return self.loss == "log_loss" or isinstance(losses.get(self.loss, "loss"), binary)

    def _outputs(self, targets: Array) -> tuple[int, str]:
        if self.monotonic_cst is not None and (targets.ndim == 1 or targets.shape[1] > 1):
            raise ValueError("monotonic_cst: expected two classes, got more, or several labels")
        if targets.ndim == 1:
            return len(self.classes_), "softmax"
        return targets.shape[1], "logistic"

    def _objective(self, weighted: bool) -> Any:
        if self.loss != "log_loss":
            return losses.get(self.loss, "loss")
        reduction = "mean_with_sample_weight" if weighted else "sum_over_batch_size"
        if self.out_activation_ == "softmax":
            return nn.losses.SparseCategoricalCrossentropy(reduction=reduction)
        loss = nn.losses.BinaryCrossentropy(reduction=reduction)
        return loss if self.n_outputs_ == 1 else self.n_outputs_ * loss

    def _fed(self, targets: Array) -> Array:
        """Classes as numbers for the sparse crossentropy, as rows of 0 and 1 for other losses of nncore."""
        sparse = self.loss == "log_loss" or isinstance(losses.get(self.loss), nn.losses.SparseCategoricalCrossentropy)
        return targets if sparse or targets.ndim == 2 else np.eye(self.n_outputs_)[targets]

    def _weighted(self, targets: Array, sample_weight: Array | None) -> Array | None:
        if self.class_weight is None:
            return sample_weight
        y = self._decode(targets)
        weights = compute_sample_weight(self.class_weight, y)
        return weights if sample_weight is None else weights * sample_weight

    def _strata(self, targets: Array) -> Array | None:
        """The classes; of more than two only where each has a row for both parts."""
        if targets.ndim == 1:
            return targets if np.unique(targets, return_counts=True)[1].min() > 1 else None
        return targets.astype(bool) if targets.shape[1] == 1 else None

    def _decode(self, outputs: Array) -> Array:
        """Classes of the network's outputs, or of its targets."""
        if outputs.ndim == 1:
            return self.classes_[outputs]
        if self._multilabel:
            return (outputs > 0.5).astype(int)
        if outputs.shape[1] > 1:
            return self.classes_[outputs.argmax(axis=1)]
        return self.classes_[np.minimum(outputs[:, 0] > 0.5, len(self.classes_) - 1).astype(int)]

    def _score(self, rows: Rows) -> float:
        outputs = self._forward(rows.X)
        if not np.isfinite(outputs).all():
            return math.nan
        told, found = self._decode(rows.targets), self._decode(outputs)
        return float(accuracy_score(told, found, sample_weight=rows.weights))

    @available_if(trains_by_batches)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> MLPClassifier:
        """Train for one epoch on these rows, going on from what there is.

        Parameters
        ----------
        X : array_like or sparse, shape (n, features)
        y : array_like, shape (n,) or (n, labels)
        sample_weight : array_like, shape (n,), optional
        classes : array_like, optional
            All labels that there will be; needed in the first call.

        Returns
        -------
        self
        """
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self.classes_, self._multilabel = unique_labels(classes), False
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(f"classes: expected {self.classes_}, as in the first call, or None, got {classes!r}")
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> Array:
        """The likeliest class of each row."""
        return self._decode(self._forward_given(X))

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, in the order of `classes_`; of multilabel targets that of each label."""
        outputs = self._forward_given(X)
        return outputs if outputs.shape[1] > 1 else np.hstack([1 - outputs, outputs])

    def predict_log_proba(self, X: Any) -> Array:
        """Their logarithms."""
        return np.log(self.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

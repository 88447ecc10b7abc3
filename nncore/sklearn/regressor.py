"""`MLPRegressor`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

import nncore as nn
from nncore import losses
from nncore.arguments import check_number
from nncore.layers.base import Layer
from nncore.sklearn.base import BaseMLP
from nncore.sklearn.classifier import trains_by_batches
from nncore.sklearn.parameters import OURS, THEIRS, Argument, with_arguments
from nncore.sklearn.training import Rows
from nncore.state import Array


@with_arguments({"loss": Argument("squared_error")} | THEIRS | OURS)
class MLPRegressor(RegressorMixin, BaseMLP):
    """A network that predicts numbers, in place of scikit-learn's `MLPRegressor`.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, str or Loss, default "squared_error"
        Half the squared error; half the Poisson deviance of exp(output), of targets ≥ 0; or any of nncore's, without
        an activation of the last layer. ``nncore.losses.Pinball([0.05, 0.5, 0.95])``: several quantiles at once, which
        never cross.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, \
    shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, \
    validation_fraction, beta_1, beta_2, epsilon, n_iter_no_change, max_fun, dropout, batch_norm, restore_best, \
    ensemble, monotonic_cst, callbacks, n_jobs, dtype, matmul_precision
        As of `MLPClassifier`.

    Attributes
    ----------
    coefs_, intercepts_, n_features_in_, feature_names_in_, n_iter_, t_, n_layers_, n_outputs_, out_activation_, \
    loss_, loss_curve_, best_loss_, validation_scores_, best_validation_score_, estimators_
        As of `MLPClassifier`; scores are R².

    Examples
    --------
    >>> from nncore.sklearn import MLPRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor(hidden_layer_sizes=(20,), solver="lbfgs", alpha=1, max_iter=3000, random_state=0)
    >>> model = model.fit(X, y)
    """

    _kinds: ClassVar[dict[str, Any]] = {"y_numeric": True}

    def _loss(self) -> nn.losses.Loss | None:
        """The loss, if it is one of nncore's; None: scikit-learn's."""
        return None if self.loss in ("squared_error", "poisson") else losses.get(self.loss, "loss")

    def _quantiles(self) -> tuple[float, ...]:
        """Those of a pinball loss, if there are several."""
        quantiles = getattr(self._loss(), "quantiles", ())
        return quantiles if isinstance(quantiles, tuple) and len(quantiles) > 1 else ()

    def _encode(self, y: Any, fresh: bool) -> Array:
        y = np.asarray(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError(f"y: expected targets ≥ 0 for loss='poisson', got {y.min()}")
        return y if y.ndim == 2 else y[:, None]

    def _outputs(self, targets: Array) -> tuple[int, str]:
        columns = targets.shape[1] * max(1, len(self._quantiles()))
        return columns, "exp" if self.loss == "poisson" else "identity"

    def _last(self) -> list[Layer]:
        return [nn.layers.NonCrossing(k)] if (k := len(self._quantiles())) else []

    def _objective(self, weighted: bool) -> Any:
        reduction = "mean_with_sample_weight" if weighted else "sum_over_batch_size"
        factor = 0.5 * self.n_outputs_
        if self.loss == "squared_error":
            return factor * nn.losses.MeanSquaredError(reduction=reduction)
        if self.loss == "poisson":
            return factor * nn.losses.PoissonDeviance(reduction=reduction)
        return self._loss()

    def _metrics(self) -> Sequence[Any]:
        return ["mean_squared_error"] if self.loss == "squared_error" and self.n_outputs_ > 1 else ()

    def _told_loss(self, logs: dict[str, float]) -> float:
        """Of several outputs half their mean squared error, where half the sum is minimized, as scikit-learn has it."""
        loss, error = float(logs["loss"]), logs.get("mean_squared_error")
        return loss if error is None else loss - 0.5 * (self.n_outputs_ - 1) * float(error)

    def _score(self, rows: Rows) -> float:
        outputs = self._middle(self._forward(rows.X))
        if not np.isfinite(outputs).all():
            return math.nan
        return float(r2_score(rows.targets, outputs, sample_weight=rows.weights))

    def _calibrate(self, validation: Rows | None) -> None:
        """By how far the rows for validation miss, in ascending order: see `predict_interval`."""
        self._misses: Array | None = None
        if validation is not None and validation.targets.shape[1] == 1:
            low, high = self._bounds(self._forward(validation.X))
            targets = validation.targets[:, 0]
            self._misses = np.sort(np.maximum(low - targets, targets - high))

    def _by_quantile(self, outputs: Array) -> Array:
        """(n, targets, quantiles)."""
        return outputs.reshape(len(outputs), -1, max(1, len(self._quantiles())))

    def _middle(self, outputs: Array) -> Array:
        """Predictions (n, targets): of several quantiles the one nearest to the median."""
        if not (quantiles := self._quantiles()):
            return outputs
        return self._by_quantile(outputs)[..., int(np.argmin(np.abs(np.array(quantiles) - 0.5)))]

    def _bounds(self, outputs: Array) -> tuple[Array, Array]:
        """The outermost quantiles of the one target; without quantiles the prediction, twice."""
        found = self._by_quantile(outputs)
        return found[:, 0, 0], found[:, 0, -1]

    @available_if(trains_by_batches)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train for one epoch on these rows, going on from what there is.

        Parameters
        ----------
        X : array_like or sparse, shape (n, features)
        y : array_like, shape (n,) or (n, targets)
        sample_weight : array_like, shape (n,), optional

        Returns
        -------
        self
        """
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> Array:
        """Predict the targets.

        Parameters
        ----------
        X : array_like or sparse, shape (n, features)

        Returns
        -------
        ndarray, shape (n,) or (n, targets)
            Of several quantiles the one nearest to the median.
        """
        found = self._middle(self._forward_given(X))
        return found[:, 0] if found.shape[1] == 1 else found

    def predict_quantiles(self, X: Any) -> Array:
        """Predict all quantiles of a pinball loss of several.

        Returns
        -------
        ndarray, shape (n, quantiles) or (n, targets, quantiles)

        Raises
        ------
        ValueError
            `loss` has not several quantiles.
        """
        if not self._quantiles():
            raise ValueError(f"loss: expected Pinball of several quantiles, got {self.loss!r}")
        found = self._by_quantile(self._forward_given(X))
        return found[:, 0] if found.shape[1] == 1 else found

    def predict_interval(self, X: Any, coverage: float = 0.9) -> Array:
        """Predict intervals that hold the target with at least this probability, whatever its distribution.

        The rows for validation, on which the network was not trained, tell by how much predictions miss (split
        conformal prediction); of a loss of several quantiles, by how much the outermost ones do (conformalized quantile
        regression), so that intervals are wider where the target varies more. That the best epoch was chosen on the
        same rows makes them a little too narrow. Behind other steps:
        ``pipe[-1].predict_interval(pipe[:-1].transform(X))``.

        Parameters
        ----------
        X : array_like or sparse, shape (n, features)
        coverage : float, default 0.9
            In (0, 1).

        Returns
        -------
        ndarray, shape (n, 2)
            Lower and upper bounds.

        Raises
        ------
        ValueError
            There were no rows for validation, too few for this coverage, or several targets.

        References
        ----------
        J. Lei et al.: Distribution-free predictive inference for regression, JASA 113 (2018), algorithm 2.
        Y. Romano, E. Patterson, E. Candès: Conformalized quantile regression, NeurIPS 2019, arXiv:1905.03222.
        """
        check_is_fitted(self)
        check_number(coverage, "coverage", "a number between 0 and 1", lambda c: 0 < c < 1)
        misses = self._misses
        if misses is None:
            raise ValueError(
                "predict_interval: expected rows for validation and one target; fit with early_stopping=True, and give "
                "X_val and y_val, or let it take a part of X"
            )
        place = math.ceil((len(misses) + 1) * coverage)
        if place > len(misses):
            raise ValueError(
                f"coverage: expected at most {len(misses)} / {len(misses) + 1} for {len(misses)} rows for validation, "
                f"got {coverage}. Give more of these"
            )
        low, high = self._bounds(self._forward_given(X))
        return np.stack([low - misses[place - 1], high + misses[place - 1]], axis=1)

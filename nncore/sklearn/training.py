"""How a network is trained by scikit-learn's rules, from rows and targets that are checked."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

import nncore as nn
from nncore.callbacks import Callback
from nncore.errors import BadDataError, DivergedError
from nncore.layers.base import Layer
from nncore.sklearn import networks
from nncore.sklearn.epochs import Epochs, Iterations
from nncore.state import Array

NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)

#: What an ensemble shows of its first network.
SHOWN = {
    "coefs_", "intercepts_", "n_iter_", "t_", "loss_", "loss_curve_", "best_loss_", "validation_scores_",
    "best_validation_score_", "_no_improvement_count",
}  # fmt: skip


class Rows(NamedTuple):
    """Rows to train on, or for validation."""

    X: Any  # (n, features), an array or CSR
    targets: Array  # as the network has them: (n, outputs), or the numbers of classes (n,)
    weights: Array | None


class Training:
    """The part of an estimator that has the network."""

    _network: nn.Model | None = None  # its weights are coefs_ and intercepts_
    _live: tuple[Array, ...] = ()  # these, as they were shown
    _no_improvement_count = 0
    _signs: list[int] | None = None  # of the inputs in which the network is monotonic

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    # -- what classifier and regressor define -------------------------------------------------------------------------

    def _fed(self, targets: Array) -> Array:
        """The targets in the form that the loss takes."""
        return targets

    def _last(self) -> list[Layer]:
        """Layers after the last one of `coefs_`."""
        return []

    def _objective(self, weighted: bool) -> Any:
        """What is minimized, but for the penalty."""
        raise NotImplementedError

    def _score(self, rows: Rows) -> float:
        """The score of rows for validation; NaN where outputs are not finite."""
        raise NotImplementedError

    def _told_loss(self, logs: dict[str, float]) -> float:
        """`loss_` of an epoch."""
        return float(logs["loss"])

    def _metrics(self) -> Sequence[Any]:
        """What `_told_loss` needs beside the loss."""
        return ()

    # -- its weights --------------------------------------------------------------------------------------------------

    def _units(self, features: int) -> list[int]:
        hidden = self.hidden_layer_sizes
        return [features, *(hidden if hasattr(hidden, "__iter__") else [hidden]), self.n_outputs_]

    def _begin(self, X: Any, rng: np.random.RandomState) -> None:
        """Draw the weights, and forget earlier fits."""
        pairs = networks.drawn(rng, self._units(X.shape[1]), self.activation == "logistic", X.dtype, self._signs)
        self.coefs_, self.intercepts_ = ([pair[k] for pair in pairs] for k in range(2))
        self._forget()

    def _forget(self) -> None:
        """Be as before the first epoch."""
        self._network, self._live = None, ()
        self.n_iter_ = self.t_ = 0
        if self.solver != "lbfgs":
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            stops = self.early_stopping
            self.validation_scores_: Any = [] if stops else None
            self.best_validation_score_ = -math.inf if stops else None
            self.best_loss_: Any = None if stops else math.inf

    def _synchronized(self, rng: np.random.RandomState | None = None, penalty: float = 0.0) -> nn.Model:
        """The network, with the weights that coefs_ and intercepts_ are, whoever has set these.

        Of one that is made here, `rng` draws the seed, and the penalty on kernels is `penalty` Σ w².
        """
        weights = (*self.coefs_, *self.intercepts_)
        model = self._network
        if model is not None and len(weights) == len(self._live) and all(map(operator.is_, weights, self._live)):
            return model
        units = [len(self.coefs_[0]), *map(len, self.intercepts_)]
        if model is None or [model.input_shape[-1], *(d.units for d in networks.dense_layers(model))] != units:
            dtype = np.asarray(self.coefs_[0]).dtype.name
            seed = 0 if rng is None else int(rng.randint(2**31 - 1))
            model = networks.network(self, units, dtype, seed, penalty)
            model.build(units[0])
        networks.put(model, self.coefs_, self.intercepts_)
        self._take(model)
        return model

    def _take(self, model: nn.Model) -> None:
        """Show the model's weights."""
        self._network = model
        self.coefs_, self.intercepts_ = networks.live_weights(model)
        self._live = (*self.coefs_, *self.intercepts_)

    def _forward(self, X: Any) -> Array:
        """The network's outputs (n, outputs) of checked rows."""
        if self.ensemble > 1:
            return np.mean([member._forward(X) for member in self.estimators_], axis=0)
        return np.asarray(self._synchronized().predict(X, verbose=0))

    # -- fits ---------------------------------------------------------------------------------------------------------

    def _train(self, rows: Rows, validation: Rows | None, rng: np.random.RandomState, incremental: bool) -> None:
        """Train this one's network, whose weights are drawn."""
        if self.solver == "lbfgs":
            self._solve(rows, rng)
        else:
            self._descend(rows, validation, rng, incremental)
        if not all(np.isfinite(w).all() for w in (*self.coefs_, *self.intercepts_)):
            raise ValueError(NON_FINITE)

    def _train_members(
        self, rows: Rows, validation: Rows | None, rng: np.random.RandomState, incremental: bool, fresh: bool
    ) -> None:
        """Train the networks of an ensemble, each from weights of its own, at once in threads; show the first."""
        fresh = fresh or len(getattr(self, "estimators_", ())) != self.ensemble
        if fresh:
            seeds = rng.randint(2**31 - 1, size=self.ensemble)
            own: dict[str, Any] = {"ensemble": 1, "n_jobs": 1}
            self.estimators_ = [clone(self).set_params(random_state=int(seed), **own) for seed in seeds]
        known = vars(self).keys() - SHOWN - self.arguments.keys() - {"estimators_"}

        def train(member: Training) -> None:
            vars(member).update({name: vars(self)[name] for name in known})
            of_member = check_random_state(member.random_state)
            if fresh:
                member._begin(rows.X, of_member)
            member._train(rows, validation, of_member, incremental)

        with joblib.parallel_config("threading", n_jobs=self.n_jobs):
            joblib.Parallel()(joblib.delayed(train)(member) for member in self.estimators_)
        self._show_first()

    def _show_first(self) -> None:
        """Show what the first network of an ensemble shows."""
        for name in SHOWN & vars(self.estimators_[0]).keys():
            setattr(self, name, getattr(self.estimators_[0], name))

    def _descend(self, rows: Rows, validation: Rows | None, rng: np.random.RandomState, incremental: bool) -> None:
        """Train by batches."""
        count = rows.X.shape[0]
        batch = min(200 if self.batch_size == "auto" else self.batch_size, count)
        if self.batch_size != "auto" and self.batch_size > count:
            told = "Got `batch_size` larger than the number of samples. It is going to be clipped"
            warnings.warn(told, stacklevel=5)
        model = self._prepared(rows, batch, rng)
        if not incremental or model.configuration is None:
            self._compile(model, self._optimizer_of(), rows)
        epochs = Epochs(self, count, validation)
        try:
            self._fit_network(model, rows, batch, 1 if incremental else self.max_iter, epochs)
        except BadDataError:
            raise
        except DivergedError:
            if validation is None:
                raise ValueError(NON_FINITE) from None
            self.validation_scores_.append(math.nan)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=5)
        if epochs.best_weights is not None and self.restore_best:
            model.set_weights(epochs.best_weights)
        self._take(model)
        if not incremental and self.n_iter_ >= self.max_iter and not epochs.converged:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _solve(self, rows: Rows, rng: np.random.RandomState) -> None:
        """Minimize by L-BFGS."""
        count = rows.X.shape[0]
        model = self._prepared(rows, count, rng)
        self._compile(model, nn.optimizers.LBFGS(gtol=self.tol), rows)
        iterations = Iterations(self)
        try:
            self._fit_network(model, rows, count, self.max_iter, iterations)
        except DivergedError:
            raise ValueError(NON_FINITE) from None
        self._take(model)
        if iterations.limit:
            warnings.warn(
                f"lbfgs failed to converge after {self.n_iter_} iteration(s): {iterations.limit} reached. Increase it, "
                "or scale the data.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _prepared(self, rows: Rows, batch: int, rng: np.random.RandomState) -> nn.Model:
        """The network, with scikit-learn's penalty: alpha / 2 Σ w² over the sum of the weights of a batch."""
        weight = batch if rows.weights is None else batch * float(rows.weights.mean())
        factor = 0.5 * self.alpha / weight if weight > 0 else 0.0
        model = self._synchronized(rng, factor)
        networks.decay(model, factor)
        return model

    def _compile(self, model: nn.Model, optimizer: nn.optimizers.Optimizer, rows: Rows) -> None:
        """Let the model be trained so."""
        objective, precision = self._objective(rows.weights is not None), self.matmul_precision or "highest"
        model.compile(optimizer, objective, weighted_metrics=self._metrics(), matmul_precision=precision)

    def _fit_network(self, model: nn.Model, rows: Rows, batch: int, epochs: int, watch: Callback) -> None:
        """Let the model learn the rows, silently."""
        self.n_iter_ = 0
        callbacks = [watch, *(self.callbacks or ())]
        targets = self._fed(rows.targets)
        model.fit(rows.X, targets, batch, epochs, 0, callbacks, shuffle=self.shuffle, sample_weight=rows.weights)

    def _optimizer_of(self) -> nn.optimizers.Optimizer:
        if self.solver == "sgd":
            return nn.SGD(self.learning_rate_init, self.momentum, self.nesterovs_momentum and self.momentum > 0)
        return nn.Adam(self.learning_rate_init, self.beta_1, self.beta_2, self.epsilon)

    @property
    def _optimizer(self) -> nn.optimizers.Optimizer:
        """The one of the last fit."""
        if self._network is None or self._network.configuration is None:
            raise AttributeError("_optimizer: there is none before a fit")
        return self._network.optimizer

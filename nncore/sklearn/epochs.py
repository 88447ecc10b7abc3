"""What scikit-learn does at the end of each epoch: curves, the best weights, learning rates, the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore.callbacks import Callback
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.sklearn.training import Rows, Training

SLOWEST = 1e-6  # the learning rate at which "adaptive" ends


class Epochs(Callback):
    """The fit of an estimator, epoch by epoch.

    Parameters
    ----------
    estimator : Training
    rows : int
        Per epoch.
    validation : Rows, optional
        Whose score says when to end, in place of the loss.
    """

    estimator: Any

    def __init__(self, estimator: Training, rows: int, validation: Rows | None = None) -> None:
        self.estimator, self.rows, self.validation = estimator, rows, validation
        self.best_weights: list[Array] | None = None
        self.converged = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep what an epoch gave, and end the fit where it is time."""
        assert logs is not None
        e = self.estimator
        e.n_iter_ += 1
        e.t_ += self.rows
        e.loss_ = e._told_loss(logs)
        e.loss_curve_.append(e.loss_)
        if e.verbose:
            print(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        if self.validation is not None:
            self.take_score(e._score(self.validation))
        else:
            worse = e.loss_ > e.best_loss_ - e.tol
            e._no_improvement_count = e._no_improvement_count + 1 if worse else 0
            e.best_loss_ = min(e.best_loss_, e.loss_)
        if e.solver == "sgd" and e.learning_rate == "invscaling":
            self.model.optimizer.learning_rate = float(e.learning_rate_init) / pow(e.t_ + 1, e.power_t)
        if e._no_improvement_count > e.n_iter_no_change:
            self.end(self.model.optimizer)

    def take_score(self, score: float) -> None:
        """Note the score of the validation part, and the weights if it is the best one."""
        e = self.estimator
        e.validation_scores_.append(score)
        if e.verbose:
            print(f"Validation score: {score:f}")
        worse = score < e.best_validation_score_ + e.tol
        e._no_improvement_count = e._no_improvement_count + 1 if worse else 0
        if score > e.best_validation_score_:
            e.best_validation_score_, self.best_weights = score, self.model.get_weights()

    def end(self, optimizer: Any) -> None:
        """End the fit, or go on with a fifth of the learning rate."""
        e = self.estimator
        what = "Validation score" if self.validation is not None else "Training loss"
        message = f"{what} did not improve more than tol={e.tol:f} for {e.n_iter_no_change} consecutive epochs."
        adaptive = e.solver == "sgd" and e.learning_rate == "adaptive"
        if not adaptive or optimizer.learning_rate <= SLOWEST:
            self.converged = self.model.stop_training = True
            if e.verbose:
                print(f"{message} {'Learning rate too small. ' if adaptive else ''}Stopping.")
            return
        optimizer.learning_rate = float(optimizer.learning_rate) / 5
        e._no_improvement_count = 0
        if e.verbose:
            print(f"{message} Setting learning rate to {float(optimizer.learning_rate):f}")


class Iterations(Callback):
    """The iterations of L-BFGS, as many as an estimator allows."""

    def __init__(self, estimator: Training) -> None:
        self.estimator: Any = estimator
        self.limit = ""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Count; end where there were enough evaluations."""
        assert logs is not None
        e = self.estimator
        e.n_iter_ += 1
        e.loss_ = e._told_loss(logs)
        if e.verbose:
            print(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        if self.model.fit_state.evaluator.evaluations >= e.max_fun:
            self.limit, self.model.stop_training = f"max_fun={e.max_fun}", True
        elif e.n_iter_ >= e.max_iter and not self.model.stop_training:  # which says that a tolerance is met
            self.limit = f"max_iter={e.max_iter}"

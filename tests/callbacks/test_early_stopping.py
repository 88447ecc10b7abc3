"""`EarlyStopping` and `TerminateOnNaN`: when training ends, with which weights; what is monitored, and which way."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from callback_runs import Model, nan, run

from nncore.callbacks import Callback, CallbackList, EarlyStopping, LambdaCallback, ModelCheckpoint, TerminateOnNaN


def epochs_of(model: Model) -> int:
    return len(model.history.epoch)


# ---- stopping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "values", "epochs", "best_epoch"),
    [
        ({}, [3, 2, 2, 1], 3, 1),  # patience 0: stop at the first epoch that is not better
        ({"patience": 1}, [3, 2, 2, 1], 3, 1),
        ({"patience": 2}, [3, 2, 2, 1], 4, 3),
        ({"patience": 2}, [3, 2, 4, 2, 1], 4, 1),
        ({"patience": 2}, [3, 4, 2, 4, 1, 5, 6, 0], 7, 4),
        ({"patience": 5}, [3, 2, 1], 3, 2),  # runs to the end
        ({"min_delta": 0.5}, [3, 2.4, 2, 0], 3, 1),
        ({"min_delta": -0.5}, [3, 2.4, 2, 0], 3, 1),  # its size counts
        ({"min_delta": 1}, [3, 2, 1], 2, 0),  # exactly min_delta is not more than it
        ({"start_from_epoch": 2}, [0, 0, 3, 2, 2], 5, 3),
        ({"patience": 2, "baseline": 1}, [3, 2, 1.5, 0.5], 2, 1),  # better and better, but never than the baseline
        ({"patience": 3, "baseline": 1}, [3, 2, 4, 0.5], 3, 1),
        ({"patience": 3, "baseline": 1}, [3, 3, 3, 3], 3, 0),
        ({"patience": 5, "baseline": 0.5}, [0.9, 0.8, 0.7, 0.71, 0.72, 0.73], 5, 2),
        ({"patience": 2, "baseline": 1}, [0.5, 2, 2], 3, 0),
        ({"patience": 3, "baseline": 1}, [3, 0.9, 0.8, 0.85, 0.7, 0.9, 0.8, 0.75, 0], 8, 4),  # the last improvement
        ({"patience": 2, "baseline": 1, "min_delta": 0.5}, [0.6, 0.2], 2, 0),  # surpassed, but by less than min_delta
        ({"patience": 2, "baseline": 1, "start_from_epoch": 1}, [0, 3, 2, 0], 3, 2),
        ({"baseline": 1}, [3, 2, 0], 2, 1),  # patience 0: not after epoch 0 alone
        ({"patience": 1, "baseline": 1}, [3, 0.5, 0.4, 0.4], 4, 2),
        ({"patience": 2, "baseline": 2, "mode": "max"}, [1, 1.5, 3], 2, 1),
        ({"mode": "max"}, [1, 2, 2, 3], 3, 1),
        ({"mode": "max", "min_delta": 0.5}, [1, 1.6, 2, 9], 3, 1),
        ({"patience": 1}, [nan, 2, 1, 1], 4, 2),
        ({"patience": 2}, [nan, nan, nan, 1], 2, 0),
        ({"patience": 1}, [2, nan, 1], 2, 0),
        ({"patience": 2}, [2, nan, 1, 1, 1, 1], 5, 2),
        ({"mode": "max", "patience": 1}, [nan, 1, 2, nan], 4, 2),
        ({"patience": 1}, [math.inf, math.inf, 1], 2, 0),
    ],
)
def test_early_stopping(arguments: dict[str, Any], values: list[float], epochs: int, best_epoch: int) -> None:
    stop = EarlyStopping(**arguments)
    model = run(stop, *values)
    assert epochs_of(model) == epochs
    assert stop.best_epoch == best_epoch
    assert model.stop_training == (epochs < len(values) or stop.stopped_epoch > 0)
    assert model.weights[0] == epochs - 1  # nothing restored
    wanted = values[best_epoch]
    assert stop.best is None if math.isnan(wanted) else stop.best == wanted


@pytest.mark.parametrize(
    ("values", "restored"),
    [([3, 1, 2], 1), ([3, 2, 1], 2), ([1, 2], 0), ([1, 2, 3, 4], 0), ([nan, 2, nan], 1), ([nan, nan], 1)],
)
def test_best_weights_are_restored_however_training_ends(values: list[float], restored: int) -> None:
    for patience in (2, 99):
        model = run(EarlyStopping(patience=patience, restore_best_weights=True), *values)
        assert model.weights[0] == restored


def test_early_stopping_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    run(EarlyStopping(verbose=1, restore_best_weights=True), 2, 1, 3)
    said = "Epoch 3: early stopping\nRestoring model weights from the end of the best epoch: 2.\n"
    assert capsys.readouterr().out == said
    run(EarlyStopping(), 2, 1, 3)
    assert capsys.readouterr().out == ""


def test_the_best_weights_are_restored_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Callbacks that come later may change them."""
    stop = EarlyStopping(verbose=1, restore_best_weights=True)
    model = Model()
    every = CallbackList(
        [stop, LambdaCallback(on_train_end=lambda logs: model.set_weights([np.array([7.0])]))], model=model
    )
    every.on_train_begin()
    every.on_epoch_end(0, {"val_loss": 1.0})
    every.on_train_end()
    every.on_close()
    assert model.weights[0] == 7 and capsys.readouterr().out.count("Restoring") == 1


def test_early_stopping_serves_again() -> None:
    stop = EarlyStopping(restore_best_weights=True)
    assert epochs_of(run(stop, 1, 2)) == 2
    assert epochs_of(run(stop, 9, 8, 8, 7)) == 3 and stop.best == 8


def test_missing_monitor_warns_once_and_does_not_stop() -> None:
    stop = EarlyStopping(restore_best_weights=True)
    with pytest.warns(UserWarning) as caught:
        model = run(stop, *[{"loss": 1.0, "accuracy": 0.5}] * 4)
    assert len(caught) == 1
    assert "EarlyStopping expected 'val_loss' in the logs, which have loss, accuracy; pass valid" in str(
        caught[0].message
    )
    assert epochs_of(model) == 4 and not model.stop_training and model.weights[0] == 3


def test_validation_every_other_epoch() -> None:
    """The epochs between do not count, and are no cause for a warning."""
    stop = EarlyStopping(patience=2)
    stop.set_params({"metrics": ["loss", "val_loss"], "validation_freq": 2})
    logs: Any = [{"loss": 1}, {"val_loss": 1}, {"loss": 1}, {"val_loss": 2}, {"loss": 1}, {"val_loss": 3}, {"loss": 1}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert epochs_of(run(stop, *logs)) == 6


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"metrics": ["loss"], "validation_freq": None, "epochs": 3}, "; pass validation_data or validation_split"),
        ({"metrics": ["loss"], "validation_freq": 5, "epochs": 3}, "; validation_freq=5 validates after none"),
        ({"metrics": ["loss", "val_los"], "validation_freq": 2}, "; did you mean 'val_los'"),
    ],
)
def test_the_remedy_for_a_missing_monitor(params: dict[str, Any], words: str) -> None:
    stop = EarlyStopping()
    stop.set_params(params)
    with pytest.warns(UserWarning, match="monitor: EarlyStopping expected 'val_loss' in the logs.*" + words):
        run(stop, {"loss": 1.0, 3: 1.0})


def test_what_is_monitored_is_one_number() -> None:
    logs: Any = [{"val_loss": np.float32(2)}, {"val_loss": np.ones(1)}, {"val_loss": None}]  # an output's; not yet
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert epochs_of(run(EarlyStopping(), *logs)) == 3
        assert run(ModelCheckpoint("{epoch}", save_best_only=True), *logs).saved == ["1", "2"]
    for several in ([1.0, 2.0], np.array([1.0, 2.0])):
        with pytest.raises(TypeError, match=r"monitor: EarlyStopping expected one number in logs\['val_loss'\], got "):
            run(EarlyStopping(), {"val_loss": several})


LESS = "loss val_loss out_loss mse val_mse rmse mean_absolute_error hinge kl_divergence false_positives score_loss"
LESS += " val_account_mae score_loss_mse accident_loss brier_score val_ece log_loss"
MORE = "accuracy val_accuracy val_acc auc precision recall r2_score val_r2 f1_score cosine_similarity true_positives"
MORE += " cohen_kappa mean_io_u pearson_correlation out_mcc explained_variance"


@pytest.mark.parametrize(("names", "mode"), [(LESS, "min"), (MORE, "max")])
def test_direction_by_name(names: str, mode: str) -> None:
    for name in names.split():
        assert EarlyStopping(name).mode == mode, name
        assert EarlyStopping(name, mode="max").mode == "max"


def test_direction_that_cannot_be_told() -> None:
    for name in ("my_metric", "error_score"):
        with pytest.raises(ValueError, match=f"mode: '{name}' does not tell"):
            EarlyStopping(name)
    with pytest.raises(ValueError, match="mode: expected 'auto', 'min' or 'max', got 'best'"):
        EarlyStopping(mode="best")


def test_terminate_on_nan(capsys: pytest.CaptureFixture[str]) -> None:
    model = Model()
    assert CallbackList([Callback(), TerminateOnNaN(), Callback()], model=model).on_diverged(2, 17) is True
    assert model.stop_training and capsys.readouterr().out == "Batch 17: Invalid loss, terminating training\n"
    assert CallbackList([Callback(), EarlyStopping()], model=model).on_diverged(2, 17) is False
    model.stop_training = False
    assert CallbackList([TerminateOnNaN(raise_error=True)], model=model).on_diverged(2, 17) is False
    assert not model.stop_training


def test_nan_is_told_once() -> None:
    with pytest.warns(UserWarning, match="EarlyStopping got NaN for 'val_loss', which is never better") as found:
        run(EarlyStopping(patience=9), nan, nan, 1)
    assert len(found) == 1

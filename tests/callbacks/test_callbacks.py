"""Callbacks: decisions worked out by hand, states through files, and a resume after every single batch."""

from __future__ import annotations

import csv
import io
import math
import os
import pathlib
import warnings
from typing import Any

import numpy as np
import pytest

from nncore import callbacks, files
from nncore.callbacks import (
    BackupAndRestore,
    Callback,
    CallbackList,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    ModelCheckpoint,
    ProgressBar,
    TerminateOnNaN,
)

nan = math.nan


class Model:
    """What callbacks need of a model; its one weight is the number of steps done."""

    stop_training = False
    history: Any = None
    fit_state: Any = None

    def __init__(self) -> None:
        self.weights = [np.zeros(1)]
        self.saved: list[str] = []

    def get_weights(self) -> list[np.ndarray]:
        return self.weights  # not even a copy

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.weights[0][...] = weights[0]

    def save(self, path: str) -> None:
        self.saved.append(path)

    def save_weights(self, path: str) -> None:
        self.saved.append("weights of " + path)


def run(callback: Any, *epochs: float | dict[str, Any], monitor: str = "val_loss", first: int = 0) -> Model:
    """One value of the monitored quantity per epoch; the weight after epoch i is i."""
    model = Model()
    every = CallbackList(callback, model, History())
    every.on_train_begin()
    for epoch, value in enumerate(epochs, first):
        every.on_epoch_begin(epoch)
        model.weights[0][...] = epoch
        every.on_epoch_end(epoch, dict(value) if isinstance(value, dict) else {monitor: value})
        if model.stop_training:
            break
    every.on_train_end()
    return model


def epochs_of(model: Model) -> int:
    return len(model.history.epoch)


# ---- the list --------------------------------------------------------------------------------------------------------


class Recorder(Callback):
    def __init__(self, log: list[Any], name: str = "") -> None:
        self.log, self.name = log, name

    def __getattribute__(self, key: str) -> Any:
        if key.startswith("on_") and key != "on_diverged":
            return lambda *args: self.log.append((self.name + key, *args))
        return super().__getattribute__(key)


HOOKS = [name for name in vars(Callback) if name.startswith("on_")]
INNER = {"on_diverged", "on_batch_begin", "on_batch_end"}


def test_every_hook_is_forwarded_in_order() -> None:
    for hook in set(HOOKS) - INNER:
        log: list[Any] = []
        every = CallbackList([Recorder(log, "1"), (Recorder(log, "2"),)])
        simple = hook.endswith(("train_begin", "train_end", "test_begin", "test_end", "predict_begin", "predict_end"))
        args = () if hook == "on_close" else ({"a": 1},) if simple else (3, {"a": 1})
        getattr(every, hook)(*args)
        assert log == [("1" + hook, *args), ("2" + hook, *args)]
        if args:
            log.clear()
            getattr(every, hook)(*args[:-1])
            assert log == [("1" + hook, *args[:-1], {}), ("2" + hook, *args[:-1], {})]
            assert log[0][-1] is log[1][-1]


def test_base_hooks_do_nothing_and_older_names_are_called() -> None:
    for hook in set(HOOKS) - {"on_diverged", "on_close"}:
        args = (1,) if "epoch" in hook or "batch" in hook or "tick" in hook else ()
        getattr(Callback(), hook)(*args)
    log: list[Any] = []
    old = LambdaCallback(on_batch_begin=lambda b, _: log.append(b), on_batch_end=lambda b, _: log.append(-b))
    every = CallbackList(old)
    every.on_train_batch_begin(5)
    every.on_train_batch_end(5)
    assert log == [5, -5] and every.wants_batches


def test_model_and_params_reach_all() -> None:
    one, two, model = Callback(), Callback(), Model()
    every = CallbackList([one, [two]], model)
    every.set_params({"epochs": 3})
    assert one.model is two.model is model and one.params == two.params == {"epochs": 3}
    assert Callback.params == {} and Callback().model is None


def test_backup_comes_last_and_history_after_the_users(tmp_path: pathlib.Path) -> None:
    backup, user, history = BackupAndRestore(tmp_path), Callback(), History()
    assert CallbackList([backup, user], None, history).callbacks == [user, history, backup]
    assert CallbackList([history, user], None, history).callbacks == [history, user]
    assert CallbackList().callbacks == [] and CallbackList(None, Model()).callbacks == []


@pytest.mark.parametrize(
    ("wrong", "words"), [(EarlyStopping, r"did you mean EarlyStopping\("), ([1], "got 1"), ("x", "'x'")]
)
def test_what_is_no_callback(wrong: Any, words: str) -> None:
    with pytest.raises(TypeError, match="callbacks: expected.*" + words):
        CallbackList(wrong)


def test_who_wants_batches(tmp_path: pathlib.Path) -> None:
    class Train(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None: ...

    class Old(Callback):
        def on_batch_begin(self, batch: int, logs: Any = None) -> None: ...

    class Test(Callback):
        def on_test_batch_begin(self, batch: int, logs: Any = None) -> None: ...

    class OwnCheckpoint(ModelCheckpoint):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None: ...

    def wants(*found: Callback) -> tuple[bool, bool, bool]:
        every = CallbackList(list(found))
        return every.wants_batches, every.wants_test_batches, every.wants_predict_batches

    quiet = [EarlyStopping(), ModelCheckpoint("x"), BackupAndRestore(tmp_path), CSVLogger("x"), TerminateOnNaN()]
    quiet += [History(), ProgressBar(), LambdaCallback(on_epoch_end=print, on_train_batch_end=None), Callback()]
    assert wants(*quiet) == (False, False, False)
    for loud in (Train(), Old(), ModelCheckpoint("x", save_freq=3), BackupAndRestore("x", 3), OwnCheckpoint("x")):
        assert wants(*quiet, loud) == (True, False, False)
    assert wants(LambdaCallback(on_train_batch_begin=print)) == (True, False, False)
    assert wants(Test()) == (False, True, False)
    assert wants(LambdaCallback(on_predict_batch_end=print)) == (False, False, True)


def test_states_go_to_their_owners_and_only_to_them() -> None:
    class Counter(Callback):
        n = 0

        def get_state(self) -> dict[str, Any]:
            return {"n": self.n}

        def set_state(self, state: dict[str, Any]) -> None:
            self.n = state["n"]

    saved = [Counter(), EarlyStopping(), Counter()]
    saved[0].n, saved[2].n = 5, 7  # type: ignore[attr-defined]
    state = CallbackList([*saved, ProgressBar()]).get_state()  # the bar has no state
    fresh = [Counter(), EarlyStopping(), Counter()]
    CallbackList(fresh).set_state(state)
    assert (fresh[0].n, fresh[2].n) == (5, 7)  # type: ignore[attr-defined]
    with pytest.raises(
        ValueError, match=r"callbacks: expected.*\['Counter', 'EarlyStopping', 'Counter'\], got \['Counter'\]"
    ):
        CallbackList([Counter()]).set_state(state)


def test_half_a_state_is_an_error() -> None:
    class Half(Callback):
        def get_state(self) -> dict[str, Any]:
            return {"a": 1}

    with pytest.raises(ValueError, match="Half has get_state but not set_state"):
        Half().set_state(Half().get_state())


def test_lambda_callback() -> None:
    log: list[Any] = []
    every = CallbackList(LambdaCallback(on_epoch_end=lambda e, logs: log.append((e, logs)), on_test_end=log.append))
    every.on_epoch_begin(1)
    every.on_epoch_end(1, {"a": 2})
    every.on_test_end({"b": 3})
    assert log == [(1, {"a": 2}), {"b": 3}]
    wrong: Any
    for wrong in ({"on_epoch": print}, {"get_state": print}, {"on_train_end": 3}):
        with pytest.raises(TypeError, match="expected"):
            LambdaCallback(**wrong)


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
    every = CallbackList([stop, LambdaCallback(on_train_end=lambda logs: model.set_weights([np.array([7.0])]))], model)
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
    logs: Any = [{"val_loss": np.float32(2)}, {"val_loss": 1}, {"val_loss": None}]  # None: not yet
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert epochs_of(run(EarlyStopping(), *logs)) == 3
        assert run(ModelCheckpoint("{epoch}", save_best_only=True), *logs).saved == ["1", "2"]
    with pytest.raises(TypeError, match=r"monitor: EarlyStopping expected one number in logs\['val_loss'\], got \[1"):
        run(EarlyStopping(), {"val_loss": [1.0, 2.0]})


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
    assert CallbackList([Callback(), TerminateOnNaN(), Callback()], model).on_diverged(2, 17) is True
    assert model.stop_training and capsys.readouterr().out == "Batch 17: Invalid loss, terminating training\n"
    assert CallbackList([Callback(), EarlyStopping()], model).on_diverged(2, 17) is False


# ---- checkpoints -----------------------------------------------------------------------------------------------------


def test_checkpoint_names(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "new" / "m-{epoch:02d}-{val_loss:.2f}.safetensors")
    model = run(ModelCheckpoint(path), 0.126, 3)
    assert model.saved == [str(tmp_path / "new" / name) for name in ("m-01-0.13.safetensors", "m-02-3.00.safetensors")]
    assert (tmp_path / "new").is_dir()
    model = run(ModelCheckpoint(tmp_path / "m", save_weights_only=True), 1, 2)
    assert model.saved == [f"weights of {tmp_path / 'm'}"] * 2
    with pytest.raises(ValueError, match=r"filepath.*names 'val_acc', known are val_loss, epoch"):
        run(ModelCheckpoint("{val_acc}"), 1)


@pytest.mark.parametrize(
    ("arguments", "values", "saved"),
    [
        ({}, [3, 2, 2.5, 1], "124"),
        ({"mode": "max"}, [3, 2, 3, 4], "14"),
        ({}, [nan, 3, nan, 2], "24"),
        ({}, [nan, nan], ""),
        ({"mode": "max"}, [nan, 3, nan, 2], "2"),
        ({"initial_value_threshold": 2.2}, [3, 2.2, 2, 1], "34"),
        ({"save_best_only": False}, [1, nan, 3], "123"),
    ],
)
def test_best_only(arguments: dict[str, Any], values: list[float], saved: str) -> None:
    assert run(ModelCheckpoint("{epoch}", **{"save_best_only": True} | arguments), *values).saved == list(saved)


def test_best_is_remembered_over_fits() -> None:
    keep = ModelCheckpoint("{epoch}", save_best_only=True)
    assert run(keep, 2).saved == ["1"]
    assert run(keep, 3, 1).saved == ["2"]


def test_checkpoint_without_its_monitor_warns_once_and_saves() -> None:
    with pytest.warns(UserWarning, match="ModelCheckpoint expected 'val_loss'") as caught:
        assert run(ModelCheckpoint("{epoch}", save_best_only=True), {"loss": 1}, {"loss": 1}).saved == ["1", "2"]
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(ModelCheckpoint("{epoch}", monitor="strange"), {"loss": 1}).saved == ["1"]  # not asked for


def test_an_epoch_without_the_monitor_saves_nothing() -> None:
    keep = ModelCheckpoint("{epoch}", save_best_only=True)
    keep.set_params({"metrics": ["loss", "val_loss"], "validation_freq": 2})
    with pytest.warns(UserWarning, match="after epochs without 'val_loss', which validation_freq=2 leaves") as caught:
        logs: Any = [
            {"loss": 1},
            {"loss": 1, "val_loss": 2},
            {"loss": 1},
            {"val_loss": 3},
            {"loss": 1},
            {"val_loss": 1},
        ]
        assert run(keep, *logs).saved == ["2", "6"]
    assert len(caught) == 1 and "validation_data" not in str(caught[0].message)


def test_a_name_that_only_some_logs_have_never_replaces_the_best() -> None:
    keep = ModelCheckpoint("{epoch}", "f1", save_best_only=True)  # a callback adds it now and then: fit cannot know
    with pytest.warns(UserWarning, match="expected 'f1'"):
        assert run(keep, {"loss": 1}, {"f1": 0.5}, {"loss": 1}, {"f1": 0.4}, {"f1": 0.6}).saved == ["1", "2", "5"]


def test_a_failed_save_is_not_the_best() -> None:
    class Full(Model):
        def save(self, path: str) -> None:
            raise OSError("no space")

    keep = ModelCheckpoint("m", save_best_only=True)
    keep.set_model(full := Full())
    with pytest.raises(OSError):
        keep.on_epoch_end(0, {"val_loss": 1.0})
    keep.set_model(other := Model())
    keep.on_epoch_end(1, {"val_loss": 2.0})
    assert (full.saved, other.saved) == ([], ["m"])


def test_the_best_validation_with_a_frequency_in_batches() -> None:
    model = Model()
    keep = ModelCheckpoint("{epoch}-{val_loss}", save_best_only=True, save_freq=2)
    every = CallbackList(keep, model)
    every.set_params({"metrics": ["loss", "val_loss"], "validation_freq": 1})
    with pytest.warns(UserWarning, match="after epochs, not after every 2 batches, whose logs lack 'val_l") as caught:
        for epoch, value in enumerate([3, 4, 2]):
            every.on_epoch_begin(epoch)
            for batch in range(5):
                every.on_train_batch_end(batch, {"loss": 1.0})
            every.on_epoch_end(epoch, {"loss": 1.0, "val_loss": value})
    assert model.saved == ["1-3", "3-2"] and len(caught) == 1


def test_checkpoint_names_of_any_logs() -> None:
    odd: Any = {"val_loss": 1.0, 0: 2}
    assert run(ModelCheckpoint("{epoch}-{val_loss:.1f}"), odd).saved == ["1-1.0"]
    for pattern, words in (("{}", "cannot fill in '{}'"), ("{val_loss:d}", "cannot fill in"), ("{0.x}", "cannot fill")):
        with pytest.raises(ValueError, match="filepath: " + words):
            run(ModelCheckpoint(pattern), odd)
    late = ModelCheckpoint("{val_loss}")
    late.set_params({"metrics": ["loss", "val_loss"]})
    with pytest.raises(
        ValueError, match=r"filepath: .*names 'val_loss' only after a validation, known are loss, epoch"
    ):
        run(late, {"loss": 1.0})


def test_checkpoint_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    run(ModelCheckpoint("m", save_best_only=True, verbose=1), 2, 3, 1)
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 1: val_loss improved from None to 2.00000, saving model to m",
        "Epoch 2: val_loss did not improve from 2.00000",
        "Epoch 3: val_loss improved from 2.00000 to 1.00000, saving model to m",
    ]
    run(ModelCheckpoint("m", verbose=1), 2)
    assert capsys.readouterr().out == "Epoch 1: saving model to m\n"


def test_batches_are_counted_over_epochs() -> None:
    model = Model()
    every = CallbackList(ModelCheckpoint("{epoch}.{batch}", save_freq=3), model)
    every.on_train_begin()
    for epoch in range(3):
        every.on_epoch_begin(epoch)
        for batch in range(4):
            every.on_train_batch_end(batch, {"loss": 1.0})
        every.on_epoch_end(epoch, {"loss": 1.0})
    assert model.saved == ["1.3", "2.2", "3.1", "3.4"]


@pytest.mark.parametrize("freq", [0, -1, 1.5, True, "batch", None])
@pytest.mark.parametrize("kind", [ModelCheckpoint, BackupAndRestore])
def test_save_freq(kind: Any, freq: Any) -> None:
    with pytest.raises(ValueError, match="save_freq: expected 'epoch' or a positive number"):
        kind("x", save_freq=freq)


# ---- logs ------------------------------------------------------------------------------------------------------------


def test_history() -> None:
    model = run(None, {"loss": 2.0}, {"loss": 1.0, "val_loss": 3.0}, first=4)
    assert model.history.epoch == [4, 5]
    assert model.history.history == {"loss": [2.0, 1.0], "val_loss": [3.0]}


def test_history_has_what_callbacks_add() -> None:
    adds = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(rate=epoch))
    assert run(adds, 1.0, 1.0).history.history["rate"] == [0, 1]


def test_csv(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("old")
    first = {"loss": 0.1, "accuracy": np.float32(0.5), "words": "a,b", "pair": np.array([1, 2])}
    run(CSVLogger(path), first, {"loss": 1e-20, "surprise": 1})
    assert path.read_bytes() == b'epoch,accuracy,loss,pair,words\n0,0.5,0.1,"[1, 2]","a,b"\n1,NA,1e-20,NA,NA\n'
    run(CSVLogger(path, append=True), {"loss": 3, "accuracy": 1, "pair": 2, "words": nan}, first=2)
    assert path.read_text().splitlines()[3:] == ["2,1,3,2,nan"]
    run(CSVLogger(str(path), separator=";"), {"loss": 0.1, "accuracy": 1})
    assert path.read_text() == "epoch;accuracy;loss\n0;1;0.1\n"
    run(CSVLogger(tmp_path / "new", append=True), {"loss": 0.1})
    assert (tmp_path / "new").read_text() == "epoch,loss\n0,0.1\n"


def test_csv_goes_on_with_the_columns_that_are_there(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    run(CSVLogger(path, ";"), {"b": 1, "a;": 2})
    more = CSVLogger(path, ";", append=True)
    more.set_params({"metrics": ["b", "val_b"]})
    run(more, {"b": 3}, {"a;": 4, "val_b": 5}, first=1)
    assert path.read_text() == 'epoch;"a;";b\n0;2;1\n1;NA;3\n2;4;NA\n'


def test_csv_columns_that_come_later(tmp_path: pathlib.Path) -> None:
    logger = CSVLogger(tmp_path / "log")
    logger.set_params({"metrics": ["loss", "val_loss"]})
    logger.on_train_begin()
    logger.on_epoch_end(0, {"loss": 2.0})
    logger.on_epoch_end(1, {"loss": 1.0, "val_loss": 3.0})
    assert (tmp_path / "log").read_text() == "epoch,loss,val_loss\n0,2.0,NA\n1,1.0,3.0\n"  # readable while it runs
    logger.on_close()


def test_csv_values_survive(tmp_path: pathlib.Path) -> None:
    values = np.random.default_rng(0).standard_normal(50).tolist()
    run(CSVLogger(tmp_path / "log"), *values)
    with open(tmp_path / "log", newline="") as file:
        assert [float(row["val_loss"]) for row in csv.DictReader(file)] == values


@pytest.mark.parametrize("append", [False, True])
def test_csv_goes_back_to_the_backup(tmp_path: pathlib.Path, append: bool) -> None:
    path = tmp_path / "log"
    path.write_text("before,it\n" if append else "rubbish")
    begun = CSVLogger(path, append=append)
    begun.on_train_begin()
    begun.on_epoch_end(0, {"loss": 1.0})
    state = begun.get_state()
    whole = path.read_text()
    begun.on_epoch_end(1, {"loss": 99.0})  # and then the process is killed
    resumed = CSVLogger(path, append=append)
    resumed.on_train_begin()
    resumed.set_state(state)
    assert path.read_text() == whole
    resumed.on_epoch_end(1, {"loss": 2.0, "more": 1})
    resumed.on_train_end()
    assert path.read_text() == whole + "1,2.0\n"
    begun.on_close()


def test_csv_that_lost_rows(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    begun = CSVLogger(path)
    begun.on_train_begin()
    begun.on_epoch_end(0, {"loss": 1.0})
    state = begun.get_state()
    begun.on_train_end()
    path.unlink()
    begun.on_train_begin()
    with pytest.warns(UserWarning, match="lost rows"):
        begun.set_state(state)
    begun.on_epoch_end(1, {"loss": 2.0})
    begun.on_train_end()
    assert path.read_text() == "epoch,loss\n1,2.0\n"


def test_csv_of_any_logs(tmp_path: pathlib.Path) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError

    logs: Any = {"b": 10**5000, 1: Odd(), "\ud800": "\udc00", "none": None, "f": np.float64(0.1), "a": np.array(2)}
    logger = CSVLogger(tmp_path / "log")
    run(logger, logs)
    assert (tmp_path / "log").read_text().splitlines() == [
        "epoch,1,\\ud800,a,b,f,none",
        "0,<Odd>,\\udc00,2,<int>,0.1,",
    ]


def test_progress_bar_callback() -> None:
    stream = io.StringIO()
    every = CallbackList(ProgressBar(stream=stream), Model())
    every.set_params({"epochs": 2, "samples": 10, "verbose": 2})
    every.on_train_begin()
    for epoch in range(2):
        every.on_epoch_begin(epoch)
        every.on_tick(5, {"loss": 1.0})
        every.on_test_begin()
        every.on_test_end({"loss": 2.0})
        every.on_epoch_end(epoch, {"loss": 1.0, "val_loss": 2.0})
    every.on_train_end()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Epoch 1/2 - ") and lines[1].startswith("Epoch 2/2 - ")
    assert lines[1].endswith(" samples/s - loss: 1.0000 - val_loss: 2.0000")
    every.on_test_begin()
    every.on_test_end({"loss": 3.0})
    every.on_predict_begin()
    every.on_predict_end()
    every.on_tick(3)
    every.on_close()
    assert stream.getvalue().splitlines()[2].endswith("loss: 3.0000") and len(stream.getvalue().splitlines()) == 4


def test_progress_bar_resumed_within_an_epoch() -> None:
    stream, model = io.StringIO(), Model()
    model.fit_state = type("State", (), {"epoch": 6})()
    every = CallbackList(ProgressBar(verbose=2, stream=stream), model)
    every.set_params({"epochs": 9, "samples": 10, "verbose": 0})
    every.on_train_begin()
    every.on_tick(5)
    every.on_epoch_end(6, {"loss": 1.0})
    assert stream.getvalue().startswith("Epoch 7/9 - ")


# ---- resume ----------------------------------------------------------------------------------------------------------


class KilledError(BaseException):
    pass


class Fit:
    """A miniature of the engine: the weight and the loss follow from the number of steps done."""

    STEPS, EPOCHS = 3, 6
    LOSSES = (5.0, 4.0, nan, 3.0, 3.5, 3.2)

    def __init__(self, model: Model, found: list[Callback], kill_after: int = -1) -> None:
        self.model, self.kill_after = model, kill_after
        self.epoch, self.batch, self.restored = 0, 0, False
        model.fit_state = self
        self.callbacks = CallbackList(found, model, History())

    def save(self, path: str) -> None:
        tensors: dict[str, Any] = {"weights": self.model.weights[0]}
        state = {"epoch": self.epoch, "batch": self.batch, "stop": self.model.stop_training}
        files.write(path, tensors, files.encode(state | {"callbacks": self.callbacks.get_state()}, tensors))

    def restore(self, path: str, allow_other_bits: bool) -> None:
        tensors, document = files.read(path)
        state = files.decode(document, tensors)
        self.model.weights = [tensors["weights"]]
        self.epoch, self.batch, self.model.stop_training = state["epoch"], state["batch"], state["stop"]
        self.callbacks.set_state(state["callbacks"])
        self.restored = True

    def run(self) -> None:
        try:
            self.go()
        finally:
            self.callbacks.on_close()

    def go(self) -> None:
        every, model = self.callbacks, self.model
        every.on_train_begin()
        while self.epoch < self.EPOCHS and not model.stop_training:
            epoch = self.epoch
            if self.batch == 0:
                every.on_epoch_begin(epoch)
            while self.batch < self.STEPS:
                batch = self.batch
                every.on_train_batch_begin(batch)
                model.weights[0] += 1
                self.batch += 1
                if model.weights[0] == self.kill_after:
                    raise KilledError
                every.on_train_batch_end(batch, {"loss": 1.0 / float(model.weights[0][0])})
            self.epoch, self.batch = epoch + 1, 0
            every.on_epoch_end(epoch, {"loss": 0.1 * epoch, "val_loss": self.LOSSES[epoch], "n": epoch})
        every.on_train_end()


@pytest.mark.parametrize("save_freq", ["epoch", 1, 2, 5])
@pytest.mark.parametrize("kill_after", range(1, 19))
def test_resume_after_every_batch(tmp_path: pathlib.Path, save_freq: str | int, kill_after: int) -> None:
    """Killed once, run again: histories, files, best weights and saves are those of an uninterrupted run."""

    def made(where: str) -> list[Callback]:
        (tmp_path / where).mkdir(exist_ok=True)
        found = [BackupAndRestore(tmp_path / where / "backup", save_freq), CSVLogger(tmp_path / where / "log")]
        found += [EarlyStopping(patience=3, restore_best_weights=True)]
        return [
            *found,
            ModelCheckpoint("{epoch}.{batch}", save_freq=4),
            ModelCheckpoint("{epoch}", save_best_only=True),
        ]

    straight = Model()
    Fit(straight, made("straight")).run()
    killed = Model()
    with pytest.raises(KilledError):
        Fit(killed, made("killed"), kill_after).run()
    before = killed.saved
    resumed = Model()
    fit = Fit(resumed, made("killed"))
    fit.run()
    done_before = {"epoch": (kill_after - 1) // 3 * 3, 1: kill_after - 1, 2: (kill_after - 1) // 2 * 2}
    done_before[5] = (kill_after - 1) // 5 * 5
    assert fit.restored == (done_before[save_freq] > 0)
    assert straight.weights[0] == resumed.weights[0] == 12  # the best epoch, 3, ended with step 12
    assert straight.history.epoch == resumed.history.epoch == [0, 1, 2, 3, 4, 5]
    np.testing.assert_equal(resumed.history.history, straight.history.history)
    assert {k: [type(v) for v in vs] for k, vs in resumed.history.history.items()} == {
        k: [type(v) for v in vs] for k, vs in straight.history.history.items()
    }
    assert (tmp_path / "killed/log").read_bytes() == (tmp_path / "straight/log").read_bytes()
    # Saves between the backup and the kill are made again, none is left out.
    assert straight.saved == sorted(set(before + resumed.saved), key=straight.saved.index)
    assert sorted(os.listdir(tmp_path / "killed")) == ["log"]


def test_backup_is_kept_if_asked_for(tmp_path: pathlib.Path) -> None:
    keep = BackupAndRestore(tmp_path, delete_checkpoint=False)
    first = Fit(Model(), [keep])
    first.run()
    first.model.fit_state = None
    assert os.listdir(tmp_path) == ["backup.safetensors"]
    again = Fit(Model(), [keep])
    again.run()
    assert again.restored and again.model.weights[0] == 18  # there was nothing left to do


def test_backup_leaves_other_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine").touch()
    Fit(Model(), [BackupAndRestore(tmp_path)]).run()
    assert os.listdir(tmp_path) == ["mine"]


def test_public_names() -> None:
    for name in callbacks.__all__:
        assert issubclass(getattr(callbacks, name), (Callback, CallbackList))


WRONG: list[tuple[type[Callback], dict[str, Any], str]] = [
    (EarlyStopping, {"patience": -1}, "patience: expected a whole number of at least 0, got -1"),
    (EarlyStopping, {"patience": 1.5}, "patience: .*got 1.5"),
    (EarlyStopping, {"start_from_epoch": -1}, "start_from_epoch: .*got -1"),
    (EarlyStopping, {"min_delta": nan}, "min_delta: expected a finite number, got nan"),
    (EarlyStopping, {"min_delta": "1"}, "min_delta: .*got '1'"),
    (EarlyStopping, {"baseline": nan}, "baseline: expected a number, not NaN, got nan"),
    (EarlyStopping, {"baseline": "low"}, "baseline: .*got 'low'"),
    (EarlyStopping, {"restore_best_weights": "no"}, "restore_best_weights: expected True or False, got 'no'"),
    (EarlyStopping, {"monitor": None}, "monitor: expected a name in the logs, .*got None"),
    (EarlyStopping, {"verbose": 2}, "verbose: expected 0 or 1, got 2"),
    (EarlyStopping, {"verbose": "yes"}, "verbose: .*got 'yes'"),
    (ModelCheckpoint, {"filepath": ""}, "filepath: expected a name or path that is not empty, got ''"),
    (ModelCheckpoint, {"filepath": 3}, "filepath: .*got 3"),
    (ModelCheckpoint, {"filepath": b""}, "filepath: .*got b''"),
    (ModelCheckpoint, {"filepath": "m", "monitor": 3}, "monitor: .*got 3"),
    (ModelCheckpoint, {"filepath": "m", "verbose": -1}, "verbose: .*got -1"),
    (ModelCheckpoint, {"filepath": "m", "save_best_only": "val_loss"}, "save_best_only: .*got 'val_loss'"),
    (ModelCheckpoint, {"filepath": "m", "save_weights_only": None}, "save_weights_only: .*got None"),
    (ModelCheckpoint, {"filepath": "m", "initial_value_threshold": nan}, "initial_value_threshold: .*got nan"),
    (ModelCheckpoint, {"filepath": "m", "save_freq": 0}, "save_freq: .*got 0"),
    (BackupAndRestore, {"backup_dir": ""}, "backup_dir: .*got ''"),
    (BackupAndRestore, {"backup_dir": None}, "backup_dir: .*got None"),
    (BackupAndRestore, {"backup_dir": "b", "delete_checkpoint": 1}, "delete_checkpoint: .*got 1"),
    (CSVLogger, {"filename": ""}, "filename: .*got ''"),
    (CSVLogger, {"filename": "f", "separator": ", "}, "separator: expected one character .*got ', '"),
    (CSVLogger, {"filename": "f", "separator": "\n"}, r"separator: .*got '\\n'"),
    (CSVLogger, {"filename": "f", "append": "a"}, "append: .*got 'a'"),
]


@pytest.mark.parametrize(("cls", "arguments", "words"), WRONG)
def test_wrong_arguments(cls: type[Callback], arguments: dict[str, Any], words: str) -> None:
    """Refused where they are given, not after the first epoch."""
    with pytest.raises((ValueError, TypeError), match="^" + words):
        cls(**arguments)


def test_arguments_of_other_types_that_mean_the_same() -> None:
    stop = EarlyStopping(patience=np.int64(2), verbose=True, min_delta=np.float32(0.5), baseline=-math.inf, mode="max")
    assert (stop.patience, stop.min_delta, stop.baseline) == (2, 0.5, -math.inf)
    assert ModelCheckpoint(pathlib.Path("m"), initial_value_threshold=math.inf).filepath == "m"

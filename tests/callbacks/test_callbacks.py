"""Which hooks are called, in which order, with what; who has a state; arguments that are refused."""

from __future__ import annotations

import gc
import math
import pathlib
from typing import Any

import numpy as np
import pytest
from callback_runs import HOOKS, Model, nan

import nncore as nn
from nncore import callbacks
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

# ---- the list --------------------------------------------------------------------------------------------------------


class Recorder(Callback):
    def __init__(self, log: list[Any], name: str = "") -> None:
        self.log, self.name = log, name

    def __getattribute__(self, key: str) -> Any:
        if key.startswith("on_") and key != "on_diverged":
            return lambda *args: self.log.append((self.name + key, *args))
        return super().__getattribute__(key)


def test_every_hook_is_forwarded_in_order() -> None:
    for hook in set(HOOKS) - {"on_diverged"}:
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
    every = CallbackList([one, [two]], model=model)
    every.set_params({"epochs": 3})
    assert one.model is two.model is model and one.params == two.params == {"epochs": 3}
    assert Callback.params == {} and Callback().model is None


def test_backup_comes_last_and_history_after_the_users(tmp_path: pathlib.Path) -> None:
    backup, user, history = BackupAndRestore(tmp_path), Callback(), History()
    assert CallbackList([backup, user], history=history).callbacks == [user, history, backup]
    assert CallbackList([history, user], history=history).callbacks == [history, user]
    assert CallbackList().callbacks == [] and CallbackList(None, model=Model()).callbacks == []


def test_a_loop_of_ones_own_calls_them_as_fit_does(capsys: pytest.CaptureFixture[str]) -> None:
    """With Keras's arguments, by place and by name; what was added is there once."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((20, 3)), rng.standard_normal((20, 2))

    def made() -> tuple[nn.Model, list[Callback]]:
        model = nn.Model([nn.Input(3), nn.Dense(2)], seed=1)
        model.compile(nn.SGD(0.1), "mse")
        return model, [
            EarlyStopping("loss", min_delta=0.5, patience=2),
            nn.callbacks.ReduceLROnPlateau("loss", patience=1),
        ]

    fitted, found = made()
    expected = fitted.fit(x, y, batch_size=20, epochs=9, shuffle=False, verbose=0, callbacks=found)
    capsys.readouterr()
    model, found = made()
    every = CallbackList([found], True, True, model, epochs=9, steps=1, verbose=2)
    assert [type(c).__name__ for c in every.callbacks[2:]] == ["History", "ProgressBar"]
    assert all(c.params == {"epochs": 9, "steps": 1, "verbose": 2} for c in every.callbacks)
    assert [type(c) for c in CallbackList([History(), ProgressBar()], True, True).callbacks] == [History, ProgressBar]
    every.on_train_begin()
    for epoch in range(9):
        if model.stop_training:
            break
        every.on_epoch_begin(epoch)
        every.on_train_batch_begin(0)
        logs = {"loss": model.train_on_batch(x, y)}
        every.on_train_batch_end(0, logs)
        every.on_epoch_end(epoch, logs)
    every.on_train_end()
    assert model.history.epoch == expected.epoch and len(expected.epoch) < 9
    for name, values in expected.history.items():
        np.testing.assert_allclose(model.history.history[name], values, 1e-6)
    assert capsys.readouterr().out.count("loss:") == len(expected.epoch)
    for wrong in ({"add_history": model}, {"add_progbar": 1}):
        with pytest.raises(TypeError, match=f"{next(iter(wrong))}: expected True or False, got"):
            CallbackList(**wrong)


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


def test_hooks_that_objects_have_when_training_begins_are_called() -> None:
    """Before `fit`, or in `on_train_begin`, whatever the class has."""
    seen: list[Any] = []

    class Late(Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            self.on_train_batch_end = lambda batch, logs: seen.append(batch)  # type: ignore[method-assign]

    early = Callback()
    early.on_epoch_end = lambda epoch, logs: seen.append(sorted(logs))  # type: ignore[method-assign]
    model = nn.Model([nn.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    model.fit(np.ones((6, 2)), np.ones(6), batch_size=2, epochs=2, verbose=0, callbacks=[early, Late()])
    assert seen == [0, 1, 2, ["loss"]] * 2


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


def test_a_model_that_a_callback_is_given_by_hand_is_kept() -> None:
    """Unlike that of a fit, which goes when nobody else holds it."""

    class Bare:
        stop_training = False

    stopper = EarlyStopping("loss", patience=1)
    stopper.set_model(Bare())
    stopper.on_train_begin()
    for epoch, loss in enumerate([3.0, 2.0, 2.5]):
        assert not stopper.model.stop_training
        stopper.on_epoch_end(epoch, {"loss": loss})
    assert stopper.model.stop_training and stopper.stopped_epoch == 2
    CallbackList([stopper]).set_model(Bare())
    gc.collect()
    assert stopper.model is None


def test_what_tells_better_from_worse() -> None:
    assert EarlyStopping("val_loss").monitor_op(1.0, 2.0) and EarlyStopping("acc").monitor_op(2.0, 1.0)


@pytest.mark.parametrize("raise_error", [True, False])
def test_data_that_are_not_finite_are_a_divergence(raise_error: bool) -> None:
    """An error that programs for Keras catch as RuntimeError, and others as ValueError, or the end of the fit."""
    model = nn.Model([nn.Input(1), nn.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    x, y = np.array([[1.0], [2.0]]), np.array([[1.0], [np.inf]])

    def fit() -> Any:
        stops = [TerminateOnNaN(raise_error)]
        return model.fit(x, y, batch_size=1, epochs=2, shuffle=False, verbose=0, callbacks=stops)

    if not raise_error:
        assert fit().epoch == [0]
        return
    for kind in (RuntimeError, ValueError, nn.DivergedError, nn.BadDataError):
        with pytest.raises(kind, match="y: expected finite values, but row 1 of y holds inf") as caught:
            fit()
    assert (caught.value.epoch, caught.value.batch) == (0, 1)

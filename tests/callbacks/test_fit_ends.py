"""Fits that a callback stops or an exception ends: which epochs count, which weights come back, who is closed."""

from __future__ import annotations

import io
import math
import pathlib
from typing import Any

import numpy as np
import pytest
from callback_fits import X, Y, fit, model, same

import nncore as nn
from nncore import files
from nncore.callbacks import BackupAndRestore, EarlyStopping, LambdaCallback


def stopping(hook: str, at: int) -> Any:
    """Sets stop_training in the call number `at` of `hook`, counted from 0."""
    calls = [0]

    class Stop(nn.Callback):
        pass

    def stop(self: nn.Callback, *_: Any) -> None:
        self.model.stop_training = self.model.stop_training or calls[0] == at
        calls[0] += 1

    setattr(Stop, hook, stop)
    return Stop()


@pytest.mark.parametrize(
    ("hook", "at", "epochs", "steps"),
    [
        ("on_train_begin", 0, 0, 0),
        ("on_epoch_begin", 0, 0, 0),
        ("on_epoch_begin", 2, 2, 10),
        ("on_train_batch_begin", 0, 1, 1),  # a step that is announced is done
        ("on_train_batch_begin", 7, 2, 8),
        ("on_train_batch_end", 0, 1, 1),
        ("on_train_batch_end", 4, 1, 5),
        ("on_epoch_end", 1, 2, 10),
    ],
)
def test_an_epoch_of_nothing_is_not_recorded(hook: str, at: int, epochs: int, steps: int) -> None:
    ended: list[Any] = []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: ended.append(dict(logs)), on_train_end=ended.append)
    made = model()
    history = fit(made, stopping(hook, at), watch, batch_size=8, validation_split=0.0, validation_data=(X, Y))
    assert history.epoch == list(range(epochs)) and made.optimizer.iterations == steps
    assert all(math.isfinite(v) for values in history.history.values() for v in values)
    assert len(ended) == epochs + 1 and ended[-1] == ([{}, *ended][-2] if epochs else {})
    twin = model()
    if steps:
        twin.fit(X, Y, batch_size=8, steps_per_epoch=steps, verbose=0)
    else:
        twin.build(4)
    assert same(made.get_weights(), twin.get_weights())


def test_a_stop_before_an_epoch_leaves_the_last_one_on_the_screen() -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    stream = Terminal()
    bar = nn.callbacks.ProgressBar(verbose=1, stream=stream)
    fit(model(), stopping("on_epoch_begin", 3), bar, epochs=9)
    assert "Epoch 3/9: 100%" in stream.getvalue().split("\r")[-1] and stream.getvalue().endswith("\n")


class Raise(nn.Callback):
    """Raises `error` in a hook, at epoch 3, when epoch 1 was the best."""

    losses = (3.0, 1.0, 2.0, 2.5)

    def __init__(self, hook: str, error: BaseException, kept: dict[int, Any]) -> None:
        self.hook, self.error, self.kept = hook, error, kept

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.at("on_epoch_begin", epoch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.at("on_train_batch_end", self.model.fit_state.epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["loss"] = self.losses[epoch]
        self.kept[epoch] = self.model.get_weights()
        self.at("on_epoch_end", epoch)

    def on_train_end(self, logs: Any = None) -> None:
        self.at("on_train_end", 3)

    def at(self, hook: str, epoch: int) -> None:
        if hook == self.hook and epoch == 3:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("mine")], ids=repr)
@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_batch_end", "on_epoch_end", "on_train_end"])
@pytest.mark.parametrize("first", [True, False])
def test_the_best_weights_come_back_after_an_exception(hook: str, error: BaseException, first: bool) -> None:
    kept: dict[int, Any] = {}
    stop = EarlyStopping("loss", patience=9, restore_best_weights=True)
    made, raises = model(), Raise(hook, error, kept)
    order = [raises, stop] if first else [stop, raises]
    if not first:  # the losses must be set before they are looked at
        order.insert(0, LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(loss=Raise.losses[epoch])))
    with pytest.raises(type(error)):
        fit(made, *order)
    assert stop.best_epoch == 1 and same(made.get_weights(), kept[1]) and made.fit_state is None
    assert not same(kept[1], kept[2])
    fit(made, epochs=1)  # usable


def test_the_best_weights_come_back_after_divergence() -> None:
    kept: dict[int, Any] = {}

    class Explode(nn.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            kept[epoch] = self.model.get_weights()
            if epoch == 1:
                logs["loss"] = 0.0
            if epoch == 2:
                self.model.optimizer.learning_rate = 1e30

    made = model()
    with pytest.raises(nn.DivergedError):
        fit(made, Explode(), EarlyStopping("loss", patience=9, restore_best_weights=True), epochs=9)
    assert same(made.get_weights(), kept[1])


def test_best_weights_and_their_epoch_stay_together() -> None:
    """Ctrl-C while the new best are copied: the old best come back."""
    kept: dict[int, Any] = {}
    stop = EarlyStopping("loss", patience=9, restore_best_weights=True)

    class Interrupted(nn.Model):
        armed = False

        def get_weights(self) -> Any:
            if self.armed:
                raise KeyboardInterrupt
            return super().get_weights()

    made = Interrupted([nn.Dense(1)], seed=0)
    made.compile("sgd", "mse")

    def watch(epoch: int, logs: Any) -> None:
        kept[epoch] = nn.Model.get_weights(made)
        Interrupted.armed = epoch == 2
        logs["loss"] = 3.0 - epoch

    with pytest.raises(KeyboardInterrupt):
        fit(made, LambdaCallback(on_epoch_end=watch), stop)
    assert stop.best_epoch == 1 and stop.best == 2.0 and same(nn.Model.get_weights(made), kept[1])


def test_all_are_closed_whatever_one_does() -> None:
    closed: list[Any] = []

    class Close(nn.Callback):
        def __init__(self, *errors: BaseException) -> None:
            self.errors = list(errors)

        def on_close(self) -> None:
            closed.append(self)
            if self.errors:
                raise self.errors.pop(0)

    one, two, three = Close(RuntimeError("first")), Close(KeyboardInterrupt()), Close()
    made = model()
    with pytest.raises(RuntimeError, match="first"):
        fit(made, one, two, three)
    assert closed == [one, two, two, three] and made.fit_state is None
    with pytest.raises(OSError):
        made.evaluate(X, Y, verbose=0, callbacks=[Close(OSError()), three])
    assert closed[-1] is three and made.evaluate(X, Y, verbose=0) >= 0


def test_a_backup_holds_the_weights_that_were_not_restored(tmp_path: pathlib.Path) -> None:
    kept: dict[int, Any] = {}

    def callbacks(last: int) -> list[Any]:
        def watch(epoch: int, logs: Any) -> None:
            kept[epoch] = made.get_weights()
            logs["loss"] = abs(1.0 - epoch)  # epoch 1 is the best

        def stop(batch: int, logs: Any) -> None:
            if made.fit_state is not None and made.fit_state.epoch == last:
                raise KeyboardInterrupt

        stopper = EarlyStopping("loss", patience=9, restore_best_weights=True)
        watcher = LambdaCallback(on_epoch_end=watch, on_train_batch_end=stop)
        return [watcher, stopper, BackupAndRestore(tmp_path, delete_checkpoint=False)]

    made = model()
    fit(made, *callbacks(9))
    whole = dict(kept)
    (tmp_path / "backup.safetensors").unlink()
    made = model()
    with pytest.raises(KeyboardInterrupt):
        fit(made, *callbacks(3))
    assert same(made.get_weights(), whole[1])
    tensors, _ = files.read(tmp_path / "backup.safetensors")
    assert same([v for name, v in tensors.items() if name.startswith("weights/")], whole[2])
    made = model()
    fit(made, *callbacks(9))
    assert same(kept[3], whole[3]) and same(made.get_weights(), whole[1])


# ---- evaluations and predictions -------------------------------------------------------------------------------------


class Enough(nn.Callback):
    """Ends an evaluation or a prediction behind its batch of this number."""

    def __init__(self, last: int) -> None:
        self.last, self.seen = last, 0

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen += 1
        self.model.stop_evaluating = batch == self.last

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen += 1
        self.model.stop_predicting = batch == self.last


@pytest.mark.parametrize("streamed", [False, True])
def test_evaluations_and_predictions_end_where_a_callback_says_so(streamed: bool) -> None:
    """With what the first rows give; the next ones are of all rows again."""
    net = model()
    whole, some = net.evaluate(X, Y, verbose=0), net.evaluate(X[:8], Y[:8], verbose=0)
    rows = [slice(i, i + 4) for i in range(0, len(X), 4)]
    given = ((lambda: ((X[r], Y[r]) for r in rows)), None) if streamed else (X, Y)
    enough = Enough(1)
    assert net.evaluate(*given, batch_size=4, callbacks=[enough], verbose=0) == pytest.approx(some, rel=1e-6)
    assert enough.seen == 2 and net.evaluate(*given, verbose=0) == pytest.approx(whole, rel=1e-6)
    made = net.predict(given[0], batch_size=4, callbacks=[Enough(2)])
    assert np.array_equal(made, net.predict(X[:12])) and len(net.predict(given[0])) == len(X)


def test_validations_end_where_a_callback_says_so() -> None:
    net, enough = model(), Enough(0)
    history = net.fit(X, Y, validation_data=(X, Y), validation_batch_size=4, epochs=2, callbacks=[enough], verbose=0)
    assert enough.seen == 2  # of each of two epochs the first batch
    assert history.history["val_loss"][-1] == pytest.approx(net.evaluate(X[:4], Y[:4], verbose=0), rel=1e-6)

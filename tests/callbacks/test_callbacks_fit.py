"""Callbacks within real fits: what they are told, when they are called, and what they may put into the logs."""

from __future__ import annotations

import copy
import datetime
import enum
import io
import math
import pathlib
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import files
from nncore.callbacks import BackupAndRestore, CSVLogger, EarlyStopping, History, LambdaCallback, ModelCheckpoint

RNG = np.random.default_rng(3)
X = RNG.normal(size=(40, 4)).astype(np.float32)
Y = X[:, :1] - X[:, 1:2]


def model(**settings: Any) -> nn.Model:
    made = nn.Model([nn.Dense(5, activation="tanh"), nn.Dense(1)], seed=0)
    made.compile("sgd", "mse", **settings)
    return made


def fit(made: nn.Model, *callbacks: Any, **settings: Any) -> History:
    history: History = made.fit(X, Y, **{"verbose": 0, "epochs": 4} | settings, callbacks=list(callbacks))
    return history


def same(weights: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(weights, others, strict=True))


# ---- what is announced -----------------------------------------------------------------------------------------------

VALIDATED = ["loss", "mae", "mse", "val_loss", "val_mae", "val_mse"]


@pytest.mark.parametrize(
    ("settings", "metrics", "freq"),
    [
        ({}, ["loss", "mae", "mse"], None),
        ({"validation_split": 0.5}, VALIDATED, 1),
        ({"validation_data": (X, Y), "validation_freq": 3}, VALIDATED, 3),
        ({"validation_data": (X, Y), "validation_freq": 5}, ["loss", "mae", "mse"], 5),  # of 4 epochs
        ({"validation_split": 0.5, "validation_freq": 3, "initial_epoch": 3}, ["loss", "mae", "mse"], 3),
    ],
)
def test_the_names_of_the_logs_are_known_before(settings: Any, metrics: list[str], freq: int | None) -> None:
    told: dict[str, Any] = {}
    seen: list[str] = []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.extend(n for n in logs if n not in seen))
    watch.on_train_begin = lambda logs=None: told.update(watch.params)
    fit(model(metrics=["mae"], weighted_metrics=["mse"]), watch, **settings)
    assert told["metrics"] == seen == metrics and told["validation_freq"] == freq


def test_the_names_of_evaluate_and_predict() -> None:
    made, told = model(metrics=["mae"]), nn.Callback()
    assert list(made.evaluate(X, Y, verbose=0, return_dict=True, callbacks=[told])) == told.params["metrics"]
    assert told.params["metrics"] == ["loss", "mae"]
    made.predict(X, callbacks=[told])
    assert told.params["metrics"] == []


def test_csv_has_the_columns_of_later_validations(tmp_path: pathlib.Path) -> None:
    settings: dict[str, Any] = {"validation_data": (X, Y), "validation_freq": 2}

    def stop(epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    expected = fit(model(), CSVLogger(tmp_path / "whole"), **settings).history
    parts = [CSVLogger(tmp_path / "parts"), BackupAndRestore(tmp_path / "backup")]
    with pytest.raises(KeyboardInterrupt):
        fit(model(), *parts, LambdaCallback(on_epoch_end=stop), **settings)
    fit(model(), CSVLogger(tmp_path / "parts"), BackupAndRestore(tmp_path / "backup"), **settings)
    rows = [line.split(",") for line in (tmp_path / "whole").read_text().splitlines()]
    assert rows[0] == ["epoch", "loss", "val_loss"]
    assert [row[2] for row in rows[1:]] == ["NA", str(expected["val_loss"][0]), "NA", str(expected["val_loss"][1])]
    assert (tmp_path / "parts").read_text() == (tmp_path / "whole").read_text()


def test_only_validated_epochs_are_the_best(tmp_path: pathlib.Path) -> None:
    weights: dict[int, Any] = {}

    class Worse(nn.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            weights[epoch] = self.model.get_weights()
            if "val_loss" in logs:
                logs["val_loss"] = float(epoch)

    keep = ModelCheckpoint(tmp_path / "m-{val_loss}", save_best_only=True)
    with pytest.warns(UserWarning, match="validation_freq=2") as caught:
        fit(model(), Worse(), keep, epochs=5, validation_data=(X, Y), validation_freq=2)
    assert len(caught) == 1 and [p.name for p in tmp_path.iterdir()] == ["m-1.0"]
    assert same(nn.load_model(tmp_path / "m-1.0").get_weights(), weights[1])


# ---- stopping --------------------------------------------------------------------------------------------------------


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


# ---- what callbacks put into the logs --------------------------------------------------------------------------------


class Unpicklable:
    def __reduce_ex__(self, protocol: Any) -> Any:
        raise RuntimeError("no copies of me")


class Number(enum.IntEnum):
    one = 1


def nested(depth: int) -> Any:
    value: Any = 0.5
    for _ in range(depth):
        value = [value]
    return value


KEPT: dict[str, Any] = {
    "float": 0.1,
    "float64": np.float64(0.1),
    "float32": np.float32(0.1),
    "float16": np.float16(0.1),
    "int": 3,
    "int64": np.int64(-3),
    "uint64": np.uint64(2**64 - 1),
    "large": 10**400,
    "bool": True,
    "bool_": np.True_,
    "nan": math.nan,
    "inf": -math.inf,
    "minus zero": -0.0,
    "none": None,
    "text": "größe\n",
    "list": [0.5, math.nan, 1, [True, None]],
    "dict": {"a": 0.5, "b": {"c": np.float32(0.25)}},
    "array": np.arange(6, dtype=np.float32).reshape(2, 3),
    "0-d array": np.array(0.5),
    "in a list": [np.arange(3), np.arange(2)],
    "empty": np.zeros((0, 2)),
    "nested": nested(12),
    "longdouble": np.longdouble(0.5),
    "enum": Number.one,
}
LOST: dict[str, tuple[Any, str]] = {
    "int keys": ({0: 0.5, 1: 0.7}, "expected string keys, got 0"),
    "dollar": ({"$float": "nan"}, "must not start with"),
    "datetime": (datetime.datetime(2020, 1, 1), "got datetime"),
    "nanoseconds": (np.timedelta64(1, "ns"), "got timedelta64"),
    "datetime64": (np.datetime64("2020-01-01T00:00:00.000000000"), "got datetime64"),
    "complex": (1j, "got complex"),
    "object": (object(), "got object"),
    "deep": (nested(40), "at most 16 nested"),
    "far too deep": (nested(5000), "at most 16 nested"),
    "digits": (10**5000, "digits"),
    "surrogate": ("\ud800", "surrogates"),
    "array of objects": (np.array([object()]), "expected an array of numbers, got an array of object"),
    "array of words": (np.array(["a"]), "expected an array of numbers, got an array of <U1"),
    "mask": (np.ma.masked_array([1.0], [True]), "expected an array of numbers, got MaskedArray"),
    "set": ({1}, "got set"),
    "finer": (np.longdouble(1) / 3, "got longdouble"),
    "same path": ({"a/b": np.zeros(1), "a": {"b": np.zeros(1)}}, "taken"),
}


def logged(value: Any, epochs: int = 2, name: Any = "extra") -> nn.Model:
    made = model()
    fit(made, LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update({name: value})), epochs=epochs)
    return made


def equal(a: Any, b: Any) -> bool:
    """The same values, bit for bit; types too, but NumPy's numbers may have become Python's, and an enum's ints."""
    if isinstance(a, list):
        return type(b) is list and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()
    kind = next(k for k in (bool, np.bool_, float, int, np.integer, np.floating, str, type(None)) if isinstance(a, k))
    plain: Any = {np.bool_: bool, np.integer: int, np.floating: float, type(None): repr}.get(kind, kind)
    return isinstance(b, kind if plain is repr else (kind, plain)) and repr(plain(a)) == repr(plain(b))


@pytest.mark.parametrize("case", KEPT)
def test_logs_that_files_hold_come_back(case: str, tmp_path: pathlib.Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = logged(KEPT[case])
        made.save(tmp_path / "m")
        expected = made.history.history["extra"]
        for again in (nn.load_model(tmp_path / "m"), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
            assert again.history.epoch == [0, 1]
            assert equal(expected, again.history.history["extra"]) and "loss" in again.history.history


@pytest.mark.parametrize("case", LOST)
def test_logs_that_files_cannot_hold_are_named_once(case: str, tmp_path: pathlib.Path) -> None:
    value, words = LOST[case]
    backup = BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
    keep = ModelCheckpoint(tmp_path / "m-{epoch}")
    add = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(extra=value, fine=1.5))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = model()
        fit(made, add, keep, backup, epochs=3)
        made.save(tmp_path / "m")
        fit(model(), add, keep, backup, epochs=3)  # resumes
    texts = [str(w.message) for w in caught if "history:" in str(w.message)]
    assert len(texts) == 1 and "'extra' (" in texts[0] and words in texts[0] and "'fine'" not in texts[0]
    assert nn.load_model(tmp_path / "m").history.history.keys() == {"loss", "fine"}


def test_one_warning_names_all(tmp_path: pathlib.Path) -> None:
    made = model()
    extra: dict[Any, Any] = {"when": datetime.datetime(2020, 1, 1), 7: 0.5, "\udc00": 0.5, "fine": 0.5}
    fit(made, LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(extra)), epochs=1)
    with pytest.warns(UserWarning) as caught:
        made.save(tmp_path / "m")
    (text,) = [str(w.message) for w in caught]
    assert "'when' (" in text and "7 (expected a string for a name)" in text and "'\\udc00' (" in text
    assert nn.load_model(tmp_path / "m").history.history.keys() == {"loss", "fine"}


def test_copies_keep_what_files_cannot() -> None:
    when = datetime.datetime(2020, 1, 1)
    history = logged({0: when}).history
    for again in (copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert again.history == history.history and again.epoch == history.epoch
        assert again.history["extra"] is not history.history["extra"]


def test_copies_leave_out_what_cannot_be_copied() -> None:
    history = logged(Unpicklable()).history
    with pytest.warns(UserWarning, match=r"history: .* cannot hold .*'extra' \(no copies of me\)") as caught:
        again = copy.deepcopy(history), pickle.loads(pickle.dumps(history)), copy.deepcopy(history)
    assert len(caught) == 1 and all(h.history.keys() == {"loss"} and h.epoch == [0, 1] for h in again)
    function = logged(lambda: 1).history  # which can be copied, but not pickled
    assert copy.deepcopy(function).history.keys() == {"loss", "extra"}
    with pytest.warns(UserWarning, match="a pickle cannot hold"):
        assert pickle.loads(pickle.dumps(function)).history.keys() == {"loss"}


def test_long_histories_are_arrays(tmp_path: pathlib.Path) -> None:
    """Their size in the file is that of the numbers, and no limit of documents is near."""
    made = model()
    history = History()
    history.model = made
    history.on_train_begin()
    matrix = np.eye(3)
    for epoch in range(20_000):
        logs = {"loss": 0.5, "f1": np.float64(epoch), "f32": np.float32(0.1), "n": epoch, "n8": np.int8(3), "m": matrix}
        history.on_epoch_end(epoch, logs)
    state = history.get_state()
    kinds = [(a.dtype.str, a.shape) for a in state["values"]]
    assert kinds == [("<f8", (20_000,))] * 3 + [("<i8", (20_000,))] * 2 + [("<f8", (20_000, 3, 3))]
    made.build(4)
    made.save(tmp_path / "m")
    again = nn.load_model(tmp_path / "m").history
    for name, values in history.history.items():
        assert len(again.history[name]) == 20_000 and np.array_equal(values, again.history[name])
    assert type(again.history["n"][5]) is int and type(again.history["m"]) is list


def test_a_callback_whose_state_no_file_holds_is_named(tmp_path: pathlib.Path) -> None:
    class Mine(nn.Callback):
        def get_state(self) -> dict[str, Any]:
            return {"when": datetime.datetime(2020, 1, 1)}

    with pytest.raises(TypeError, match=r"callbacks: Mine\.get_state must return JSON values .*when.*got datetime"):
        fit(model(), EarlyStopping("loss"), Mine(), BackupAndRestore(tmp_path))

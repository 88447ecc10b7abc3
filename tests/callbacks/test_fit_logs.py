"""What callbacks put into the logs: it comes back from files and copies, or is named once."""

from __future__ import annotations

import copy
import datetime
import enum
import math
import pathlib
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from callback_fits import fit, model

import nncore as nn
from nncore.callbacks import BackupAndRestore, EarlyStopping, History, LambdaCallback, ModelCheckpoint


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

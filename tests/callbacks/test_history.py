"""`History`, `CSVLogger` and the progress bar: what is noted of each epoch."""

from __future__ import annotations

import csv
import io
import pathlib
from typing import Any

import numpy as np
import pytest
from callback_runs import Model, nan, run

from nncore.callbacks import CallbackList, CSVLogger, LambdaCallback, ProgressBar

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
    every = CallbackList(ProgressBar(stream=stream), model=Model())
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
    every = CallbackList(ProgressBar(verbose=2, stream=stream), model=model)
    every.set_params({"epochs": 9, "samples": 10, "verbose": 0})
    every.on_train_begin()
    every.on_tick(5)
    every.on_epoch_end(6, {"loss": 1.0})
    assert stream.getvalue().startswith("Epoch 7/9 - ")

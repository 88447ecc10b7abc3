"""The names of the logs: told before a fit, an evaluation or a prediction, and those of epochs with validation."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from callback_fits import X, Y, fit, model, same

import nncore as nn
from nncore.callbacks import BackupAndRestore, CSVLogger, LambdaCallback, ModelCheckpoint

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

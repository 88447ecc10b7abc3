"""Trainings that callbacks watch, save and stop, or that end in the middle: which steps count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy_twins import BATCH, Array, assert_weights, batches, network, shuffled, train, twin

import nncore as nn
from nncore.execution.tuning import Pace


def test_stop_training(xy: tuple[Array, Array]) -> None:
    x, y = xy

    class StopAfterEpoch(nn.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            self.model.stop_training = epoch == 2

    class StopAfterBatch(nn.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            self.model.stop_training = batch == 1

    model = network()
    assert len(model.fit(x, y, epochs=9, callbacks=[StopAfterEpoch()], verbose=0).history["loss"]) == 3
    assert model.optimizer.iterations == 3 * 2
    model = network()
    mlp = twin(model)
    first, second, *_ = batches(shuffled(model, 0))
    model.fit(x, y, batch_size=BATCH, epochs=9, callbacks=[StopAfterBatch()], verbose=0)
    for rows in (first, second):
        mlp.step(x[rows], y[rows])
    assert_weights(model, mlp)
    assert model.optimizer.iterations == 2
    model.fit(x, y, batch_size=BATCH, verbose=0)  # goes on with a pass of its own
    train(mlp, [shuffled(model, 1)], x, y)
    assert_weights(model, mlp)


def test_batch_logs_are_averages_so_far(xy: tuple[Array, Array]) -> None:
    x, y = xy
    seen = []

    class Watch(nn.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            assert logs is not None
            seen.append((batch, logs["loss"]))

    model = network()
    mlp = twin(model)
    history = model.fit(x, y, batch_size=BATCH, callbacks=[Watch()], verbose=0).history
    total = rows_so_far = 0.0
    for i, rows in enumerate(batches(shuffled(model, 0))):
        total += len(rows) * mlp.step(x[rows], y[rows])
        rows_so_far += len(rows)
        assert seen[i] == (i, pytest.approx(total / rows_so_far, rel=1e-11))
    assert history["loss"] == [seen[-1][1]]


def test_early_stopping_restores_the_best(xy: tuple[Array, Array]) -> None:
    x, y = xy
    model = network(nn.SGD(2.5, momentum=0.9))
    kept = []

    class Keep(nn.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            kept.append(self.model.get_weights())

    stopper = nn.callbacks.EarlyStopping(patience=3, restore_best_weights=True)
    history = model.fit(
        x[:30],
        y[:30],
        batch_size=8,
        epochs=100,
        validation_data=(x[30:], y[30:]),
        callbacks=[Keep(), stopper],
        verbose=0,
    ).history
    values = history["val_loss"]
    best = int(np.argmin(values))
    assert len(values) == best + 1 + 3 < 100
    for a, b in zip(model.get_weights(), kept[best], strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.evaluate(x[30:], y[30:], verbose=0) == values[best]


def test_checkpoints_hold_the_best_model(xy: tuple[Array, Array], tmp_path: Path) -> None:
    x, y = xy
    model = network(nn.SGD(2.0, momentum=0.9), metrics=["accuracy"])
    path = tmp_path / "best.safetensors"
    saver = nn.callbacks.ModelCheckpoint(path, save_best_only=True)
    every = nn.callbacks.ModelCheckpoint(tmp_path / "{epoch:02d}.safetensors")
    history = model.fit(x[:30], y[:30], epochs=6, validation_data=(x[30:], y[30:]), callbacks=[saver, every], verbose=0)
    best = nn.load_model(path).evaluate(x[30:], y[30:], verbose=0, return_dict=True)
    assert best["loss"] == min(history.history["val_loss"])
    for epoch in range(6):
        saved = nn.load_model(tmp_path / f"{epoch + 1:02d}.safetensors")
        assert saved.evaluate(x[30:], y[30:], verbose=0)[0] == history.history["val_loss"][epoch]
    # The state of the optimizer is in the file: the fourth epoch goes on as it went.
    again = nn.load_model(tmp_path / "03.safetensors")
    losses = again.fit(x[:30], y[:30], epochs=6, initial_epoch=3, verbose=0).history["loss"]
    assert losses == history.history["loss"][3:]


def test_diverging_leaves_the_last_finite_weights(xy: tuple[Array, Array]) -> None:
    x, y = xy
    x = x.copy()
    model = network()
    mlp = twin(model)
    order = shuffled(model, 0)
    x[order[2 * BATCH + 3], 1] = np.nan  # in the third batch
    with pytest.raises(ValueError, match=rf"row {order[2 * BATCH + 3]} "):
        model.fit(x, y, batch_size=BATCH, verbose=0)
    for rows in list(batches(order))[:2]:
        mlp.step(x[rows], y[rows])
    assert_weights(model, mlp)
    assert model.optimizer.iterations == 2


@pytest.mark.parametrize("ticks", range(1, 25))
def test_a_step_that_is_abandoned_is_in_no_average(ticks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped by the clock at any point of a step, the logs are those of the steps that were applied."""
    monkeypatch.setattr(Pace, "choose", lambda self: (1, 1e-5))  # back in Python wherever that may be

    class Stop(nn.Callback):
        ticks = 0

        def on_tick(self, samples_done: int, logs: Any = None) -> None:
            self.ticks += 1
            self.model.stop_training = self.ticks == ticks

    batch, width = 8, 512  # an operation is long enough for a look at the clock after it
    x = np.zeros((4 * batch, width), np.float32)
    y = np.repeat(np.arange(1, 5, dtype=np.float32), batch)
    layers = [nn.Dense(width, activation="tanh"), nn.Dense(width, activation="tanh"), nn.Dense(1)]
    model = nn.Model(layers, seed=0)
    model.compile(nn.SGD(0.0, global_clipnorm=1.0), "mse")
    history = model.fit(x, y, batch_size=batch, shuffle=False, verbose=0, callbacks=[Stop()]).history
    steps = model.optimizer.iterations
    expected = [np.mean(np.arange(1, steps + 1) ** 2)] if steps else []  # batch i has the loss i²; no step, no epoch
    np.testing.assert_array_equal(history.get("loss", []), expected)

"""Callbacks that write, compile, reseed or train in the middle of a fit: what it goes on with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from beside_fits import INPUTS, X, Y, twin_weights

import nncore as nn


def test_a_callback_of_the_fit_may_write() -> None:
    """Also in the middle of a step, which then begins again: with weights W it would have used old ones."""

    def trained(write: bool) -> list[Any]:
        model = twin_weights()
        moved = [np.full_like(w, 0.01) for w in model.get_weights()]

        class Write(nn.Callback):
            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
                if write and batch == 2:
                    self.model.set_weights(moved)

        model.fit(X, Y, batch_size=16, verbose=0, shuffle=False, callbacks=[Write()])
        if not write:
            model.set_weights(moved)
        return model.get_weights()

    after = trained(True)[0].flat[0]
    # two steps of Adam, whose increment is the learning rate while the gradient hardly changes
    assert after == pytest.approx(0.01 + 2e-5, abs=1e-6)


def test_compile_within_a_fit_takes_effect_at_the_next_step() -> None:
    model = twin_weights()

    class Recompile(nn.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 0:
                self.model.compile(nn.SGD(0.0), "mae", metrics=["mse"])
                self.weights = self.model.get_weights()

    again = Recompile()
    history = model.fit(X, Y, epochs=3, batch_size=16, verbose=0, callbacks=[again]).history
    assert np.array_equal(model.get_weights()[0], again.weights[0])
    assert [len(history[name]) for name in ("loss", "mse")] == [3, 2]
    error = 3.0 - INPUTS * float(again.weights[0].flat[0])
    assert history["loss"][1:] == pytest.approx([error, error], rel=1e-5)


def test_compile_within_a_fit_for_other_targets_is_explained() -> None:
    model = nn.Model([nn.Input(4), nn.Dense(3, activation="softmax")], seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    recompile = nn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: model.compile("sgd", "mse"))
    with pytest.raises(ValueError, match="loss: expected one for targets such as this fit was given"):
        model.fit(np.ones((8, 4)), np.zeros(8, int), epochs=2, verbose=0, callbacks=[recompile])
    model.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)


def test_reseed_within_a_fit_keeps_the_sums() -> None:
    """The loss of the epoch is that of all its batches."""

    def losses(reseed: bool) -> Any:
        model = twin_weights()

        class Reseed(nn.Callback):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                if reseed and batch == 1:
                    self.model.reseed(5)

        return model.fit(X, Y, batch_size=16, shuffle=False, verbose=0, callbacks=[Reseed()]).history["loss"]

    assert losses(True) == losses(False)


def test_a_callback_may_train_in_the_middle_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gradients take the place of those of that step, which begins again, and then comes to its end."""
    monkeypatch.setattr("nncore.execution.tuning.Pace.choose", lambda self: (1, 1e-5))  # stops everywhere
    width = 512
    x, y = np.random.default_rng(0).standard_normal((2, 4 * 64, width)).astype(np.float32)
    bad = np.full((1, width), np.nan, np.float32)

    class Train(nn.Callback):
        ticks = 0

        def on_tick(self, samples_done: int, logs: Any = None) -> None:
            self.ticks += 1
            with pytest.raises(ValueError, match="expected finite values"):
                self.model.train_on_batch(bad, y[:1])

    def trained(callbacks: list[nn.Callback]) -> list[Any]:
        model = nn.Model([nn.Input(width), *(nn.Dense(width, "tanh") for _ in range(4))], seed=0, n_threads=2)
        model.compile("sgd", "mse")
        model.fit(x, y, batch_size=64, verbose=0, callbacks=callbacks)
        return model.get_weights()

    train = Train()
    for one, other in zip(trained([]), trained([train]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert train.ticks >= 4


def test_compile_within_a_validation() -> None:
    """What it was at work with is not kept for the next."""
    model = twin_weights()
    recompile = nn.callbacks.LambdaCallback(on_test_begin=lambda logs: model.compile("sgd", "mae", metrics=["mse"]))
    model.fit(X, Y, validation_data=(X, Y), verbose=0, callbacks=[recompile])
    loss, mse = model.evaluate(X, Y, verbose=0)
    assert mse == pytest.approx(loss**2)

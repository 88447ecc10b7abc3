"""Fits of models whose inputs have sizes that the data settle."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from callback_fits import Interrupts
from kernels import assert_same_bits
from open_models import batch, batches, compiled, series

import nncore as nn
from nncore import sizes

RNG = np.random.default_rng(7)


def test_steps_beside_numpy() -> None:
    x = nn.Input((None, 4))
    model = nn.Model(x, nn.Dense(1)(nn.GlobalAveragePooling1D()(x)), dtype="float64", seed=0)
    model.compile(nn.SGD(0.5), "mse")
    w, b = model.get_weights()
    for steps in (9, 2, 30, 9):
        given, y = RNG.normal(size=(6, steps, 4)), RNG.normal(size=(6, 1))
        means = given.mean(axis=1)
        error = means @ w + b - y
        np.testing.assert_allclose(model.train_on_batch(given, y), np.mean(error**2), rtol=1e-12)
        w, b = w - 0.5 * means.T @ (2 / 6 * error), b - 0.5 * 2 / 6 * error.sum(0)
        for mine, expected in zip(model.get_weights(), (w, b), strict=True):
            np.testing.assert_allclose(mine, expected, rtol=1e-12)


def test_a_fit_has_the_bits_of_known_sizes() -> None:
    free = compiled(series())
    for steps in (9, 14):
        mine, known = copy.deepcopy(free), compiled(series(steps))
        known.set_weights(free.get_weights())
        x, y = batch(steps, 50)
        settings: dict[str, Any] = {"epochs": 3, "batch_size": 16, "verbose": 0, "validation_split": 0.2}
        assert mine.fit(x, y, **settings).history == known.fit(x, y, **settings).history
        for a, b in zip(mine.get_weights(), known.get_weights(), strict=True):
            assert_same_bits(a, b, steps)
        assert mine.evaluate(x, y, verbose=0) == known.evaluate(x, y, verbose=0)
        assert_same_bits(mine.predict(x), known.predict(x), steps)


def test_batches_of_different_sizes_are_steps_one_after_another() -> None:
    fitted, stepped = compiled(series()), compiled(series())
    history = fitted.fit(batches, epochs=2, verbose=0, validation_data=batches).history
    logs = [[stepped.train_on_batch(*b) for b in batches()] for _ in range(2)]
    for a, b in zip(fitted.get_weights(), stepped.get_weights(), strict=True):
        assert_same_bits(a, b, "weights")
    np.testing.assert_allclose(np.transpose([history["loss"], history["accuracy"]]), np.mean(logs, axis=1), rtol=1e-6)
    each = np.mean([fitted.evaluate(*b, verbose=0) for b in batches()], axis=0)
    np.testing.assert_allclose(fitted.evaluate(batches, verbose=0), each, rtol=1e-6)
    np.testing.assert_allclose([history["val_loss"][-1], history["val_accuracy"][-1]], each, rtol=1e-6)


def test_accumulated_gradients_are_of_batches_of_different_sizes() -> None:
    x = nn.Input((None, 4))
    model = nn.Model(x, nn.Dense(1)(nn.GlobalAveragePooling1D()(x)), dtype="float64", seed=0)
    model.compile(nn.SGD(0.5, gradient_accumulation_steps=2), "mse")
    w, _ = model.get_weights()
    total = np.zeros_like(w)
    for steps in (9, 2):
        given, y = RNG.normal(size=(6, steps, 4)), RNG.normal(size=(6, 1))
        means = given.mean(axis=1)
        total += means.T @ (2 / 6 * (means @ w - y)) / 2
        model.train_on_batch(given, y)
    np.testing.assert_allclose(model.get_weights()[0], w - 0.5 * total, rtol=1e-12)


def test_outputs_of_open_sizes() -> None:
    x = nn.Input((None, 4))
    model = nn.Model(x, nn.Dense(3, "softmax")(x), dtype="float64", seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    for steps in (5, 2):
        given, y, weight = RNG.normal(size=(6, steps, 4)), RNG.integers(0, 3, (6, steps)), RNG.random((6, steps))
        p = networks.forward(model, model.get_weights(), given)
        terms = -np.log(np.take_along_axis(p, y[..., None], -1)[..., 0]) * weight
        loss, accuracy = model.evaluate(given, y, sample_weight=weight, verbose=0)
        np.testing.assert_allclose(loss, terms.mean(), rtol=1e-12)
        np.testing.assert_allclose(accuracy, (p.argmax(-1) == y).mean(), rtol=1e-12)
        model.fit(given, y, sample_weight=weight, verbose=0)
        with pytest.raises(ValueError, match=rf"y: expected shape \(6, {steps}\), got \(6, {steps + 1}\)"):
            model.fit(given, np.zeros((6, steps + 1)), verbose=0)


@pytest.mark.parametrize("done", [2, 3, 7])
def test_an_interrupted_fit_goes_on_with_the_same_bits(tmp_path: Path, done: int) -> None:
    settings: dict[str, Any] = {"epochs": 3, "verbose": 0}
    whole = compiled(series())
    wanted = whole.fit(batches, **settings).history
    broken, backup = compiled(series()), nn.callbacks.BackupAndRestore(tmp_path, save_freq=1)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(batches, callbacks=[backup, Interrupts(done)], **settings)
    resumed = compiled(series())
    history = resumed.fit(batches, callbacks=[nn.callbacks.BackupAndRestore(tmp_path, save_freq=1)], **settings)
    assert history.history == wanted
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        assert_same_bits(a, b, done)


def test_other_ways_to_train() -> None:
    x, y = batch(9, 40)
    model = compiled(series(), nn.optimizers.LBFGS())
    assert model.fit(x, y, epochs=3, verbose=0).history["loss"][-1] < 1.2
    model = compiled(series())
    assert len(model.find_learning_rate(x, y, steps=5).losses) == 5
    model.fit(x, y, class_weight={0: 2.0}, verbose=0)


def test_a_model_for_which_no_size_is_found_when_it_is_compiled() -> None:
    x, shorter = nn.Input((None, 4)), nn.Input((None, 6))
    model = compiled(nn.Model([x, shorter], nn.GlobalMaxPooling1D()(nn.Conv1D(6, 3)(x) + shorter)))
    for steps in (9, 5):
        rows, y = batch(steps)
        assert np.isfinite(model.train_on_batch([rows, np.ones((8, steps - 2, 6))], y)).all()
    with pytest.raises(ValueError, match=r"Add: expected inputs of one shape.*got \(3, 6\), \(5, 6\)"):
        model.predict([rows, np.ones((8, 5, 6))])


def test_no_more_programs_are_held_than_a_few() -> None:
    model = compiled(series())
    for steps in range(3, 3 + 2 * sizes.MOST_KNOWN):
        model.predict(batch(steps)[0])
        model.train_on_batch(*batch(steps))
    [steppers] = model.steppers().idle.values()
    assert len(model._predictors) == len(steppers) == sizes.MOST_KNOWN
    inputs = model._inputs(batch(steps)[0])
    assert model.predictor(inputs) is model.predictor(inputs)
    fresh = copy.deepcopy(model)
    for again in (3, steps):
        assert_same_bits(model.predict(batch(again)[0]), fresh.predict(batch(again)[0]), again)


def test_no_more_memory_is_held_than_some(monkeypatch: pytest.MonkeyPatch) -> None:
    model = compiled(series())
    for most, held in ((0, 1), (1 << 30, 5)):
        monkeypatch.setattr(sizes, "MOST_BYTES", most)
        for steps in range(3, 8):
            model.predict(batch(steps)[0])
            model.train_on_batch(*batch(steps))
        [steppers] = model.steppers().idle.values()
        assert len(model._predictors) == len(steppers) == held

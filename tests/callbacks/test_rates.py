"""Callbacks that set learning rates, and those that evaluate running means."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.callbacks import (
    BackupAndRestore,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    SwapEMAWeights,
)
from nncore.optimizers import MultiOptimizer, OptimizerMap
from nncore.schedules import CosineDecay

Array = np.ndarray[Any, Any]


def rows(n: int = 30) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 3)), rng.standard_normal((n, 2))


def model(optimizer: Any) -> nn.Model:
    made = nn.Model([nn.Input(3), nn.Dense(4, "tanh", name="dense"), nn.Dense(2)], seed=1, dtype="float64")
    made.compile(optimizer, "mse")
    return made


def assert_same(one: nn.Model, other: nn.Model) -> None:
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


@pytest.mark.parametrize("schedule", [lambda epoch: 0.5 / (1 + epoch), lambda epoch, lr: 0.5 / (1 + epoch) + 0 * lr])
def test_a_rate_for_each_epoch(schedule: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """As a callback that sets it; what was said and logged."""
    x, y = rows()
    one, other = model("sgd"), model("sgd")
    history = one.fit(x, y, epochs=3, verbose=0, callbacks=[LearningRateScheduler(schedule, verbose=1)])

    def set_rate(epoch: int, logs: Any) -> None:
        other.optimizer.learning_rate = 0.5 / (1 + epoch)

    other.fit(x, y, epochs=3, verbose=0, callbacks=[LambdaCallback(on_epoch_begin=set_rate)])
    assert_same(one, other)
    assert history.history["learning_rate"] == [0.5, 0.25, 0.5 / 3]
    assert "Epoch 2: LearningRateScheduler setting learning rate to 0.25." in capsys.readouterr().out
    assert one.optimizer.learning_rate.value == np.float32(0.5 / 3) == one.optimizer.learning_rate.numpy()


def test_the_rate_so_far_is_given() -> None:
    m = model(nn.Adam(0.25))
    m.fit(*rows(), epochs=2, verbose=0, callbacks=[LearningRateScheduler(lambda epoch, lr: lr / 2)])
    assert m.optimizer.learning_rate == 0.0625


def plateaus(values: list[float], **settings: Any) -> list[float]:
    """The rates after each epoch, where the monitored number is these."""
    m = model(nn.SGD(1.0))
    reducer = ReduceLROnPlateau("watched", mode="min", **settings)

    def put(epoch: int, logs: Any) -> None:
        logs["watched"] = values[epoch]

    m.fit(*rows(), epochs=len(values), verbose=0, callbacks=[LambdaCallback(on_epoch_end=put), reducer])
    return [*m.history.history["learning_rate"][1:], float(m.optimizer.learning_rate)]


@pytest.mark.parametrize(
    ("values", "settings", "rates"),
    [
        ([5, 4, 3, 2], {"patience": 1}, [1, 1, 1, 1]),
        ([5, 5, 5, 5], {"patience": 1, "factor": 0.5}, [1, 0.5, 0.25, 0.125]),
        ([5, 5, 5, 5, 5], {"patience": 2, "factor": 0.5}, [1, 1, 0.5, 0.5, 0.25]),
        ([5, 5, 5, 5, 5, 5], {"patience": 1, "factor": 0.5, "cooldown": 2}, [1, 0.5, 0.5, 0.25, 0.25, 0.125]),
        ([5, 5, 5, 5], {"patience": 1, "factor": 0.5, "min_lr": 0.3}, [1, 0.5, 0.3, 0.3]),
        ([5, 4.95, 4.9, 4.85], {"patience": 1, "factor": 0.5, "min_delta": 0.06}, [1, 0.5, 0.5, 0.25]),
        ([5, math.nan, 4], {"patience": 1, "factor": 0.5}, [1, 0.5, 0.5]),
    ],
)
def test_reductions(values: list[float], settings: dict[str, Any], rates: list[float]) -> None:
    assert plateaus(values, **settings) == pytest.approx(rates)


def test_reductions_go_on_where_a_fit_is_resumed(tmp_path: pathlib.Path) -> None:
    x, y = rows()

    def callbacks(*more: Any) -> list[Any]:
        reducer = ReduceLROnPlateau("loss", patience=2, factor=0.5, min_delta=100, cooldown=1)
        return [reducer, LearningRateScheduler(lambda epoch, lr: lr), *more]

    whole = model(nn.Adam(0.1))
    whole.fit(x, y, epochs=9, verbose=0, callbacks=callbacks())

    def stop(epoch: int, logs: Any) -> None:
        if epoch == 4:
            raise KeyboardInterrupt

    broken = model(nn.Adam(0.1))
    with pytest.raises(KeyboardInterrupt):
        more = BackupAndRestore(tmp_path), LambdaCallback(on_epoch_begin=stop)
        broken.fit(x, y, epochs=9, verbose=0, callbacks=callbacks(*more))
    resumed = model(nn.Adam(0.1))
    resumed.fit(x, y, epochs=9, verbose=0, callbacks=callbacks(BackupAndRestore(tmp_path)))
    assert_same(whole, resumed)
    assert whole.history.history == resumed.history.history
    assert whole.optimizer.learning_rate < 0.1


def test_each_of_several_optimizers() -> None:
    multi = MultiOptimizer(OptimizerMap(nn.SGD(1.0, name="rest"), {"dense/.*": nn.Adam(0.1, name="first")}))
    m = model(multi)
    reducer = ReduceLROnPlateau("loss", patience=1, factor=0.5, min_delta=100)
    history = m.fit(*rows(), epochs=2, verbose=0, callbacks=[LearningRateScheduler(lambda e, lr: lr), reducer]).history
    assert history["learning_rate_first"] == [0.1, 0.1] and history["learning_rate_rest"] == [1.0, 1.0]
    assert [o.learning_rate for o in multi.optimizers] == [0.05, 0.5]


def test_optimizers_of_one_name_are_numbered(capsys: pytest.CaptureFixture[str]) -> None:
    multi = MultiOptimizer(
        OptimizerMap(nn.SGD(1.0), {"dense/kernel": nn.SGD(0.25), "dense/bias": nn.SGD(0.5, name="sgd_1")})
    )
    scheduler = LearningRateScheduler(lambda epoch, lr: lr, verbose=1)
    history = model(multi).fit(*rows(), verbose=0, callbacks=[scheduler]).history
    rates = {"learning_rate_sgd": [0.25], "learning_rate_sgd_1": [0.5], "learning_rate_sgd_2": [1.0]}
    assert {name: values for name, values in history.items() if name != "loss"} == rates
    said = [line.partition("setting ")[2] for line in capsys.readouterr().out.splitlines() if line]
    assert said == [
        f"{name} learning rate to {rate}." for name, rate in (("sgd", 0.25), ("sgd_1", 0.5), ("sgd_2", 1.0))
    ]


@pytest.mark.parametrize("make", [lambda: LearningRateScheduler(lambda e: 0.1), lambda: ReduceLROnPlateau("loss")])
def test_a_schedule_of_steps_is_not_set(make: Any) -> None:
    with pytest.raises(
        TypeError, match="learning_rate: .* expected a number that it can set, got CosineDecay.* created "
    ):
        model(nn.SGD(CosineDecay(0.1, 10))).fit(*rows(), verbose=0, callbacks=[make()])


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: LearningRateScheduler(0.1), TypeError, "schedule: expected a function of the epoch, got 0.1"),
        (lambda: ReduceLROnPlateau(factor=1.0), ValueError, r"factor: expected a number in \[0, 1\), got 1.0"),
        (lambda: ReduceLROnPlateau(patience=-1), ValueError, "patience: expected a whole number"),
        (lambda: ReduceLROnPlateau(min_lr=-1.0), ValueError, "min_lr: expected a finite number ≥ 0"),
        (lambda: SwapEMAWeights(1), TypeError, "swap_on_epoch: expected True or False, got 1"),
    ],
)
def test_arguments(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_a_schedule_that_returns_no_number() -> None:
    with pytest.raises(TypeError, match="schedule: expected a function that returns a number, got 'a' for epoch 0"):
        model("sgd").fit(*rows(), verbose=0, callbacks=[LearningRateScheduler(lambda epoch: "a")])


# -- running means -----------------------------------------------------------------------------------------------------


def averaged() -> nn.Model:
    return model(nn.SGD(0.1, use_ema=True, ema_momentum=0.9))


def test_validation_of_running_means() -> None:
    """Training is as without; validation sees what the fit ends with."""
    x, y = rows()
    plain, swapped = averaged(), averaged()
    plain.fit(x, y, epochs=3, verbose=0, validation_data=(x, y))
    swapped.fit(x, y, epochs=3, verbose=0, validation_data=(x, y), callbacks=[SwapEMAWeights()])
    assert_same(plain, swapped)
    assert plain.history.history["loss"] == swapped.history.history["loss"]
    final = swapped.evaluate(x, y, verbose=0)
    assert swapped.history.history["val_loss"][-1] == final != plain.history.history["val_loss"][-1]


def test_running_means_at_the_end_of_epochs(tmp_path: pathlib.Path) -> None:
    x, y = rows()
    m, plain = averaged(), averaged()
    saver = ModelCheckpoint(tmp_path / "{epoch}.safetensors")
    m.fit(x, y, epochs=3, verbose=0, validation_data=(x, y), callbacks=[SwapEMAWeights(swap_on_epoch=True), saver])
    plain.fit(x, y, epochs=3, verbose=0)
    assert_same(m, plain)
    losses = [nn.load_model(tmp_path / f"{e}.safetensors").evaluate(x, y, verbose=0) for e in (1, 2, 3)]
    assert losses == m.history.history["val_loss"]


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_resumed(swap_on_epoch: bool, tmp_path: pathlib.Path) -> None:
    x, y = rows()
    whole = averaged()
    whole.fit(x, y, epochs=4, verbose=0, callbacks=[SwapEMAWeights(swap_on_epoch)])

    def stop(epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    broken = averaged()
    with pytest.raises(KeyboardInterrupt):
        callbacks = [LambdaCallback(on_epoch_begin=stop), SwapEMAWeights(swap_on_epoch), BackupAndRestore(tmp_path)]
        broken.fit(x, y, epochs=4, verbose=0, callbacks=callbacks)
    resumed = averaged()
    resumed.fit(x, y, epochs=4, verbose=0, callbacks=[SwapEMAWeights(swap_on_epoch), BackupAndRestore(tmp_path)])
    assert_same(whole, resumed)


def test_an_optimizer_without_means() -> None:
    with pytest.raises(ValueError, match="SwapEMAWeights: expected an optimizer with use_ema=True, got SGD"):
        model("sgd").fit(*rows(), verbose=0, validation_split=0.5, callbacks=[SwapEMAWeights()])


def test_predictions_of_running_means() -> None:
    x, y = rows()
    m = averaged()
    m.fit(x, y, epochs=2, verbose=0)
    final = m.predict(x, verbose=0)
    m.train_on_batch(x, y)
    with_weights, with_means = m.predict(x, verbose=0), m.predict(x, verbose=0, callbacks=[SwapEMAWeights()])
    assert np.array_equal(m.predict(x, verbose=0), with_weights)
    assert abs(with_means - final).max() < abs(with_weights - final).max()

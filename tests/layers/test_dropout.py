"""Dropout whose rate changes by step: against NumPy, against rates set by hand, and what becomes of it elsewhere."""

from __future__ import annotations

import copy
import math
import pathlib
import pickle
from typing import Any

import formulas
import numpy as np
import pytest
from numpy.typing import NDArray
from test_schedules import Inverse, Table, registered

import nncore as nn
from nncore import schedules
from nncore.callbacks import BackupAndRestore, LambdaCallback
from nncore.execution import team
from nncore.execution.stepping import Stepper
from nncore.schedules import AHEAD, Ahead, LearningRateSchedule

Array = NDArray[Any]
__all__ = ["registered"]  # the fixture

SEED, BATCH = 2**40 + 7, 8
RNG = np.random.default_rng(6)
X, Y = RNG.standard_normal((53, 6)), RNG.standard_normal((53, 4))  # 7 steps, the last of 5 rows


def rate_at(rate: Any, step: int) -> float:
    return float(rate(np.array([step]))[0]) if isinstance(rate, LearningRateSchedule) else rate


def net(first: Any, second: Any, learning_rate: Any = 0.1, **settings: Any) -> nn.Model:
    """X ⊙ mask → tanh → ⊙ mask → linear."""
    layers = [nn.Dropout(first), nn.Dense(9, "tanh"), nn.Dropout(second), nn.Dense(4)]
    model = nn.Model([nn.Input(6), *layers], seed=SEED, dtype="float64", **settings)
    model.compile(nn.SGD(learning_rate), "mse")
    return model


class Twin:
    """The same network in NumPy."""

    def __init__(self, model: nn.Model, first: Any, second: Any) -> None:
        self.weights, self.rates, self.step = model.get_weights(), (first, second), 0

    def gradients(self, x: Array, y: Array, update: int) -> list[Array]:
        """Those of a batch, by mean squared error, with the rates of an update."""
        w1, b1, w2, b2 = self.weights
        rates = [rate_at(rate, update) for rate in self.rates]
        shapes = (len(x), 6), (len(x), 9)
        first, second = (
            formulas.kept(math.prod(shape), SEED, layer, self.step, rates[layer]).reshape(shape)
            for layer, shape in enumerate(shapes)
        )
        self.step += 1
        x = x * first
        h = np.tanh(x @ w1 + b1)
        dropped = h * second
        dp = 2 * (dropped @ w2 + b2 - y) / y.size
        dz = dp @ w2.T * second * (1 - h**2)
        return [x.T @ dz, dz.sum(0), dropped.T @ dp, dp.sum(0)]

    def update(self, gradients: list[Array], learning_rate: float) -> None:
        self.weights = [w - learning_rate * g for w, g in zip(self.weights, gradients, strict=True)]


def assert_same(a: nn.Model, b: nn.Model) -> None:
    """The same bits."""
    for v, w in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(v, w)


@pytest.mark.parametrize("ahead", [AHEAD, 4, 1])
@pytest.mark.parametrize("learning_rate", [0.1, Inverse(0.2)], ids=str)
@pytest.mark.parametrize(
    "rates", [(Inverse(0.5), 0.25), (Inverse(0.9, 0.1), Table([0.0, 0.5, 0.3] * 4)), (0.0, Inverse(0.6))], ids=str
)
def test_a_step_has_the_rates_of_its_schedules(
    rates: Any, learning_rate: Any, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the numbers of the steps ahead end between two steps."""
    monkeypatch.setattr(schedules, "AHEAD", ahead)
    model = net(*rates, learning_rate)
    twin = Twin(model, *rates)
    model.fit(X, Y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0)
    for update in range(14):
        rows = slice(BATCH * (update % 7), BATCH * (update % 7 + 1))
        twin.update(twin.gradients(X[rows], Y[rows], update), rate_at(learning_rate, update))
    for a, b in zip(model.get_weights(), twin.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def test_steps_without_an_update_have_the_rate_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients of two batches are added before each update; their masks differ."""
    rates = Table([0.5, 0.1, 0.7]), Inverse(0.5)
    model = net(*rates)
    twin, parts = Twin(model, *rates), list[Array]()

    def reduce(stepper: Stepper) -> bool:
        parts.append(stepper.state.gradients.copy())
        if len(parts) % 2:
            return False
        stepper.state.gradients[:] = parts[-2] + parts[-1]
        return True

    kind: dict[str, Any] = {"training": True, "weighted": (False,), "max_samples": BATCH, "threads": 1}
    settings: dict[str, Any] = {"optimizer_state": {}, "seed": SEED, "steps": model.counters}
    stepper = Stepper(model.graph, model.configuration, **kind, **settings, reduce=reduce)
    stepper.attach(model._dataset(X[:48], Y[:48]), shuffled=False)
    stepper.begin(BATCH)
    stepper.advance()
    for update in range(3):
        first, second = (
            twin.gradients(X[row : row + BATCH], Y[row : row + BATCH], update)
            for row in (2 * BATCH * update, 2 * BATCH * update + BATCH)
        )
        twin.update([a + b for a, b in zip(first, second, strict=True)], 0.1)
    assert (int(model.counters[0]), model.optimizer.iterations) == (6, 3)
    for a, b in zip(model.get_weights(), twin.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_rates_that_are_set_before_each_step_give_the_same_bits(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of threads, which share out a mask of several spans."""
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    monkeypatch.setattr(schedules, "AHEAD", 4)
    first, second = Inverse(0.5), Table([0.5, 0.0, 0.3, 0.25, 0.75])
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2000, 6)), rng.standard_normal((2000, 4))
    model, other = net(first, second, n_threads=threads), net(0.0, 0.0)
    for step in range(6):
        other.layers[0].rate, other.layers[2].rate = rate_at(first, step), rate_at(second, step)
        assert model.train_on_batch(x, y) == other.train_on_batch(x, y)
    assert_same(model, other)


def test_a_schedule_is_asked_once_for_a_thousand_steps() -> None:
    """Also where it is that of several layers, and of several calls of one; never for what draws no mask."""
    shared, alone, rate = Inverse(0.5), Inverse(0.25), Inverse()
    x, drop = nn.Input(3), nn.Dropout(shared)
    h = nn.Dropout(shared)(nn.Add()([drop(x), drop(x)]))
    model = nn.Model(x, nn.Dense(2)(nn.Dropout(alone)(h)), seed=1)
    model.compile(nn.SGD(rate), "mse")
    rng = np.random.default_rng(0)
    data = rng.standard_normal((3000, 3)), rng.standard_normal((3000, 2))
    model.evaluate(*data, verbose=0)
    model.predict(data[0])
    assert shared._asked == alone._asked == []
    model.fit(*data, batch_size=1, verbose=0)
    model.evaluate(*data, verbose=0)
    assert shared._asked == alone._asked == rate._asked == [(0, AHEAD), (AHEAD, AHEAD), (2 * AHEAD, AHEAD)]
    for _ in range(20):
        model.train_on_batch(data[0][:1], data[1][:1])
    model.optimizer.learning_rate = 0.1
    model.fit(data[0][:40], data[1][:40], batch_size=1, verbose=0)
    assert shared._asked == alone._asked == [(0, AHEAD), (AHEAD, AHEAD), (2 * AHEAD, AHEAD)]


def test_numbers_beside_others_reach_as_far_as_both() -> None:
    many, one, others = np.arange(6.0), np.array([7.0]), np.arange(10.0, 15.0)
    both = Ahead(2, 8, [many, one]).beside(Ahead(4, 9, [others]))
    assert (both.first, both.end) == (4, 8) and not both.reaches(3) and both.reaches(7) and not both.reaches(8)
    assert [[both.at(i, step) for step in range(4, 8)] for i in range(3)] == [
        [2.0, 3.0, 4.0, 5.0],
        [7.0, 7.0, 7.0, 7.0],
        [10.0, 11.0, 12.0, 13.0],
    ]
    assert [len(values) for values in both.numbers] == [4, 1, 4]
    assert both.numbers[1] is one  # what is set on it later counts


@pytest.mark.parametrize("save_freq", ["epoch", 1])
def test_a_fit_that_is_taken_up_again_has_the_same_bits(save_freq: Any, tmp_path: pathlib.Path) -> None:
    x, y = RNG.standard_normal((300, 6)), RNG.standard_normal((300, 4))
    settings: dict[str, Any] = {"batch_size": 1, "epochs": 5, "verbose": 0}

    def make() -> nn.Model:
        return net(Inverse(0.5, 0.001), Inverse(0.9, 0.01), Inverse())

    whole = make()
    whole.fit(x, y, **settings)
    for kill in (700, 1100, 10**6):
        model = make()

        def stop(batch: int, logs: Any, kill: int = kill, optimizer: Any = model.optimizer) -> None:
            if optimizer.iterations == kill:
                raise KeyboardInterrupt

        try:
            model.fit(
                x, y, callbacks=[BackupAndRestore(tmp_path, save_freq), LambdaCallback(on_train_batch_end=stop)],
                **settings,
            )  # fmt: skip
        except KeyboardInterrupt:
            continue
    assert model.optimizer.iterations == 1500
    assert_same(model, whole)


def test_resuming_needs_the_same_schedule(tmp_path: pathlib.Path) -> None:
    model = net(Inverse(0.5), 0.0)

    def stop(epoch: int, logs: Any) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    callbacks = [BackupAndRestore(tmp_path), LambdaCallback(on_epoch_begin=stop)]
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, epochs=3, verbose=0, callbacks=callbacks)
    for rate, words in ((Inverse(0.25), "rate: 0.25, was 0.5"), (0.5, "rate: 0.5, was {")):
        with pytest.raises(nn.FormatError, match=words):
            net(rate, 0.0).fit(X, Y, epochs=3, verbose=0, callbacks=callbacks[:1])


# ---- files, copies, settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["file", "copy", "pickle", "clone", "config"])
def test_what_comes_of_a_model_goes_on_as_it_does(way: str, tmp_path: pathlib.Path) -> None:
    model = net(Inverse(0.5), Inverse(0.25, 2.0))
    if way in ("file", "copy", "pickle"):
        model.fit(X, Y, batch_size=BATCH, verbose=0)
    other: Any
    if way == "file":
        model.save(tmp_path / "m")
        other = nn.load_model(tmp_path / "m")
    elif way == "clone":
        other = nn.clone_model(model)
    elif way == "config":
        other = nn.Model.from_config(model.get_config())
    else:
        other = copy.deepcopy(model) if way == "copy" else pickle.loads(pickle.dumps(model))
    if way in ("clone", "config"):
        other.compile(nn.SGD(0.1), "mse")
        other.set_weights(model.get_weights())
        other.seed = SEED
    assert other.get_config()["layers"] == model.get_config()["layers"]
    assert other.layers[0].rate.rate == 0.5 and other.layers[0].rate is not model.layers[0].rate
    for m in (model, other):
        m.fit(X, Y, batch_size=BATCH, epochs=2, verbose=0)
    assert_same(model, other)


def test_configurations() -> None:
    described = {"class": "inverse", "config": {"rate": 0.5, "k": 0.25}}
    layer = nn.Dropout(Inverse(0.5), name="d")
    assert layer.get_config() == {"rate": described, "noise_shape": None, "seed": None, "name": "d"}
    assert isinstance(nn.Dropout(described).rate, Inverse) and nn.Dropout(described).rate.rate == 0.5
    assert repr(layer) == "<Dropout name='d', rate=Inverse(rate=0.5, k=0.25)>"
    layer.rate = described
    assert isinstance(layer.rate, Inverse)
    layer.rate = 0.125
    assert layer.get_config()["rate"] == 0.125


def test_a_schedule_that_a_file_names_and_nobody_registered(tmp_path: pathlib.Path) -> None:
    model = net(Table([0.5]), 0.0)
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m")
    with pytest.raises(nn.FormatError, match=r"rate: expected a known schedule, got 'table'.*SCHEDULES\.register\(\)"):
        nn.load_model(tmp_path / "m")


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("before", [0.0, 0.5, Inverse(0.25)], ids=str)
@pytest.mark.parametrize("after", [0.0, 0.25, Inverse(0.5), Table([0.5, 0.1, 0.2])], ids=str)
def test_a_built_model_follows_at_once(before: Any, after: Any, used: bool) -> None:
    """As a model that was made so from the start."""
    model, wanted = net(before, 0.25), net(after, 0.25)
    if used:
        for m in (model, wanted):
            m.fit(X, Y, batch_size=BATCH, verbose=0)
        wanted.set_weights(model.get_weights())
    model.layers[0].rate = after
    for m in (model, wanted):
        m.fit(X, Y, batch_size=BATCH, epochs=2, verbose=0)
    assert_same(model, wanted)


def test_a_class_that_was_written_anew_is_another() -> None:
    """As in a notebook: the name and the arguments are the same."""

    def make(factor: float) -> LearningRateSchedule:
        class Again(LearningRateSchedule):
            def __call__(self, step: Any) -> Any:
                return factor / (1 + step)

        return Again()

    model, wanted = net(make(0.25), 0.0), net(make(0.5), 0.0)
    for m in (model, wanted):
        m.fit(X, Y, batch_size=BATCH, verbose=0)  # there is a program now, with the old one
    wanted.set_weights(model.get_weights())
    model.layers[0].rate = make(0.5)
    for m in (model, wanted):
        m.fit(X, Y, batch_size=BATCH, verbose=0)
    assert_same(model, wanted)


# ---- what does not fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1e-3, 1.0, math.nan, math.inf])
@pytest.mark.parametrize("learning_rate", [0.1, Inverse()], ids=str)
def test_the_step_of_a_rate_that_does_not_fit_is_not_made(learning_rate: Any, bad: float) -> None:
    """The steps before it are."""
    for rates, done in [([bad], 0), ([0.5] * 7 + [bad], 7), ([0.5] * AHEAD + [bad], AHEAD)]:
        model = net(0.0, Table(rates), learning_rate)
        name = model.layers[2].name
        words = rf"^rate of layer {name}: expected numbers in \[0, 1\), got {bad} at step {done} of Table"
        for _ in range(2):
            with pytest.raises(ValueError, match=words):
                for _ in range(200):
                    model.fit(X, Y, batch_size=BATCH, verbose=0)
            assert model.optimizer.iterations == done
        model.layers[2].rate = 0.1
        model.fit(X, Y, batch_size=BATCH, verbose=0)
        assert model.optimizer.iterations == done + 7


@pytest.mark.parametrize(("good", "done"), [((5, 9), 5), ((9, 5), 5), ((9, 9), 9)])
def test_the_first_number_that_does_not_fit_ends_the_steps(good: tuple[int, int], done: int) -> None:
    """Of a learning rate (the first), or of a rate."""
    model = net(Table([0.5] * good[1] + [2.0]), 0.0, Table([0.1] * good[0] + [-1.0]))
    words = "^learning_rate: expected finite" if good[0] <= good[1] else "^rate of layer dropout: expected numbers"
    with pytest.raises(ValueError, match=f"{words} .* at step {done} of Table"):
        model.fit(X, Y, batch_size=BATCH, epochs=3, verbose=0)
    assert model.optimizer.iterations == done


def test_other_than_numbers_for_each_step() -> None:
    class Odd(LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            return step[:-1] * 0.1

    model = net(Odd(), 0.0)
    with pytest.raises(ValueError, match=f"^rate of layer dropout: expected a number for each of {AHEAD} steps from "):
        model.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Inverse, "expected a schedule, got its class Inverse"),
        ("high", "expected a number .* or a LearningRateSchedule"),
    ],
)
def test_what_is_no_schedule(value: Any, words: str) -> None:
    with pytest.raises(TypeError, match=f"^rate: {words}"):
        nn.Dropout(value)

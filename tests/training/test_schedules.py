"""Learning rates and weight decays that change by step: what the engine reads, against NumPy and step by step."""

from __future__ import annotations

import copy
import math
import pathlib
import pickle
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy_twins import BATCH, assert_weights, batches, network, shuffled, twin

import nncore as nn
from nncore.callbacks import BackupAndRestore, LambdaCallback
from nncore.optimizers import get
from nncore.registry import serialize
from nncore.schedules import AHEAD, SCHEDULES, LearningRateSchedule

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """The tests' own schedule has a name in files, as one of a user's that is registered."""
    SCHEDULES.register()(Inverse)
    yield
    for known in (SCHEDULES.classes, SCHEDULES.spellings):
        known.pop("inverse")


class Inverse(LearningRateSchedule):
    """η / (1 + k step)."""

    def __init__(self, rate: float = 0.1, k: float = 0.25) -> None:
        self.rate, self.k = rate, k
        self._asked: list[tuple[int, int]] = []

    def __call__(self, step: Array) -> Array:
        self._asked.append((int(step[0]), len(step)))
        return self.rate / (1 + self.k * step)


class Table(LearningRateSchedule):
    """A number for each step; 0.1 beyond the last."""

    def __init__(self, numbers: Any) -> None:
        self.numbers = numbers

    def __call__(self, step: Array) -> Array:
        return np.array([*self.numbers, 0.1])[np.minimum(step, len(self.numbers))]


def tiny(learning_rate: Any, **settings: Any) -> nn.Model:
    model = nn.Model([nn.Input(3), nn.Dense(2)], seed=1)
    model.compile(nn.Adam(learning_rate, **settings), "mse")
    return model


def rows(n: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(n)
    return rng.standard_normal((n, 3), np.float32), rng.standard_normal((n, 2), np.float32)


@pytest.mark.parametrize("make", [nn.SGD, nn.Adam, nn.RMSprop])
def test_a_step_has_the_numbers_of_its_schedules(make: Any, xy: tuple[Array, Array]) -> None:
    x, y = xy
    model = network(make(Inverse(), weight_decay=Inverse(0.01, 1.0)))
    made = {"learning_rate": 0.1, "weight_decay": 0.01}
    plain = network(make(**made))
    mlp = twin(plain)
    model.fit(x, y, batch_size=BATCH, epochs=3, verbose=0)
    for epoch in range(3):
        for batch in batches(shuffled(model, epoch)):
            mlp.rule.learning_rate, mlp.rule.weight_decay = 0.1 / (1 + mlp.steps / 4), 0.01 / (1 + mlp.steps)
            mlp.step(x[batch], y[batch])
    assert_weights(model, mlp)
    assert model.optimizer.learning_rate == 0.1 / (1 + mlp.steps / 4) == Inverse()(np.array([mlp.steps]))[0]
    assert model.optimizer.get_config()["weight_decay"] == {"class": "inverse", "config": {"rate": 0.01, "k": 1.0}}


def test_a_callback_that_sets_each_steps_rate_gives_the_same_bits() -> None:
    x, y = rows(500)
    model, other = tiny(Inverse()), tiny(0.5)
    model.fit(x, y, batch_size=1, epochs=5, verbose=0)

    def set_rate(batch: int, logs: Any) -> None:
        other.optimizer.learning_rate = 0.1 / (1 + 0.25 * other.optimizer.iterations)

    other.fit(x, y, batch_size=1, epochs=5, verbose=0, callbacks=[LambdaCallback(on_train_batch_begin=set_rate)])
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


def test_a_schedule_is_asked_once_for_a_thousand_steps() -> None:
    """Also where epochs are short: no step waits for Python."""
    x, y = rows(3000)
    schedule = Inverse()
    model = tiny(schedule)
    model.fit(x, y, batch_size=1, verbose=0)
    assert schedule._asked == [(0, AHEAD), (AHEAD, AHEAD), (2 * AHEAD, AHEAD)]
    model.fit(x[:64], y[:64], batch_size=1, epochs=3, verbose=0)
    assert schedule._asked[3:] == [(3 * AHEAD, AHEAD)]
    assert model.optimizer.iterations == 3192


def test_single_steps_go_on_where_the_last_ended() -> None:
    x, y = rows(8)
    schedule = Inverse()
    model, other = tiny(schedule), tiny(0.5)
    for step in range(20):
        assert model.optimizer.learning_rate == 0.1 / (1 + 0.25 * step)
        other.optimizer.learning_rate = 0.1 / (1 + 0.25 * step)
        assert model.train_on_batch(x, y) == other.train_on_batch(x, y)
    assert schedule._asked == [(0, AHEAD)]
    model.optimizer.iterations = 3 * AHEAD + 7
    assert model.optimizer.learning_rate == 0.1 / (1 + 0.25 * (3 * AHEAD + 7))
    other.optimizer.iterations, other.optimizer.learning_rate = 3 * AHEAD + 7, model.optimizer.learning_rate
    assert model.train_on_batch(x, y) == other.train_on_batch(x, y)
    assert schedule._asked == [(0, AHEAD), (3 * AHEAD, AHEAD)]


def test_a_schedule_may_take_the_place_of_a_number_and_back() -> None:
    x, y = rows(30)
    model, other = tiny(0.5), tiny(0.5)

    def rate(epoch: int) -> Any:
        return [0.5, Inverse(0.2, 1.0), Inverse(0.4, 0.5), 0.03, 0.02][epoch]

    def begin(epoch: int, logs: Any) -> None:
        model.optimizer.learning_rate = rate(epoch)

    def set_rate(batch: int, logs: Any) -> None:
        given, step = rate(other.optimizer.iterations // 3), other.optimizer.iterations
        other.optimizer.learning_rate = given if isinstance(given, float) else float(given(np.array([step]))[0])

    model.fit(x, y, batch_size=10, epochs=5, verbose=0, callbacks=[LambdaCallback(on_epoch_begin=begin)])
    other.fit(x, y, batch_size=10, epochs=5, verbose=0, callbacks=[LambdaCallback(on_train_batch_begin=set_rate)])
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))
    assert model.optimizer.learning_rate == 0.02


@pytest.mark.parametrize("save_freq", ["epoch", 1])
def test_a_fit_that_is_taken_up_again_has_the_same_bits(save_freq: Any, tmp_path: pathlib.Path) -> None:
    x, y = rows(300)
    settings = {"batch_size": 1, "epochs": 5, "verbose": 0}
    whole = tiny(Inverse(), weight_decay=Inverse(0.1))
    whole.fit(x, y, **settings)
    for kill in (700, 1100, 10**6):
        model = tiny(Inverse(), weight_decay=Inverse(0.1))

        def stop(batch: int, logs: Any, kill: int = kill, optimizer: Any = model.optimizer) -> None:
            if optimizer.iterations == kill:
                raise KeyboardInterrupt

        callbacks = [BackupAndRestore(tmp_path, save_freq), LambdaCallback(on_train_batch_end=stop)]
        try:
            model.fit(x, y, callbacks=callbacks, **settings)
        except KeyboardInterrupt:
            continue
    assert model.optimizer.iterations == whole.optimizer.iterations == 1500
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), whole.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("mine", "saved", "found"),
    [
        (Inverse(0.2), Inverse(), "config: rate: 0.2, was 0.1"),
        (0.1, Inverse(), "0.1, was"),
        (Inverse(0.2), 0.125, None),
        (0.5, 0.125, None),
        (Inverse(), Inverse(), None),
    ],
)
def test_resuming_needs_the_same_schedule(mine: Any, saved: Any, found: str | None, tmp_path: pathlib.Path) -> None:
    """A number comes with the backup, for a callback may have set it."""
    x, y = rows(20)
    model = tiny(saved)

    def stop(epoch: int, logs: Any) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(
            x, y, epochs=3, verbose=0, callbacks=[BackupAndRestore(tmp_path), LambdaCallback(on_epoch_begin=stop)]
        )
    fresh = tiny(mine)
    before = fresh.get_weights()
    if found:
        with pytest.raises(nn.FormatError, match=f"learning_rate: expected the schedule of .*{found}"):
            fresh.fit(x, y, epochs=3, verbose=0, callbacks=[BackupAndRestore(tmp_path)])
        assert all(np.array_equal(a, b) for a, b in zip(fresh.get_weights(), before, strict=True))
        assert fresh.optimizer.iterations == 0
        return
    fresh.fit(x, y, epochs=3, verbose=0, callbacks=[BackupAndRestore(tmp_path)])
    assert fresh.optimizer.learning_rate == (saved if isinstance(saved, float) else Inverse()(np.array([3])))


def test_saved_and_loaded(tmp_path: pathlib.Path) -> None:
    x, y = rows(50)
    model = tiny(Inverse(), weight_decay=Inverse(0.01))
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m")
    assert loaded.optimizer == model.optimizer
    assert loaded.optimizer.learning_rate == model.optimizer.learning_rate == 0.1 / (1 + 0.25 * 4)
    for m in (model, loaded):
        m.fit(x, y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True))
    stranger = tiny(Table([0.1, 0.2]))
    stranger.save(tmp_path / "s")
    with pytest.raises(nn.FormatError, match="learning_rate: expected a known schedule, got 'table'"):
        nn.load_model(tmp_path / "s")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_go_on_as_the_model_does(copied: Any) -> None:
    x, y = rows(50)
    model = tiny(Inverse())
    model.fit(x, y, verbose=0)
    twin_of_it = copied(model)
    for m in (model, twin_of_it):
        m.fit(x, y, epochs=2, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), twin_of_it.get_weights(), strict=True))
    assert twin_of_it.optimizer.iterations == model.optimizer.iterations == 6


def test_configurations() -> None:
    optimizer = nn.SGD(Inverse(0.5), weight_decay=Inverse(0.01))
    assert get(serialize(optimizer)) == optimizer != nn.SGD(Inverse(0.25), weight_decay=Inverse(0.01))
    assert optimizer != nn.SGD(0.5, weight_decay=Inverse(0.01))
    assert repr(optimizer).startswith("SGD(learning_rate=Inverse(rate=0.5, k=0.25), momentum=0.0")
    assert nn.SGD({"class": "inverse", "config": {"rate": 0.5}}).learning_rate == 0.5
    assert isinstance(optimizer.learning_rate, float)


# ---- what does not fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1e-3, math.nan, math.inf])
def test_the_step_of_a_number_that_does_not_fit_is_not_made(bad: float) -> None:
    """The steps before it are."""
    x, y = rows(10)
    for numbers, done in [([bad], 0), ([0.1] * 7 + [bad], 7), ([0.1] * AHEAD + [bad], AHEAD)]:
        model = tiny(Table(numbers))
        words = f"^learning_rate: expected finite numbers ≥ 0, got {bad} at step {done} of Table"
        with pytest.raises(ValueError, match=words):
            for _ in range(200):
                model.fit(x, y, batch_size=1, verbose=0)
        assert model.optimizer.iterations == done
        with pytest.raises(ValueError, match=words):
            model.optimizer.learning_rate  # noqa: B018
        model.optimizer.learning_rate = 0.1
        model.fit(x, y, batch_size=1, verbose=0)
        assert model.optimizer.iterations == done + 10


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda step: step[:-1] * 0.1, f"float64 of shape ({AHEAD - 1},)"),
        (lambda step: step[:, None] * 0.1, f"float64 of shape ({AHEAD}, 1)"),
        (lambda step: None, "object of shape ()"),
        (lambda step: step > 3, f"bool of shape ({AHEAD},)"),
    ],
)
def test_other_than_numbers_for_each_step(made: Any, words: str) -> None:
    class Odd(LearningRateSchedule):
        def __call__(self, step: Array) -> Any:
            return made(step)

    for argument in ("learning_rate", "weight_decay"):
        model = nn.Model([nn.Input(3), nn.Dense(2)])
        model.compile(nn.SGD(**{argument: Odd()}), "mse")
        expected = f"^{argument}: expected a number for each of {AHEAD} steps from Odd(), got {words}. It is called"
        with pytest.raises(ValueError, match=re.escape(expected).replace(r"\^", "^")):
            model.fit(*rows(4), verbose=0)


@pytest.mark.parametrize("made", [lambda s: 0.1 if s < 9 else 0.2, lambda s: min(1.0, s / 9), lambda s: 1 / int(s)])
def test_a_schedule_that_is_written_for_one_step(made: Any) -> None:
    class Single(LearningRateSchedule):
        def __call__(self, step: Array) -> Any:
            return made(step)

    with pytest.raises(ValueError, match=r"learning_rate: expected a number for each .*, got \w+Error: .*np\.where"):
        tiny(Single()).fit(*rows(4), verbose=0)


def test_one_number_for_all_steps() -> None:
    class Constant(LearningRateSchedule):
        def __call__(self, step: Array) -> Any:
            return 0.25

    model, other = tiny(Constant()), tiny(0.25)
    for m in (model, other):
        m.fit(*rows(40), verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


def test_errors_of_a_schedule_reach_the_caller() -> None:
    class Broken(LearningRateSchedule):
        def __call__(self, step: Array) -> Any:
            raise LookupError("nothing there")

    model = tiny(Broken())
    with pytest.raises(LookupError, match="nothing there"):
        model.fit(*rows(4), verbose=0)
    with pytest.raises(NotImplementedError, match="LearningRateSchedule does not say"):
        tiny(LearningRateSchedule()).fit(*rows(4), verbose=0)


@pytest.mark.parametrize("argument", ["learning_rate", "weight_decay"])
def test_what_is_no_schedule(argument: str) -> None:
    with pytest.raises(TypeError, match=f"^{argument}: expected a schedule, got its class Inverse; call it"):
        nn.SGD(**{argument: Inverse})
    with pytest.raises(TypeError, match=f"^{argument}: expected a number in .* or a LearningRateSchedule, got '0.1'"):
        nn.SGD(**{argument: "0.1"})


def test_a_schedule_that_has_ended_stops_nothing_but_steps() -> None:
    class Ends(LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            return np.where(step < 5, 0.1, np.nan)

    model = nn.Model([nn.Input(2), nn.Dense(1)], seed=0)
    model.compile(nn.SGD(Ends()), "mse")
    model.fit(np.ones((10, 2)), np.ones((10, 1)), batch_size=2, verbose=0)
    assert model.optimizer.get_config()["learning_rate"]["class"] == "ends"
    assert repr(model.optimizer) and copy.deepcopy(model).optimizer is not None
    with pytest.raises(ValueError, match="learning_rate"):
        model.train_on_batch(np.ones((2, 2)), np.ones((2, 1)))
    model.optimizer.learning_rate = 0.1
    model.train_on_batch(np.ones((2, 2)), np.ones((2, 1)))


def test_a_schedule_that_a_file_names_and_nobody_registered(tmp_path: pathlib.Path) -> None:
    class Nameless(LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            return 0.1 + 0 * step

    model = nn.Model([nn.Input(2), nn.Dense(1)], seed=0)
    model.compile(nn.SGD(Nameless()), "mse")
    model.save(tmp_path / "m")
    with pytest.raises(nn.FormatError, match=r"expected a known schedule, got 'nameless'.*SCHEDULES\.register\(\)"):
        nn.load_model(tmp_path / "m")

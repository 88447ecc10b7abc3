"""The schedules that there are: their formulas step by step in plain Python, sums and products, functions, files."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from test_schedules import rows, tiny

import nncore as nn
from nncore import schedules
from nncore.custom import OBJECTS
from nncore.registry import serialize
from nncore.schedules import AHEAD, SCHEDULES, FunctionSchedule, LearningRateSchedule, LinearWarmup, OneCycle
from nncore.schedules.decays import CosineCycles, FlatCosine

Array = np.ndarray[Any, Any]


def half_cosine(fraction: float, alpha: float = 0.0) -> float:
    return (1 - alpha) * (1 + math.cos(math.pi * fraction)) / 2 + alpha


def restarted(t: float, t_mul: float, m_mul: float, alpha: float) -> float:
    """By walking from period to period of a first one of 7 steps."""
    length, peak = 7.0, 1.0
    while t >= length:
        t, length, peak = t - length, length * t_mul, peak * m_mul
    return 0.3 * ((1 - alpha) * peak * half_cosine(t / length) + alpha)


def polynomial(t: float, power: float, cycle: bool) -> float:
    span = 7.0
    while cycle and t > span:
        span += 7
    return (0.3 - 0.01) * (1 - min(t, span) / span) ** power + 0.01


def one_cycle(t: float, wave: Callable[[float], float]) -> float:
    peak, end = 0.3 * 40 - 1, 39
    if t <= peak:
        return 0.3 + (0.3 / 25 - 0.3) * wave(t / peak)
    low = 0.3 / 25 / 1e4
    return low + (0.3 - low) * wave(min((t - peak) / (end - peak), 1))


def cosine_cycles(t: float) -> float:
    """By its cycles, which end at 1/15, 3/15, 7/15 and 1; the place within one is logarithmic."""
    number = sum(t > end / 15 for end in (1, 3, 7))
    place = math.log((1 + 15 * t) / 2**number, 2)
    return 0.3 * (1 - math.cos(2 * math.pi * place)) / 2


#: Of each registered schedule some examples, with what they are at step t.
CASES: list[tuple[LearningRateSchedule, Callable[[float], float]]] = [
    (schedules.ExponentialDecay(0.3, 7, 0.9), lambda t: 0.3 * 0.9 ** (t / 7)),
    (schedules.ExponentialDecay(0.3, 7, 0.9, staircase=True), lambda t: 0.3 * 0.9 ** (t // 7)),
    (schedules.PiecewiseConstantDecay([3, 9], [0.3, 0.2, 0.1]), lambda t: 0.3 if t <= 3 else 0.2 if t <= 9 else 0.1),
    (schedules.PolynomialDecay(0.3, 7, 0.01), lambda t: polynomial(t, 1, False)),
    (schedules.PolynomialDecay(0.3, 7, 0.01, 0.5, cycle=True), lambda t: polynomial(t, 0.5, True)),
    (schedules.InverseTimeDecay(0.3, 7, 2.0), lambda t: 0.3 / (1 + 2 * t / 7)),
    (schedules.InverseTimeDecay(0.3, 7, 2.0, staircase=True), lambda t: 0.3 / (1 + 2 * (t // 7))),
    (schedules.CosineDecay(0.3, 7), lambda t: 0.3 * half_cosine(min(t, 7) / 7)),
    (
        schedules.CosineDecay(0.1, 7, 0.25, warmup_target=0.3, warmup_steps=4),
        lambda t: 0.1 + 0.2 * t / 4 if t < 4 else 0.3 * half_cosine(min(t - 4, 7) / 7, 0.25),
    ),
    (schedules.CosineDecayRestarts(0.3, 7), lambda t: restarted(t, 2.0, 1.0, 0.0)),
    (schedules.CosineDecayRestarts(0.3, 7, 1.0, 0.5, 0.2), lambda t: restarted(t, 1.0, 0.5, 0.2)),
    (schedules.CosineDecayRestarts(0.3, 7, 3.0, 0.5, 0.2), lambda t: restarted(t, 3.0, 0.5, 0.2)),
    (CosineCycles(0.3, 40), lambda t: cosine_cycles(min(t / 40, 1))),
    (FlatCosine(0.3, 40), lambda t: 0.3 * (1 if t <= 20 else (1 + math.cos(math.pi * (min(t, 40) - 20) / 20)) / 2)),
    (FlatCosine(0.3, 40, 0.0), lambda t: 0.15 * (1 + math.cos(math.pi * min(t, 40) / 40))),
    (OneCycle(0.3, 40), lambda t: one_cycle(t, lambda f: 1 - (1 - math.cos(math.pi * f)) / 2)),
    (OneCycle(0.3, 40, anneal="linear"), lambda t: one_cycle(t, lambda f: 1 - f)),
    (
        LinearWarmup(schedules.ExponentialDecay(0.3, 7, 0.5), 5, 0.1),
        lambda t: 0.1 + 0.2 * t / 5 if t < 5 else 0.3 * 0.5 ** ((t - 5) / 7),
    ),
    (LinearWarmup(0.3, 5), lambda t: 0.3 * min(t / 5, 1)),
    (0.5 + schedules.InverseTimeDecay(0.3, 7, 2.0) + 1, lambda t: 1.5 + 0.3 / (1 + 2 * t / 7)),
    (2 * schedules.InverseTimeDecay(0.3, 7, 2.0) * schedules.CosineDecay(1.0, 7) + 0.1,
     lambda t: 2 * 0.3 / (1 + 2 * t / 7) * half_cosine(min(t, 7) / 7) + 0.1),
    (FunctionSchedule(np.sqrt), math.sqrt),
    (FunctionSchedule(np.sqrt) * 0.25, lambda t: math.sqrt(t) / 4),
]  # fmt: skip
STEPS = [*range(60), 511, 5000]


@pytest.fixture(autouse=True)
def functions() -> Iterator[None]:
    """The tests' functions have names in files, as those that a user registers."""
    schedules.register_function(np.sqrt)
    schedules.register_function(falling)
    yield
    for name in ("sqrt", "falling"):
        OBJECTS.pop(name, None)


def falling(step: Array) -> Array:
    return 0.1 / (1 + 0.25 * step)


def test_keras_has_another_path() -> None:
    from nncore.optimizers.schedules import CosineDecay

    assert CosineDecay is schedules.CosineDecay is nn.optimizers.schedules.CosineDecay


def test_every_schedule_has_a_case() -> None:
    assert set(SCHEDULES.classes.values()) <= {type(case) for case, _ in CASES}


@pytest.mark.parametrize(("schedule", "formula"), CASES, ids=lambda c: repr(c) if hasattr(c, "registry") else "")
def test_formulas(schedule: LearningRateSchedule, formula: Callable[[float], float]) -> None:
    """At numbers and arrays of any shape alike, also far out; as a file has it, too."""
    want = np.array([formula(t) for t in STEPS])
    tolerance = {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(schedule(np.array(STEPS)), want, **tolerance)
    np.testing.assert_allclose(schedule(np.array(STEPS).reshape(2, -1, 1)), want.reshape(2, -1, 1), **tolerance)
    twin = schedules.deserialize(serialize(schedule))
    for t, number in zip(STEPS, want, strict=True):
        for made in (schedule, twin, type(schedule).from_config(schedule.get_config())):
            value = made(t)
            assert np.ndim(value) == 0 and value == pytest.approx(number, rel=1e-9, abs=1e-12), t
            assert made(np.float64(t)) == value


@pytest.mark.parametrize("anneal", ["cosine", "linear"])
def test_one_cycle_is_pytorchs(anneal: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: parity with it is not tested")
    optimizer = torch.optim.SGD([torch.zeros(1)], 0.1)
    peer = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.3, total_steps=50, pct_start=0.2, anneal_strategy=anneal[:3].replace("lin", "linear"),
        div_factor=10, final_div_factor=100, cycle_momentum=False,
    )  # fmt: skip
    want = []
    for _ in range(50):
        want.append(peer.get_last_lr()[0])
        optimizer.step()
        if len(want) < 50:
            peer.step()
    mine = OneCycle(0.3, 50, 0.2, 10, 100, anneal)
    np.testing.assert_allclose(mine(np.arange(50)), want, rtol=1e-9)
    assert mine(1000) == pytest.approx(want[-1])


def trained(model: nn.Model, epochs: int = 2) -> list[Array]:
    model.fit(*rows(300), batch_size=3, epochs=epochs, verbose=0)
    return model.get_weights()


def assert_same(one: list[Array], other: list[Array]) -> None:
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("argument", ["learning_rate", "weight_decay"])
def test_a_function_is_a_schedule(argument: str) -> None:
    class Falling(LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            return falling(step)

    other = {"learning_rate": 0.01} if argument == "weight_decay" else {}
    weights = [trained(tiny(**other | {argument: given})) for given in (falling, Falling(), FunctionSchedule(falling))]
    assert_same(weights[0], weights[1])
    assert_same(weights[0], weights[2])
    assert nn.SGD(falling).learning_rate == 0.1


def test_a_rate_of_dropout_may_be_a_sum() -> None:
    def model(rate: Any) -> nn.Model:
        made = nn.Model([nn.Input(3), nn.Dense(8), nn.Dropout(rate), nn.Dense(2)], seed=1)
        made.compile("sgd", "mse")
        return made

    assert_same(trained(model(0.25 + LinearWarmup(0.25, 10))), trained(model(lambda t: np.minimum(0.25 + t / 40, 0.5))))


def test_a_function_without_arguments_is_asked_before_each_step() -> None:
    asked = []

    def rate() -> float:
        asked.append(0.1 / (1 + 0.25 * len(asked)))
        return asked[-1]

    x, y = rows(AHEAD + 9)
    model, other = tiny(rate), tiny(falling)
    for m in (model, other):
        m.fit(x, y, batch_size=1, verbose=0)
    assert_same(model.get_weights(), other.get_weights())
    assert len(asked) == AHEAD + 9
    asked.clear()
    assert_same(trained(tiny(2 * FunctionSchedule(rate))), trained(tiny(2 * FunctionSchedule(falling))))


def test_saved_and_loaded(tmp_path: pathlib.Path) -> None:
    rate = LinearWarmup(1e-3 + FunctionSchedule(falling) * schedules.CosineDecay(1.0, 50), 10)
    model = tiny(rate)
    trained(model)
    model.save(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m")
    assert loaded.optimizer == model.optimizer
    assert_same(trained(loaded), trained(model))
    OBJECTS["falling"] = OBJECTS.pop("falling")  # the fixture takes it away
    del OBJECTS["falling"]
    try:
        with pytest.raises(
            nn.FormatError, match=r"function: expected the name of a registered function, got 'falling'"
        ):
            nn.load_model(tmp_path / "m")
    finally:
        OBJECTS["falling"] = falling


def test_custom_objects() -> None:
    class Mine(LearningRateSchedule):
        def __init__(self, rate: float = 0.1) -> None:
            self.rate = rate

        def at(self, step: Array) -> Array:
            return self.rate + 0 * step

    config = serialize(2 * Mine(0.3))
    with pytest.raises(ValueError, match="expected a known schedule, got 'mine'"):
        schedules.deserialize(config)
    assert schedules.deserialize(config, custom_objects={"Mine": Mine})(4) == 0.6
    assert schedules.Product.from_config(config["config"], custom_objects={"Mine": Mine})(4) == 0.6
    with pytest.raises(ValueError, match="expected a known schedule, got 'mine'"):
        schedules.deserialize(config)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.9), ValueError, "decay_steps: expected a number of steps > 0, g"),
        (lambda: schedules.CosineDecay("0.1", 10), TypeError, "initial_learning_rate: expected a finite number, got"),
        (lambda: schedules.CosineDecay(math.nan, 10), ValueError, "initial_learning_rate: expected a finite number, g"),
        (lambda: schedules.PiecewiseConstantDecay([1], [1.0]), ValueError, "boundaries: expected one less than values"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [1, 2, 3]), ValueError, "boundaries: expected rising steps"),
        (lambda: schedules.CosineDecayRestarts(0.1, 10, 0.5), ValueError, "t_mul: expected a number ≥ 1, got 0.5"),
        (lambda: OneCycle(0.1, 10, 1.0), ValueError, r"warmup_fraction: expected a number in \(0, 1\), got 1.0"),
        (lambda: OneCycle(0.1, 10, anneal="cubic"), ValueError, "anneal: expected 'cosine' or 'linear', got 'cubic'"),
        (lambda: LinearWarmup(0.1, 0), ValueError, "warmup_steps: expected a number of steps ≥ 1, got 0"),
        (lambda: schedules.Sum(["a"]), TypeError, "terms: expected a finite number or a schedule, got 'a'"),
        (lambda: FunctionSchedule(3), TypeError, "function: expected a function of the step, got 3"),
        (lambda: schedules.CosineDecay(0.1, 10)("a"), TypeError, "step: expected numbers of updates.* got 'a'"),
        (lambda: OneCycle(0.1, 10)(-1), ValueError, "step: expected numbers .*all ≥ 0, got -1"),
        (lambda: LinearWarmup(0.1, 3)([0, -2.0]), ValueError, r"step: expected numbers .*all ≥ 0, got \[0, -2"),
        (lambda: schedules.CosineDecay(0.1, 10) + "a", TypeError, "unsupported operand"),
    ],
)
def test_arguments(make: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_a_sum_that_falls_below_zero_stops_the_step() -> None:
    model = tiny(0.2 + -0.1 * FunctionSchedule(lambda t: t))
    with pytest.raises(ValueError, match="learning_rate: expected finite numbers ≥ 0, got -0.1.* at step 3"):
        trained(model)
    assert model.optimizer.iterations == 3

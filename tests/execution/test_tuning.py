"""Which size of team is chosen, for paces given by hand; and that the choice never shows in a result."""

import numpy as np
import pytest

import nncore as nn
from nncore.execution import team
from nncore.execution.tuning import LONELY, PATIENCE, SLICE, TRIAL, TRIES, Pace


def run(pace: Pace, seconds: float, rate: dict[int, float]) -> float:
    """Let slices pass as the pace asks for them; the share of the time that was spent with each size."""
    spent = dict.fromkeys(rate, 0.0)
    while sum(spent.values()) < seconds:
        size, slice_ = pace.choose()
        pace.note(int(rate[size] * slice_), slice_)
        spent[size] += slice_
    return spent[pace.most] / sum(spent.values())


def test_one_thread_is_never_tried_with_more():
    pace = Pace(1)
    assert pace.choose() == (1, SLICE)
    pace.note(100, SLICE)
    assert pace.choose() == (1, SLICE)


def test_a_faster_team_works_nearly_all_the_time():
    assert run(Pace(2), 10.0, {1: 1e5, 2: 1.9e5}) > 1 - 2 * TRIAL / PATIENCE


def test_a_slower_team_works_hardly_ever():
    assert run(Pace(2), 10.0, {1: 1e5, 2: 0.9e5}) < 1.1 * TRIAL / LONELY


def test_a_neighbour_is_noticed_within_100_ms_and_so_is_its_leaving():
    pace = Pace(4)
    run(pace, 5.0, {1: 1e5, 4: 3e5})
    assert pace.size == 4
    run(pace, 0.1, {1: 1e5, 4: 0.2e5})
    assert pace.size == 1
    run(pace, LONELY + SLICE + TRIAL, {1: 1e5, 4: 3e5})
    assert pace.size == 4


def test_a_team_may_need_some_slices_until_its_threads_have_cores():
    """Whenever it has slept for 0.05 s, its first 12 ms go at half of one thread's pace."""
    pace, now, woken, left, of_team = Pace(2), 0.0, 0.0, -1.0, 0.0
    while now < 5.0:
        size, seconds = pace.choose()
        if size == 2 and now - left > 0.05:
            woken = now
        rate = 1e5 * (1 if size == 1 else 1.9 if now >= woken + 0.012 else 0.5)
        pace.note(int(rate * seconds), seconds)
        now += seconds
        if size == 2:
            left, of_team = now, of_team + seconds
    assert of_team > 0.95 * now


def test_a_slower_team_is_tried_less_and_less():
    pace = Pace(2)
    assert run(pace, 1.0, {1: 1e5, 2: 0.6e5}) > TRIES * TRIAL / PATIENCE
    assert run(pace, 10.0, {1: 1e5, 2: 0.6e5}) < 1.1 * TRIES * TRIAL / PATIENCE


def test_slices_within_a_step_say_nothing():
    pace = Pace(2)
    for _ in range(100):
        _, slice_ = pace.choose()
        pace.note(0, slice_)
    assert pace.size == 2


@pytest.mark.parametrize(("milliseconds", "share"), [(2, 0.03), (8, 0.1), (70, 0), (700, 0)])
def test_long_steps_are_left_to_the_team(milliseconds, share):
    """One thread takes twice as long, and is tried little or not at all, however slices and steps fall together."""
    pace, done, alone, whole = Pace(2), 0.0, 0.0, 0.0
    for _ in range(500):
        size, seconds = pace.choose()
        alone, whole = alone + seconds * (size == 1), whole + seconds
        before, done = done, done + seconds * (1 if size == 2 else 0.5) * 1e3 / milliseconds
        pace.note(int(done) - int(before), seconds)
    assert alone <= share * whole


@pytest.mark.parametrize("milliseconds", [0.01, 0.75, 2])
def test_a_neighbour_of_longer_steps(milliseconds):
    """It more than doubles a step of the team; one thread has taken over within 0.1 s."""
    rate = 1e3 / milliseconds
    pace, done = Pace(2), 0.0
    for gain, total in ((1.9, 3.0), (0.7, 0.1 + SLICE)):
        spent = 0.0
        while spent < total:
            size, seconds = pace.choose()
            before, done, spent = done, done + seconds * rate * (gain if size == 2 else 1), spent + seconds
            pace.note(int(done) - int(before), seconds)
        assert pace.size == (2 if gain > 1 else 1)


@pytest.mark.parametrize("sizes", [[1, 2, 3], [3, 1, 2]])
def test_changing_the_team_within_a_fit_changes_no_bit(monkeypatch, sizes):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 20)), rng.integers(0, 3, 300)
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)

    def weights(choices):
        turn = iter(range(10**9))
        monkeypatch.setattr(Pace, "choose", lambda self: (choices[next(turn) % len(choices)], 1e-5))
        layers = [nn.Dense(40, activation="gelu"), nn.Dropout(0.2), nn.Dense(3, activation="softmax")]
        model = nn.Model(layers, seed=1, n_threads=3)
        model.compile(nn.Adam(global_clipnorm=1.0), "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=50, epochs=3, verbose=0)
        return model.get_weights()

    for changing, alone in zip(weights(sizes), weights([1]), strict=True):
        np.testing.assert_array_equal(changing, alone)

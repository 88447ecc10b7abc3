"""Programs of steps and what they serve: batches of any size, with and without weights, rows that are views."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import nncore as nn
from nncore._kernels.table import permutation
from nncore.execution import stepping, team
from nncore.training.fit import SHUFFLE_STREAM

RNG = np.random.default_rng(0)
X = RNG.standard_normal((64, 4)).astype(np.float32)
Y = RNG.standard_normal((64, 2)).astype(np.float32)
SIZES = [int(n) for n in np.random.default_rng(1).integers(1, 65, 60)]


def network(threads: int = 1, dtype: str = "float32") -> nn.Model:
    layers = [
        nn.Input(4),
        nn.Dense(24, activation="relu"),
        nn.Dropout(0.3),
        nn.Dense(24, activation="gelu"),
        nn.Dense(2),
    ]
    model = nn.Model(layers, seed=0, n_threads=threads, dtype=dtype)
    model.compile("adam", "mse", metrics=["mae"], weighted_metrics=["mse"])
    return model


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The sizes of the programs of steps that are compiled."""
    made: list[int] = []
    step = stepping.step

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.append(kwargs["max_samples"])
        return step(*args, **kwargs)

    monkeypatch.setattr(stepping, "step", counted)
    yield made


def test_room_grows_geometrically(programs: list[int]) -> None:
    model = network()
    for n in range(1, 65):
        model.train_on_batch(X[:n], Y[:n])
    assert programs == [1, 2, 4, 8, 16, 32, 64]


def test_a_program_serves_all_smaller_batches(programs: list[int]) -> None:
    model = network()
    model.fit(X, Y, batch_size=64, verbose=0)
    for n in SIZES:
        model.train_on_batch(X[:n], Y[:n])
        model.fit(X, Y, batch_size=n, verbose=0)
    assert programs == [64]


def test_weighted_and_unweighted_programs_stand_side_by_side(programs: list[int]) -> None:
    model = network()
    for _ in range(3):
        model.train_on_batch(X, Y)
        model.train_on_batch(X, Y, sample_weight=np.ones(64))
        model.evaluate(X, Y, verbose=0)
        model.evaluate(X, Y, sample_weight=np.ones(64), verbose=0)
        model.fit(X, Y, batch_size=64, verbose=0, validation_split=0.5)
    assert len(programs) == 4


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batches_of_any_size_have_the_bits_of_their_own_programs(
    threads: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    shared, own = network(threads, dtype), network(threads, dtype)
    for i, n in enumerate(SIZES):
        w = np.linspace(0, 1, n) if i % 3 == 0 else None
        logs = shared.train_on_batch(X[:n], Y[:n], sample_weight=w)
        own._steppers = None
        assert logs == own.train_on_batch(X[:n], Y[:n], sample_weight=w)
    for a, b in zip(shared.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_nothing_of_the_data_stays() -> None:
    model = network()
    model.fit(X, Y, verbose=0)
    for [stepper] in (known.values() for known in model.steppers().idle.values()):
        assert stepper.order is None and stepper.bindings == [] and stepper.rows == 0


# -- rows that are views -------------------------------------------------------------------------------------------

SERIES = RNG.standard_normal((120, 3))
VIEWS = {
    "window": sliding_window_view(SERIES[:, 0].astype("f4"), 24),
    "windows of three": sliding_window_view(SERIES.astype("f4"), 24, axis=0),
    "windows in order of time": sliding_window_view(SERIES, 24, axis=0).transpose(0, 2, 1),
    "columns first": np.asfortranarray(SERIES),
    "every second": SERIES.astype("f4")[:, ::2],
    "backwards": SERIES[::-1, ::-1],
    "bool": (SERIES > 0)[:, ::-1],
    "half": SERIES.astype("f2")[:, ::2],
    "big-endian": SERIES.astype(">f4")[:, ::2],
    "four axes": RNG.standard_normal((50, 3, 4, 5, 6))[:, ::2, ::2, ::2, ::2],
    "one": SERIES[:, :1],
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_trains_and_predicts_as_its_copy(name: str) -> None:
    def trained(x: Any) -> tuple[Any, ...]:
        layers = [nn.Input(x.shape[1:]), nn.Flatten(), nn.Dense(5, activation="tanh"), nn.Dense(1)]
        model = nn.Model(layers, seed=0)
        model.compile("adam", "mse")
        losses = model.fit(x, y, epochs=3, batch_size=7, verbose=0).history["loss"]
        return losses, model.evaluate(x, y, verbose=0), *model.get_weights(), model.predict(x), model(x[3:4])

    view = VIEWS[name]
    y = np.linspace(-1, 1, len(view))
    for a, b in zip(trained(view), trained(np.ascontiguousarray(view)), strict=True):
        np.testing.assert_array_equal(a, b)


# -- which bad row is named ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 4])
def test_the_first_bad_row_of_the_pass_is_named(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever thread meets it, and whatever it meets later."""
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    x = np.ones((4096, 64))
    y = np.zeros((4096, 1))
    for first in range(100, 4000, 977):
        bad = x.copy()
        bad[first::5] = 1e300
        model = nn.Model([nn.Input(64), nn.Dense(1)], seed=3, n_threads=threads)
        model.compile("sgd", "mse")
        for _ in range(10):
            with pytest.raises(ValueError, match=f"row {first}\\."):
                model.fit(bad, y, batch_size=4096, shuffle=False, verbose=0)
            with pytest.raises(ValueError, match=f"row {first}\\."):
                model.predict(bad)
            order = np.empty(4096, np.int64)
            permutation(3, SHUFFLE_STREAM | int(model.counters[1] + 1), order)
            shuffled = next(row for row in order if bad[row, 0] == 1e300)
            with pytest.raises(ValueError, match=f"row {shuffled}\\."):
                model.fit(bad, y, batch_size=4096, verbose=0)


def test_x_is_named_before_y() -> None:
    model = nn.Model([nn.Input(2), nn.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    x, y = np.ones((8, 2)), np.ones((8, 1))
    y[4] = 1e300
    with pytest.raises(ValueError, match=r"^y: .* row 4\."):
        model.fit(x, y, shuffle=False, verbose=0)
    x[5] = 1e300
    with pytest.raises(ValueError, match=r"^x: .* row 5\."):
        model.fit(x, y, shuffle=False, verbose=0)

"""Tiles of rows: how many a prediction is cut into."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.execution.prediction import Predictor, least_rows, tile_rows


@pytest.mark.parametrize(
    ("rows", "least", "threads", "tile"),
    [
        (1, 16, 2, 1),
        (16, 16, 2, 16),  # one tile
        (17, 16, 2, 9),  # two, as even as can be
        (40, 16, 2, 10),  # three would leave a thread waiting
        (100, 16, 2, 13),
        (1000, 16, 2, 125),
        (5000, 16, 2, 128),
        (5000, 16, 1, 128),
        (4, 1, 2, 1),
        (4, 3, 2, 2),
        (3, 1, 8, 1),
    ],
)
def test_rows_of_a_tile(rows: int, least: int, threads: int, tile: int) -> None:
    assert tile_rows(rows, least, threads) == tile


def test_dense_layers_take_many_rows_at_once_convolutions_few() -> None:
    dense = nn.Model([nn.Input(300), nn.Dense(200, use_bias=False)])
    images = nn.Model([nn.Input((9, 9, 3)), nn.Conv2D(8, 3, use_bias=False)])  # each weight is used 49 times
    assert [Predictor(model.graph).least for model in (dense, images)] == [16, 1]
    assert least_rows(0, 0) == 1
    assert least_rows(2000, 500) == 8


def test_a_row_is_predicted_without_a_team_however_much_work_it_is() -> None:
    """One thread: a team has nothing to divide."""
    for size in 24, 200:
        model = nn.Model([nn.Input((size, size, 3)), nn.Conv2D(32, 3), nn.Conv2D(32, 3)], n_threads=2)
        x = np.ones((1, size, size, 3), np.float32)
        model.predict(x)
        assert model._predictor is not None and list(model._predictor.idle) == [1]
        model.predict(np.repeat(x, 4, 0))
        assert list(model._predictor.idle) == [1, 2]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float64", "float16", ">f4"])
def test_a_row_of_other_numbers_has_the_bits_of_many(dtype: str) -> None:
    model = nn.Model([nn.Input(30), nn.Dense(20, "tanh"), nn.Dense(3)], seed=1)
    x = (np.random.default_rng(0).normal(size=(500, 30)) * 9 + 90).astype(dtype)
    predictor = Predictor(model.graph)
    assert predictor.call(x[:1], lambda: 1) is not None and predictor.call(x[:, None], lambda: 1) is None
    np.testing.assert_array_equal(model(x[:1]), model(x)[:1])


def test_a_row_that_the_dtype_cannot_hold_is_refused() -> None:
    model = nn.Model([nn.Input(3), nn.Dense(2)])
    with pytest.raises(ValueError, match="x: expected values that float32 can hold, got .*1e\\+300.* in row 0"):
        model(np.array([[1e300, 0, 0]]))
    assert np.isnan(model(np.array([[np.nan, 0, 0]]))).all()


def several(dtype: str = "float32") -> nn.Model:
    """Reals and whole numbers in, two outputs."""
    x, ids = nn.Input(3, name="x"), nn.Input(2, dtype="int32", name="ids")
    h = nn.Concatenate()([x, nn.Flatten()(nn.Embedding(10, 4)(ids))])
    return nn.Model({"x": x, "ids": ids}, [nn.Dense(4, "tanh")(h), nn.Dense(1)(h)], seed=0, dtype=dtype)


def taken(model: nn.Model, given: Any) -> bool:
    """Whether a call takes the short way; its result is then the one for the same rows among many."""
    model.predict({"x": np.zeros((1, 3)), "ids": np.zeros((1, 2))})
    out = model.predictor().call(given, model.threads)
    if out is None:
        return False
    many = {name: np.concatenate([given[name], np.ones((300, given[name].shape[1]))]) for name in ("x", "ids")}
    for short, long in zip(out, model.predict(many), strict=True):
        np.testing.assert_array_equal(short, long[: len(short)])
    return True


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_rows_of_several_inputs_go_the_short_way(dtype: str) -> None:
    model = several(dtype)
    x, ids = np.random.default_rng(0).normal(size=(5, 3)).astype(dtype), np.arange(10, dtype=np.int32).reshape(5, 2)
    for rows in (1, 5):
        assert taken(model, {"x": x[:rows], "ids": ids[:rows], "more": np.zeros(rows)})
    others: list[Any] = [
        {"x": x, "ids": ids.astype(np.int64)},
        {"x": x.astype(np.float16), "ids": ids},
        {"x": x[:, :2], "ids": ids},
        {"x": x, "ids": ids[:4]},
        {"x": x},
        x,
        [x, ids, ids],
        {"x": np.asfortranarray(x), "ids": ids},
        {"x": x, "ids": ids + 1},  # 10 has no vector
        {"x": x, "ids": -ids},
    ]
    for given in others:
        assert not taken(model, given)
    with pytest.raises(ValueError, match="expected whole numbers from 0 to 9, .* got 10 in row 4"):
        model.predict({"x": x, "ids": ids + 1})


def test_a_row_of_whole_numbers_has_the_bits_of_many() -> None:
    model = nn.Sequential([nn.Input(2, dtype="int32"), nn.Embedding(10, 4), nn.Flatten(), nn.Dense(3)], seed=0)
    ids = np.arange(600, dtype=np.int32).reshape(300, 2) % 10
    many = model.predict(ids)
    for row in (0, 7):
        assert model.predictor().call(ids[row : row + 1], model.threads) is not None
        np.testing.assert_array_equal(model.predict(ids[row : row + 1]), many[row : row + 1])
    with pytest.raises(ValueError, match="got 10 in row 0"):
        model.predict(np.array([[3, 10]], np.int32))


def test_whole_numbers_that_another_thread_writes_meanwhile_are_refused_or_read() -> None:
    """They are looked at where they are read: none of 2³⁰ is ever taken for a vector's number."""
    program = """
import sys, threading
import numpy as np, nncore as nn
ids = nn.Input(4000, dtype="int32")
model = nn.Model(ids, nn.GlobalAveragePooling1D()(nn.Embedding(10, 8)(ids)))
given, stop = np.zeros((1, 4000), np.int32), threading.Event()
def write():
    while not stop.is_set():
        given[:] = 2**30
        given[:] = 0
writer = threading.Thread(target=write)
writer.start()
outcomes = set()
for _ in range(5000):
    try:
        outcomes.add(model.predict(given).shape)
    except ValueError:
        outcomes.add("refused")
stop.set()
writer.join()
print(len(outcomes))
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr

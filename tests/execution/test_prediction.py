"""Tiles of rows: how many a prediction is cut into."""

from __future__ import annotations

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

"""Preprocessing layers on columns of 200,000 rows, beside NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

nn = pytest.importorskip("nncore")

ROWS = 200_000
RNG = np.random.default_rng(0)
WORDS = np.array([f"word {i:04}" for i in range(1000)])


@pytest.mark.benchmark(group="texts by a list of 1,000")
@pytest.mark.parametrize("kind", ["U", "O"])
def test_texts(pair: Any, kind: str) -> None:
    x = RNG.choice(WORDS, ROWS).astype(WORDS.dtype if kind == "U" else object)
    layer, sorted_words = nn.StringLookup(vocabulary=WORDS), np.sort(WORDS).astype(x.dtype)
    pair(lambda: layer(x), lambda: np.searchsorted(sorted_words, x))


@pytest.mark.benchmark(group="whole numbers by a list of 1,000")
def test_whole_numbers(pair: Any) -> None:
    x, numbers = RNG.integers(0, 1000, ROWS), np.arange(1000)
    layer = nn.IntegerLookup(vocabulary=numbers)
    pair(lambda: layer(x), lambda: np.searchsorted(numbers, x))


@pytest.mark.benchmark(group="mean 0 and variance 1, 200,000×8")
def test_normalization(pair: Any) -> None:
    x = RNG.standard_normal((ROWS, 8), dtype=np.float32)
    layer, y = nn.Normalization(), np.empty_like(x)
    layer.adapt(x)
    mean, inverse = x.mean(0), 1 / x.std(0)
    pair(lambda: layer(x), lambda: np.multiply(np.subtract(x, mean, out=y), inverse, out=y))


@pytest.mark.benchmark(group="16 intervals, 200,000×8")
def test_intervals(pair: Any) -> None:
    x, boundaries = RNG.standard_normal((ROWS, 8), dtype=np.float32), np.linspace(-2, 2, 15)
    layer = nn.Discretization(boundaries)
    pair(lambda: layer(x), lambda: np.digitize(x, boundaries))


@pytest.mark.benchmark(group="columns of 32 numbers")
def test_columns(pair: Any) -> None:
    x, eye = RNG.integers(0, 32, ROWS), np.eye(32, dtype=np.float32)
    layer = nn.CategoryEncoding(32, "one_hot")
    pair(lambda: layer(x), lambda: eye[x])

"""Dropout's masks and the permutations of an epoch, against Philox in Python's integers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from math import factorial

import numpy as np
import pytest
import reference as ref
from kernels import TABLES, Array, assert_same_bits, each_table, lengths, normal, output

from nncore._kernels import elementwise
from nncore._kernels.table import Table, permutation

KEYS = [(0, 0), (1, 0), (0, 1), (0x0123456789ABCDEF, 0xFEDCBA9876543210), (2**64 - 1, 2**64 - 1), (2**32, 2**32)]
MASK64 = 2**64 - 1


# --- dropout ----------------------------------------------------------------------------------------------------


@cache
def uniforms(first: int, n: int, key: tuple[int, int]) -> Array:
    return np.array([ref.uniform(first + i, key) for i in range(n)])


def dropout(table: Table, x: Array, rate: float, first: int, key: tuple[int, int]) -> Array:
    y = output(table, x.size)
    elementwise.apply_dropout(table, x, y.flat, rate, first, *key)
    return y.written()[0]


@each_table
@pytest.mark.parametrize("key", KEYS)
def test_mask(table: Table, key: tuple[int, int]) -> None:
    """x / (1 − rate) where u ≥ rate, else 0: the same elements for every instruction set and type."""
    n = 150
    x = normal(table, n)
    carries = 2**34 - 70  # the counter's low word
    for first in (0, 1, 15, 16, 63, 64, 65, 1000, carries, 2**40 + 7, 2**62 + 5):
        u = uniforms(first, n, key)
        for rate in (0.1, 0.5, 0.9):
            y = dropout(table, x, rate, first, key)
            expected = x * np.asarray(1 / (1 - rate), table.dtype)
            assert_same_bits(y, np.where(u >= rate, expected, 0).astype(table.dtype), (first, rate))


@each_table
def test_mask_of_a_part(table: Table) -> None:
    """An element's fate is given by its position: any part of a batch has the mask it has in the whole."""
    n, key = 4 * 64 + 9, KEYS[3]
    x = normal(table, n)
    together = dropout(table, x, 0.4, 37, key)
    for length in lengths(table):
        for start in (0, 1, 26, 27, 28, 64, 90, n - length):
            part = slice(start, start + length)
            assert_same_bits(dropout(table, x[part], 0.4, 37 + start, key), together[part], (start, length))
    elementwise.apply_dropout(table, x, x, 0.4, 37, *key)
    assert_same_bits(x, together, "in place")


@each_table
def test_edges_of_the_rate(table: Table) -> None:
    """u is a multiple of 2⁻²⁴: one that equals the rate is kept, one just below is not; 0 keeps everything."""
    n, key = 64, KEYS[1]
    u = uniforms(0, n, key)
    x = normal(table, n)
    assert_same_bits(dropout(table, x, 0.0, 0, key), x)
    for value in np.sort(u)[[0, 1, 30, 62, 63]]:
        kept = dropout(table, np.ones(n, table.dtype), float(value), 0, key) != 0
        assert np.array_equal(kept, u >= value)
        kept = dropout(table, np.ones(n, table.dtype), float(np.nextafter(value, 1)), 0, key) != 0
        assert np.array_equal(kept, u > value)


@each_table
def test_dropped_is_zero(table: Table) -> None:
    """Whatever it was: a dropped inf or nan is no product with 0."""
    x = np.full(200, np.nan, table.dtype)
    x[::2] = np.inf
    y = dropout(table, x, 0.5, 0, KEYS[0])
    kept = uniforms(0, 200, KEYS[0]) >= 0.5
    assert not y[~kept].any()
    assert_same_bits(y[kept], x[kept])


def test_rate_of_dropping() -> None:
    """Over 10⁵ elements within 5 standard deviations, and neighbours independent."""
    n, rate = 100_000, 0.3
    kept = dropout(TABLES[0], np.ones(n, TABLES[0].dtype), rate, 12345, KEYS[3]) != 0
    assert abs(kept.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / n)
    for distance in (1, 2, 16, 64):
        both = (kept[distance:] & kept[:-distance]).mean()
        assert abs(both - (1 - rate) ** 2) < 5 * np.sqrt(0.25 / n)


# --- permutations -------------------------------------------------------------------------------------------------


def permuted(n: int, seed: int, stream: int) -> Array:
    order = np.full(n, -1, "int64")
    permutation(seed, stream, order)
    return order


def draws(seed: int, stream: int, counter: int = 0) -> Iterator[int]:
    """64-bit numbers, two from each counter, the lower word first."""
    key, upper = (seed & 0xFFFFFFFF, seed >> 32), (stream & 0xFFFFFFFF, stream >> 32)
    while True:
        a, b, c, d = ref.philox4x32_10((counter & 0xFFFFFFFF, counter >> 32, *upper), key)
        yield a | b << 32
        yield c | d << 32
        counter += 1


def fisher_yates(n: int, seed: int, stream: int) -> list[int]:
    """A shuffle of 0 … n−1."""
    return mixed(list(range(n)), draws(seed, stream))


def mixed(order: list[int], numbers: Iterator[int]) -> list[int]:
    """From the end down, each place exchanged with one at or before it; draws by Lemire's algorithm 5."""
    for i in range(len(order) - 1, 0, -1):
        bound = i + 1
        product = next(numbers) * bound
        while product & MASK64 < 2**64 % bound:
            product = next(numbers) * bound
        j = product >> 64
        order[i], order[j] = order[j], order[i]
    return order


@pytest.mark.parametrize(("seed", "stream"), KEYS)
def test_permutation(seed: int, stream: int) -> None:
    for n in (0, 1, 2, 3, 10, 64, 65, 66, 129, 1000):
        order = permuted(n, seed, stream)
        assert order.tolist() == fisher_yates(n, seed, stream), n
        assert_same_bits(order, permuted(n, seed, stream))


def dealt(n: int, bits: int, seed: int, stream: int) -> list[int]:
    """Each number dealt to a part by 12 random bits, five of a draw; then each part mixed, by draws from 2⁶² on."""
    parts: list[list[int]] = [[] for _ in range(2**bits)]
    numbers = draws(seed, stream)
    for first in range(0, n, 5):
        draw = next(numbers)
        for k, i in enumerate(range(first, min(first + 5, n))):
            parts[(draw >> 12 * k) % 2**bits].append(i)
    numbers = draws(seed, stream, 2**62)
    return [i for part in parts for i in mixed(part, numbers)]


@pytest.mark.parametrize(("n", "bits"), [(65_536, 0), (65_537, 1), (131_079, 2)])
def test_permutation_of_many(n: int, bits: int) -> None:
    expected = dealt(n, bits, 3, 9) if bits else fisher_yates(n, 3, 9)
    assert permuted(n, 3, 9).tolist() == expected


def test_large_permutation() -> None:
    n = 300_003
    order = permuted(n, 5, 7)
    assert_same_bits(np.sort(order), np.arange(n))
    fixed = int((order == np.arange(n)).sum())
    assert fixed < 10  # 1 is expected


def test_other_keys_give_other_permutations() -> None:
    orders = {tuple(permuted(20, seed, stream).tolist()) for seed in range(30) for stream in range(30)}
    assert len(orders) == 900


def test_every_permutation_is_as_likely() -> None:
    """All 4! of them, over many streams: χ² with 23 degrees of freedom exceeds 50 once in a thousand tests."""
    n, trials = 4, 24_000
    found = Counter(tuple(permuted(n, 11, stream).tolist()) for stream in range(trials))
    assert len(found) == factorial(n)
    expected = trials / factorial(n)
    assert sum((count - expected) ** 2 / expected for count in found.values()) < 50


def test_every_place_is_as_likely() -> None:
    n, trials = 10, 20_000
    counts = np.zeros((n, n))
    for stream in range(trials):
        counts[np.arange(n), permuted(n, 12, stream)] += 1
    assert ((counts - trials / n) ** 2 / (trials / n)).sum() < 140  # 81 degrees of freedom; once in 20,000 tests


def test_permutation_wants_int64() -> None:
    with pytest.raises(TypeError, match="int64"):
        permutation(0, 0, np.zeros(4, "int32"))
    read_only = np.zeros(4, "int64")
    read_only.flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        permutation(0, 0, read_only)

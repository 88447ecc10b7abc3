"""The bundled digits: what the source says of them, the split as documented, and the same as scikit-learn's."""

from __future__ import annotations

import hashlib
from importlib import resources

import numpy as np
import pytest

import nncore as nn

# Digits per class in the source's optdigits.tes, from 0 to 9.
SOURCE_COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_shapes_types_and_values():
    (x_train, y_train), (x_test, y_test) = nn.datasets.load_digits()
    assert x_train.shape == (1433, 8, 8)
    assert x_test.shape == (364, 8, 8)
    for x, y in ((x_train, y_train), (x_test, y_test)):
        assert x.dtype == np.uint8
        assert y.dtype == np.int64
        assert y.shape == (len(x),)
        assert (x.min(), x.max()) == (0, 16)
        assert (y.min(), y.max()) == (0, 9)
        assert x.flags.c_contiguous
        assert x.flags.writeable


def test_split_takes_the_first_of_every_five_of_each_digit():
    (_, y_train), (_, y_test) = nn.datasets.load_digits()
    assert np.bincount(y_test).tolist() == [-(-count // 5) for count in SOURCE_COUNTS]
    assert np.bincount(y_train).tolist() == [count - -(-count // 5) for count in SOURCE_COUNTS]


def test_calls_do_not_share_arrays():
    nn.datasets.load_digits()[0][0][:] = 99
    assert nn.datasets.load_digits()[0][0].max() == 16


def test_same_arrays_for_ever():
    """Published accuracies stay comparable only while data and split are these."""
    digest = hashlib.sha256()
    for part in nn.datasets.load_digits():
        for array in part:
            digest.update(np.ascontiguousarray(array, dtype=np.uint8))
    assert digest.hexdigest() == "665e175ff94418ebc4e8b837e8d2a7663bbea1b8d520282e3ce37c230ea3c7e2"


def test_rows_are_those_of_scikit_learn():
    source = pytest.importorskip("sklearn.datasets").load_digits()
    (x_train, y_train), (x_test, y_test) = nn.datasets.load_digits()
    seen: dict[int, int] = {}
    parts: tuple[list[int], list[int]] = ([], [])
    for row, label in enumerate(source.target.tolist()):
        parts[seen.get(label, 0) % 5 == 0].append(row)
        seen[label] = seen.get(label, 0) + 1
    for rows, x, y in zip(parts, (x_train, x_test), (y_train, y_test), strict=True):
        np.testing.assert_array_equal(x, source.images[rows])
        np.testing.assert_array_equal(y, source.target[rows])


def test_attribution_is_installed_beside_the_file():
    text = resources.files("nncore.datasets").joinpath("digits.txt").read_text(encoding="utf-8")
    for words in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0"):
        assert words in text

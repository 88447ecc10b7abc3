"""Names, factors and errors of the regularizers; their numbers are tested with the kernels."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

from nncore.registry import serialize
from nncore.regularizers import L1, L1L2, L2, REGULARIZERS, get


@pytest.mark.parametrize(
    ("regularizer", "l1", "l2"),
    [
        (L1(), 0.01, 0.0),
        (L1(0.5), 0.5, 0.0),
        (L2(), 0.0, 0.01),
        (L2(l2=0.5), 0.0, 0.5),
        (L1L2(), 0.0, 0.0),
        (L1L2(0.25, 0.5), 0.25, 0.5),
        (get("l1"), 0.01, 0.0),
        (get("L2"), 0.0, 0.01),
        (get("l1_l2"), 0.0, 0.0),
        (get({"class": "l1_l2", "config": {"l1": 0.1, "l2": 0.2}}), 0.1, 0.2),
    ],
    ids=repr,
)
def test_factors_and_copies(regularizer, l1, l2):
    assert (regularizer.l1, regularizer.l2) == (l1, l2)
    for twin in (get(serialize(regularizer)), pickle.loads(pickle.dumps(regularizer)), copy.deepcopy(regularizer)):
        assert twin == regularizer
        assert (type(twin), twin.l1, twin.l2) == (type(regularizer), l1, l2)


def test_names():
    assert REGULARIZERS.names() == ["l1", "l1_l2", "l2", "orthogonal_regularizer"]
    assert get("L1L2") == get("l1l2") == L1L2()
    assert get(None) is None


def test_equality():
    assert L1(0.1) == L1(0.1)
    assert L1(0.1) != L1(0.2)
    assert L1(0.1) != L2(0.1)


@pytest.mark.parametrize(("cls", "argument"), [(L1, "l1"), (L2, "l2"), (L1L2, "l1"), (L1L2, "l2")])
@pytest.mark.parametrize(
    ("value", "error"),
    [(-1e-9, ValueError), (math.nan, ValueError), (math.inf, ValueError), ("1", TypeError), (None, TypeError)],
)
def test_bad_factors(cls, argument, value, error):
    with pytest.raises(error, match=f"^{argument}: expected a finite number ≥ 0, got {value!r}"):
        cls(**{argument: value})


def test_numpy_numbers_are_numbers():
    assert serialize(L2(np.float64(0.5)))["config"] == {"l2": 0.5}
    assert L2(np.int64(1)).l2 == 1


def test_unknown_names():
    with pytest.raises(ValueError, match="kernel_regularizer: expected a known regularizer, got 'l3'"):
        get("l3", "kernel_regularizer")
    with pytest.raises(TypeError, match="kernel_regularizer"):
        get(0.01, "kernel_regularizer")

"""The checks of numbers: which values pass, as what, and which error the others raise."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from nncore.arguments import (
    an,
    check_count,
    check_flag,
    check_nonnegative,
    check_number,
    check_whole,
    is_number,
    is_whole,
    the_only,
)
from nncore.dtypes import check_real


@pytest.mark.parametrize("value", [0, -3, 2**70, np.int8(3), np.uint64(2**63), np.array(3), np.array(3, ">i2")])
def test_whole_numbers(value: Any) -> None:
    assert is_whole(value)
    assert is_number(value)


@pytest.mark.parametrize("value", [0.5, 1.0, math.nan, Fraction(1, 3), np.float32(2), np.array(0.5)])
def test_numbers_that_are_not_whole(value: Any) -> None:
    assert is_number(value)
    assert not is_whole(value)


@pytest.mark.parametrize(
    "value", [True, np.bool_(True), "1", None, 1j, [1], np.ones(1), np.array(True), np.array("1"), np.ma.masked]
)
def test_no_numbers(value: Any) -> None:
    assert not is_number(value)
    assert not is_whole(value)


@pytest.mark.parametrize("value", [0, -0.0, 1.5, np.float32(0.25), Fraction(1, 4), np.int64(7), np.array(1.5)])
def test_check_nonnegative_returns_a_float(value: Any) -> None:
    checked = check_nonnegative(value, "a", "think")
    assert type(checked) is float
    assert checked == value


@pytest.mark.parametrize("value", [-1e-300, math.inf, math.nan, 10**400, -(10**400), np.float64("nan")])
def test_check_nonnegative_out_of_range(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^a: expected a finite number ≥ 0, got .*; think$"):
        check_nonnegative(value, "a", "think")


@pytest.mark.parametrize("value", [None, "1", True])
def test_check_number_of_no_number(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^a: expected any, got {value!r}$"):
        check_number(value, "a", "any", lambda v: True)


def test_check_number_fits_what_is_returned() -> None:
    nearly = 1 - Fraction(1, 2**80)  # rounds to 1.0
    with pytest.raises(ValueError, match="^a: expected less than 1"):
        check_number(nearly, "a", "less than 1", lambda v: v < 1)


@pytest.mark.parametrize("value", [2, 5, np.int64(3), np.uint64(4), np.array(2)])
def test_check_whole(value: Any) -> None:
    checked = check_whole(value, "a", "2 to 5", 2, 5)
    assert type(checked) is int
    assert checked == value


@pytest.mark.parametrize("value", [1, 6, 3.0, True, None, np.uint64(2**64 - 1), 10**400])
def test_check_whole_out_of_range(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^a: expected 2 to 5, got "):
        check_whole(value, "a", "2 to 5", 2, 5)


def test_check_count() -> None:
    assert check_count(10**20, "a") == 10**20
    assert check_count(0, "a", 0) == 0
    for value, least in [(0, 1), (-1, 0), (2.5, 1), ("3", 1)]:
        with pytest.raises(ValueError, match=f"^a: expected a whole number of at least {least}, got {value!r}$"):
            check_count(value, "a", least)


def test_check_flag() -> None:
    assert check_flag(np.False_, "a") is False
    assert check_flag(True, "a") is True
    assert check_flag(np.array(True), "a") is True
    with pytest.raises(TypeError, match="^a: expected True or False, got 1; think$"):
        check_flag(1, "a", "think")


@pytest.mark.parametrize(("name", "expected"), [("loss", "a loss"), ("optimizer", "an optimizer"), ("IO", "an IO")])
def test_articles(name: str, expected: str) -> None:
    assert an(name) == expected


@pytest.mark.parametrize("dtype", ["float32", "uint8", "bool", np.float16, np.dtype(">i4"), int])
def test_real_dtypes(dtype: Any) -> None:
    check_real(dtype)


@pytest.mark.parametrize("dtype", ["string", "float31", complex, "M8[s]", object, 3])
def test_other_dtypes(dtype: Any) -> None:
    with pytest.raises(ValueError, match="dtype: expected one of real numbers, such as float32 or uint8, got"):
        check_real(dtype)


def test_the_only() -> None:
    assert the_only([3]) == the_only((3,)) == the_only({"a": 3}) == the_only(3) == 3
    for other in ([], [1, 2], {}, {"a": 1, "b": 2}, "a", None):
        assert the_only(other) is other

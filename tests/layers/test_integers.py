"""Inputs that a layer reads as whole numbers: int32, within the limits that the layer says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.compiler.builder import Builder
from nncore.compiler.operation import PythonCall, Tensor
from nncore.state import Array

RNG = np.random.default_rng(6)
TABLE = RNG.standard_normal((9, 4)).astype(np.float32)
X = RNG.integers(0, 9, (50, 3))
Y = RNG.standard_normal((50, 2)).astype(np.float32)


class Lookup(nn.Layer):
    """Rows of `TABLE`, by number."""

    @property
    def integers(self) -> tuple[int, int]:
        return 0, 9

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape, 4)

    def emit(self, b: Builder, x: Tensor) -> Tensor:
        def rows(numbers: Array, out: Array) -> None:
            assert numbers.dtype == np.int32
            out[...] = TABLE[numbers]

        y = Tensor((*x.shape, 4))
        b.emit(PythonCall(rows, [x], [y]))
        return y


class Fewer(Lookup):
    """The same for fewer numbers."""

    @property
    def integers(self) -> tuple[int, int]:
        return 2, 40


def looked_up(**settings: Any) -> nn.Model:
    return nn.Model([nn.Input(3, dtype="int32"), Lookup(), nn.Flatten(), nn.Dense(2)], seed=1, **settings)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32", "float64", "float16"])
@pytest.mark.parametrize("rows", [0, 1, 50])
def test_numbers_of_any_dtype(dtype: str, rows: int) -> None:
    model = looked_up()
    W, b = model.get_weights()
    expected = TABLE[X[:rows]].reshape(rows, 12) @ W + b
    np.testing.assert_allclose(model.predict(X[:rows].astype(dtype)), expected, 1e-5, 1e-6)


def test_large_numbers_are_exact() -> None:
    """2³¹ − 1 is no float32."""

    class Low(Lookup):
        @property
        def integers(self) -> tuple[int, int]:
            return -(2**31), 2**31

        def emit(self, b: Builder, x: Tensor) -> Tensor:
            y = Tensor((*x.shape, 4))

            def parts(numbers: Array, out: Array) -> None:
                out[...] = (numbers.astype(np.int64)[..., None] >> np.array([0, 8, 16, 24])) & 255

            b.emit(PythonCall(parts, [x], [y]))
            return y

    numbers = np.array([[-(2**31)], [2**31 - 1], [16777217], [-1]])
    expected = (numbers[..., None] >> np.array([0, 8, 16, 24])) & 255
    np.testing.assert_array_equal(nn.Model([nn.Input(1), Low()]).predict(numbers), expected)


def test_training_shuffled_and_in_order() -> None:
    """The same weights as from looking up before, whoever converts."""
    for shuffle, x in ((True, X), (False, X.astype(np.float16)), (False, np.asfortranarray(X))):
        model, plain = looked_up(), nn.Model([nn.Input((3, 4)), nn.Flatten(), nn.Dense(2)], seed=1)
        plain.set_weights(model.get_weights())
        for m, data in ((model, x), (plain, TABLE[X])):
            m.compile(nn.SGD(0.05), "mse")
            m.fit(data, Y, batch_size=16, epochs=3, shuffle=shuffle, verbose=0)
        for found, expected in zip(model.get_weights(), plain.get_weights(), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_a_symbol_that_is_read_both_ways() -> None:
    """One layer takes the numbers, two others take reals; the output is the input itself."""
    x = nn.Input(3)
    reals = nn.layers.Rescaling(0.5)(x)
    model = nn.Model(x, [nn.Flatten()(Lookup()(x)), nn.layers.Add()([reals, nn.layers.Rescaling(2.0)(x)]), x])
    rows, sums, same = model.predict(X)
    np.testing.assert_array_equal(rows, TABLE[X].reshape(50, 12))
    np.testing.assert_array_equal(sums, 2.5 * X)
    np.testing.assert_array_equal(same, X)


def test_within_another_model() -> None:
    inner, x = looked_up(), nn.Input(3)
    model = nn.Model(x, nn.Dense(1)(inner(x)))
    W, b = model.layers[-1].get_weights()
    np.testing.assert_allclose(model.predict(X), inner.predict(X) @ W + b, 1e-5, 1e-6)
    with pytest.raises(ValueError, match=r"x: expected whole numbers from 0 to 8, which lookup takes, got 9 in row 4"):
        model.predict(np.where(np.arange(50)[:, None] == 4, 9, X))


@pytest.mark.parametrize("wrong", [9, -1, 2.5, np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_other_numbers_are_named(wrong: float, dtype: str) -> None:
    model = looked_up()
    model.compile("sgd", "mse")
    x = X.astype(dtype)
    x[33, 1] = wrong
    words = rf"x: expected whole numbers from 0 to 8, which lookup takes, got {wrong}.* in row 33"
    for use in (model.predict, lambda x: model.evaluate(x, Y, verbose=0), lambda x: model.fit(x, Y, verbose=0)):
        with pytest.raises(ValueError, match=words):
            use(x)


def test_what_two_layers_take() -> None:
    x = nn.Input(3)
    model = nn.Model(x, [Lookup()(x), Fewer(name="fewer")(x)])
    with pytest.raises(ValueError, match="from 2 to 8, which each layer that reads it, such as fewer, takes, got 1"):
        model.predict(np.ones((1, 3), int))
    assert [out.shape for out in model.predict(np.full((1, 3), 8))] == [(1, 3, 4)] * 2


@pytest.mark.parametrize("limits", [(9, 40), (3, 3), (5, 2)])
def test_layers_that_take_no_number_in_common(limits: tuple[int, int]) -> None:
    class Other(Lookup):
        @property
        def integers(self) -> tuple[int, int]:
            return limits

    x = nn.Input(3)
    with pytest.raises(ValueError, match=rf"other: expected to take some number .*, got {limits[0]} ≤ x < {limits[1]}"):
        nn.Model(x, [Lookup()(x), Other(name="other")(x)])


def test_limits_beyond_int32() -> None:
    """Arrays of every layout are refused alike, whoever converts them."""

    class Wide(Lookup):
        @property
        def integers(self) -> tuple[int, int]:
            return 0, 2**40

    model = nn.Model([nn.Input(3), Wide()])
    for x in (np.full((2, 3), 2**32), np.full((2, 3), float(2**32), ">f8")):
        with pytest.raises(ValueError, match="whole numbers from 0 to 2147483647, which wide takes, got 4294967296"):
            model.predict(x)


def test_numbers_come_from_inputs() -> None:
    x = nn.Input(3)
    with pytest.raises(ValueError, match=r"lookup: expected an Input, for it takes whole numbers, got <Symbol"):
        nn.Model(x, Lookup()(nn.Dense(3)(x)))


def test_files(tmp_path: Path) -> None:
    model = looked_up()
    model.save(tmp_path / "m")
    again = nn.load_model(tmp_path / "m", custom_objects={"Lookup": Lookup})
    np.testing.assert_array_equal(again.predict(X), model.predict(X))

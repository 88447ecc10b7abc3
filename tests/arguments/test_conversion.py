"""What users give as data: what is taken, and what others get to read; stand-ins for the objects of other libraries."""

from __future__ import annotations

import collections
import datetime
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.conversion import as_array

X = np.random.default_rng(4).normal(size=(6, 4)).astype(np.float32)
Y = np.array([0, 1, 2, 0, 1, 2])
HALF = np.ma.masked_less(X, 0)


def classifier() -> nn.Model:
    model = nn.Model([nn.Input(4), nn.Dense(3, activation="softmax")], seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


# ---- stand-ins -------------------------------------------------------------------------------------------------------


class Sparse:
    """As scipy.sparse has it."""

    shape = (6, 4)

    def toarray(self) -> np.ndarray:
        return X


class Loader:
    """Batches that can be gone through again and again, as torch.utils.data.DataLoader has them."""

    def __iter__(self) -> Iterator[Any]:
        return iter([(X, Y)])

    def __len__(self) -> int:
        return 1


class Items:
    """Batches by their number, as keras.utils.PyDataset has them."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, i: int) -> Any:
        return X, Y


class Device:
    """A tensor whose elements are elsewhere, or part of a graph, as torch.Tensor may be."""

    def __array__(self, *settings: Any, **named: Any) -> np.ndarray:
        raise RuntimeError("can't convert cuda:0 device type tensor to numpy")

    def detach(self) -> Device:
        return self


class NAType:
    """As pandas has it: no number."""

    def __repr__(self) -> str:
        return "<NA>"


class Column:
    """As pandas.Series has it."""

    def __init__(self, values: Any, dtype: str = "object") -> None:
        self.values, self.dtype = np.array(values, object), dtype
        self.cat = self.fillna = self

    def __array__(self, *settings: Any, **named: Any) -> np.ndarray:
        return self.values


class Frame:
    """As pandas.DataFrame has it."""

    def __init__(self, **columns: Any) -> None:
        self.columns = list(columns)
        self.values = np.array(list(columns.values()), object).T

    def __array__(self, *settings: Any, **named: Any) -> np.ndarray:
        return self.values


# ---- what is taken ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        [[1, 2], [3, 4]],
        ((1, 2), (3, 4)),
        [np.array([1, 2]), np.array([3, 4])],
        collections.deque([np.array([1, 2]), np.array([3, 4])]),
        [range(1, 3), range(3, 5)],
        memoryview(np.array([[1, 2], [3, 4]])),
        np.array([[1, 2], [3, 4]], object),
        np.array([[Fraction(1), Decimal(2)], [3.0, np.float16(4)]], object),
        np.ma.array([[1, 2], [3, 4]]),
        np.ma.array([[1, 2], [3, 4]], mask=[[False] * 2] * 2),
        [np.ma.array([1, 2]), np.ma.array([3, 4])],
        Frame(a=[1, 3], b=[2, 4]),
    ],
)
def test_arrays(given: Any) -> None:
    array = as_array(given, "x")
    assert array.dtype.kind in "iuf" and array.tolist() == [[1, 2], [3, 4]]
    assert type(array) is np.ndarray


def test_an_array_is_not_copied() -> None:
    assert as_array(X, "x") is X
    assert np.shares_memory(as_array(np.ma.array(X, copy=False), "x"), X)


def test_lists_and_dicts_of_one_as_keras_takes_them() -> None:
    for wrap in (lambda a: [a], lambda a: (a,), lambda a: {"name": a}):
        expected = classifier()
        expected.fit(X, Y, epochs=2, verbose=0, validation_split=0.5)
        model = nn.Model([nn.Dense(3, activation="softmax")], seed=0)
        model.compile("sgd", "sparse_categorical_crossentropy")
        weight = wrap(np.ones(6))
        model.fit(wrap(X), wrap(Y), sample_weight=weight, epochs=2, verbose=0, validation_split=0.5)
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), expected.get_weights(), strict=True))
        assert np.array_equal(model.predict(wrap(X)), expected.predict(X))
        assert model.evaluate(wrap(X), wrap(Y), verbose=0) == expected.evaluate(X, Y, verbose=0)
        assert model.train_on_batch(wrap(X), wrap(Y)) == expected.train_on_batch(X, Y)


def test_a_list_of_one_row_is_one_row() -> None:
    model = classifier()
    assert np.array_equal(model.predict([X[0]]), model.predict(X[:1]))
    image = nn.Model([nn.Input((6, 4)), nn.Flatten(), nn.Dense(2)], seed=0)
    assert np.array_equal(image.predict([X]), image.predict(X[None]))
    model.train_on_batch([X[0]], [np.array(2)])
    square = nn.Model([nn.Input(4), nn.Dense(3)], seed=0)
    square.compile("sgd", "mse")
    square.train_on_batch(X[:3], list(np.zeros((3, 3))))


# ---- masks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [HALF, list(HALF), [[1, [HALF]]], tuple(HALF)])
def test_a_mask_is_refused(given: Any) -> None:
    hidden = int((X < 0).sum())
    words = (
        rf"^x: expected an array without gaps, got a masked array that hides {hidden} elements\..*x\.filled\(value\)"
    )
    with pytest.raises(ValueError, match=words):
        as_array(given, "x")


def test_masks_everywhere() -> None:
    """Each place where data come in; weights and rows stay as they were."""
    model = classifier()
    before = model.get_weights()
    labels, weights = np.ma.masked_equal(Y, 0), np.ma.masked_equal(np.ones(6), 1)
    for call, argument in [
        (lambda: model.fit(HALF, Y), "x"),
        (lambda: model.fit(X, labels), "y"),
        (lambda: model.fit(X, Y, sample_weight=weights), "sample_weight"),
        (lambda: model.fit(X, Y, validation_split=0.5, sample_weight=weights), "sample_weight"),
        (lambda: model.fit(X, Y, validation_data=(HALF, Y)), "validation x"),
        (lambda: model.fit(X, Y, validation_data=(X, labels)), "validation y"),
        (lambda: model.fit(X, Y, validation_data=(X, Y, weights)), "validation sample_weight"),
        (lambda: model.fit(X, Y, class_weight=np.ma.array([1, 2, 3], mask=[0, 0, 1])), "class_weight"),
        (lambda: model.train_on_batch(HALF, Y), "x"),
        (lambda: model.train_on_batch(X, labels), "y"),
        (lambda: model.train_on_batch(X, Y, weights), "sample_weight"),
        (lambda: model.evaluate(HALF, Y), "x"),
        (lambda: model.predict(HALF), "x"),
        (lambda: model(HALF), "x"),
        (lambda: model.set_weights([np.ma.masked_less(w, 0) for w in before]), "weights"),
        (lambda: model.layers[0].set_weights([np.ma.masked_less(w, 0) for w in before]), "weights of layer dense"),
        (lambda: nn.matmul(HALF, X.T), "a"),
        (lambda: nn.matmul(X, HALF.T), "b"),
        (lambda: nn.to_categorical(labels), "y"),
    ]:
        with pytest.raises(ValueError, match=f"^{argument}: .*masked array that hides"):
            call()
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    with pytest.raises(TypeError, match=r"out: .*without a mask.*out\.data"):
        nn.matmul(X, X.T, out=np.ma.zeros((6, 6), np.float32))
    whole = np.ma.array(X)  # hides nothing
    assert np.array_equal(nn.matmul(whole, whole.T), nn.matmul(X, X.T))
    assert np.array_equal(model.predict(whole), model.predict(X))


# ---- what is named ---------------------------------------------------------------------------------------------------

REFUSED: list[tuple[Any, str]] = [
    (None, "expected an array, got None"),
    (Sparse(), r"got a sparse Sparse of shape \(6, 4\)\. Convert it: x\.toarray\(\)"),
    (Loader(), "got a Loader, a collection that is no array. Collect its batches .*or call train_on_batch"),
    (Items(), "got an Items, a collection that is no array. Collect its batches .*or call train_on_batch"),
    ((x for x in X), "got a generator. Collect its batches .*or call train_on_batch"),
    ({1.0, 2.0}, r"got a set, .*give list\(x\)"),
    ({"a": X, "b": X}, r"got a dict with the keys 'a', 'b'\. One array goes here: .*column_stack"),
    (nn.Input(4), r"got a symbol of shape \(None, 4\)\. .*called on numbers"),
    ("data.csv", "got the text 'data.csv'. Read the file first"),
    (b"abc", "got the text b'abc'"),
    (Device(), r"got a Device of .*cuda:0.* x\.detach\(\)\.cpu\(\)\.numpy\(\)"),
    ([Device()], r"got a Device of .*cuda:0"),
    ([X, X[:, :2]], r"got 2 of shapes \(6, 4\), \(6, 2\)\. .*np\.concatenate\(x, axis=1\)"),
    ([[1, 2], [3]], "expected a rectangular array of numbers, got rows that differ"),
    (np.array(["a", "b"]), "got text such as 'a'. Give each column of text an Input and a StringLookup, or encode it"),
    ([{"a": 1.0}, {"a": 2.0}], r"got dicts such as {'a': 1\.0}\. Make columns of them: pandas\.DataFrame\(x\)"),
    (np.array([b"a", b"b"]), "got text such as b'a'. Give each column"),
    (np.array(["1.5", "2"]), r"got text such as '1\.5'\. Convert them: x\.astype\(float\)"),
    (np.array(["1.5", 2], object), r"got text such as '1\.5'\. Convert them: x\.astype\(float\)"),
    (Column(["a", "b"], "category"), r"got text such as 'a'\. Give its codes: x\.cat\.codes"),
    (Column([1, NAType()], "Int64"), r"got missing values \(<NA>\)\. .*x\.fillna\(value\).*x\.dropna\(\)"),
    ([[1, None]], r"got missing values \(None\)\. Fill the gaps"),
    (np.array(["2020-01-01"], "M8[D]"), r"got dtype datetime64\[D\]\. Give durations .*\(x - x\.min\(\)\)"),
    ([datetime.date(2020, 1, 2)], "got dates such as 2020-01-02. Give durations"),
    (np.array([3], "m8[s]"), r"got dtype timedelta64\[s\]\. Divide them by a unit"),
    (np.ones(2, complex), r"got dtype complex128\. .*np\.concatenate\(\[x\.real, x\.imag\], axis=-1\)"),
    (np.array([1, 2j], object), "got complex numbers such as 2j. Give real and imaginary parts"),
    (np.zeros(2, "f4, f4"), r"structured array with the fields f0, f1\. .*structured_to_unstructured\(x\)"),
    (np.zeros(2, "V2"), r"got dtype .*V2\. Convert it: x\.astype\(np\.float32\)"),  # bfloat16 of other libraries
    ([10**400], "got numbers beyond those of float64"),
    (object(), "got an object. Give a NumPy array"),
    (print, "got a builtin_function_or_method. Give a NumPy array"),
    ([object()], "got Python objects such as <object"),
]


@pytest.mark.parametrize(("given", "words"), REFUSED, ids=range(len(REFUSED)))
def test_what_came_and_what_to_do(given: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^x: .*{words}"):
        as_array(given, "x")


def test_labels_in_words() -> None:
    words = r"got text such as 'cat'\. Number them: classes, y = np\.unique\(y, return_inverse=True\)"
    for call in (
        lambda: classifier().fit(X, ["cat", "dog"] * 3),
        lambda: classifier().fit(X, Y, validation_data=(X, np.array(["cat", "dog"] * 3))),
        lambda: nn.to_categorical(["cat", "dog"]),
    ):
        with pytest.raises(TypeError, match=words):
            call()


def test_columns_of_a_frame_are_named() -> None:
    frame = Frame(age=[1, 2], city=["Bonn", "Ulm"], born=[datetime.date(2020, 1, 2)] * 2, n=[1.5, 2])
    words = r"^x: .*got columns of others: 'city' \(text such as 'Bonn'\), 'born' \(dates such as 2020-01-02\)\. Give"
    with pytest.raises(TypeError, match=words):
        as_array(frame, "x")
    wide = Frame(**{f"c{i}": ["a"] for i in range(12)})
    with pytest.raises(TypeError, match=r"'c7' \(text such as 'a'\), 4 more\. Give"):
        as_array(wide, "x")


def test_several_batches_are_no_array() -> None:
    with pytest.raises(
        ValueError, match=r"x: expected one array, got 2 of shapes \(6, 4\), \(2, 4\)\. Join their rows"
    ):
        classifier().predict([X, X[:2]])


def test_memory_errors_stay_what_they_are() -> None:
    class Large:
        def __array__(self, *settings: Any, **named: Any) -> np.ndarray:
            raise MemoryError

    with pytest.raises(MemoryError):
        as_array(Large(), "x")

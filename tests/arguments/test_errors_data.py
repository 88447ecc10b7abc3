"""Data and targets that are refused: the exception, its words, and a model that is as it was before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from refusals import HOT, X, Y, classifier, unchanged, with_row

import nncore as nn


@pytest.mark.parametrize(
    ("given", "shape", "remedy"),
    [
        ((6, 3, 32, 32), (32, 32, 3), r"The axes are in another order.*: give np\.moveaxis\(x, 1, -1\)$"),
        ((6, 128, 9), (9, 128), r"give np\.moveaxis\(x, 1, -1\)$"),
        ((6, 4, 5, 3), (3, 4, 5), r"give np\.moveaxis\(x, -1, 1\)$"),
        ((6, 5, 4, 3), (4, 5, 3), r"give np\.transpose\(x, …\)$"),
        ((8, 8), (8, 8, 1), r"For a single sample give x\[None, \.\.\., None\]$"),
        ((6, 64), (8, 8, 1), r"The elements fit: reshape x"),
        ((8, 8, 1), (None, None, 1), r"For a single sample give x\[None\]$"),
        ((6, 8, 8, 1, 1), (8, 8), r"got \(6, 8, 8, 1, 1\)\. The elements fit: reshape x"),
        ((6, 1, 8, 9), (8, 9, 1), r"The elements fit: reshape x"),
        ((6, 30, 4), (20, 4), r"from call to call, begin the model with Input\(\(None, 4\)\)$"),
        ((6, 8, 9, 3), (8, 8, 3), r"begin the model with Input\(\(8, None, 3\)\)$"),
        ((6, 7), (8,), r"got \(6, 7\)$"),
    ],
)
def test_what_makes_an_array_fit(given: tuple[int, ...], shape: tuple[int, ...], remedy: str) -> None:
    model = nn.Model([nn.Input(shape), nn.Flatten()])
    with pytest.raises(ValueError, match=remedy):
        model.predict(np.zeros(given))


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ((6, 8, 8), (8, 8, 1)),
        ((6, 8, 8, 1), (8, 8)),
        ((6, 8, 8), (None, None, 1)),
        ((6, 8, 8, 1), (None, 8)),
        ((6, 8), (8, 1)),
        ((6,), (1,)),
        ((6, 1), ()),
    ],
)
def test_an_axis_of_one_channel_may_be_there_or_not(given: tuple[int, ...], shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=(*given, 2)).astype(np.float32)[..., 0]  # strided
    model = nn.Model([nn.Input(shape), nn.Rescaling(2.0)])
    made = model.predict(x)
    assert np.array_equal(made.ravel(), 2 * x.ravel()) and np.array_equal(made, model(x))
    assert made.shape == (6, *(size or 8 for size in shape))


def test_targets_of_another_image() -> None:
    model = nn.Model([nn.Input((8, 8, 1)), nn.Conv2D(1, 2)])
    model.compile("sgd", "mse")
    with pytest.raises(
        ValueError, match=r"y: expected shape \(5, 7, 7, 1\), got .*The model gives \(7, 7, 1\) per sample"
    ):
        model.fit(np.zeros((5, 8, 8, 1)), np.zeros((5, 8, 8, 1)))


BAD_X: list[tuple[Any, type, str]] = [
    (X[:, :3], ValueError, r"x: expected shape \(n, 4\), got \(40, 3\)"),
    (X[0], ValueError, r"x: expected shape \(n, 4\), got \(4,\)\. For a single sample give x\[None\]"),
    (
        X.reshape(40, 2, 2),
        ValueError,
        r"x: expected shape \(n, 4\), got \(40, 2, 2\)\. The elements fit: reshape x, or .*Flatten",
    ),
    (3.0, ValueError, r"x: expected shape \(n, 4\), got \(\)"),
    (None, TypeError, "x: expected an array, got None"),
    (X.astype(str), TypeError, r"x: expected real numbers, got text such as '.*Convert them: x\.astype\(float\)"),
    ("words", TypeError, "x: expected an array of numbers, got the text 'words'"),
    (X.astype(complex), TypeError, "x: expected real numbers, got dtype complex128"),
    (X.astype("datetime64[s]"), TypeError, "x: expected real numbers"),
    ([[1, 2, 3, 4], [1, 2]], ValueError, "x: expected a rectangular array of numbers"),
    ([[object()] * 4] * 40, TypeError, "x: expected real numbers, got Python objects such as <object"),
    ({"a": X, "b": X}, TypeError, "x: expected an array of numbers, got a dict with the keys 'a', 'b'"),
    (
        with_row(X.astype(float), 7, [0, 1e39, 0, 0]),
        ValueError,
        r"x: expected values that float32 can hold, got .*1e\+39.* in row 7.*float64",
    ),
    (with_row(X.astype(float), 7, -1e300)[::-1][:, ::-1], ValueError, r"x: .*float32.*-1e\+300.* in row 32"),
]


@pytest.mark.parametrize(("bad", "error", "words"), BAD_X)
def test_bad_x(bad: Any, error: type, words: str) -> None:
    model = classifier()
    before = model.get_weights()
    for what in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(error, match=words):
            what(bad, Y)
    for call in (model.predict, model, model.predict_on_batch):
        with pytest.raises(error, match=words):
            call(bad)
    with pytest.raises(error, match="validation " + words.split(r"\.")[0]):
        model.fit(X, Y, validation_data=(bad, Y), epochs=3, verbose=0)
    if "float32" not in words:
        assert unchanged(model, before)
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("rows", [0])
def test_no_rows(rows: int) -> None:
    model = classifier()
    for what in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(ValueError, match=r"x: expected at least one row, got shape \(0, 4\)"):
            what(X[:rows], Y[:rows])
    with pytest.raises(ValueError, match="validation x: expected at least one row"):
        model.fit(X, Y, validation_data=(X[:0], Y[:0]))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (
            with_row(Y, 11, 3),
            r"y: expected whole labels from 0 to 2 \(the last layer has 3 units\), got 3 in row 11\. Renumber",
        ),
        (with_row(Y, 11, -1), "got -1 in row 11"),
        (with_row(Y.astype(np.int8), 39, -128), "got -128 in row 39"),
        (with_row(Y.astype(np.uint64), 5, 2**64 - 1), "got 18446744073709551615 in row 5"),
        (with_row(Y, 5, -(2**63)), "got -9223372036854775808 in row 5"),
        (with_row(Y.astype(float), 11, 1.5), "got 1.5 in row 11"),
        (with_row(Y.astype(np.float16), 11, np.nan), "got nan in row 11"),
        (with_row(Y.astype(float), 11, np.inf), "got inf in row 11"),
        (with_row(Y.astype(float), 11, 2**32), "got 4294967296.0 in row 11"),
        (Y[:-1], r"y: expected shape \(40,\), got \(39,\)\. There are 40 rows of inputs"),
        (HOT, r"y: expected shape \(40,\), got \(40, 3\)\. One-hot targets go with loss=\"categorical_crossentropy\""),
        (Y.astype(str), "y: expected real numbers"),
        (None, r"y: expected an array, got None\. Give targets: \(x, y\), or batches of these"),
        (0, r"y: expected shape \(40,\), got \(\)"),
    ],
)
def test_bad_labels(bad: Any, words: str) -> None:
    model = classifier()
    before = model.get_weights()
    for what in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises((ValueError, TypeError), match=words):
            what(X, bad)
    with pytest.raises((ValueError, TypeError), match="validation .*" + words):
        model.fit(X, Y, validation_data=(X, bad), epochs=2, verbose=0)
    assert unchanged(model, before)


def test_targets_of_another_kind() -> None:
    model = classifier("categorical_crossentropy")
    with pytest.raises(
        ValueError, match=r"y: expected shape \(40, 3\), got \(40,\).*sparse_categorical_crossentropy.*to_categorical"
    ):
        model.fit(X, Y)
    with pytest.raises(ValueError, match=r"y: expected shape \(40, 3\), got \(40, 2\)"):
        model.fit(X, HOT[:, :2])
    regression = nn.Model([nn.Input(4), nn.Dense(1)])
    regression.compile("sgd", "mse")
    with pytest.raises(ValueError, match="y: .*float32"):
        regression.fit(X, np.full(40, 1e39), verbose=0)


def test_a_first_fit_that_is_refused_settles_no_shapes() -> None:
    model = nn.Model([nn.Dense(3, activation="softmax")])
    with pytest.raises(ValueError, match="not compiled"):
        model.fit(X, Y)
    for bad in (3.0, None, "abc", [[1], [2, 3]]):
        with pytest.raises((ValueError, TypeError), match="x: expected"):
            model.predict(bad)
    assert not model.built


def test_to_categorical_refuses() -> None:
    for y, n, words in [
        ([-1], None, "y: expected whole labels .*got -1"),
        ([0.5], None, "got 0.5"),
        ([np.nan], None, "got nan"),
        ([np.inf], None, "got inf"),
        ([2**40], None, "got 1099511627776"),
        (["a"], None, "y: expected real numbers"),
        ([3], 3, "num_classes: expected a whole number above the largest label, 3, got 3"),
        ([3], -1, "num_classes: .*got -1"),
        ([3], 4.5, "num_classes: .*got 4.5"),
        ([3], 2**63, "num_classes: "),
    ]:
        with pytest.raises((ValueError, TypeError), match=words):
            nn.to_categorical(y, n)
    assert nn.to_categorical([[1], [0]], 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert nn.to_categorical([]).shape == (0, 0)


@pytest.mark.parametrize(
    ("loss", "activation", "targets", "value"),
    [
        ("binary_crossentropy", "sigmoid", [[0.0], [1.0], [-1.0]], "-1.0"),
        ("binary_crossentropy", "sigmoid", [[1], [1], [2]], "2"),
        ("categorical_crossentropy", "softmax", [[0, 1], [1, 0], [0, 1.5]], "1.5"),
    ],
)
def test_targets_of_a_crossentropy_are_probabilities(loss: str, activation: str, targets: Any, value: str) -> None:
    """Labels −1 and 1, or 1 and 2, would train towards a negative loss."""
    model = nn.Model([nn.Dense(len(targets[0]), activation=activation)], seed=0)
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=rf"y: expected targets from 0 to 1 .*got {value} in row 2\. Code the classes"):
        model.fit(np.zeros((3, 4)), targets, verbose=0)
    model.fit(np.zeros((3, 4)), np.clip(targets, 0, 1), verbose=0)


def test_a_forgotten_flatten_is_named() -> None:
    model = nn.Model([nn.Dense(10, activation="softmax")], seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"y: expected shape \(5, 8\), got \(5,\).*\(8, 10\) per sample: put Flatten"):
        model.fit(np.zeros((5, 8, 8)), np.zeros(5, int), verbose=0)


def test_a_mask_that_a_model_is_given() -> None:
    model = nn.Model([nn.Input(3), nn.Dense(2)], name="given")
    with pytest.raises(TypeError, match=r"given: mask: expected None, got one\. A layer that heeds masks"):
        model(np.zeros((1, 3)), mask=np.ones((1, 3)))
